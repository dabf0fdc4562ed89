//! A decoder's projections: their LoRA factors, and other ways to store their weights.

use burn::tensor::Device;

use crate::nn::decoder::model::Decoder;
use crate::nn::layers::linear::Linear;
use crate::nn::layers::lora::{LoraConfig, Projection};

impl Decoder {
    /// Goes through the projections of each layer, with the layer's index, always in the same order. A layer has seven, or
    /// fewer if it takes its values or both keys and values from elsewhere.
    pub fn projections(&self) -> impl Iterator<Item = (usize, Projection, &Linear)> {
        let layers = self.layers.iter().enumerate();
        layers.flat_map(|(layer_idx, layer)| {
            let named = layer.projections();
            named.map(move |(projection, linear)| (layer_idx, projection, linear))
        })
    }

    /// Goes through the projections of each layer to change them, in the order of [`Decoder::projections`].
    pub fn projections_mut(&mut self) -> impl Iterator<Item = (usize, Projection, &mut Linear)> {
        let layers = self.layers.iter_mut().enumerate();
        layers.flat_map(|(layer_idx, layer)| {
            let named = layer.projections_mut();
            named.map(move |(projection, linear)| (layer_idx, projection, linear))
        })
    }

    /// Adds fresh LoRA factors to the projections that `config` names, in place of any they had.
    ///
    /// The factors are drawn layer by layer from the random generator of `device`: the same seed gives the same factors.
    ///
    /// # Panics
    ///
    /// Panics if the rank is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use apc::nn::{DecoderConfig, LoraConfig, Projection, Weights};
    /// use burn::module::Module;
    /// use burn::tensor::Device;
    ///
    /// let device = Device::default();
    /// let config = DecoderConfig::gemma_2b()
    ///     .with_vocab_size(64)
    ///     .with_hidden_size(32)
    ///     .with_intermediate_size(64)
    ///     .with_num_hidden_layers(2)
    ///     .with_head_dim(8);
    /// let mut gemma = config.init(&device);
    /// gemma.freeze_weights();
    /// let lora = LoraConfig::new(4, 8.0)
    ///     .with_target_modules(vec![Projection::Query, Projection::Value]);
    /// gemma.add_lora(&lora, &device);
    /// // Two layers of factors for q_proj `[64, 32]` and v_proj `[8, 32]`.
    /// assert_eq!(gemma.num_params(), 2 * 4 * (32 + 64 + 32 + 8));
    /// ```
    pub fn add_lora(&mut self, config: &LoraConfig, device: &Device) {
        for (_, projection, linear) in self.projections_mut() {
            if config.target_modules.contains(&projection) {
                linear.add_lora(config, device);
            }
        }
    }

    /// Whether any projection has LoRA factors.
    pub fn has_lora(&self) -> bool {
        self.projections()
            .any(|(_, _, linear)| linear.lora().is_some())
    }

    /// Returns the model without its LoRA factors: the reference of DPO. The weights are shared.
    pub fn without_lora(&self) -> Self {
        let mut model = self.clone();
        for (_, _, linear) in model.projections_mut() {
            *linear.lora_mut() = None;
        }
        model
    }

    /// Returns the model with the LoRA factors of another of its shape in place of its own. The weights are shared.
    pub fn with_lora_of(&self, other: &Self) -> Self {
        let mut model = self.clone();
        for ((_, _, linear), (_, _, theirs)) in model.projections_mut().zip(other.projections()) {
            *linear.lora_mut() = theirs.lora().cloned();
        }
        model
    }

    /// Adds the product of the LoRA factors to the weights and drops the factors.
    ///
    /// Call it on a model that is not trained further: a pass then does no more than one without an adapter. Projections
    /// whose weights are not dense f32 constants keep their factors, as rounding the sum would lose some of them.
    pub fn merge_lora(&mut self) {
        for (_, _, linear) in self.projections_mut() {
            linear.merge_lora();
        }
    }

    /// Stores projections in the order in which a CPU multiplies many rows with them.
    ///
    /// Call it once before generating replies or scoring many prompts on the CPU; not before training, which would undo
    /// the order in every step. It takes about as long as reading the weights once and needs no more memory afterwards.
    /// Projections that are not dense f32 constants on the CPU stay as they are.
    pub fn keep_in_panels(&mut self) {
        for (_, _, linear) in self.projections_mut() {
            linear.keep_in_panels();
        }
    }

