//! Groups of flags that several commands share, and the settings they stand for.
//!
//! Nothing here runs a command. A flag that only one command has belongs to that command's file.

pub(crate) mod chat_model;
pub(crate) mod device;
pub(crate) mod hub;
pub(crate) mod judges;
pub(crate) mod model;
pub(crate) mod persona;
pub(crate) mod prompt;
pub(crate) mod sampling;
