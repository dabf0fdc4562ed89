//! The embedded default: English by rules, invented personas, and the making of the small models.

pub mod english;
pub mod invented;
pub mod pretrain;
mod teacher;

pub use teacher::Offline;
