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

/// The files of a relevance judge: its own, and those in `words`, which both share.
macro_rules! judge {
    ($folder:literal) => {
        &[
            (
                "config.json",
                include_bytes!(concat!($folder, "/config.json")),
            ),
            (
                "judge.json",
                include_bytes!(concat!($folder, "/judge.json")),
            ),
            (
                "layers.safetensors",
                include_bytes!(concat!($folder, "/layers.safetensors")),
            ),
            (
                "model.safetensors.index.json",
                include_bytes!(concat!($folder, "/model.safetensors.index.json")),
            ),
            ("tokenizer.json", TOKENIZER),
            ("tokenizer_config.json", TOKENIZER_CONFIG),
            ("words.safetensors", WORDS),
        ]
    };
}

/// The files of an NLI judge, which has words of its own.
macro_rules! judge_with_words {
    ($folder:literal) => {
        &[
            (
                "config.json",
                include_bytes!(concat!($folder, "/config.json")),
            ),
            (
                "judge.json",
                include_bytes!(concat!($folder, "/judge.json")),
            ),
            (
                "model.safetensors",
                include_bytes!(concat!($folder, "/model.safetensors")),
            ),
            (
                "tokenizer.json",
                include_bytes!(concat!($folder, "/tokenizer.json")),
            ),
            (
                "tokenizer_config.json",
                include_bytes!(concat!($folder, "/tokenizer_config.json")),
            ),
        ]
    };
}

static TOKENIZER: &[u8] = include_bytes!("words/tokenizer.json");
static TOKENIZER_CONFIG: &[u8] = include_bytes!("words/tokenizer_config.json");
static WORDS: &[u8] = include_bytes!("words/words.safetensors");

/// The relevance judge that rewards.
pub static RELEVANCE: &[File] = judge!("relevance");
/// The NLI judge that rewards.
pub static NLI: &[File] = judge_with_words!("nli");
/// The relevance judge that grades.
pub static GRADING_RELEVANCE: &[File] = judge!("evaluation/relevance");
/// The NLI judge that grades.
pub static GRADING_NLI: &[File] = judge_with_words!("evaluation/nli");
