//! Which statements a prompt has.

use clap::Args;

use crate::persona::AnswerConfig;

/// Below this P(relevant) of the embedded judge a statement hardly ever answers, and the embedded Gemma says best that it
/// does not know.
const MIN_RELEVANCE: f64 = 0.3;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PromptArgs {
    /// Statements in the prompt [default: as the character was trained, else 5, but 1 for the embedded Gemma].
    #[arg(long, value_name = "N")]
    rag_top_k: Option<usize>,
    /// P(relevant) that a statement in the prompt has at least [default: as the character was trained, else 0, but 0.3 for the
    /// embedded Gemma and judge].
    #[arg(long, value_name = "P")]
    min_relevance: Option<f64>,
}

/// How much of a conversation the model sees.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct HistoryArgs {
    /// The most exchanges before a message that the model sees; with 0 each message stands alone, but what was said before still
    /// helps to find its statements [default: as many as there is room for, but 0 for the embedded Gemma unless it was trained with
    /// several turns].
    #[arg(long, value_name = "N")]
    history: Option<usize>,
}

impl HistoryArgs {
    /// - answers_single: whether the model is the embedded Gemma and has learnt to answer single questions only, so that a history
    ///   leads it astray
    pub(crate) fn history(self, answers_single: bool) -> Option<usize> {
        self.history.or(answers_single.then_some(0))
    }
}

impl PromptArgs {
    /// Whether either was said.
    pub(crate) fn is_given(self) -> bool {
        self.rag_top_k.is_some() || self.min_relevance.is_some()
    }

    /// How many statements a prompt has: the embedded Gemma answers from the first one best, others get as many as the
    /// paper's.
    ///
    /// - trained: as many as the character was trained with, if it was
    pub(crate) fn rag_top_k(self, trained: Option<usize>, is_embedded: bool) -> usize {
        let by_default = match is_embedded {
            true => 1,
            false => AnswerConfig::new().rag_top_k,
        };
        self.rag_top_k.or(trained).unwrap_or(by_default)
    }

    /// How relevant a statement must be to be in a prompt.
    ///
    /// - trained: as relevant as the character was trained with, if it was
    /// - is_calibrated: whether both the Gemma and the relevance judge are the embedded ones, for which the threshold was chosen
    pub(crate) fn min_relevance(self, trained: Option<f64>, is_calibrated: bool) -> f64 {
        let by_default = match is_calibrated {
            true => MIN_RELEVANCE,
            false => AnswerConfig::new().min_relevance,
        };
        self.min_relevance.or(trained).unwrap_or(by_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_before_what_was_trained_with_and_that_before_the_default() {
        let said = |rag_top_k, min_relevance| PromptArgs {
            rag_top_k,
            min_relevance,
        };
        for (args, trained, wanted) in [
            (said(Some(2), Some(0.1)), (Some(3), Some(0.2)), (2, 0.1)),
            (said(None, None), (Some(3), Some(0.2)), (3, 0.2)),
            (said(None, None), (None, None), (1, MIN_RELEVANCE)),
        ] {
            let found = (
                args.rag_top_k(trained.0, true),
                args.min_relevance(trained.1, true),
            );
            assert_eq!(found, wanted);
        }
    }
}
