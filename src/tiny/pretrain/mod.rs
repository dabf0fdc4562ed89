//! Trains the embedded models from scratch on invented personas: examples, vocabulary, initial weights, training, files.
//!
//! Only `apc pretrain`, a maintainer's command, uses it. Nothing that runs a character belongs here.

mod examples;
mod garbled;
mod gemma;
mod init;
mod judges;
mod prior;
mod recipe;
mod renamed;
mod run;
mod slips;
mod store;
mod unusual;
mod vocabulary;

pub use examples::{JudgeExample, language_example, nli_example, relevance_example};
pub use judges::evaluate_judges;
pub use recipe::Pretrain;
pub use run::pretrain;
pub use vocabulary::{VocabularyKind, train_tokenizer};
