//! The active-passive constraint score (arXiv 2405.07726, equations 4 to 6).

use serde::{Deserialize, Serialize};

use super::{NliProbabilities, Persona};

/// A statement's part in the score of a reply; the last three numbers sum to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementScore {
    /// The statement.
    pub statement: String,
    /// P(the statement matters to the query).
    pub relevance: f64,
    /// P(the reply contradicts the statement).
    pub contradicted: f64,
    /// P(the statement leaves the reply open).
    pub neutral: f64,
    /// P(the reply follows from the statement).
    pub entailed: f64,
}

impl StatementScore {
    /// The probability that the reply respects the statement: follows from it where it matters, does not contradict it
    /// where it does not.
    pub fn apc(&self) -> f64 {
        (1.0 - self.relevance) * (1.0 - self.contradicted) + self.relevance * self.entailed
    }
}

/// How faithful a reply is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How many statements the reply respects, from 0 to their number.
    pub apc: f64,
    /// The same less the score of a reply that is always neutral; active reward minus passive penalty.
    pub delta_apc: f64,
    /// Relevant statements that the reply follows from.
    pub active_reward: f64,
    /// Irrelevant statements that the reply contradicts.
    pub passive_penalty: f64,
    /// The parts, in the order of the statements.
    pub statements: Vec<StatementScore>,
}

impl Score {
    /// The score of a reply from what the judges say of every statement.
    ///
    /// - relevance: P(relevant), in the order of the statements
    /// - nli: what each statement says of the reply, in that order
    pub fn of(persona: &Persona, relevance: &[f64], nli: &[NliProbabilities]) -> Self {
        let judged = persona.statements.iter().zip(relevance).zip(nli);
        let parts = judged.map(|((statement, &relevance), nli)| StatementScore {
            statement: statement.clone(),
            relevance,
            contradicted: nli.contradicted,
            neutral: nli.neutral,
            entailed: nli.entailed,
        });
        score(parts.collect())
    }
}

/// Sums the parts up.
pub fn score(statements: Vec<StatementScore>) -> Score {
    let sum = |part: &dyn Fn(&StatementScore) -> f64| statements.iter().map(part).sum::<f64>();
    let active_reward = sum(&|statement| statement.relevance * statement.entailed);
    let passive_penalty = sum(&|statement| (1.0 - statement.relevance) * statement.contradicted);
    Score {
        apc: sum(&StatementScore::apc),
        delta_apc: active_reward - passive_penalty,
        active_reward,
        passive_penalty,
        statements,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(relevance: f64, contradicted: f64, entailed: f64) -> StatementScore {
        let neutral = 1.0 - contradicted - entailed;
        StatementScore {
            statement: "s".into(),
            relevance,
            contradicted,
            neutral,
            entailed,
        }
    }

    #[test]
    fn the_score_counts_respected_statements() {
        // Relevant and entailed, irrelevant and contradicted, irrelevant and neutral.
        let score = score(vec![
            part(1.0, 0.0, 1.0),
            part(0.0, 1.0, 0.0),
            part(0.0, 0.0, 0.0),
        ]);
        assert_eq!((score.apc, score.delta_apc), (2.0, 0.0));
        assert_eq!((score.active_reward, score.passive_penalty), (1.0, 1.0));
    }

    #[test]
    fn delta_is_the_score_less_that_of_a_neutral_reply() {
        let parts = vec![part(0.7, 0.2, 0.5), part(0.1, 0.3, 0.1)];
        let neutral: f64 = parts.iter().map(|part| 1.0 - part.relevance).sum();
        let score = score(parts);
        assert!((score.delta_apc - (score.apc - neutral)).abs() < 1e-12);
        // By hand: 0.3·0.8 + 0.7·0.5 + 0.9·0.7 + 0.1·0.1
        assert!((score.apc - 1.23).abs() < 1e-12);
    }
}
