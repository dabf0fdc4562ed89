//! The decoder: Gemma 1 to 4, Llama, Mistral, Qwen2 and Qwen3, by configuration.
//!
//! References: <https://github.com/huggingface/transformers/tree/v5.0.0/src/transformers/models>, the files `modeling_gemma.py`,
//! `modeling_gemma2.py`, `modeling_gemma3.py`, `modeling_gemma4.py`, `modeling_llama.py`, `modeling_mistral.py`,
//! `modeling_qwen2.py` and `modeling_qwen3.py`. Norms, rotary angles and attention weights before they are applied are f32
//! whatever the weights are. Everything else follows the weights' dtype, the scaling of the embeddings included.

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Int, Tensor, assert_shape};

use crate::nn::decoder::cache::KvCache;
use crate::nn::decoder::config::{DecoderConfig, LayerType};
use crate::nn::decoder::input::DecoderInput;
use crate::nn::decoder::layer::DecoderLayer;
use crate::nn::decoder::logps::token_logps;
use crate::nn::decoder::pass::{Carried, Pass, Sight};
use crate::nn::decoder::per_layer::PerLayerEmbeddings;
use crate::nn::layers::attention::within_window;
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::rope::Rope;
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

impl DecoderConfig {
    /// Makes a model; its weights are drawn at random on first use.
    ///
    /// # Panics
    ///
    /// Panics if the shape does not pass [`DecoderConfig::check`].
    pub fn init(&self, device: &Device) -> Decoder {
        if let Err(error) = self.check() {
            panic!("no model can have this config: {error}");
        }
        let table = || {
            let normal = Initializer::Normal {
                mean: 0.0,
                std: self.initializer_range,
            };
            Weight::init(&normal, [self.vocab_size, self.hidden_size], device)
        };
        let layer = |layer_idx| DecoderLayer::new(self, layer_idx, device);
        let has_per_layer = self.hidden_size_per_layer_input > 0;
        Decoder {
            embed_tokens: table(),
            per_layer_embeddings: has_per_layer.then(|| PerLayerEmbeddings::new(self, device)),
            layers: (0..self.num_hidden_layers).map(layer).collect(),
            norm: self.norm(self.hidden_size, device),
            lm_head: (!self.tie_word_embeddings).then(table),
            config: self.clone(),
        }
    }
}

/// A language model: a Gemma, a Llama or a model that is built like one of them.
///
/// A burn [`Module`]: a part of other modules, trained by any optimizer. After [`Weights::freeze_weights`] the only
/// parameters are LoRA factors, and burn's `save_file` then writes nothing else: load the frozen weights from their
/// checkpoint first and the factors over them, or write all weights by walking [`Weights::weights`].
///
/// # Examples
///
/// ```
/// use apc::nn::{DecoderConfig, DecoderInput};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let config = DecoderConfig::gemma_2b()
///     .with_vocab_size(64)
///     .with_hidden_size(32)
///     .with_intermediate_size(64)
///     .with_num_hidden_layers(2)
///     .with_head_dim(8);
/// let gemma = config.init(&device);
/// let logits = gemma.forward(DecoderInput::from_ids(&[vec![2, 10, 11]], &device));
/// assert_eq!(logits.dims(), [1, 3, 64]); // [batch, seq, vocab_size]
/// ```
#[doc(alias = "GemmaForCausalLM")]
#[doc(alias = "LlamaForCausalLM")]
#[derive(Module, Debug)]
pub struct Decoder {
    pub(super) embed_tokens: Weight<2>,
    per_layer_embeddings: Option<PerLayerEmbeddings>,
    pub(super) layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    pub(super) lm_head: Option<Weight<2>>,
    #[module(skip)]
    config: DecoderConfig,
}

impl Decoder {
    /// The last hidden states, after the final norm.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden_size]`
    pub fn hidden_states(&self, input: DecoderInput, cache: Option<&mut KvCache>) -> Tensor<3> {
        self.norm.forward(self.run(input, cache, None))
    }

    /// The last hidden states of some tokens, counted through the batch: the last layer runs its feed-forward
    /// network for them alone.
    ///
    /// # Shapes
    ///
    /// - tokens: `[n]`, each `row · seq + column`
    /// - output: `[n, hidden_size]`
    pub fn hidden_states_at(
        &self,
        input: DecoderInput,
        cache: Option<&mut KvCache>,
        tokens: Tensor<1, Int>,
    ) -> Tensor<2> {
        self.end(self.run(input, cache, Some(tokens)))
    }

    fn run(
        &self,
        input: DecoderInput,
        mut cache: Option<&mut KvCache>,
        wanted: Option<Tensor<1, Int>>,
    ) -> Tensor<3> {
        let (mut hidden, pass) = self.begin(input, wanted);
        let mut carried = Carried::default();
        for layer_idx in 0..self.layers.len() {
            hidden = self.layer(layer_idx, hidden, &pass, &mut carried, cache.as_deref_mut());
        }
        hidden
    }

