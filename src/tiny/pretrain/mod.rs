//! The embedded models, trained from nothing on invented personas.

mod examples;
mod garbled;
mod gemma;
mod init;
mod judges;
mod prior;
mod renamed;
mod run;
mod slips;
mod unusual;
mod vocabulary;

pub use examples::{JudgeExample, language_example, nli_example, relevance_example};
pub use judges::evaluate_judges;
pub use run::{Pretrain, pretrain};
pub use vocabulary::{VocabularyKind, train_tokenizer};
