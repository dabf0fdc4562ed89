//! Trains the embedded models on a corpus of everyday talk: the judges from a part of a pretrained encoder, the Gemma from random
//! weights and embeddings projected from that encoder's.
//!
//! Only `apc pretrain`, a maintainer's command, uses it. Nothing that runs a character belongs here.

mod base;
mod corpus;
mod corpus_judges;
mod corpus_nli;
mod corpus_relevance;
mod denials;
mod embeddings;
mod exchange;
mod fields;
mod forms;
mod gemma;
mod init;
mod invented;
mod language;
mod liking;
mod named;
mod neighbours;
mod numbers;
mod pairs;
mod plain_pairs;
mod prior;
mod rare;
mod recipe;
mod run;
mod slips;
mod speakers;
mod spoiled;
mod store;
mod talk;
mod vocabulary;
mod whether;
mod wordpieces;
mod words;

pub use corpus_judges::{PretrainSources, evaluate_corpus_judges};
pub use recipe::{Pretrain, RECIPE_VERSION};
pub use run::{Part, PretrainParts, pretrain};
