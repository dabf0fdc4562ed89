//! Records CPU operations with a handwritten backward pass on burn's autodiff tape.

use core::fmt::Debug;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;

/// The backward pass of one operation.
#[derive(Debug)]
struct Step<S, const N: usize> {
    gradients: Gradient<S, N>,
}

/// Computes the gradients of the parents from the saved state, the gradient of the result and which parents need one.
type Gradient<S, const N: usize> = fn(S, FlexTensor, [bool; N]) -> [Option<FlexTensor>; N];

impl<S: Clone + Send + Debug + 'static, const N: usize> Backward<Flex, N> for Step<S, N> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let results = (self.gradients)(ops.state, grad, wanted);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let (Some(node), Some(result)) = (parent, result) {
                grads.register::<Flex>(node.id, result);
            }
        }
    }
}

/// Runs `forward`, which returns the result and the state to save, and records it on the tape if a parent is tracked.
pub(crate) fn record<C: CheckpointStrategy, S: Clone + Send + Debug + 'static, const N: usize>(
    parents: [FloatTensor<Autodiff<Flex, C>>; N],
    forward: impl FnOnce([FlexTensor; N]) -> (FlexTensor, S),
    gradients: Gradient<S, N>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = parents.each_ref().map(|parent| parent.node());
    let values = parents.map(|parent| parent.into_primitive());
    let step = Step { gradients };
    match step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (result, saved) = forward(values);
            prep.finish(saved, result)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(values).0),
    }
}
