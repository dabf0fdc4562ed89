//! Decoders: the model, its layer, its cache of keys and values, and the log-probabilities of tokens.
//!
//! They take ids and return logits. Sampling is in `text`, losses are in `train`.

pub(crate) mod config;
pub(crate) mod input;
pub(crate) mod presets;
pub(crate) mod size;

pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod layer;
pub(crate) mod logps;
pub(crate) mod model;
pub(crate) mod pass;
pub(crate) mod per_layer;
pub(crate) mod projections;
pub(crate) mod storage;
