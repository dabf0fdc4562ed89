//! From a page to statements: blocks without markup, sentences about the character, one fact each.
//!
//! [`statements`] runs the steps: `blocks` cleans the page, `profile` finds names, pronoun and who speaks, `fields` with its `templates` words
//! `Age: 26` as a sentence; then each sentence is split (`splitting`), dropped where it needs its neighbours (`context`), put into the
//! `third_person`, and a description is taken apart (`descriptions`). Nothing here asks or replies.

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