    /// Makes a copy with projections and head in bf16, the draft of speculative decoding: nearly always the same next
    /// token from half the bytes. `None` unless the weights are dense f32 on the CPU.
    ///
    /// Call it once for a model that continues single sequences. The copy takes half the memory of the model's
    /// projections and head; everything else is shared.
    pub fn to_draft(&self) -> Option<Self> {
        if self.is_quantized() {
            return None;
        }
        let mut draft = self.clone();
        draft.lm_head = Some(self.head().to_bf16()?);
        for (_, _, linear) in draft.projections_mut() {
            *linear = linear.to_bf16()?;
        }
        Some(draft)
    }

    /// Whether any projection is stored in four bits a value.
    pub fn is_quantized(&self) -> bool {
        self.projections()
            .any(|(_, _, linear)| linear.is_quantized())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{DecoderConfig, DecoderInput, Weights};
    use burn::config::Config;
    use burn::tensor::{Tensor, Tolerance};

    fn model(device: &Device) -> Decoder {
        device.seed(3);
        DecoderConfig::small().init(device)
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_draft_gives_nearly_the_same_logits_with_low_rank_factors_and_without() {
        let device = Device::default();
        let mut model = model(&device);
        model.freeze_weights();
        let input = || DecoderInput::from_ids(&[vec![3, 4, 5, 6]], &device);
        let lora = LoraConfig::new(2, 2.0);
        for has_lora in [false, true] {
            if has_lora {
                model.add_lora(&lora, &device);
                for (_, _, linear) in model.projections_mut() {
                    if let Some(lora) = linear.lora_mut() {
                        let ones = |b: Tensor<2>| b.ones_like() * 0.1;
                        lora.lora_b = lora.lora_b.clone().map(ones);
                    }
                }
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
            LoraConfig::new(3, 6.0).with_target_modules(vec![Projection::Query, Projection::Up]);
        model.add_lora(&config, &device);
        for (_, _, linear) in model.projections_mut() {
            if let Some(lora) = linear.lora_mut() {
                let normal = burn::tensor::Distribution::Normal(0.0, 0.3);
                let b = Tensor::random(lora.lora_b.dims(), normal, &device);
                lora.lora_b = lora.lora_b.clone().map(|_| b.autodiff().require_grad());
            }
        }
        let logits = |model: &Decoder| {
            let input = DecoderInput::from_ids(&[vec![5, 6, 7, 8]], &device);
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
        assert!(
            model
                .projections()
                .all(|(_, _, linear)| linear.dense().is_none())
        );
        logits(&model).assert_approx_eq(&expected, tolerance);
    }

    #[test]
    fn lora_is_added_to_the_named_projections_only_and_can_be_left_out() {
        let device = Device::default();
        let mut model = model(&device);
        let config =
            LoraConfig::new(2, 2.0).with_target_modules(vec![Projection::Value, Projection::Down]);
        model.add_lora(&config, &device);
        let has_factors = model
            .projections()
            .filter(|(_, _, linear)| linear.lora().is_some());
        let names: Vec<String> = has_factors
            .map(|(layer_idx, projection, _)| format!("{layer_idx}.{}", projection.name()))
            .collect();
        assert_eq!(
            names,
            ["0.v_proj", "0.down_proj", "1.v_proj", "1.down_proj"]
        );
        assert!(model.has_lora() && !model.without_lora().has_lora());
    }

    #[test]
    fn factors_are_drawn_when_they_are_added_and_not_when_they_are_first_used() {
        let device = Device::default();
        let mut model = model(&device);
        model.freeze_weights();
        model.add_lora(&LoraConfig::new(2, 2.0), &device);
        let drawn = |model: &Decoder| {
            let loras = model
                .projections()
                .filter_map(|(_, _, linear)| linear.lora());
            loras.filter(|lora| lora.lora_a.is_initialized()).count()
        };
        assert_eq!(drawn(&model), 2 * 7);
    }

    #[test]
    fn targets_are_written_by_the_names_that_peft_has() {
        let config = LoraConfig::new(2, 2.0).with_target_modules(vec![Projection::Gate]);
        assert!(config.to_string().contains("\"gate_proj\""), "{config}");
        let misspelt = config.to_string().replace("gate_proj", "gates_proj");
        assert!(LoraConfig::load_binary(misspelt.as_bytes()).is_err());
    }
}
