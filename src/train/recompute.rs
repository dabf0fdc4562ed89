//! Gradient checkpointing: gradients with one layer's activations in memory at a time.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Int, Tensor};

use crate::nn::{Gemma, GemmaInput};

/// Computes the gradients of a loss with respect to the LoRA factors of a Gemma, and returns the loss's other output.
///
/// The forward pass keeps only the inputs of each layer (Chen et al., arXiv 1604.06174); the backward pass runs each layer
/// again, from the last to the first, and goes back through it. Of a base in four bits, one layer at a time is dense.
///
/// `loss` gets the last hidden states of `tokens`, `[n, hidden_size]`.
pub(super) fn gradients_by_layer<T>(
    gemma: &Gemma,
    input: GemmaInput,
    tokens: Tensor<1, Int>,
    loss: impl FnOnce(Tensor<2>) -> (Tensor<1>, T),
) -> (GradientsParams, T) {
    let plain = gemma.clone().valid();
    let (mut hidden, pass) = plain.begin(input, Some(tokens));
    let mut inputs = Vec::with_capacity(gemma.n_layers());
    for layer_idx in 0..gemma.n_layers() {
        inputs.push(hidden.clone());
        hidden = plain.layer(layer_idx, hidden, &pass, None);
    }
    drop(plain);
    let last = hidden.autodiff().require_grad();
    let (loss, scalars) = loss(gemma.end(last.clone()));
    // The vector-Jacobian product of a layer is the gradient of `output · slope`, where `slope` is the loss's gradient at its output.
    let mut slope = last.grad(&loss.backward());
    let mut accumulator = GradientsAccumulator::new();
    while let (Some(hidden), Some(behind)) = (inputs.pop(), slope.take()) {
        let layer_idx = inputs.len();
        let hidden = match layer_idx {
            0 => hidden.autodiff(),
            _ => hidden.autodiff().require_grad(),
        };
        let output = gemma.layer(layer_idx, hidden.clone(), &pass, None);
        if output.is_tracked() {
            let mut grads = (output * behind).sum().backward();
            slope = hidden.grad_remove(&mut grads);
            accumulator.accumulate(gemma, GradientsParams::from_grads(grads, gemma));
        }
    }
    (accumulator.grads(), scalars)
}
