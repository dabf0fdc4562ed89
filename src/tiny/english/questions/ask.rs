//! Questions to the character whose answer is in a statement.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::form::{Form, lead};
use super::topics;
use super::wh::wh_questions;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::phrases;
use crate::tiny::english::clause::voice::{self, Person};
use crate::tiny::english::clause::{self, Clause};
use crate::tiny::english::words::tokens::{Token, join};

const OPEN: &[&str] = &[
    "What can you tell me about {}?",
    "Tell me about {}.",
    "Can you tell me more about {}?",
    "Could you say something about {}?",
    "I would like to hear about {}.",
];
const GENERAL: &[&str] = &[
    "What can you tell me about yourself?",
    "Tell me something about yourself.",
    "What should I know about you?",
    "Can you tell me more about your life?",
];

/// Returns three different questions to the character whose answer is in the statement; none for one that is a piece of the page as it
/// stands, whose words these rules would bend.
pub fn questions(character: &str, statement: &str, rng: &mut ChaCha8Rng) -> Vec<String> {
    let is_kept = statement
        .strip_prefix(character.trim())
        .is_some_and(|rest| rest.starts_with(" – "));
    if is_kept || statement.contains('(') {
        return Vec::new();
    }
    let tokens = voice::to_person(&Names::new(character).tag(statement), Person::Second);
    let clause = clause::parse(&tokens);
    let mut asked = Vec::new();
    let mut open: Vec<String> = topics::topics(&tokens, clause.as_ref());
    open.retain(|topic| !topic.contains(character.trim()));
    let mut direct = Vec::new();
    if let Some(clause) = &clause {
        let form = Form::of(&tokens, clause);
        direct = wh_questions(&tokens, clause, &form);
        asked.extend(yes_no(&tokens, clause, &form));
    }
    direct.dedup();
    if direct.len() > 1 && rng.random_bool(0.4) {
        let kept = rng.random_range(0..direct.len().min(3));
        direct.swap(0, kept);
    }
    if let Some(first) = direct.first_mut()
        && rng.random_bool(0.15)
        && !first.contains(character)
    {
        *first = format!("{}, {}?", first.trim_end_matches('?'), character.trim());
    }
    let mut chosen: Vec<String> = direct.iter().take(1).cloned().chain(asked).collect();
    if open.len() > 1 {
        let picked = rng.random_range(0..2);
        open.swap(0, picked);
    }
    let mut patterns = OPEN.to_vec();
    patterns.shuffle(rng);
    let again = open.iter().zip(&patterns[1..]);
    let open: Vec<String> = open
        .iter()
        .zip(&patterns)
        .chain(again)
        .map(|(topic, pattern)| pattern.replace("{}", topic))
        .collect();
    let mut general = GENERAL.to_vec();
    general.shuffle(rng);
    let rest = open
        .into_iter()
        .chain(direct.into_iter().skip(1))
        .chain(general.into_iter().map(str::to_owned));
    for question in rest {
        if chosen.len() == 3 {
            break;
        }
        if !chosen.contains(&question) {
            chosen.push(question);
        }
    }
    chosen
}

/// Returns what a question comes to, however it is put: the topic of an open question, and of others all but the name.
///
/// `Tell me about the sea.` and `What can you tell me about the sea, Alice?` both come to `the sea`.
pub fn matter_of(character: &str, question: &str) -> String {
    let named = format!(", {}", character.trim());
    let question = question.replace(&named, "").to_lowercase();
    let question = question.trim_end_matches(|c: char| !c.is_alphanumeric());
    let matter = question
        .split_once(" about ")
        .map_or(question, |(_, topic)| topic);
    match matter {
        "yourself" | "your life" => "you",
        other => other,
    }
    .to_owned()
}

fn yes_no(tokens: &[Token], clause: &Clause, form: &Form) -> Option<String> {
    if tokens[clause.start].is_any(&["this", "these", "it", "there"]) {
        return None;
    }
    let end = phrases::short_end(tokens, clause, 14);
    let words: Vec<Token> = tokens[clause.main + 1..end.max(clause.main + 1)]
        .iter()
        .filter(|token| !(clause.negated && token.is_any(&["not", "never"])))
        .cloned()
        .collect();
    let mut rest = join(&words);
    if let Some(lead) = lead(tokens, clause) {
        rest = format!("{rest} {lead}");
    }
    (!((form.copula || form.verb == "have") && rest.trim().is_empty()))
        .then(|| form.ask("", rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn all(statement: &str) -> Vec<String> {
        let mut asked: Vec<String> = (0..40)
            .flat_map(|seed| questions("Alice", statement, &mut ChaCha8Rng::seed_from_u64(seed)))
            .map(|question| question.replace(", Alice?", "?"))
            .collect();
        asked.sort();
        asked.dedup();
        asked
    }

    fn check(statement: &str, expected: &[&str]) {
        let asked = all(statement);
        for question in expected {
            assert!(
                asked.iter().any(|other| other == question),
                "{question} is not in {asked:#?}"
            );
        }
    }

    #[test]
    fn questions_fit_the_statement() {
        check(
            "Alice plays the guitar.",
            &[
                "What do you play?",
                "Do you play the guitar?",
                "Tell me about the guitar.",
            ],
        );
        check(
            "Alice was born in Bonn.",
            &["Where were you born?", "Were you born in Bonn?"],
        );
        check(
            "Alice lives in Paris with her sister.",
            &[
                "Where do you live?",
                "Do you live in Paris with your sister?",
            ],
        );
        check(
            "Alice is 26 years old.",
            &["How old are you?", "Are you 26 years old?"],
        );
        check(
            "Alice's mother is a nurse.",
            &[
                "Who is your mother?",
                "Is your mother a nurse?",
                "What can you tell me about your mother?",
            ],
        );
        check(
            "Alice has three cats.",
            &["How many cats do you have?", "Do you have three cats?"],
        );
        check(
            "Bob taught Alice composition.",
            &[
                "Who taught you composition?",
                "Did Bob teach you composition?",
            ],
        );
        check(
            "Alice wrote a novel in 1999.",
            &[
                "When did you write a novel?",
                "Did you write a novel in 1999?",
            ],
        );
        check(
            "Alice wanted to be an astronaut.",
            &["What did you want to be?"],
        );
        check(
            "Alice's favourite food is pizza.",
            &[
                "What is your favourite food?",
                "Is your favourite food pizza?",
            ],
        );
    }

    #[test]
    fn a_question_comes_to_the_same_in_other_words() {
        for (one, other) in [
            (
                "Tell me about the sea.",
                "Could you say something about the sea?",
            ),
            ("What do you love, Alice?", "What do you love?"),
            (
                "What should I know about you?",
                "Tell me something about yourself.",
            ),
        ] {
            assert_eq!(matter_of("Alice", one), matter_of("Alice", other));
        }
        for (one, other) in [
            ("Tell me about the sea.", "Tell me about the town."),
            ("Where do you play?", "What do you play?"),
        ] {
            assert_ne!(matter_of("Alice", one), matter_of("Alice", other));
        }
    }

    #[test]
    fn there_are_always_three_different_questions() {
        for statement in [
            "",
            "Alice.",
            "???",
            "Alice runs.",
            "What a day it was for Alice and everyone",
            "爱丽丝",
        ] {
            for seed in 0..5 {
                let mut asked = questions("Alice", statement, &mut ChaCha8Rng::seed_from_u64(seed));
                asked.sort();
                asked.dedup();
                assert_eq!(asked.len(), 3, "{statement}");
            }
        }
    }
}
