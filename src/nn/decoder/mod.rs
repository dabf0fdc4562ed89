//! Decoders: Gemma, its layer, its cache of keys and values, and the log-probabilities of tokens.
//!
//! No sampling and no loss: those are built on this one floor up.

pub(crate) mod config;
pub(crate) mod input;

pub(crate) mod cache;
pub(crate) mod gemma;
pub(crate) mod layer;
pub(crate) mod logps;
pub(crate) mod projections;
pub(crate) mod storage;
