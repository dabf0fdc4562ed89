//! The teacher that needs no model and no network: English by rules.
//!
//! It turns a page about a character into persona statements, asks questions whose answer is in a statement, and puts a statement into the
//! character's own mouth. It knows word order, agreement and about a thousand verbs; it does not know what words mean, so it judges
//! nothing. Everything is deterministic for a seed, and the time is linear in the length of the page.
//!
//! Each module uses only those before it: `words`, `clause`, then `page` (from a page to statements), `questions` and `yes_or_no`;
//! `language` stands alone. A change of the rules' output needs a new version number, see [`Offline`](super::Offline).
//!
//! # Limits
//!
//! - English only: [`other_language`] tells when a text is not.
//! - Pronouns are resolved by gender, grammar and the subject of the sentence before. Where someone else may be meant, and where a piece of
//!   the page is no clause that is understood, it is kept as it stands with the character's name in front: `Mira – Likes: all but fish.` No
//!   questions are asked about such statements. A few pronouns are still attributed wrongly.
//! - `I` becomes the name only where each verb of the sentence is surely its verb, and nobody else is meant with `we`; a field gets `is`
//!   or `are` only where its value names something. Else they are kept, too.
//! - So is what stands below a heading that is somebody else's or says that it is not so (`Rumours`, `Used to be`), with the heading, and what
//!   has parentheses, but for what is said right behind the character's name (`Alice (born 1990)`) or of a relative (`Mother: Lena (a baker)`).
//! - Nothing is lost without a word: a line or sentence gives statements or is among [`Reading::unread`], with the reason: questions, what is
//!   said in a talk and holds for the moment, what others say, code, what is struck out, what describes the page. Sources, comments, pictures,
//!   the look of an infobox and editors' marks of a wiki are not text of the page.
//! - A question is kept with its answer where the answer says nothing without it, in prose and in interviews.
//! - Compound sentences are split where the second part says something by itself. `X is a … who …` is split where it is surely X who does it.
//! - A noun that looks like a verb may be taken for one (`her work takes`), most often in long noun phrases and after lists. The question is
//!   then clumsy; a clause that is not understood gives only open questions.
//! - Statements keep the tense of the page, so fiction told in the present gives questions in the present (`Do you buy a cat?`).

mod clause;
mod follow_ups;
mod language;
mod page;
mod questions;
mod words;
mod yes_or_no;

pub use clause::first_person;
pub use follow_ups::follow_up;
pub use language::other_language;
pub use page::{Reading, read, statements};
pub use questions::{matter_of, questions};
pub(super) use words::grammar::is_plural;
pub(super) use words::people::is_person_word;
pub(super) use words::tokens::capitalized;
pub(super) use words::verbs::{base, ing};
pub use yes_or_no::yes_or_no;
