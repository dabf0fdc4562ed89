//! What the layers of a decoder share in one forward pass.

use burn::tensor::{Bool, Int, Tensor};

use crate::nn::decoder::config::LayerType;
use crate::nn::layers::rope::Rope;

/// Inputs that all layers of a forward pass share.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// `[batch, seq]`
    #[cfg(any(feature = "cuda", feature = "vulkan"))]
    pub(crate) positions: Tensor<2, Int>,
    /// By the type of the layer; none of a type that no layer has.
    pub(crate) sights: [Option<Sight>; 2],
    /// What each layer adds for each token, if the model has such embeddings, `[batch, seq, layers, size]`.
    pub(crate) per_layer: Option<Tensor<4>>,
    /// `[n]`, the tokens that the last layer gives a result for, if not all, counted through the batch.
    pub(crate) wanted: Option<Tensor<1, Int>>,
}

/// Rotary angles and mask of the layers of one type.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) rope: Rope,
    /// `[batch, 1, seq, keys]`, true where attention is forbidden
    pub(crate) mask: Tensor<4, Bool>,
}

impl Pass {
    /// Rotary angles and mask of a layer of that type.
    pub(super) fn sight(&self, layer_type: LayerType) -> &Sight {
        let sight = self.sights[layer_type as usize].as_ref();
        sight.expect("a pass has angles and mask for each layer of its model")
    }
}

/// Keys and values that later layers use, too, by the type of the layer.
pub(crate) type Carried = [Option<[Tensor<4>; 2]>; 2];
