//! Trains the embedded models: examples, vocabulary, initial weights, training, files. The Gemma learns from a corpus of everyday talk;
//! the judges too, from a part of a pretrained encoder, or from nothing on invented personas.
//!
//! Only `apc pretrain`, a maintainer's command, uses it. Nothing that runs a character belongs here.

mod base;
mod corpus;
mod corpus_judges;
mod embeddings;
mod examples;
mod forms;
mod garbled;
mod gemma;
mod init;
mod judges;
mod language;
mod pairs;
mod prior;
mod rare;
mod recipe;
mod renamed;
mod run;
mod slips;
mod speakers;
mod store;
mod talk;
mod unusual;
mod vocabulary;
mod wordpieces;

pub use corpus_judges::{CorpusJudges, corpus_identity, evaluate_corpus_judges};
pub use examples::{JudgeExample, nli_example, relevance_example};
pub use judges::evaluate_judges;
pub use recipe::Pretrain;
pub use run::{Part, PretrainParts, pretrain};
pub use vocabulary::{VocabularyKind, train_tokenizer};
