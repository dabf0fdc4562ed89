//! The embedded models, trained from nothing on invented personas.

mod examples;
mod gemma;
mod init;
mod judges;
mod run;

pub use examples::{JudgeExample, language_example, nli_example, relevance_example};
pub use judges::evaluate_judges;
pub use run::{Pretrain, pretrain};
