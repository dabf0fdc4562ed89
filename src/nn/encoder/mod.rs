//! Encoders that classify a text: DeBERTa and RoBERTa with a head of classes.

pub(crate) mod attention;
pub(crate) mod classifier;
pub(crate) mod deberta;
pub(crate) mod roberta;
