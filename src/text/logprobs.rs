//! How likely a model holds given tokens.

use burn::tensor::{Tensor, TensorData};

use crate::nn::{Gemma, GemmaInput};

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
    let first = prompt_ids.len() - 1;
    let before = TensorData::new(
        (first..first + n_targets)
            .map(|token| token as i32)
            .collect::<Vec<_>>(),
        [n_targets],
    );
    let targets = TensorData::new(response_ids.to_vec(), [n_targets]);
    let [before, targets] = [before, targets].map(|ids| Tensor::from_data(ids, &device));
    let input = GemmaInput::new(&[ids], &[segments], &device);
    let hidden = model.hidden_states_at(input, None, before);
    let logps = model.token_logps(hidden, targets);
    logps.into_data().iter::<f32>().collect()
}
