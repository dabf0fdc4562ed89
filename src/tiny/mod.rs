//! The embedded default, which works with no network and nothing to download: small models as bytes, pages, a teacher by rules for English,
//! invented personas, and the making of the models.
//!
//! Only the command line names it. What a character, a judge or a stage is belongs to the rooms below and never here.

mod assets;
pub mod english;
pub mod invented;
pub mod pages;
pub mod pretrain;
mod reply;
mod teacher;

pub use assets::{EMBEDDED, Embedded, scorer};
pub use reply::Reply;
pub use teacher::Offline;
