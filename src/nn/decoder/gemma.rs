//! Gemma 1 and 1.1.
//!
//! Reference: <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/gemma/modeling_gemma.py>.
//! What is f32 whatever the weights are: norms, rotary angles, attention weights before they are applied. Everything
//! else follows the weights' dtype, the scaling of the embeddings included.

use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData, module};

use crate::nn::decoder::cache::KvCache;
use crate::nn::decoder::layer::DecoderLayer;
use crate::nn::decoder::logps::token_logps;
use crate::nn::layers::attention::{attention_mask, cached_mask};
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lora::{LoraConfig, Projection};
use crate::nn::layers::norm::RmsNorm;
use crate::nn::layers::rope::{Rope, position_ids};
use crate::nn::layers::weight::{Weight, WeightMut, Weights, join};

/// The shape of a Gemma, by the names of `config.json`.
#[derive(Config, Debug, PartialEq)]
pub struct GemmaConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head, apart from `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    /// Added to the mean square in norms.
    #[config(default = 1e-6)]
    pub rms_norm_eps: f64,
    /// Base of the rotary angles.
    #[config(default = 10_000.0)]
    pub rope_theta: f64,
    /// Longest sequence the model was made for.
    #[config(default = 8192)]
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding table.
    #[config(default = true)]
    pub tie_word_embeddings: bool,
    /// Deviation of fresh weights.
    #[config(default = 0.02)]
    pub initializer_range: f64,
}

impl GemmaConfig {
    /// A model whose weights are drawn at random when they are first used.
    pub fn init(&self, device: &Device) -> Gemma {
        let table = || {
            let normal = Initializer::Normal {
                mean: 0.0,
                std: self.initializer_range,
            };
            Weight::init(&normal, [self.vocab_size, self.hidden_size], device)
        };
        Gemma {
            embed_tokens: table(),
            layers: (0..self.num_hidden_layers)
                .map(|_| DecoderLayer::new(self, device))
                .collect(),
            norm: RmsNorm::new(self.hidden_size, self.rms_norm_eps, device),
            lm_head: (!self.tie_word_embeddings).then(table),
            head_dim: self.head_dim,
            rope_theta: self.rope_theta,
        }
    }
}

/// Tokens of a forward pass with their positions and what each may see.
#[derive(Clone, Debug)]
pub struct GemmaInput {
    /// `[batch, seq]`
    pub input_ids: Tensor<2, Int>,
    /// `[batch, seq]`
    pub positions: Tensor<2, Int>,
    /// `[batch, 1, seq, keys]`, true where attention is forbidden
    pub mask: Tensor<4, Bool>,
}

impl GemmaInput {
    /// Whole sequences: rows of equal length, and for each token its segment (0 padding, 1 a prompt, 2 and on replies
    /// to the prompt before them that do not see each other; a prompt behind a reply begins anew).
    ///
    /// # Panics
    ///
    /// If `input_ids` and `segments` have different shapes.
    pub fn new(input_ids: &[Vec<i32>], segments: &[Vec<i32>], device: &Device) -> Self {
        Self {
            input_ids: ids_tensor(input_ids, device),
            positions: position_ids(segments, device),
            mask: attention_mask(segments, device),
        }
    }

    /// Tokens that come behind those of `cache`, as many in every row.
    ///
    /// # Shapes
    ///
    /// - input_ids: `[batch, seq]`
    pub fn behind(cache: &mut KvCache, input_ids: Tensor<2, Int>) -> Self {
        let [_, seq] = input_ids.dims();
        let new = cache.extend(seq, &input_ids.device());
        Self {
            input_ids,
            positions: new.positions,
            mask: cached_mask(new.padding, seq, new.behind),
        }
    }
}

/// What the layers of one pass share.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    #[cfg_attr(
        not(any(feature = "cuda", feature = "vulkan")),
        expect(dead_code, reason = "kernels of devices read it")
    )]
    pub(crate) positions: Tensor<2, Int>,
    pub(crate) rope: Rope,
    pub(crate) mask: Tensor<4, Bool>,
    /// The tokens that the last layer gives a result for, if not all, counted through the batch.
    wanted: Option<Tensor<1, Int>>,
}

/// Rows of ids of equal length as a tensor `[batch, seq]`.
pub(crate) fn ids_tensor(rows: &[Vec<i32>], device: &Device) -> Tensor<2, Int> {
    let seq = rows.first().map_or(0, Vec::len);
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), seq]), device)
}

/// A Gemma language model.
#[doc(alias = "GemmaForCausalLM")]
#[derive(Module, Debug)]
pub struct Gemma {
    embed_tokens: Weight<2>,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
    lm_head: Option<Weight<2>>,
    head_dim: usize,
    rope_theta: f64,
}

impl Gemma {
    /// The last hidden states, after the final norm.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, hidden_size]`
    pub fn hidden_states(&self, input: GemmaInput, cache: Option<&mut KvCache>) -> Tensor<3> {
        self.norm.forward(self.run(input, cache, None))
    }

    /// The last hidden states of some tokens, counted through the batch: the last layer spares all others' feed-forward
    /// network.
    ///
    /// # Shapes
    ///
    /// - tokens: `[n]`
    /// - output: `[n, hidden_size]`
    pub fn hidden_states_at(
        &self,
        input: GemmaInput,
        cache: Option<&mut KvCache>,
        tokens: Tensor<1, Int>,
    ) -> Tensor<2> {
        self.end(self.run(input, cache, Some(tokens)))
    }

    fn run(
        &self,
        input: GemmaInput,
        mut cache: Option<&mut KvCache>,
        wanted: Option<Tensor<1, Int>>,
    ) -> Tensor<3> {
        let (mut hidden, pass) = self.begin(input, wanted);
        for layer_idx in 0..self.layers.len() {
            hidden = self.layer(layer_idx, hidden, &pass, cache.as_deref_mut());
        }
        hidden
    }

    /// What goes into the first layer, and what all layers share.
    pub(crate) fn begin(
        &self,
        input: GemmaInput,
        wanted: Option<Tensor<1, Int>>,
    ) -> (Tensor<3>, Pass) {
        let table = self.embed_tokens.val();
        let [_, hidden_size] = table.dims();
        let hidden = module::embedding(table, input.input_ids) * (hidden_size as f64).sqrt();
        let rope = Rope::new(
            input.positions.clone(),
            self.head_dim,
            self.rope_theta,
            hidden.dtype(),
        );
        let pass = Pass {
            positions: input.positions,
            rope,
            mask: input.mask,
            wanted,
        };
        (hidden, pass)
    }

    /// One layer of a pass.
    pub(crate) fn layer(
        &self,
        layer_idx: usize,
        hidden: Tensor<3>,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let is_last = layer_idx + 1 == self.layers.len();
        let wanted = pass.wanted.as_ref().filter(|_| is_last);
        let cache = cache.map(|cache| (layer_idx, cache));
        self.layers[layer_idx].forward(hidden, pass, cache, wanted)
    }

    /// The number of layers.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// The last hidden states from what the last layer gives.
    pub(crate) fn end(&self, hidden: Tensor<3>) -> Tensor<2> {
        self.norm.forward(hidden).flatten(0, 1)
    }

    /// The logits of the next token, for as many hidden states as are given.
    ///
    /// # Shapes
    ///
    /// - hidden: `[rows, hidden_size]`
    /// - output: `[rows, vocab_size]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head().linear(hidden, None)
    }

    fn head(&self) -> &Weight<2> {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// The log-probability of the next token, for as many hidden states as are given, in f32.
    ///
    /// Logits are there for some rows at a time; the head gets no gradient.
    ///
    /// # Shapes
    ///
    /// - hidden: `[rows, hidden_size]`
    /// - targets and output: `[rows]`
    ///
    /// # Panics
    ///
    /// If there is no row.
    pub fn token_logps(&self, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        /// Most logits at a time.
        const CHUNK: usize = 1 << 25;
        let [vocab_size, _] = self.embed_tokens.shape();
        // Devices have no fast product for an odd number of rows.
        let rows = (CHUNK / vocab_size / 64).max(1) * 64;
        token_logps(self.head().val(), hidden, targets, rows)
    }

    /// The logits at every position of whole sequences.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq, vocab_size]`
    pub fn forward(&self, input: GemmaInput) -> Tensor<3> {
        let hidden = self.hidden_states(input, None);
        let [batch, seq, hidden_size] = hidden.dims();
        let logits = self.logits(hidden.reshape([batch * seq, hidden_size]));
        let vocab_size = logits.dims()[1];
        logits.reshape([batch, seq, vocab_size])
    }

    /// What a token takes in a cache, in bytes.
    pub fn cache_bytes(&self) -> usize {
        let numbers: usize = self.layers.iter().map(DecoderLayer::cached).sum();
        numbers * self.embed_tokens.val().dtype().size()
    }

    /// What a training step keeps of a pass through all layers, about, in bytes.
    pub fn activation_bytes(&self, batch: usize, seq: usize) -> usize {
        let per_token: usize = self.layers.iter().map(|layer| layer.activations(seq)).sum();
        batch * seq * per_token * self.embed_tokens.val().dtype().size()
    }

    /// Whether any projection is kept in four bits.
    pub fn is_quantized(&self) -> bool {
        self.layers
            .iter()
            .flat_map(DecoderLayer::projections)
            .any(Linear::is_quantized)
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.embed_tokens.val().device().inner()
    }

    /// Adds fresh LoRA factors to the projections that `config` names.
    pub fn add_lora(&mut self, config: &LoraConfig, device: &Device) {
        self.projections(&mut |_, projection, linear| {
            if config
                .target_modules
                .iter()
                .any(|name| name == projection.name())
            {
                linear.add_lora(config, device);
            }
        });
    }

    /// The model without its LoRA factors: the reference of DPO.
    pub fn without_lora(&self) -> Self {
        let mut model = self.clone();
        model.projections(&mut |_, _, linear| *linear.lora_mut() = None);
        model
    }

    /// The model with the LoRA factors of another in place of its own.
    pub fn with_lora_of(&self, other: &Self) -> Self {
        let mut factors = Vec::new();
        other
            .clone()
            .projections(&mut |_, _, linear| factors.push(linear.lora().cloned()));
        let (mut model, mut factors) = (self.clone(), factors.into_iter());
        model.projections(&mut |_, _, linear| *linear.lora_mut() = factors.next().flatten());
        model
    }

    /// Makes the LoRA factors a part of the weights that are frozen and dense f32, which is faster where nothing is trained.
    pub fn merge_lora(&mut self) {
        self.projections(&mut |_, _, linear| linear.merge_lora());
    }

    /// Keeps projections that are frozen and dense f32 on the CPU in the order in which many rows are multiplied with them:
    /// for prompts and for many replies at once, not for training.
    pub fn keep_in_panels(&mut self) {
        self.projections(&mut |_, _, linear| linear.keep_in_panels());
    }

    /// A model that finds nearly the same tokens and reads half the bytes: projections and head are in bf16, all else is
    /// shared. Nothing, unless the weights are dense f32 on the CPU.
    pub fn to_draft(&self) -> Option<Self> {
        let mut draft = self.clone();
        draft.lm_head = Some(self.head().to_bf16()?);
        let mut all = true;
        draft.projections(&mut |_, _, linear| match linear.to_bf16() {
            Some(bf16) => *linear = bf16,
            None => all = false,
        });
        all.then_some(draft)
    }

    /// Calls `visit` with each layer's index and its seven projections.
    pub fn projections(&mut self, visit: &mut dyn FnMut(usize, Projection, &mut Linear)) {
        for (layer_idx, layer) in self.layers.iter_mut().enumerate() {
            for projection in Projection::ALL {
                visit(layer_idx, projection, layer.projection_mut(projection));
            }
        }
    }

    /// Whether any projection has LoRA factors.
    pub fn has_lora(&self) -> bool {
        self.layers
            .iter()
            .flat_map(DecoderLayer::projections)
            .any(|linear| linear.lora().is_some())
    }
}

