//! The shapes of published models.

use crate::kernels::ops::NormScale;
use crate::nn::decoder::config::{DecoderConfig, LayerType};
use crate::nn::layers::activation::Activation;
use crate::nn::layers::rope::{RopeParameters, RopeType};

/// Layer types in which every `every`-th layer sees everything and the others slide.
pub(crate) fn sliding_but_every(every: usize, num_hidden_layers: usize) -> Vec<LayerType> {
    let layer_type = |layer_idx: usize| match (layer_idx + 1).is_multiple_of(every) {
        true => LayerType::FullAttention,
        false => LayerType::SlidingAttention,
    };
    (0..num_hidden_layers).map(layer_type).collect()
}

impl DecoderConfig {
    /// The same with other widths and numbers of layers and heads.
    fn sized(
        self,
        [hidden_size, intermediate_size, num_hidden_layers]: [usize; 3],
        [heads, kv_heads, head_dim]: [usize; 3],
    ) -> Self {
        self.with_hidden_size(hidden_size)
            .with_intermediate_size(intermediate_size)
            .with_num_hidden_layers(num_hidden_layers)
            .with_num_attention_heads(heads)
            .with_num_key_value_heads(kv_heads)
            .with_head_dim(head_dim)
    }

    /// The same with layer types in which every `every`-th layer sees everything.
    fn with_window(self, sliding_window: usize, every: usize) -> Self {
        let layer_types = sliding_but_every(every, self.num_hidden_layers);
        self.with_sliding_window(sliding_window)
            .with_layer_types(layer_types)
    }

    /// Returns the shape of `google/gemma-2b` and `gemma-1.1-2b-it`, 2.5 billion weights.
    pub fn gemma_2b() -> Self {
        Self::new().sized([2048, 16_384, 18], [8, 1, 256])
    }

    /// Returns the shape of `google/gemma-7b` and `gemma-1.1-7b-it`, 8.5 billion weights.
    pub fn gemma_7b() -> Self {
        Self::new()
    }

    /// What the second generation of Gemma has, whatever the size.
    pub(crate) fn gemma_2() -> Self {
        Self::new()
            .with_post_norms(true)
            .with_attn_logit_softcapping(Some(50.0))
            .with_final_logit_softcapping(Some(30.0))
    }

    /// Returns the shape of `google/gemma-2-2b`, 2.6 billion weights.
    pub fn gemma_2_2b() -> Self {
        Self::gemma_2()
            .sized([2304, 9216, 26], [8, 4, 256])
            .with_window(4096, 2)
    }

    /// Returns the shape of `google/gemma-2-9b`, 9.2 billion weights.
    pub fn gemma_2_9b() -> Self {
        Self::gemma_2()
            .sized([3584, 14_336, 42], [16, 8, 256])
            .with_window(4096, 2)
    }

    /// What the third generation of Gemma has, whatever the size.
    pub(crate) fn gemma_3() -> Self {
        Self::new()
            .with_vocab_size(262_208)
            .with_post_norms(true)
            .with_qk_norm(true)
            .with_query_pre_attn_scalar(Some(256.0))
            .with_rope_parameters(RopeParameters::new(1e6))
            .with_sliding_rope_parameters(Some(RopeParameters::new(1e4)))
            .with_max_position_embeddings(131_072)
    }

    /// The larger ones, whose angles are stretched for long texts.
    fn gemma_3_long(sizes: [usize; 3], heads: [usize; 3]) -> Self {
        let rope = RopeParameters::new(1e6).with_rope_type(RopeType::Linear { factor: 8.0 });
        Self::gemma_3()
            .sized(sizes, heads)
            .with_window(1024, 6)
            .with_rope_parameters(rope)
    }

    /// Returns the shape of `google/gemma-3-270m`, 0.27 billion weights.
    pub fn gemma_3_270m() -> Self {
        Self::gemma_3()
            .sized([640, 2048, 18], [4, 1, 256])
            .with_window(512, 6)
            .with_vocab_size(262_144)
            .with_max_position_embeddings(32_768)
    }

    /// Returns the shape of `google/gemma-3-1b`, 1.0 billion weights.
    pub fn gemma_3_1b() -> Self {
        Self::gemma_3()
            .sized([1152, 6912, 26], [4, 1, 256])
            .with_window(512, 6)
            .with_vocab_size(262_144)
            .with_max_position_embeddings(32_768)
    }

    /// Returns the shape of the text part of `google/gemma-3-4b`, 3.9 billion weights.
    pub fn gemma_3_4b() -> Self {
        Self::gemma_3_long([2560, 10_240, 34], [8, 4, 256])
    }

    /// Returns the shape of the text part of `google/gemma-3-12b`, 11.8 billion weights.
    pub fn gemma_3_12b() -> Self {
        Self::gemma_3_long([3840, 15_360, 48], [16, 8, 256])
    }

