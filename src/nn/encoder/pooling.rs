//! One vector for a text, from the hidden states of its tokens.

use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Bool, DType, Tensor};

/// How the hidden states of a text's tokens become its embedding, as sentence-transformers calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "lowercase")]
pub enum Pooling {
    /// The first token's.
    Cls,
    /// The mean over all tokens, special ones included.
    Mean,
}

/// Added to the square of an embedding's length before it is divided by it.
const EPSILON: f64 = 1e-12;

impl Pooling {
    /// The embeddings of texts, each of length 1, in f32.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, seq, hidden_size]`
    /// - padding: `[batch, seq]`, true where a token is padding
    /// - output: `[batch, hidden_size]`
    pub fn embed(self, hidden: Tensor<3>, padding: Tensor<2, Bool>) -> Tensor<2> {
        let hidden = hidden.cast(DType::F32);
        let [batch, seq, hidden_size] = hidden.dims();
        let pooled = match self {
            Self::Cls => hidden.narrow(1, 0, 1),
            Self::Mean => {
                let is_token = padding.bool_not().float().cast(DType::F32);
                let is_token = is_token.reshape([batch, seq, 1]);
                let n_tokens = is_token.clone().sum_dim(1).clamp_min(1.0);
                (hidden * is_token).sum_dim(1) / n_tokens
            }
        };
        let pooled = pooled.reshape([batch, hidden_size]);
        let length = (pooled.clone().square().sum_dim(1) + EPSILON).sqrt();
        pooled / length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData, Tolerance};

    #[test]
    fn padding_is_no_part_of_a_mean_and_every_embedding_has_length_one() {
        let device = Device::flex();
        let hidden = Tensor::<3>::from_data(
            [
                [[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]],
                [[0.0, 2.0], [0.0, 1.0], [3.0, 1.0]],
            ],
            &device,
        );
        let padding = Tensor::<2, Bool>::from_data(
            TensorData::from([[false, false, true], [false, false, false]]),
            &device,
        );
        for (pooling, expected) in [
            (Pooling::Mean, [[0.6, 0.8], [0.6, 0.8]]),
            (Pooling::Cls, [[1.0, 0.0], [0.0, 1.0]]),
        ] {
            // The mean of (3, 0) and (0, 4), and of (0, 2), (0, 1) and (3, 1), which is (1, 4/3).
            let found = pooling.embed(hidden.clone(), padding.clone()).into_data();
            found.assert_approx_eq::<f32>(&TensorData::from(expected), Tolerance::absolute(1e-6));
        }
    }
}
