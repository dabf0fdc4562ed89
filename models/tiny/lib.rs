//! The embedded models of `apc-persona` as bytes: one list of files for each folder, in Hugging Face's layout.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// A file of a model: its name in the folder, and its bytes.
pub type File = (&'static str, &'static [u8]);

/// The Gemma that answers from the statements in its prompt.
pub static GEMMA: &[File] = &[
    ("config.json", include_bytes!("gemma/config.json")),
    (
        "model.safetensors",
        include_bytes!("gemma/model.safetensors"),
    ),
    ("tokenizer.json", include_bytes!("gemma/tokenizer.json")),
    (
        "tokenizer_config.json",
        include_bytes!("gemma/tokenizer_config.json"),
    ),
];

/// The relevance judge that rewards.
pub static RELEVANCE: &[File] = &[
    ("config.json", include_bytes!("relevance/config.json")),
    ("judge.json", include_bytes!("relevance/judge.json")),
    (
        "model.safetensors",
        include_bytes!("relevance/model.safetensors"),
    ),
    ("tokenizer.json", include_bytes!("relevance/tokenizer.json")),
    (
        "tokenizer_config.json",
        include_bytes!("relevance/tokenizer_config.json"),
    ),
];

/// The NLI judge that rewards.
pub static NLI: &[File] = &[
    ("config.json", include_bytes!("nli/config.json")),
    ("judge.json", include_bytes!("nli/judge.json")),
    ("model.safetensors", include_bytes!("nli/model.safetensors")),
    ("tokenizer.json", include_bytes!("nli/tokenizer.json")),
    (
        "tokenizer_config.json",
        include_bytes!("nli/tokenizer_config.json"),
    ),
];

/// The relevance judge that grades.
pub static GRADING_RELEVANCE: &[File] = &[
    (
        "config.json",
        include_bytes!("evaluation/relevance/config.json"),
    ),
    (
        "judge.json",
        include_bytes!("evaluation/relevance/judge.json"),
    ),
    (
        "model.safetensors",
        include_bytes!("evaluation/relevance/model.safetensors"),
    ),
    (
        "tokenizer.json",
        include_bytes!("evaluation/relevance/tokenizer.json"),
    ),
    (
        "tokenizer_config.json",
        include_bytes!("evaluation/relevance/tokenizer_config.json"),
    ),
];

/// The NLI judge that grades.
pub static GRADING_NLI: &[File] = &[
    ("config.json", include_bytes!("evaluation/nli/config.json")),
    ("judge.json", include_bytes!("evaluation/nli/judge.json")),
    (
        "model.safetensors",
        include_bytes!("evaluation/nli/model.safetensors"),
    ),
    (
        "tokenizer.json",
        include_bytes!("evaluation/nli/tokenizer.json"),
    ),
    (
        "tokenizer_config.json",
        include_bytes!("evaluation/nli/tokenizer_config.json"),
    ),
];