    /// Returns the shape of the text part of `google/gemma-3-27b`, 27 billion weights.
    pub fn gemma_3_27b() -> Self {
        Self::gemma_3_long([5376, 21_504, 62], [32, 16, 128])
            .with_query_pre_attn_scalar(Some(168.0))
    }

    /// What the fourth generation of Gemma has, whatever the size.
    pub(crate) fn gemma_4() -> Self {
        let proportional = RopeType::Proportional {
            partial_rotary_factor: 0.25,
        };
        Self::new()
            .with_vocab_size(262_144)
            .with_norm_scale(NormScale::Weight)
            .with_post_norms(true)
            .with_qk_norm(true)
            .with_v_norm(true)
            .with_layer_scalar(true)
            .with_query_pre_attn_scalar(Some(1.0))
            .with_final_logit_softcapping(Some(30.0))
            .with_global_head_dim(Some(512))
            .with_rope_parameters(RopeParameters::new(1e6).with_rope_type(proportional))
            .with_sliding_rope_parameters(Some(RopeParameters::new(1e4)))
            .with_max_position_embeddings(131_072)
    }

    /// Returns the shape of the text part of `google/gemma-4-E2B`, 4.6 billion weights, 2.3 of them embeddings for each layer.
    pub fn gemma_4_e2b() -> Self {
        Self::gemma_4()
            .sized([1536, 6144, 35], [8, 1, 256])
            .with_window(512, 5)
            .with_hidden_size_per_layer_input(256)
            .with_num_kv_shared_layers(20)
            .with_use_double_wide_mlp(true)
    }

    /// Returns the shape of the text part of `google/gemma-4-E4B`, 7.5 billion weights, 2.8 of them embeddings for each layer.
    pub fn gemma_4_e4b() -> Self {
        Self::gemma_4()
            .sized([2560, 10_240, 42], [8, 2, 256])
            .with_window(512, 6)
            .with_hidden_size_per_layer_input(256)
            .with_num_kv_shared_layers(18)
    }

    /// Returns the shape of the text part of `google/gemma-4-12B`, 11.9 billion weights.
    pub fn gemma_4_12b() -> Self {
        Self::gemma_4()
            .sized([3840, 15_360, 48], [16, 8, 256])
            .with_window(1024, 6)
            .with_num_global_key_value_heads(Some(1))
            .with_attention_k_eq_v(true)
            .with_max_position_embeddings(262_144)
    }

    /// Returns the shape of the text part of `google/gemma-4-31B`, 31 billion weights.
    pub fn gemma_4_31b() -> Self {
        Self::gemma_4()
            .sized([5376, 21_504, 60], [32, 16, 256])
            .with_window(1024, 6)
            .with_num_global_key_value_heads(Some(4))
            .with_attention_k_eq_v(true)
            .with_max_position_embeddings(262_144)
    }

    /// What Llama has, whatever the size; Mistral and Qwen are built on it.
    pub(crate) fn llama() -> Self {
        Self::new()
            .with_vocab_size(32_000)
            .with_hidden_act(Activation::Silu)
            .with_norm_scale(NormScale::WeightAfterCast)
            .with_scale_embeddings(false)
            .with_tie_word_embeddings(false)
            .with_rms_norm_eps(1e-5)
    }

    /// What Llama 3 has, with angles stretched by `factor` for long texts.
    fn llama_3(factor: f64) -> Self {
        let rope_type = RopeType::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        Self::llama()
            .with_vocab_size(128_256)
            .with_rope_parameters(RopeParameters::new(5e5).with_rope_type(rope_type))
            .with_max_position_embeddings(131_072)
    }

    /// Returns the shape of `meta-llama/Llama-3.1-8B`, 8.0 billion weights.
    pub fn llama_3_1_8b() -> Self {
        Self::llama_3(8.0).sized([4096, 14_336, 32], [32, 8, 128])
    }

    /// Returns the shape of `meta-llama/Llama-3.2-1B`, 1.2 billion weights.
    pub fn llama_3_2_1b() -> Self {
        Self::llama_3(32.0)
            .sized([2048, 8192, 16], [32, 8, 64])
            .with_tie_word_embeddings(true)
    }

    /// Returns the shape of `meta-llama/Llama-3.2-3B`, 3.2 billion weights.
    pub fn llama_3_2_3b() -> Self {
        Self::llama_3(32.0)
            .sized([3072, 8192, 28], [24, 8, 128])
            .with_tie_word_embeddings(true)
    }

    /// Returns the shape of `HuggingFaceTB/SmolLM2-135M-Instruct`, 0.13 billion weights.
    pub fn smollm2_135m() -> Self {
        Self::llama()
            .with_vocab_size(49_152)
            .sized([576, 1536, 30], [9, 3, 64])
            .with_rope_parameters(RopeParameters::new(1e5))
            .with_tie_word_embeddings(true)
    }

