//! The embedded default, which needs no network and no download: small models as bytes, pages, a rule-based teacher for English, and
//! the program that trains the models.
//!
//! Only the command line uses it: it hands teacher, judges and base model to the pipeline. What any model or teacher could use does not
//! belong here.

mod assets;
pub mod english;
mod listener;
pub mod pages;
pub mod pretrain;
mod teacher;

pub use assets::{EMBEDDED, Embedded, scorer};
pub use teacher::Offline;
