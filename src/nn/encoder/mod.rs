//! Encoders that classify a text or a pair of texts: DeBERTa, RoBERTa and BERT with a head of classes, on layers that both share.
//!
//! They take ids and return logits. Tokenizers and label names are in `text` and `files`, losses in `train`.

pub(crate) mod deberta_config;
pub(crate) mod input;

pub(crate) mod classifier;
pub(crate) mod deberta;
pub(crate) mod roberta;

pub(crate) mod attention;
pub(crate) mod layer;
pub(crate) mod pooling;
pub(crate) mod position;
