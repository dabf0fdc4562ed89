//! Trains the embedded models from scratch on invented personas: examples, vocabulary, initial weights, training, files; and
//! judges from a part of a pretrained encoder, on a corpus of everyday talk.
//!
//! Only `apc pretrain`, a maintainer's command, uses it. Nothing that runs a character belongs here.

mod base;
mod corpus;
mod corpus_judges;
mod corpus_nli;
mod corpus_relevance;
mod examples;
mod garbled;
mod gemma;
mod init;
mod judges;
mod named;
mod pairs;
mod prior;
mod recipe;
mod renamed;
mod run;
mod slips;
mod store;
mod unusual;
mod vocabulary;
mod wordpieces;

pub use corpus_judges::{CorpusJudges, evaluate_corpus_judges};
pub use examples::{JudgeExample, language_example, nli_example, relevance_example};
pub use judges::evaluate_judges;
pub use recipe::Pretrain;
pub use run::{PretrainParts, pretrain};
pub use vocabulary::{VocabularyKind, train_tokenizer};