    /// Returns the shape of `HuggingFaceTB/SmolLM2-360M-Instruct`, 0.36 billion weights.
    pub fn smollm2_360m() -> Self {
        Self::smollm2_135m().sized([960, 2560, 32], [15, 5, 64])
    }

    /// Returns the shape of `HuggingFaceTB/SmolLM2-1.7B-Instruct`, 1.7 billion weights.
    pub fn smollm2_1_7b() -> Self {
        Self::smollm2_135m()
            .sized([2048, 8192, 24], [32, 32, 64])
            .with_rope_parameters(RopeParameters::new(130_000.0))
    }

    /// Returns the shape of `mistralai/Mistral-7B-Instruct-v0.3`, 7.2 billion weights.
    pub fn mistral_7b() -> Self {
        Self::llama()
            .with_vocab_size(32_768)
            .sized([4096, 14_336, 32], [32, 8, 128])
            .with_rope_parameters(RopeParameters::new(1e6))
            .with_max_position_embeddings(32_768)
    }

    /// Returns the shape of `mistralai/Mistral-Nemo-Instruct-2407`, 12.2 billion weights.
    pub fn mistral_nemo() -> Self {
        Self::mistral_7b()
            .with_vocab_size(131_072)
            .sized([5120, 14_336, 40], [32, 8, 128])
            .with_max_position_embeddings(131_072)
    }

    /// What Qwen3 has, whatever the size.
    fn qwen_3() -> Self {
        Self::llama()
            .with_vocab_size(151_936)
            .with_qk_norm(true)
            .with_rms_norm_eps(1e-6)
            .with_rope_parameters(RopeParameters::new(1e6))
            .with_max_position_embeddings(40_960)
    }

    /// Returns the shape of `Qwen/Qwen3-0.6B`, 0.6 billion weights.
    pub fn qwen_3_0_6b() -> Self {
        Self::qwen_3()
            .sized([1024, 3072, 28], [16, 8, 128])
            .with_tie_word_embeddings(true)
    }

    /// Returns the shape of `Qwen/Qwen3-1.7B`, 1.7 billion weights.
    pub fn qwen_3_1_7b() -> Self {
        Self::qwen_3()
            .sized([2048, 6144, 28], [16, 8, 128])
            .with_tie_word_embeddings(true)
    }

    /// Returns the shape of `Qwen/Qwen3-4B`, 4.0 billion weights.
    pub fn qwen_3_4b() -> Self {
        Self::qwen_3()
            .sized([2560, 9728, 36], [32, 8, 128])
            .with_tie_word_embeddings(true)
    }

    /// Returns the shape of `Qwen/Qwen3-8B`, 8.2 billion weights.
    pub fn qwen_3_8b() -> Self {
        Self::qwen_3().sized([4096, 12_288, 36], [32, 8, 128])
    }

    /// Returns the shape of `Qwen/Qwen3-14B`, 14.8 billion weights.
    pub fn qwen_3_14b() -> Self {
        Self::qwen_3().sized([5120, 17_408, 40], [40, 8, 128])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_have_as_many_weights_as_the_published_models_and_pass_the_check() {
        for (config, billions) in [
            (DecoderConfig::gemma_2b(), 2.506),
            (DecoderConfig::gemma_7b(), 8.538),
            (DecoderConfig::gemma_2_2b(), 2.614),
            (DecoderConfig::gemma_2_9b(), 9.242),
            (DecoderConfig::gemma_3_270m(), 0.268),
            (DecoderConfig::gemma_3_1b(), 1.000),
            (DecoderConfig::gemma_3_4b(), 3.880),
            (DecoderConfig::gemma_3_12b(), 11.766),
            (DecoderConfig::gemma_3_27b(), 27.009),
            (DecoderConfig::gemma_4_e2b(), 4.63),
            (DecoderConfig::gemma_4_e4b(), 7.46),
            (DecoderConfig::gemma_4_12b(), 11.9),
            (DecoderConfig::llama_3_1_8b(), 8.030),
            (DecoderConfig::llama_3_2_1b(), 1.236),
            (DecoderConfig::llama_3_2_3b(), 3.213),
            (DecoderConfig::smollm2_135m(), 0.1345),
            (DecoderConfig::smollm2_360m(), 0.362),
            (DecoderConfig::smollm2_1_7b(), 1.711),
            (DecoderConfig::mistral_7b(), 7.248),
            (DecoderConfig::mistral_nemo(), 12.248),
            (DecoderConfig::qwen_3_0_6b(), 0.596),
            (DecoderConfig::qwen_3_1_7b(), 1.721),
            (DecoderConfig::qwen_3_4b(), 4.022),
            (DecoderConfig::qwen_3_8b(), 8.191),
            (DecoderConfig::qwen_3_14b(), 14.768),
        ] {
            config.check().unwrap();
            let weights = config.size().total() as f64 / 1e9;
            let error = (weights - billions).abs() / billions;
            assert!(error < 0.006, "{weights} of {billions}");
        }
    }
}
