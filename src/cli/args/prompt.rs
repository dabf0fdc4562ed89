//! Which statements a prompt has.

use clap::Args;

use crate::persona::AnswerConfig;

/// Below this P(relevant) of the embedded judge a statement hardly ever answers, and the embedded Gemma says best that it
/// does not know.
const MIN_RELEVANCE: f64 = 0.4;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PromptArgs {
    /// Statements in the prompt [default: 5, but 1 for the embedded Gemma].
    #[arg(long, value_name = "N")]
    rag_top_k: Option<usize>,
    /// P(relevant) that a statement in the prompt has at least [default: 0, but 0.4 for the embedded Gemma and judge].
    #[arg(long, value_name = "P")]
    min_relevance: Option<f64>,
}

impl PromptArgs {
    /// Whether either was said.
    pub(crate) fn is_given(self) -> bool {
        self.rag_top_k.is_some() || self.min_relevance.is_some()
    }

    /// How many statements a prompt has: the embedded Gemma answers from the first one best, others get as many as the
    /// paper's.
    pub(crate) fn rag_top_k(self, is_embedded: bool) -> usize {
        self.rag_top_k.unwrap_or(match is_embedded {
            true => 1,
            false => AnswerConfig::new().rag_top_k,
        })
    }

    /// How relevant a statement must be to be in a prompt.
    ///
    /// - is_calibrated: whether both the Gemma and the relevance judge are the embedded ones, for which the threshold was chosen
    pub(crate) fn min_relevance(self, is_calibrated: bool) -> f64 {
        self.min_relevance.unwrap_or(match is_calibrated {
            true => MIN_RELEVANCE,
            false => AnswerConfig::new().min_relevance,
        })
    }
}
