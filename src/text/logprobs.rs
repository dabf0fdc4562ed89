//! How likely a model holds given tokens.

use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::nn::{Gemma, GemmaInput};

/// The log-probabilities of targets under rows of logits, in f32.
///
/// # Shapes
///
/// - logits: `[rows, vocab_size]`
/// - targets and output: `[rows]`
pub(crate) fn token_logps(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let logits = logits.cast(DType::F32);
    let [rows, _] = logits.dims();
    let chosen = logits.clone().gather(1, targets.reshape([rows, 1]));
    let largest = logits.clone().detach().max_dim(1);
    let log_sum = (logits - largest.clone()).exp().sum_dim(1).log() + largest;
    (chosen - log_sum).reshape([rows])
}

/// The log-probability of each of a response's tokens, given the prompt and the response before it.
///
/// # Panics
///
/// If the prompt is empty.
pub fn response_logprobs(model: &Gemma, prompt_ids: &[i32], response_ids: &[i32]) -> Vec<f32> {
    let n_targets = response_ids.len();
    if n_targets == 0 {
        return Vec::new();
    }
    let device = model.device();
    let ids = [prompt_ids, response_ids].concat();
    let segments = vec![1; ids.len()];
    let hidden = model.hidden_states(GemmaInput::new(&[ids], &[segments], &device), None);
    let [_, _, hidden_size] = hidden.dims();
    let hidden = hidden
        .narrow(1, prompt_ids.len() - 1, n_targets)
        .reshape([n_targets, hidden_size]);
    let targets = TensorData::new(response_ids.to_vec(), [n_targets]);
    let targets = Tensor::<1, Int>::from_data(targets, &device);
    token_logps(model.logits(hidden), targets)
        .into_data()
        .iter::<f32>()
        .collect()
}
