//! Finds whether "yes" or "no" goes before a statement that answers a question.

use std::collections::HashSet;

use super::clause;
use super::clause::names::Names;
use super::clause::voice::{self, Person};
use super::words::tokens::content;
use super::words::verbs;

/// Returns the "Yes," or "No," of a reply that follows from the statement; `None` if the question does not ask whether the
/// statement holds.
pub fn yes_or_no(character: &str, statement: &str, question: &str) -> Option<&'static str> {
    if !asks_whether(statement, question) {
        return None;
    }
    let said = voice::to_person(&Names::new(character).tag(statement), Person::First);
    let is_negated = clause::parse(&said).is_some_and(|clause| clause.negated);
    Some(if is_negated { "No," } else { "Yes," })
}

/// Whether the question asks if the statement holds: it wants yes or no, and most of its words are the statement's.
fn asks_whether(statement: &str, question: &str) -> bool {
    is_yes_no(question) && {
        let own: HashSet<String> = content(statement).into_iter().collect();
        let asked = content(question);
        asked.iter().filter(|word| own.contains(*word)).count() * 3 >= asked.len() * 2
    }
}

/// Whether the question wants yes or no.
fn is_yes_no(question: &str) -> bool {
    let lower = question.to_lowercase();
    let begins = lower
        .split_whitespace()
        .next()
        .is_some_and(verbs::is_auxiliary);
    begins && !lower.contains("tell me") && !lower.starts_with("could you say")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_whether_a_statement_holds_is_agreed_to_or_denied() {
        let agreed = |statement, question| yes_or_no("Alice", statement, question);
        let question = "Do you like dogs?";
        assert_eq!(agreed("Alice likes dogs.", question), Some("Yes,"));
        assert_eq!(agreed("Alice does not like dogs.", question), Some("No,"));
        assert_eq!(agreed("Alice likes dogs.", "What do you like?"), None);
        assert_eq!(agreed("Alice lives in Bonn.", question), None);
    }
}
