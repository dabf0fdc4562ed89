//! The embedded models, trained from nothing on invented personas.

mod examples;
mod run;

pub use examples::{JudgeExample, language_example, nli_example, relevance_example};
pub use run::{Pretrain, evaluate_judges, pretrain};
