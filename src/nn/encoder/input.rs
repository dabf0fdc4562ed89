//! Inputs of a classifier: ids, mask, token types, dropout.

use burn::tensor::{Bool, Device, Int, Tensor, module};

use crate::nn::batch::ids_tensor;
use crate::nn::layers::dropout::Dropout;

/// Texts of a forward pass, padded on the right.
///
/// # Examples
///
/// ```
/// use apc::nn::ClassifierInput;
/// use burn::tensor::Device;
///
/// let texts = [vec![1, 5, 6, 2], vec![1, 7, 2]];
/// let input = ClassifierInput::new(&texts, 0, &Device::default());
/// assert_eq!(input.input_ids.dims(), [2, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct ClassifierInput {
    /// `[batch, seq]`
    pub input_ids: Tensor<2, Int>,
    /// `[batch, seq]`, true where a token is padding
    pub padding: Tensor<2, Bool>,
    /// `[batch, seq]`, 0 in the first text of a pair and 1 in the second; `None` where all are 0
    pub token_types: Option<Tensor<2, Int>>,
    /// The dropout of a training step; `None` to classify
    pub dropout: Option<Dropout>,
}

impl ClassifierInput {
    /// Pads texts of any length on the right, to the longest of them.
    ///
    /// # Shapes
    ///
    /// - texts: `batch` of up to `seq` token ids, each as the tokenizer gives it, with its start and end tokens
    pub fn new(texts: &[Vec<i32>], pad_token_id: i32, device: &Device) -> Self {
        let seq = texts.iter().map(Vec::len).max().unwrap_or(0);
        Self::padded(texts, pad_token_id, seq, device)
    }

    /// Pads texts to `seq` tokens.
    pub(crate) fn padded(
        texts: &[Vec<i32>],
        pad_token_id: i32,
        seq: usize,
        device: &Device,
    ) -> Self {
        let padded = |fill: &dyn Fn(&[i32]) -> Vec<i32>, with: i32| -> Vec<Vec<i32>> {
            let pad = |text: &Vec<i32>| {
                let mut row = fill(text);
                row.resize(seq, with);
                row
            };
            texts.iter().map(pad).collect()
        };
        Self {
            input_ids: ids_tensor(&padded(&|text| text.to_vec(), pad_token_id), device),
            padding: ids_tensor(&padded(&|text| vec![0; text.len()], 1), device).equal_elem(1),
            token_types: None,
            dropout: None,
        }
    }

    /// Returns the same texts, each a pair whose second text begins at a token.
    ///
    /// - n_first: the number of tokens of the first type in each text; all of them where there is one text
    pub fn with_token_types(mut self, n_first: &[usize]) -> Self {
        let [batch, seq] = self.input_ids.dims();
        assert_eq!(n_first.len(), batch, "each text has a number of tokens");
        let types = |&n_first: &usize| (0..seq).map(|at| i32::from(at >= n_first)).collect();
        let types: Vec<Vec<i32>> = n_first.iter().map(types).collect();
        self.token_types = Some(ids_tensor(&types, &self.input_ids.device()));
        self
    }

    /// Returns the same texts with dropout in the forward pass.
    pub fn with_dropout(mut self, dropout: Option<Dropout>) -> Self {
        self.dropout = dropout;
        self
    }
}

/// Looks up the embeddings of token types, which are all of the first type where none are given.
///
/// # Shapes
///
/// - table: `[type_vocab_size, hidden_size]`
/// - token_types: `[batch, seq]`
/// - output: `[batch, seq, hidden_size]`, or `[1, 1, hidden_size]`
pub(super) fn token_type_embeddings(
    table: Tensor<2>,
    token_types: Option<Tensor<2, Int>>,
) -> Tensor<3> {
    match token_types {
        Some(token_types) if table.dims()[0] > 1 => module::embedding(table, token_types),
        _ => table.narrow(0, 0, 1).unsqueeze(),
    }
}
