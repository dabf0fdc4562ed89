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
use crate::nn::decoder::layer::{Carried, DecoderLayer, Pass, Sight, norm};
use crate::nn::decoder::logps::token_logps;
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
            norm: norm(self, self.hidden_size, device),
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

    /// The last hidden states of some tokens, counted through the batch: the last layer spares all others' feed-forward
    /// network.
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

    /// The type of a layer, if later ones use its keys and values.
    #[cfg(feature = "pipeline")]
    pub(crate) fn lends(&self, layer_idx: usize) -> Option<LayerType> {
        self.layers[layer_idx].lends()
    }

    /// The type of a layer, if it uses keys and values of another.
    #[cfg(feature = "pipeline")]
    pub(crate) fn borrows(&self, layer_idx: usize) -> Option<LayerType> {
        self.layers[layer_idx].borrows()
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
        let numbers: usize = self.layers.iter().map(DecoderLayer::cached).sum();
        numbers * self.norm.value().dtype().size()
    }

    /// Estimates the bytes that a training step keeps of a pass through all layers.
    pub fn activation_bytes(&self, batch: usize, seq: usize) -> usize {
        let per_token: usize = self.layers.iter().map(|layer| layer.activations(seq)).sum();
        batch * seq * per_token * self.norm.value().dtype().size()
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
mod tests {
    use super::*;
    use crate::nn::batch::ids_tensor;
    use crate::nn::{LoraConfig, Projection};
    use burn::tensor::Tolerance;

    fn config() -> DecoderConfig {
        DecoderConfig::small()
    }

    fn model(device: &Device) -> Decoder {
        device.seed(3);
        config().init(device)
    }

    /// A plain one, and one with every part.
    fn models(device: &Device) -> [Decoder; 2] {
        device.seed(3);
        [config(), DecoderConfig::small_with_all_parts()].map(|config| config.init(device))
    }

    #[test]
    fn cached_steps_give_the_logits_of_one_pass_with_padding_on_the_left() {
        let device = Device::default();
        for model in models(&device) {
            let ids = [vec![0, 0, 5, 6, 7, 8], vec![9, 10, 11, 12, 13, 14]];
            let segments = [vec![0, 0, 1, 1, 1, 1], vec![1; 6]];
            let whole = model.forward(DecoderInput::with_segments(&ids, &segments, &device));

            let mut cache = KvCache::new(vec![2, 0]);
            let all = ids_tensor(&ids, &device);
            let mut last = None;
            for (start, len) in [(0, 4), (4, 1), (5, 1)] {
                let input = DecoderInput::behind(&mut cache, all.clone().narrow(1, start, len));
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
    }

    #[test]
    fn layers_with_windows_keep_what_they_see_of_long_rows_that_join_grow_and_are_forgotten() {
        const LONG: usize = 300;
        let device = Device::default();
        device.seed(3);
        let config = DecoderConfig::small_with_all_parts().with_sliding_window(7);
        let model = config.init(&device);
        let rows: Vec<Vec<i32>> = [LONG, 170]
            .map(|len| (0..len).map(|place| (place * 7 % 39) as i32 + 1).collect())
            .to_vec();
        let row = |ids: &[i32]| ids_tensor(&[ids.to_vec()], &device);
        let step = |cache: &mut KvCache, ids: Tensor<2, Int>| {
            let input = DecoderInput::behind(cache, ids);
            model.hidden_states(input, Some(cache))
        };
        // The first row goes on token by token, with some that are forgotten again; the second joins it late.
        let mut first = KvCache::new(vec![0]);
        step(&mut first, row(&rows[0][..20]));
        let mut cache = KvCache::new(Vec::new());
        cache.join(&first, &[0]);
        for &id in &rows[0][20..LONG - 5] {
            step(&mut cache, row(&[id, 3, 4]));
            cache.forget(2);
        }
        let mut second = KvCache::new(vec![0]);
        step(&mut second, row(&rows[1][..165]));
        cache.join(&second, &[0]);
        let mut last = None;
        for back in (1..=5).rev() {
            let ids = [0, 1].map(|idx| vec![rows[idx][rows[idx].len() - back]]);
            last = Some(step(&mut cache, ids_tensor(&ids, &device)));
        }
        let last = last.expect("steps were made");
        for (idx, ids) in rows.iter().enumerate() {
            let whole = model.hidden_states(
                DecoderInput::from_ids(std::slice::from_ref(ids), &device),
                None,
            );
            let whole = whole.narrow(1, ids.len() - 1, 1).into_data();
            let last = last.clone().narrow(0, idx, 1).into_data();
            last.assert_approx_eq(&whole, Tolerance::<f32>::absolute(1e-4));
        }
        let columns = cache.stored_columns();
        assert!(columns[1] >= LONG && columns[0] < 250, "{columns:?}");
    }

    #[test]
    fn two_replies_packed_behind_one_prompt_equal_two_sequences() {
        let device = Device::default();
        for model in models(&device) {
            let packed = model.forward(DecoderInput::with_segments(
                &[vec![3, 4, 5, 6, 7, 8, 9]],
                &[vec![1, 1, 1, 2, 2, 3, 3]],
                &device,
            ));
            let apart = model.forward(DecoderInput::from_ids(
                &[vec![3, 4, 5, 6, 7], vec![3, 4, 5, 8, 9]],
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
    }

    #[test]
    fn the_hidden_states_of_some_tokens_are_those_of_a_whole_pass() {
        let device = Device::default();
        for model in models(&device) {
            let input = DecoderInput::with_segments(
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

    #[test]
    fn every_weight_is_counted_whatever_it_is_stored_in() {
        let device = Device::default();
        for config in [
            config().with_tie_word_embeddings(false),
            DecoderConfig::small_with_all_parts(),
            DecoderConfig {
                qkv_bias: true,
                output_bias: true,
                mlp_bias: true,
                ..config()
            },
        ] {
            let mut model = config.init(&device);
            let mut walked = 0;
            model.weights("", &mut |_, weight| {
                walked += weight.shape().iter().product::<usize>();
            });
            assert_eq!(model.num_weights(), walked);
            model.freeze_weights();
            model.add_lora(&LoraConfig::new(2, 2.0), &device);
            assert_eq!(model.num_weights(), walked);
        }
    }

    #[test]
    fn a_record_of_a_frozen_model_holds_its_factors_and_nothing_else() {
        let device = Device::default();
        let mut model = model(&device);
        model.freeze_weights();
        let lora = LoraConfig::new(2, 2.0).with_target_modules(vec![Projection::Value]);
        model.add_lora(&lora, &device);
        // Two layers of A `[2, 16]` and B `[16, 2]`.
        assert_eq!(model.num_params(), 2 * (2 * 16 + 16 * 2));
        let mut other = model.clone();
        other.add_lora(&lora, &device);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gemma");
        model.clone().save_file(&path).unwrap();
        let loaded = other.clone().load_file(&path);
        let factors = |model: &Decoder| -> Vec<_> {
            let loras = model
                .projections()
                .filter_map(|(_, _, linear)| linear.lora());
            loras.map(|lora| lora.lora_a.val().into_data()).collect()
        };
        assert_ne!(factors(&other), factors(&model));
        assert_eq!(factors(&loaded), factors(&model));
    }

    #[test]
    fn a_record_of_a_trained_model_holds_every_weight() {
        let device = Device::default();
        let model = model(&device);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gemma");
        model.clone().save_file(&path).unwrap();
        let loaded = config().init(&device).load_file(&path);
        let logits = |model: &Decoder| {
            let input = DecoderInput::from_ids(&[vec![5, 6, 7]], &device);
            model.forward(input).into_data()
        };
        assert_eq!(logits(&loaded), logits(&model));
    }

    #[test]
    fn the_display_names_the_parts_and_counts_the_parameters() {
        let display = model(&Device::default()).to_string();
        for part in [
            "Decoder {",
            "embed_tokens",
            "self_attn",
            "down_proj",
            "params: ",
        ] {
            assert!(display.contains(part), "{part} is not in {display}");
        }
    }

    #[test]
    #[should_panic(expected = "num_attention_heads is 4, no multiple of num_key_value_heads, 3")]
    fn no_model_is_made_of_a_config_that_fails_its_check() {
        config()
            .with_num_key_value_heads(3)
            .init(&Device::default());
    }
}