impl Weights for Gemma {
    fn weights(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, WeightMut<'_>)) {
        let model = join(prefix, "model");
        visit(
            &join(&model, "embed_tokens.weight"),
            WeightMut::Matrix(&mut self.embed_tokens),
        );
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
mod tests {
    use super::*;
    use burn::tensor::Tolerance;

    fn model(device: &Device) -> Gemma {
        device.seed(3);
        GemmaConfig::new(40, 16, 32, 2, 4, 2, 8)
            .with_initializer_range(0.3)
            .init(device)
    }

    #[test]
    fn cached_steps_give_the_logits_of_one_pass_with_padding_on_the_left() {
        let device = Device::default();
        let model = model(&device);
        let ids = [vec![0, 0, 5, 6, 7, 8], vec![9, 10, 11, 12, 13, 14]];
        let segments = [vec![0, 0, 1, 1, 1, 1], vec![1; 6]];
        let whole = model.forward(GemmaInput::new(&ids, &segments, &device));

        let mut cache = KvCache::new(vec![2, 0]);
        let all = ids_tensor(&ids, &device);
        let mut last = None;
        for (start, len) in [(0, 4), (4, 1), (5, 1)] {
            let input = GemmaInput::behind(&mut cache, all.clone().narrow(1, start, len));
            last = Some(
                model
                    .hidden_states(input, Some(&mut cache))
                    .narrow(1, len - 1, 1),
            );
        }
        let last = last.expect("three steps were made").reshape([2, 16]);
        let expected: Tensor<2> = whole.narrow(1, 5, 1).reshape([2, 40]);
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        model
            .logits(last)
            .into_data()
            .assert_approx_eq(&expected.into_data(), tolerance);
        assert_eq!(cache.seq_len(), 6);
    }

    #[test]
    fn two_replies_packed_behind_one_prompt_equal_two_sequences() {
        let device = Device::default();
        let model = model(&device);
        let packed = model.forward(GemmaInput::new(
            &[vec![3, 4, 5, 6, 7, 8, 9]],
            &[vec![1, 1, 1, 2, 2, 3, 3]],
            &device,
        ));
        let apart = model.forward(GemmaInput::new(
            &[vec![3, 4, 5, 6, 7], vec![3, 4, 5, 8, 9]],
            &[vec![1; 5], vec![1; 5]],
            &device,
        ));
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        let first: Tensor<3> = apart.clone().narrow(0, 0, 1);
        let second: Tensor<3> = apart.narrow(0, 1, 1).narrow(1, 3, 2);
        packed
            .clone()
            .narrow(1, 0, 5)
            .into_data()
            .assert_approx_eq(&first.into_data(), tolerance);
        packed
            .narrow(1, 5, 2)
            .into_data()
            .assert_approx_eq(&second.into_data(), tolerance);
    }

    #[test]
    fn the_hidden_states_of_some_tokens_are_those_of_a_whole_pass() {
        let device = Device::default();
        let model = model(&device);
        let input = GemmaInput::new(
            &[vec![5, 6, 7, 8], vec![9, 10, 11, 0]],
            &[vec![1, 1, 2, 3], vec![1, 1, 1, 0]],
            &device,
        );
        let tokens = Tensor::<1, Int>::from_ints([6, 1, 3], &device);
        let whole: Tensor<2> = model.hidden_states(input.clone(), None).flatten(0, 1);
        let some = model.hidden_states_at(input, None, tokens.clone());
        some.into_data().assert_approx_eq(
            &whole.select(0, tokens).into_data(),
            Tolerance::<f32>::absolute(1e-5),
        );
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_draft_gives_nearly_the_same_logits_with_low_rank_factors_and_without() {
        let device = Device::default();
        let mut model = model(&device);
        model.freeze_weights();
        let input = || GemmaInput::new(&[vec![3, 4, 5, 6]], &[vec![1; 4]], &device);
        let lora = LoraConfig::new(2, 2.0);
        for has_lora in [false, true] {
            if has_lora {
                model.add_lora(&lora, &device);
                model.projections(&mut |_, _, linear| {
                    if let Some(lora) = linear.lora_mut() {
                        let ones = |b: Tensor<2>| b.ones_like() * 0.1;
                        lora.lora_b = lora.lora_b.clone().map(ones);
                    }
                });
            }
            let draft = model.to_draft().expect("f32 on the CPU");
            assert!(draft.to_draft().is_none(), "it is one");
            let logits = model.forward(input()).without_autodiff();
            let near = draft.forward(input()).without_autodiff();
            let error = (near - logits.clone()).abs().max().into_scalar::<f32>();
            let largest = logits.abs().max().into_scalar::<f32>();
            assert!(
                error > 0.0 && error < 0.02 * largest,
                "{error} of {largest}"
            );
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn factors_that_are_merged_and_weights_in_panels_give_the_same_logits() {
        let device = Device::default();
        let mut model = model(&device);
        model.freeze_weights();
        let config =
            LoraConfig::new(3, 6.0).with_target_modules(vec!["q_proj".into(), "up_proj".into()]);
        model.add_lora(&config, &device);
        model.projections(&mut |_, _, linear| {
            if let Some(lora) = linear.lora_mut() {
                let normal = burn::tensor::Distribution::Normal(0.0, 0.3);
                let b = Tensor::random(lora.lora_b.dims(), normal, &device);
                lora.lora_b = lora.lora_b.clone().map(|_| b.autodiff().require_grad());
            }
        });
        let logits = |model: &Gemma| {
            let input = GemmaInput::new(&[vec![5, 6, 7, 8]], &[vec![1; 4]], &device);
            model.forward(input).without_autodiff().into_data()
        };
        let expected = logits(&model);
        let tolerance = Tolerance::<f32>::absolute(1e-4);
        let mut in_panels = model.clone();
        in_panels.keep_in_panels();
        logits(&in_panels).assert_approx_eq(&expected, tolerance);
        model.merge_lora();
        assert!(!model.has_lora());
        logits(&model).assert_approx_eq(&expected, tolerance);
        model.keep_in_panels();
        let in_panels = &mut model;
        in_panels.projections(&mut |_, _, linear| assert!(linear.dense().is_none()));
        logits(in_panels).assert_approx_eq(&expected, tolerance);
    }

    #[test]
    fn lora_is_added_to_the_named_projections_only_and_can_be_left_out() {
        let device = Device::default();
        let mut model = model(&device);
        let config =
            LoraConfig::new(2, 2.0).with_target_modules(vec!["v_proj".into(), "down_proj".into()]);
        model.add_lora(&config, &device);
        let mut names = Vec::new();
        model.projections(&mut |layer_idx, projection, linear| {
            if linear.lora().is_some() {
                names.push(format!("{layer_idx}.{}", projection.name()));
            }
        });
        assert_eq!(
            names,
            ["0.v_proj", "0.down_proj", "1.v_proj", "1.down_proj"]
        );
        assert!(model.has_lora() && !model.without_lora().has_lora());
    }

    #[test]
    fn weights_go_by_the_names_of_the_checkpoint() {
        let mut names = Vec::new();
        model(&Device::default()).weights("", &mut |name, weight| {
            names.push(format!("{name} {:?}", weight.shape()))
        });
        assert_eq!(names.len(), 1 + 2 * 9 + 1);
        assert_eq!(names[0], "model.embed_tokens.weight [40, 16]");
        assert!(
            names.contains(&"model.layers.1.self_attn.k_proj.weight [16, 16]".to_string()),
            "{names:?}"
        );
        assert_eq!(names[19], "model.norm.weight [16]");
    }
}
