//! Log-probabilities of given tokens.

use burn::tensor::{Tensor, TensorData};

use crate::nn::{Decoder, DecoderInput, Lengths};

/// Returns the log-probability of each token of a response, given the prompt and the response before it.
///
/// # Panics
///
/// Panics if the prompt is empty.
pub fn response_logprobs(model: &Decoder, prompt_ids: &[i32], response_ids: &[i32]) -> Vec<f32> {
    let n_targets = response_ids.len();
    if n_targets == 0 {
        return Vec::new();
    }
    let device = model.device();
    let lengths = Lengths::on(&device);
    let padded = |mut ids: Vec<i32>| {
        ids.resize(lengths.round(ids.len()), 0);
        ids
    };
    let ids = [prompt_ids, response_ids].concat();
    let segments = padded(vec![1; ids.len()]);
    let ids = padded(ids);
    let first = prompt_ids.len() - 1;
    let before = (first..first + n_targets).map(|token| token as i32);
    let [before, targets] = [before.collect(), response_ids.to_vec()].map(|ids| {
        let ids = padded(ids);
        let size = [ids.len()];
        Tensor::from_data(TensorData::new(ids, size), &device)
    });
    let input = DecoderInput::with_segments(&[ids], &[segments], &device);
    let hidden = model.hidden_states_at(input, None, before);
    let logps = model.token_logps(hidden, targets);
    logps.into_data().iter::<f32>().take(n_targets).collect()
}
