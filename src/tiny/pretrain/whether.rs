//! Questions whether a statement holds, and plain replies that say yes or no. Writers of talk avoid both, and people use them most.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::corpus::Line;
use super::denials::denies_beside_the_verb;
use super::forms::inside;
use super::invented::pick;
use super::pairs::{Pair, others};
use crate::persona::Nli;
use crate::tiny::english;

const SAYS_YES: [&str; 10] = [
    "Yes.",
    "Yes.",
    "Yes!",
    "Yep.",
    "Yeah.",
    "Sure.",
    "Of course.",
    "Oh yes.",
    "That's right.",
    "Yes, indeed.",
];
const SAYS_NO: [&str; 9] = [
    "No.",
    "No.",
    "No!",
    "Nope.",
    "Nah.",
    "Not at all.",
    "Of course not.",
    "Oh no.",
    "No, not really.",
];
/// Openings of yes-or-no questions, each with its short answers for yes and for no.
const DOES: [(&str, &str, &str); 12] = [
    ("Do you ", "I do", "I don't"),
    ("Did you ", "I did", "I didn't"),
    ("Are you ", "I am", "I'm not"),
    ("Were you ", "I was", "I wasn't"),
    ("Can you ", "I can", "I can't"),
    ("Could you ", "I could", "I couldn't"),
    ("Have you ", "I have", "I haven't"),
    ("Had you ", "I had", "I hadn't"),
    ("Will you ", "I will", "I won't"),
    ("Would you ", "I would", "I wouldn't"),
    ("Should you ", "I should", "I shouldn't"),
    ("Must you ", "I must", "I mustn't"),
];

/// A yes-or-no question about a statement.
#[derive(Clone, Debug)]
pub(super) struct Whether {
    pub(super) question: String,
    /// Whether "yes" agrees with the statement.
    pub(super) is_yes: bool,
}

/// A yes-or-no question about a statement, if the rules can make a clear one.
pub(super) fn whether(character: &str, statement: &str, rng: &mut ChaCha8Rng) -> Option<Whether> {
    if denies_beside_the_verb(statement) {
        return None;
    }
    let mut questions = english::questions(character, statement, rng).into_iter();
    questions.find_map(|question| {
        let opening = english::yes_or_no(character, statement, &question)?;
        Some(Whether {
            question,
            is_yes: opening.starts_with("Yes"),
        })
    })
}

/// A right reply, a wrong one, and one of the two beside another statement.
///
/// - plain: the statement in the first person
/// - wrong: the contrary, if that is easily said
pub(super) fn whether_pairs<'a>(
    line: &'a Line,
    asked: &'a Whether,
    statements: &[&'a str],
    plain: &str,
    wrong: Option<&str>,
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let (statement, question) = (line.statement.as_str(), asked.question.as_str());
    let right = reply(question, asked.is_yes, Some(plain), rng);
    let contrary = reply(question, !asked.is_yes, wrong, rng);
    let open = match rng.random_bool(0.5) {
        true => right.clone(),
        false => contrary.clone(),
    };
    let mut pairs = vec![
        Pair::new(statement, question, right, Nli::Entailed),
        Pair::new(statement, question, contrary, Nli::Contradicted),
    ];
    for other in others(statements, statement, 1, rng) {
        pairs.push(Pair::new(other, question, open.clone(), Nli::Neutral));
    }
    pairs
}

/// A reply of yes or no: one word, a short answer ("I do."), or either with a sentence behind it.
pub(super) fn reply(
    question: &str,
    is_yes: bool,
    sentence: Option<&str>,
    rng: &mut ChaCha8Rng,
) -> String {
    let word = if is_yes { "Yes" } else { "No" };
    let does = DOES
        .iter()
        .find(|(begins, ..)| question.starts_with(begins));
    let does = does.map(|(_, does, does_not)| if is_yes { does } else { does_not });
    match (rng.random_range(0..10), does, sentence) {
        (0..3, Some(does), _) => format!("{word}, {does}."),
        (3, Some(does), _) => format!("{does}."),
        (4..7, _, Some(sentence)) => format!("{word}, {}", inside(sentence)),
        _ => {
            let words: &[&str] = if is_yes { &SAYS_YES } else { &SAYS_NO };
            pick(words, rng).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::corpus;
    use super::super::recipe::example_rng;
    use super::*;

    /// Whether a reply of the rules says yes.
    fn says_yes(reply: &str) -> bool {
        let is_short = |(_, does, _): &(&str, &str, &str)| reply == format!("{does}.");
        SAYS_YES.contains(&reply) || reply.starts_with("Yes, ") || DOES.iter().any(is_short)
    }

    #[test]
    fn what_says_so_follows_and_what_denies_it_contradicts() {
        for (statement, plain, wrong, yes_is_right) in [
            ("Ada can swim.", "I can swim.", "I cannot swim.", true),
            ("Ada cannot swim.", "I cannot swim.", "I can swim.", false),
            (
                "Ada lives in Leeds.",
                "I live in Leeds.",
                "I live in Bath.",
                true,
            ),
        ] {
            let line = corpus::tests::line(statement);
            let asked = whether("Ada", statement, &mut example_rng(1, 0)).unwrap();
            let statements = [statement, "Ada has a boat."];
            let mut found = BTreeSet::new();
            for number in 0..200 {
                let rng = &mut example_rng(2, number);
                let pairs = whether_pairs(&line, &asked, &statements, plain, Some(wrong), rng);
                assert_eq!(pairs.len(), 3);
                for pair in pairs {
                    let input = pair.input();
                    let is_of_boat = input.statement.contains("boat");
                    assert_eq!(is_of_boat, pair.label == Nli::Neutral);
                    let is_yes = says_yes(input.response);
                    if !is_of_boat {
                        let is_right = is_yes == yes_is_right;
                        assert_eq!(is_right, pair.label == Nli::Entailed, "{input:?}");
                        found.insert(input.response.to_string());
                    }
                }
            }
            for reply in ["No.", "Yes."] {
                assert!(found.contains(reply), "{found:?}");
            }
            for sentence in [plain, wrong] {
                let says = |reply: &String| reply.contains(sentence);
                assert!(found.iter().any(says), "{found:?}");
            }
        }
    }

    #[test]
    fn nothing_is_asked_where_yes_and_no_would_be_unclear() {
        for statement in [
            "Ada has no brothers.",
            "Ada no longer drives.",
            "Nobody likes Ada.",
        ] {
            assert!(whether("Ada", statement, &mut example_rng(1, 0)).is_none());
        }
    }
}
