//! Turns a page into statements: blocks without markup, sentences about the character, one fact each.
//!
//! [`read`] runs the steps: `sheets`, with `wiki`, `tables` and `html`, rewrites cards, infoboxes and tables as fields, `talk` tells who speaks, `blocks`, with `lists` and
//! `markup`, takes the page apart, `profile` finds names, pronoun and speaker, `fields` and its `templates` write `Age: 26` as a sentence; then each sentence is split (`splitting`), dropped if it depends on its neighbours (`context`), put into the
//! `third_person`, and descriptions are split into facts (`descriptions`). Nothing here writes questions or replies.

pub(super) mod blocks;
pub(super) mod context;
pub(super) mod descriptions;
pub(super) mod fields;
pub(super) mod html;
pub(super) mod lists;
pub(super) mod markup;
pub(super) mod profile;
pub(super) mod sections;
pub(super) mod sheets;
pub(super) mod splitting;
pub(super) mod statements;
pub(super) mod tables;
pub(super) mod talk;
pub(super) mod templates;
pub(super) mod third_person;
pub(super) mod values;
pub(super) mod wiki;

#[cfg(test)]
mod tests;

pub use statements::{Reading, read, statements};
