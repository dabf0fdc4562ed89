//! Questions whether a statement holds, and plain replies that say yes or no. Writers of talk avoid both, and people use them most.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::corpus::Line;
use super::forms::inside;
use super::invented::pick;
use super::neighbours::Neighbours;
use super::opposites::denies_beside_the_verb;
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

/// A right reply, a wrong one, and one of the two beside another statement. Half of the questions to which "yes" is right are changed to
/// ask about something else of the kind, so that "no" is: "Do you drive a taxi?" of somebody who drives a lorry.
pub(super) fn whether_pairs<'a>(
    line: &'a Line,
    asked: &'a Whether,
    statements: &[&'a str],
    said: Sentences<'_>,
    neighbours: &Neighbours,
    rng: &mut ChaCha8Rng,
) -> Vec<Pair<'a>> {
    let statement = line.statement.as_str();
    let is_of_other = asked.is_yes && rng.random_bool(0.5);
    let other = is_of_other.then(|| neighbours.swap(statement, &asked.question, rng));
    let (question, is_yes, wrong) = match other.flatten() {
        // Only the question was changed, so there is no sentence to go on with behind a "yes".
        Some(other) => (other, false, None),
        None => (asked.question.clone(), asked.is_yes, said.wrong),
    };
    let right = reply(&question, is_yes, Some(said.plain), rng);
    let contrary = reply(&question, !is_yes, wrong, rng);
    let open = match rng.random_bool(0.5) {
        true => right.clone(),
        false => contrary.clone(),
    };
    let mut pairs = vec![
        Pair::new(statement, question.clone(), right, Nli::Entailed),
        Pair::new(statement, question.clone(), contrary, Nli::Contradicted),
    ];
    for other in others(statements, statement, 1, rng) {
        pairs.push(Pair::new(
            other,
            question.clone(),
            open.clone(),
            Nli::Neutral,
        ));
    }
    pairs
}

/// What a persona may say behind a yes or no.
#[derive(Clone, Copy)]
pub(super) struct Sentences<'a> {
    /// The statement in the first person.
    pub(super) plain: &'a str,
    /// The contrary, if that is easily said.
    pub(super) wrong: Option<&'a str>,
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
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::corpus;
    use super::super::recipe::example_rng;
    use super::*;

    /// Whether a reply of the rules says yes.
    pub(in crate::tiny::pretrain) fn says_yes(reply: &str) -> bool {
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
                let said = Sentences {
                    plain,
                    wrong: Some(wrong),
                };
                let neighbours = Neighbours::default();
                let pairs = whether_pairs(&line, &asked, &statements, said, &neighbours, rng);
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
    fn no_is_right_where_the_question_is_about_something_else_of_the_kind() {
        let statement = "Ada drives a lorry.";
        let line = corpus::tests::line(statement);
        let asked = whether("Ada", statement, &mut example_rng(1, 0)).unwrap();
        let neighbours = Neighbours::from([("lorry", "taxi")]);
        let said = Sentences {
            plain: "I drive a lorry.",
            wrong: None,
        };
        let mut n_of_other = 0;
        for number in 0..100 {
            let rng = &mut example_rng(2, number);
            for pair in whether_pairs(&line, &asked, &[statement], said, &neighbours, rng) {
                let input = pair.input();
                let is_of_other = input.query.contains("taxi");
                n_of_other += usize::from(is_of_other);
                let denies = ["No", "Nah", "Not", "Of course not", "Oh no", "I don't"];
                let is_no = denies.iter().any(|word| input.response.starts_with(word));
                assert_eq!(
                    is_no == is_of_other,
                    pair.label == Nli::Entailed,
                    "{input:?}"
                );
            }
        }
        assert!((60..140).contains(&n_of_other), "{n_of_other} of 200");
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
