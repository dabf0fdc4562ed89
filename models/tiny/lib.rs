//! The embedded models of `apc-persona` as bytes: one list of files for each folder, in Hugging Face's layout.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// A file of a model: its name in the folder, and its bytes.
pub type File = (&'static str, &'static [u8]);

/// Files of a folder, and behind them those of `words` that it shares with another.
macro_rules! files {
    ($folder:literal, [$($name:literal),* $(,)?] $(, $shared:expr)*) => {
        &[
            $(($name, include_bytes!(concat!($folder, "/", $name))),)*
            $($shared,)*
        ]
    };
}

static TOKENIZER: &[u8] = include_bytes!("words/tokenizer.json");
static TOKENIZER_CONFIG: &[u8] = include_bytes!("words/tokenizer_config.json");
static WORDS: &[u8] = include_bytes!("words/words.safetensors");

/// A judge that shares its words.
macro_rules! sharing_judge {
    ($folder:literal) => {
        files!(
            $folder,
            [
                "config.json",
                "judge.json",
                "layers.safetensors",
                "model.safetensors.index.json"
            ],
            ("tokenizer.json", TOKENIZER),
            ("tokenizer_config.json", TOKENIZER_CONFIG),
            ("words.safetensors", WORDS)
        )
    };
}

/// The Gemma that answers from the statements in its prompt.
pub static GEMMA: &[File] = files!(
    "gemma",
    [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json"
    ]
);
/// The relevance judge that rewards.
pub static RELEVANCE: &[File] = sharing_judge!("relevance");
/// The NLI judge that rewards.
pub static NLI: &[File] = sharing_judge!("nli");
/// The relevance judge that grades.
pub static GRADING_RELEVANCE: &[File] = sharing_judge!("evaluation/relevance");
/// The NLI judge that grades.
pub static GRADING_NLI: &[File] = sharing_judge!("evaluation/nli");
