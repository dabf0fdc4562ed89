//! Which statements matter to a query, and which of them go into the prompt.

use serde::{Deserialize, Serialize};

use super::Persona;

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

#[cfg(test)]
mod tests {
    use super::*;

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
