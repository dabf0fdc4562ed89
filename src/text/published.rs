//! Published models that can be used, with their shapes and terms.

use crate::nn::DecoderConfig;

/// A published model that can be used.
#[derive(Clone, Copy, Debug)]
pub struct PublishedModel {
    /// Its name on the Hugging Face hub.
    pub name: &'static str,
    /// Its shape.
    pub shape: fn() -> DecoderConfig,
    /// Under what terms it may be used.
    pub licence: &'static str,
    /// Whether its terms have to be accepted on its page before it can be downloaded.
    pub is_gated: bool,
}

const GEMMA: &str = "Gemma terms";
const APACHE: &str = "Apache-2.0";
const LLAMA_3_1: &str = "Llama 3.1";
const LLAMA_3_2: &str = "Llama 3.2";

const fn model(
    name: &'static str,
    shape: fn() -> DecoderConfig,
    licence: &'static str,
    is_gated: bool,
) -> PublishedModel {
    PublishedModel {
        name,
        shape,
        licence,
        is_gated,
    }
}

/// Published models, the smallest first.
pub const PUBLISHED: [PublishedModel; 26] = [
    model(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        DecoderConfig::smollm2_135m,
        APACHE,
        false,
    ),
    model(
        "google/gemma-3-270m-it",
        DecoderConfig::gemma_3_270m,
        GEMMA,
        true,
    ),
    model(
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        DecoderConfig::smollm2_360m,
        APACHE,
        false,
    ),
    model("Qwen/Qwen3-0.6B", DecoderConfig::qwen_3_0_6b, APACHE, false),
    model(
        "google/gemma-3-1b-it",
        DecoderConfig::gemma_3_1b,
        GEMMA,
        true,
    ),
    model(
        "meta-llama/Llama-3.2-1B-Instruct",
        DecoderConfig::llama_3_2_1b,
        LLAMA_3_2,
        true,
    ),
    model(
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        DecoderConfig::smollm2_1_7b,
        APACHE,
        false,
    ),
    model("Qwen/Qwen3-1.7B", DecoderConfig::qwen_3_1_7b, APACHE, false),
    model(
        "google/gemma-1.1-2b-it",
        DecoderConfig::gemma_2b,
        GEMMA,
        true,
    ),
    model(
        "google/gemma-2-2b-it",
        DecoderConfig::gemma_2_2b,
        GEMMA,
        true,
    ),
    model(
        "meta-llama/Llama-3.2-3B-Instruct",
        DecoderConfig::llama_3_2_3b,
        LLAMA_3_2,
        true,
    ),
    model(
        "google/gemma-3-4b-it",
        DecoderConfig::gemma_3_4b,
        GEMMA,
        true,
    ),
    model("Qwen/Qwen3-4B", DecoderConfig::qwen_3_4b, APACHE, false),
    model(
        "google/gemma-4-E2B-it",
        DecoderConfig::gemma_4_e2b,
        APACHE,
        false,
    ),
    model(
        "mistralai/Mistral-7B-Instruct-v0.3",
        DecoderConfig::mistral_7b,
        APACHE,
        false,
    ),
    model(
        "google/gemma-4-E4B-it",
        DecoderConfig::gemma_4_e4b,
        APACHE,
        false,
    ),
    model(
        "meta-llama/Llama-3.1-8B-Instruct",
        DecoderConfig::llama_3_1_8b,
        LLAMA_3_1,
        true,
    ),
    model("Qwen/Qwen3-8B", DecoderConfig::qwen_3_8b, APACHE, false),
    model(
        "google/gemma-1.1-7b-it",
        DecoderConfig::gemma_7b,
        GEMMA,
        true,
    ),
    model(
        "google/gemma-2-9b-it",
        DecoderConfig::gemma_2_9b,
        GEMMA,
        true,
    ),
    model(
        "google/gemma-3-12b-it",
        DecoderConfig::gemma_3_12b,
        GEMMA,
        true,
    ),
    model(
        "google/gemma-4-12B-it",
        DecoderConfig::gemma_4_12b,
        APACHE,
        false,
    ),
    model(
        "mistralai/Mistral-Nemo-Instruct-2407",
        DecoderConfig::mistral_nemo,
        APACHE,
        false,
    ),
    model("Qwen/Qwen3-14B", DecoderConfig::qwen_3_14b, APACHE, false),
    model(
        "google/gemma-3-27b-it",
        DecoderConfig::gemma_3_27b,
        GEMMA,
        true,
    ),
    model(
        "google/gemma-4-31B-it",
        DecoderConfig::gemma_4_31b,
        APACHE,
        false,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_are_listed_by_their_size() {
        let sizes = PUBLISHED.map(|model| (model.shape)().size().total());
        assert!(sizes.is_sorted(), "{sizes:?}");
    }
}
