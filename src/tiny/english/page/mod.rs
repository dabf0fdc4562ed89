//! From a page to statements: blocks without markup, sentences about the character, one fact each.
//!
//! [`statements`] runs the steps in the order of the files below.

pub(super) mod blocks;
pub(super) mod context;
pub(super) mod descriptions;
pub(super) mod fields;
pub(super) mod profile;
pub(super) mod splitting;
pub(super) mod statements;
pub(super) mod templates;
pub(super) mod third_person;

pub use statements::statements;
