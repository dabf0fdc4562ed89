//! Turns a page into statements: blocks without markup, sentences about the character, one fact each.
//!
//! [`read`] runs the steps: `spelling` writes the name as the user does; `capitals` restores what small letters hide; `sheets`, with `wiki`,
//! `wiki_tables`, `tables`, `html` and `relatives`, rewrites cards, infoboxes and tables as fields; `talk` and `interview` tell who speaks,
//! `asked` what is answered; `blocks` and `splitter`, with `lists`, `sections` and `markup`, take the page apart; `profile` finds names, pronoun and speaker; `fields`,
//! `fragments`, `templates`, `identity` and `marriages` write `Age: 26` as a sentence, `clause::predicates` puts the name before `plays
//! chess`. Then each sentence is split (`splitting`), put into the `third_person` with its verbs (`clause::inflection`), and
//! descriptions are split into facts (`descriptions`). One that depends on its neighbours (`context`), or whose words are not
//! surely what they seem, is kept as it stands (`kept`). Nothing here writes questions or replies.

pub(super) mod asked;
pub(super) mod blocks;
pub(super) mod capitals;
pub(super) mod context;
pub(super) mod descriptions;
pub(super) mod fields;
pub(super) mod finished;
pub(super) mod fragments;
pub(super) mod html;
pub(super) mod identity;
pub(super) mod interview;
pub(super) mod kept;
pub(super) mod lists;
pub(super) mod markup;
pub(super) mod marriages;
pub(super) mod profile;
pub(super) mod relatives;
pub(super) mod sections;
pub(super) mod sheets;
pub(super) mod spelling;
pub(super) mod splitter;
pub(super) mod splitting;
pub(super) mod statements;
pub(super) mod tables;
pub(super) mod talk;
pub(super) mod templates;
pub(super) mod third_person;
pub(super) mod values;
pub(super) mod wiki;
pub(super) mod wiki_tables;

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod mention_tests;
#[cfg(test)]
mod rewritten_tests;
#[cfg(test)]
mod tests;

pub use statements::{Reading, read, statements};
