//! Which statements matter to a query, and which of them go into the prompt.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Persona, Turn};
use crate::{Error, Result};

/// P(relevant) of every statement for every query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelevanceTable {
    /// One row a query, one number a statement.
    pub rows: Vec<Vec<f64>>,
}

impl RelevanceTable {
    /// A table from the numbers of all queries, statement by statement.
    pub(super) fn of(relevant: &[f64], persona: &Persona) -> Self {
        let rows = relevant.chunks(persona.statements.len().max(1));
        Self {
            rows: rows.map(<[f64]>::to_vec).collect(),
        }
    }

    /// The indices of the `top_k` statements that matter most to a query, the most relevant first.
    pub fn retrieve(&self, query_idx: usize, top_k: usize) -> Vec<usize> {
        let row = &self.rows[query_idx];
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        order.truncate(top_k);
        order
    }

    /// The indices of the `top_k` most relevant statements whose P(relevant) is at least `min_relevance`, the most relevant first.
    pub fn retrieve_relevant(
        &self,
        query_idx: usize,
        top_k: usize,
        min_relevance: f64,
    ) -> Vec<usize> {
        let mut order = self.retrieve(query_idx, top_k);
        order.retain(|&idx| self.rows[query_idx][idx] >= min_relevance);
        order
    }
}

/// How much every statement matters to turns of a user, by P(relevant) of texts, which `judge` tells of each of them.
///
/// For the first turn it is P(relevant). A later one counts two parts by itself and one with what was said right before; what
/// that asked and told already is less likely to be wanted again. The shares were chosen on the development set of
/// `tests/data/follow_ups`, where they find more than the turn alone, and on questions that change the topic, where they lose
/// few.
///
/// # Errors
///
/// Those of `judge`, and rows that are missing or of different lengths.
pub fn relevance_of_turns<R: AsRef<[f64]>>(
    turns: &[Turn<'_>],
    judge: impl FnOnce(&[&str]) -> Result<Vec<R>>,
) -> Result<Vec<Vec<f64>>> {
    /// The share of what was asked and told right before.
    const KNOWN: f64 = 0.3;
    let contexts: Vec<Option<String>> = turns.iter().map(Turn::in_context).collect();
    let mut texts: Vec<&str> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut place = |text| {
        *places.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        })
    };
    let mut parts = Vec::with_capacity(turns.len());
    for (turn, context) in turns.iter().zip(&contexts) {
        let alone = place(turn.query.trim());
        let more = turn.before.zip(context.as_deref());
        let more = more.map(|(before, context)| {
            [context, before.query.trim(), before.response.trim()].map(&mut place)
        });
        parts.push((alone, more));
    }
    let rows = judge(&texts)?;
    let row = |place: usize| {
        let row = rows.get(place).map(AsRef::as_ref);
        row.ok_or_else(|| Error::Fault("the relevance of a text is lost".to_string()))
    };
    let mixed = parts.into_iter().map(|(alone, more)| {
        let alone = row(alone)?;
        let Some([both, asked, told]) = more else {
            return Ok(alone.to_vec());
        };
        let (both, asked, told) = (row(both)?, row(asked)?, row(told)?);
        if [both, asked, told]
            .iter()
            .any(|row| row.len() != alone.len())
        {
            let reason = "texts were judged by different numbers of statements";
            return Err(Error::Fault(reason.to_string()));
        }
        let mix = |idx: usize| {
            let wanted = 2.0 * alone[idx] + both[idx];
            let known = KNOWN * (asked[idx] + told[idx]);
            ((wanted - known) / 3.0).max(0.0)
        };
        Ok((0..alone.len()).map(mix).collect())
    });
    mixed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::Exchange;

    #[test]
    fn a_later_turn_is_judged_with_what_was_said_before_and_every_text_once() {
        let before = Exchange {
            query: "Do you have a brother?".into(),
            response: "Yes, Remy.".into(),
        };
        let first = Turn {
            query: &before.query,
            before: None,
        };
        let second = Turn {
            query: " And a sister? ",
            before: Some(&before),
        };
        let judge = |texts: &[&str]| {
            let wanted = [
                "Do you have a brother?",
                "And a sister?",
                "Do you have a brother? Yes, Remy. And a sister?",
                "Yes, Remy.",
            ];
            assert_eq!(texts, wanted);
            Ok(vec![
                vec![0.9, 0.0],
                vec![0.3, 0.3],
                vec![0.6, 0.9],
                vec![0.8, 0.1],
            ])
        };
        let rows = relevance_of_turns(&[first, second], judge).unwrap();
        assert_eq!(rows[0], [0.9, 0.0]);
        let wanted = [(1.2 - 0.3 * 1.7) / 3.0, (1.5 - 0.3 * 0.1) / 3.0];
        for (found, wanted) in rows[1].iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{rows:?}");
        }
    }

    #[test]
    fn the_most_relevant_statements_come_first() {
        let table = RelevanceTable {
            rows: vec![vec![0.1, 0.9, 0.5, 0.9]],
        };
        assert_eq!(table.retrieve(0, 3), [1, 3, 2]);
        assert_eq!(table.retrieve_relevant(0, 3, 0.6), [1, 3]);
        assert_eq!(table.retrieve_relevant(0, 1, 0.6), [1]);
        assert!(table.retrieve_relevant(0, 3, 0.95).is_empty());
    }
}