    /// Embeds the tokens, and computes what all layers share.
    pub(crate) fn begin(
        &self,
        input: DecoderInput,
        wanted: Option<Tensor<1, Int>>,
    ) -> (Tensor<3>, Pass) {
        let config = &self.config;
        let [batch, seq] = input.input_ids.dims();
        let [_, keys] = input.key_positions.dims();
        assert_shape!(input.positions, [batch, seq]);
        assert_shape!(input.mask, [batch, 1, seq, keys]);
        let mut hidden = self.embed_tokens.rows(input.input_ids.clone());
        if config.scale_embeddings {
            hidden = hidden * (config.hidden_size as f64).sqrt();
        }
        let own = self.per_layer_embeddings.as_ref();
        let per_layer = own.map(|own| own.forward(&hidden, input.input_ids));
        let sight = |layer_type: LayerType| {
            let like = |layer_idx: &usize| config.layer_type(*layer_idx) == layer_type;
            let head_dim = config.layer((0..self.layers.len()).find(like)?).head_dim;
            let (positions, mask) = (input.positions.clone(), input.mask.clone());
            let rope = config.rope(layer_type);
            let is_cut =
                layer_type == LayerType::SlidingAttention && input.longest > config.sliding_window;
            Some(Sight {
                rope: Rope::new(positions.clone(), head_dim, rope, hidden.dtype()),
                mask: match is_cut {
                    true => {
                        let keys = input.key_positions.clone();
                        within_window(mask, positions, keys, config.sliding_window)
                    }
                    false => mask,
                },
            })
        };
        let pass = Pass {
            sights: [LayerType::FullAttention, LayerType::SlidingAttention].map(sight),
            #[cfg(any(feature = "cuda", feature = "vulkan"))]
            positions: input.positions.clone(),
            per_layer,
            wanted,
        };
        (hidden, pass)
    }

    /// Runs one layer of a pass.
    pub(crate) fn layer(
        &self,
        layer_idx: usize,
        hidden: Tensor<3>,
        pass: &Pass,
        carried: &mut Carried,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let is_last = layer_idx + 1 == self.layers.len();
        let wanted = pass.wanted.as_ref().filter(|_| is_last);
        let cache = cache.map(|cache| (layer_idx, cache));
        self.layers[layer_idx].forward(hidden, pass, carried, cache, wanted)
    }

    /// The shape of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The number of layers.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Computes the last hidden states from the output of the last layer.
    pub(crate) fn end(&self, hidden: Tensor<3>) -> Tensor<2> {
        self.norm.forward(hidden).flatten(0, 1)
    }

    /// Computes the logits of the next token for each of the hidden states.
    ///
    /// # Shapes
    ///
    /// - hidden: `[rows, hidden_size]`
    /// - output: `[rows, vocab_size]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let logits = self.head().linear(hidden, None);
        match self.config.final_logit_softcapping {
            Some(cap) => (logits * (1.0 / cap)).tanh() * cap,
            None => logits,
        }
    }

    pub(super) fn head(&self) -> &Weight<2> {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// Computes the log-probability of the next token for each of the hidden states, in f32.
    ///
    /// Holds the logits of some rows at a time, never of all; the head gets no gradient.
    ///
    /// # Shapes
    ///
    /// - hidden: `[rows, hidden_size]`
    /// - targets and output: `[rows]`
    ///
    /// # Panics
    ///
    /// Panics if there is no row.
    pub fn token_logps(&self, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        /// Most logits at a time.
        const CHUNK: usize = 1 << 25;
        let [vocab_size, hidden_size] = self.embed_tokens.shape();
        let [rows, _] = hidden.dims();
        assert_shape!(hidden, [rows, hidden_size]);
        assert_shape!(targets, [rows]);
        // Devices have no fast product for an odd number of rows.
        let rows = (CHUNK / vocab_size / 64).max(1) * 64;
        let softcap = self.config.final_logit_softcapping;
        token_logps(self.head(), softcap, hidden, targets, rows)
    }

    /// The logits at every position of whole sequences.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, vocab_size]`
    pub fn forward(&self, input: DecoderInput) -> Tensor<3> {
        let hidden = self.hidden_states(input, None);
        let [batch, seq, hidden_size] = hidden.dims();
        let logits = self.logits(hidden.reshape([batch * seq, hidden_size]));
        let vocab_size = logits.dims()[1];
        logits.reshape([batch, seq, vocab_size])
    }

    /// How many numbers the weights hold, without LoRA factors.
    pub fn num_weights(&self) -> usize {
        self.config.size().total() as usize
    }

    /// The bytes that a token takes in a cache.
    pub fn cache_bytes(&self) -> usize {
        let size = self.config.size();
        let numbers = size.cached + size.cached_in_window;
        numbers as usize * self.norm.value().dtype().size()
    }

    /// Estimates the bytes that a training step keeps of a pass through all layers.
    pub fn activation_bytes(&self, batch: usize, seq: usize) -> usize {
        let layers = 0..self.n_layers();
        let numbers = layers.map(|layer_idx| self.config.activations(layer_idx, seq));
        batch * seq * numbers.sum::<u64>() as usize * self.norm.value().dtype().size()
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.norm.value().device().inner()
    }
}

impl Weights for Decoder {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let model = join(prefix, "model");
        visit(
            &join(&model, "embed_tokens.weight"),
            WeightMut::Matrix(&mut self.embed_tokens),
        );
        if let Some(own) = &mut self.per_layer_embeddings {
            own.weights(&model, visit);
        }
        for (layer_idx, layer) in self.layers.iter_mut().enumerate() {
            layer.weights(&join(&model, &format!("layers.{layer_idx}")), visit);
        }
        self.norm.weights(&join(&model, "norm"), visit);
        if let Some(lm_head) = &mut self.lm_head {
            visit(&join(prefix, "lm_head.weight"), WeightMut::Matrix(lm_head));
        }
    }
}

#[cfg(test)]
mod tests;
