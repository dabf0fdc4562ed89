//! The shares of the classes in training and in use.

use burn::tensor::{DType, TensorData};

use crate::nn::{WeightMut, Weights};

/// Moves a classifier that was trained where the classes had some shares to where they have others: the bias of each
/// class grows by the logarithm of their ratio (Saerens et al., Neural Computation 14, 2002).
///
/// A judge of replies learns from pairs of which a third or more contradict or entail. In scoring a reply meets every statement
/// of the persona, and nearly all leave it open: small chances of a contradiction then add up to more than the one
/// statement that the reply is about.
pub(super) fn move_prior(classifier: &mut impl Weights, training: &[f64], scoring: &[f64]) {
    classifier.weights("", &mut |name, weight| {
        if let ("classifier.bias", WeightMut::Vector(bias)) = (name, weight) {
            let value = bias.val();
            let (device, old) = (value.device(), value.into_data());
            let moved: Vec<f32> = old
                .iter::<f64>()
                .zip(training.iter().zip(scoring))
                .map(|(bias, (training, scoring))| (bias + (scoring / training).ln()) as f32)
                .collect();
            WeightMut::Vector(bias).set_frozen(
                TensorData::new(moved, [training.len()]),
                DType::F32,
                &device.inner(),
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{ClassifierInput, DebertaConfig};
    use burn::tensor::{Device, activation};

    #[test]
    fn the_odds_of_two_classes_change_by_the_ratio_of_their_shares() {
        let device = Device::flex();
        let mut judge = DebertaConfig::deberta_v3_base()
            .with_vocab_size(20)
            .with_hidden_size(8)
            .with_intermediate_size(16)
            .with_num_hidden_layers(1)
            .with_num_attention_heads(2)
            .with_num_labels(3)
            .init(&device);
        let probabilities = |judge: &crate::nn::Deberta| -> Vec<f32> {
            let input = ClassifierInput::new(&[vec![1, 5, 6, 2]], 0, &device);
            let rows = activation::softmax(judge.forward(input), 1).into_data();
            rows.iter::<f32>().collect()
        };
        let before = probabilities(&judge);
        move_prior(&mut judge, &[0.2, 0.4, 0.4], &[0.1, 0.8, 0.1]);
        let after = probabilities(&judge);
        let odds = |p: &[f32], a: usize, b: usize| p[a] / p[b];
        assert!((odds(&after, 0, 1) / odds(&before, 0, 1) - 0.25).abs() < 1e-4);
        assert!((odds(&after, 2, 1) / odds(&before, 2, 1) - 0.125).abs() < 1e-4);
    }
}
