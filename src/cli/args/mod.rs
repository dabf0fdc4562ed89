//! cli args
pub(crate) mod chat_model;
pub(crate) mod device;
pub(crate) mod hub;
pub(crate) mod judges;
pub(crate) mod model;
pub(crate) mod persona;
