//! Text to ids and back, and the sampling of replies.

mod generate;
mod sampling;
mod tokenizer;
mod vocabulary;

pub use generate::{GenerateConfig, Prompt, generate};
pub use sampling::Sampling;
pub use tokenizer::Tokenizer;
pub use vocabulary::{VocabularyKind, train_tokenizer};
