//! Gradient checkpointing: gradients with one layer's activations in memory at a time.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor};

use crate::nn::decoder::pass::Carried;
use crate::nn::{Decoder, DecoderInput};

/// Computes the gradients of a loss with respect to the LoRA factors of a decoder, and returns the loss's other output.
///
/// The forward pass keeps only the inputs of each layer (Chen et al., arXiv 1604.06174); the backward pass runs each layer
/// again, from the last to the first, and goes back through it. Of a base in four bits, one layer at a time is dense.
/// Keys and values that a layer lends to later ones are inputs of those and outputs of it.
///
/// `loss` gets the last hidden states of `tokens`, `[n, hidden_size]`.
pub(super) fn gradients_by_layer<T>(
    model: &Decoder,
    input: DecoderInput,
    tokens: Tensor<1, Int>,
    loss: impl FnOnce(Tensor<2>) -> (Tensor<1>, T),
) -> (GradientsParams, T) {
    let plain = model.clone().valid();
    let (mut hidden, pass) = plain.begin(input, Some(tokens));
    let mut lent = Carried::default();
    let mut inputs = Vec::with_capacity(model.n_layers());
    for layer_idx in 0..model.n_layers() {
        inputs.push(hidden.clone());
        hidden = plain.layer(layer_idx, hidden, &pass, &mut lent, None);
    }
    drop(plain);
    let last = hidden.autodiff().require_grad();
    let (loss, scalars) = loss(model.end(last.clone()));
    // The vector-Jacobian product of a layer is the gradient of `output · slope`, where `slope` is the loss's gradient at its output.
    let mut slope = last.grad(&loss.backward());
    let mut lent_slopes = Carried::default();
    let mut accumulator = GradientsAccumulator::new();
    let config = model.config();
    while let (Some(hidden), Some(behind)) = (inputs.pop(), slope.take()) {
        let layer_idx = inputs.len();
        let hidden = match layer_idx {
            0 => hidden.autodiff(),
            _ => hidden.autodiff().require_grad(),
        };
        let mut carried = Carried::default();
        let kind = config.layer_type(layer_idx) as usize;
        if config.borrows(layer_idx) {
            let taken = lent[kind].clone();
            carried[kind] = taken.map(|pair| pair.map(|x| x.autodiff().require_grad()));
        }
        let taken = carried[kind].clone();
        let output = model.layer(layer_idx, hidden.clone(), &pass, &mut carried, None);
        let mut along = vec![(output, behind)];
        if config.lends(layer_idx)
            && let (Some(own), Some(slopes)) = (carried[kind].take(), lent_slopes[kind].take())
        {
            let flat = |x: Tensor<4>| x.flatten::<3>(1, 2);
            along.extend(own.map(flat).into_iter().zip(slopes.map(flat)));
        }
        along.retain(|(output, _)| output.is_tracked());
        let sums = along
            .into_iter()
            .map(|(output, slope)| (output * slope).sum());
        if let Some(sum) = sums.reduce(|a, b| a + b) {
            let mut grads = sum.backward();
            slope = hidden.grad_remove(&mut grads);
            if let Some([keys, values]) = taken
                && let (Some(keys), Some(values)) =
                    (keys.grad_remove(&mut grads), values.grad_remove(&mut grads))
            {
                lent_slopes[kind] = Some(match lent_slopes[kind].take() {
                    Some([other_keys, other_values]) => [keys + other_keys, values + other_values],
                    None => [keys, values],
                });
            }
            accumulator.accumulate(model, GradientsParams::from_grads(grads, model));
        }
    }
    (accumulator.grads(), scalars)
}
