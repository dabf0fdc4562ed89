//! Decoders: Gemma, its layer, its cache of keys and values, and the log-probabilities of what it says.

pub(crate) mod cache;
pub(crate) mod gemma;
pub(crate) mod layer;
pub(crate) mod lengths;
pub(crate) mod logps;
