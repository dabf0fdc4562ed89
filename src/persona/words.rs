//! Which words of a reply contradict a statement.

use std::ops::Range;

use super::{Persona, Scorer};
use crate::Result;
use crate::progress::Job;

impl Scorer {
    /// For each statement the clause of a reply that contradicts it the most, as a range of characters; the whole reply if it is
    /// one clause.
    pub fn contradicting_words(
        &self,
        character: &str,
        statements: &[&str],
        query: &str,
        response: &str,
        job: &Job,
    ) -> Result<Vec<Range<usize>>> {
        let clauses = clauses(response);
        let whole = vec![0..response.chars().count(); statements.len()];
        if clauses.len() < 2 || statements.is_empty() {
            return Ok(whole);
        }
        let persona = Persona::new(character, statements.iter().copied());
        let asked: Vec<(&str, &str)> = clauses.iter().map(|(_, text)| (query, *text)).collect();
        let rows = self.nli.nli(&persona, &asked, job)?;
        let worst = |statement: usize| {
            let contradicted = |clause: &usize| rows[*clause][statement].contradicted;
            let clause =
                (0..clauses.len()).max_by(|a, b| contradicted(a).total_cmp(&contradicted(b)));
            clause.map_or(0..0, |clause| clauses[clause].0.clone())
        };
        Ok((0..statements.len()).map(worst).collect())
    }
}

/// The clauses of a text with their places, counted in characters: what stands between marks, and between `and` or `but`.
fn clauses(text: &str) -> Vec<(Range<usize>, &str)> {
    const JOINS: [&str; 4] = ["and", "but", "or", "because"];
    let mut cuts = vec![0];
    let mut word_start = 0;
    for (place, c) in text.char_indices() {
        let is_end = matches!(
            c,
            '.' | '!' | '?' | ';' | ',' | ':' | '—' | '–' | '。' | '！' | '？' | '，' | '\n'
        );
        if is_end {
            cuts.push(place + c.len_utf8());
        }
        if c.is_whitespace() {
            if JOINS.contains(&&text[word_start..place]) {
                cuts.push(word_start);
            }
            word_start = place + c.len_utf8();
        }
    }
    cuts.push(text.len());
    cuts.sort_unstable();
    let clause = |cut: &[usize]| {
        let part = &text[cut[0]..cut[1]];
        let trimmed = part.trim();
        // A mark or a name alone says nothing.
        if trimmed.chars().filter(|c| c.is_alphanumeric()).count() < 4 {
            return None;
        }
        let start = cut[0] + (part.len() - part.trim_start().len());
        let before = text[..start].chars().count();
        Some((before..before + trimmed.chars().count(), trimmed))
    };
    cuts.windows(2).filter_map(clause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_cut_at_its_marks_and_joining_words() {
        let text = "Ah, yes: I sing — née Popa — and I play the cello, but not 3.5 hours.";
        let found: Vec<&str> = clauses(text)
            .into_iter()
            .map(|(_, clause)| clause)
            .collect();
        assert_eq!(
            found,
            [
                "I sing —",
                "née Popa —",
                "and I play the cello,",
                "but not 3.",
                "5 hours."
            ]
        );
        for (range, clause) in clauses(text) {
            let own: String = text.chars().skip(range.start).take(range.len()).collect();
            assert_eq!(own, clause);
        }
        assert!(clauses("Hm.").is_empty());
    }
}
