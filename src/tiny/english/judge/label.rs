//! Rules that judge: is a statement needed for an answer, and does a reply agree with it?

use std::collections::HashSet;

use super::relevance::{is_yes_no, weight};
use crate::persona::Nli;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::voice::{self, Person};
use crate::tiny::english::clause::{self, Clause};
use crate::tiny::english::words::lexicon::{KINDS, OPPOSITES};
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{self, Token, content_of, stem};
use crate::tiny::english::words::verbs;

/// Returns what a reply does to the statement, judged by words that agree, oppose or are negated.
pub fn label(character: &str, statement: &str, question: &str, reply: &str) -> Nli {
    let names = Names::new(character);
    let stated = voice::to_person(&names.tag(statement), Person::First);
    let mut entailed = false;
    for sentence in sentences::sentences(reply) {
        let mut tokens = names.tag(&sentence);
        if !tokens
            .iter()
            .any(|token| token.text == "I" || token.is_any(&["my", "me"]))
        {
            tokens = voice::to_person(&tokens, Person::First);
        }
        match compare(&stated, &tokens, statement, question) {
            Nli::Contradicted => return Nli::Contradicted,
            Nli::Entailed => entailed = true,
            Nli::Neutral => {}
        }
    }
    if entailed {
        Nli::Entailed
    } else {
        Nli::Neutral
    }
}

/// A content word with what is needed to compare it.
struct Item {
    stem: String,
    lower: String,
    number: bool,
    capital: bool,
}

fn items(tokens: &[Token]) -> Vec<Item> {
    const OPPOSABLE: &[&str] = &[
        "often", "always", "rarely", "more", "most", "less", "few", "many", "before", "after",
        "first", "like", "likes", "liked",
    ];
    let kept = |token: &&Token| {
        token.is_word()
            && !token.me
            && token.text != "I"
            && (!tokens::is_stop(&token.lower) || token.is_any(OPPOSABLE))
    };
    tokens
        .iter()
        .filter(kept)
        .map(|token| Item {
            stem: stem(&token.lower),
            lower: token.lower.clone(),
            number: token.is_number(),
            capital: token.is_capital() || token.is_any(&["van", "von", "de", "of"]),
        })
        .collect()
}

fn compare(stated: &[Token], reply: &[Token], statement: &str, question: &str) -> Nli {
    let yes_no = reply
        .iter()
        .find(|token| token.is_word())
        .filter(|first| first.is_any(&["yes", "no", "indeed", "certainly", "never"]));
    let whether = is_yes_no(question) && overlap(question, statement) >= 0.6;
    let negations = |tokens: &[Token]| {
        tokens
            .iter()
            .skip(usize::from(yes_no.is_some()))
            .filter(|token| {
                token.is_any(&[
                    "not", "never", "no", "nor", "neither", "cannot", "without", "nobody",
                ])
            })
            .count()
            % 2
    };
    let stated_negation = negations(stated);
    let (mine, said) = (items(stated), items(reply));
    if said.is_empty() || mine.is_empty() {
        return match yes_no {
            Some(word) if whether => {
                if word.is_any(&["no", "never"]) == (stated_negation == 1) {
                    Nli::Entailed
                } else {
                    Nli::Contradicted
                }
            }
            _ => Nli::Neutral,
        };
    }
    let asked: HashSet<String> = tokens::content(question).into_iter().collect();
    let fragment = clause::parse(reply).is_none() && said.len() <= 5;
    let matched_said: Vec<bool> = said
        .iter()
        .map(|item| mine.iter().any(|other| other.stem == item.stem))
        .collect();
    let matched_mine: Vec<bool> = mine
        .iter()
        .map(|item| {
            said.iter().any(|other| other.stem == item.stem)
                || (fragment && asked.contains(&item.stem))
        })
        .collect();
    let sum = |items: &[Item], matched: &[bool]| -> (f32, f32) {
        items
            .iter()
            .zip(matched)
            .fold((0.0, 0.0), |(hit, all), (item, &matched)| {
                (
                    hit + if matched { weight(&item.stem) } else { 0.0 },
                    all + weight(&item.stem),
                )
            })
    };
    let (hit, all) = sum(&said, &matched_said);
    let (hit_mine, all_mine) = sum(&mine, &matched_mine);
    let topical = hit / all >= 0.5 || hit_mine / all_mine >= 0.5;
    let enough = hit_mine >= 1.0 || topical;
    let conflict = said
        .iter()
        .zip(&matched_said)
        .filter(|(_, matched)| !**matched)
        .any(|(item, _)| {
            mine.iter()
                .zip(&matched_mine)
                .filter(|(_, matched)| !**matched)
                .any(|(other, _)| opposes(other, item))
        });
    if enough
        && (conflict || (topical && substituted(&mine, &matched_mine, &said, &matched_said)))
        && (topical || hit_mine / all_mine >= 0.3)
    {
        return Nli::Contradicted;
    }
    let answers = overlap(question, statement) >= 0.5;
    if conflict && same_frame(stated, reply, answers) {
        return Nli::Contradicted;
    }
    let affirmative = !stated
        .iter()
        .any(|token| token.is_any(&["not", "never", "no", "cannot", "nor"]));
    let denied =
        yes_no.is_some_and(|word| word.is("no")) && whether && affirmative && negations(reply) == 0;
    if hit / all < 0.5 || hit < 0.9 && hit_mine / all_mine < 0.7 {
        return Nli::Neutral;
    }
    if negations(reply) != partial_negation(stated, &said, stated_negation) || denied {
        Nli::Contradicted
    } else {
        Nli::Entailed
    }
}

/// The negation of the part of the statement which the reply repeats.
fn partial_negation(stated: &[Token], said: &[Item], whole: usize) -> usize {
    if whole == 0 {
        return 0;
    }
    let Some(at) = stated
        .iter()
        .position(|token| token.is_any(&["not", "never", "no", "cannot", "without", "nor"]))
    else {
        return whole;
    };
    let after = stated[at + 1..]
        .iter()
        .find(|token| token.is_word() && !tokens::is_stop(&token.lower));
    usize::from(after.is_none_or(|after| said.iter().any(|item| item.stem == stem(&after.lower))))
}

fn overlap(one: &str, other: &str) -> f32 {
    let own: HashSet<String> = tokens::content(other).into_iter().collect();
    let words = tokens::content(one);
    words.iter().filter(|word| own.contains(*word)).count() as f32 / words.len().max(1) as f32
}

/// Whether the two words cannot both be true: two numbers, two of a kind, two opposites.
fn opposes(one: &Item, other: &Item) -> bool {
    if one.number && other.number {
        return (one.lower.len() == 4) == (other.lower.len() == 4);
    }
    let opposite = OPPOSITES.split(", ").any(|pair| {
        pair.split_once(' ').is_some_and(|(a, b)| {
            (a == one.lower && b == other.lower) || (b == one.lower && a == other.lower)
        })
    });
    opposite
        || KINDS.iter().any(|kind| {
            kind.split(' ').any(|word| word == one.lower)
                && kind.split(' ').any(|word| word == other.lower)
        })
}

/// Whether both say the same of the same subject, so that only one can be true.
fn same_frame(stated: &[Token], reply: &[Token], answers: bool) -> bool {
    let (Some(one), Some(other)) = (clause::parse(stated), clause::parse(reply)) else {
        return false;
    };
    let verb = |tokens: &[Token], clause: &Clause| verbs::base(&tokens[clause.main].lower);
    let subject =
        |tokens: &[Token], clause: &Clause| content_of(&tokens[clause.start..clause.subject_end]);
    let same = verb(stated, &one) == verb(reply, &other)
        && subject(stated, &one) == subject(reply, &other);
    same && (answers || verb(stated, &one) == "be")
}

/// A run of words without a match, and the stems on both sides.
struct Gap<'a> {
    items: &'a [Item],
    before: Option<&'a str>,
    after: Option<&'a str>,
}

fn gaps<'a>(items: &'a [Item], matched: &[bool]) -> Vec<Gap<'a>> {
    let mut gaps = Vec::new();
    let mut at = 0;
    while at < items.len() {
        let end = (at..items.len())
            .find(|&end| matched[end])
            .unwrap_or(items.len());
        if end > at && end - at <= 4 {
            let before = at.checked_sub(1).map(|before| items[before].stem.as_str());
            gaps.push(Gap {
                items: &items[at..end],
                before,
                after: items.get(end).map(|item| item.stem.as_str()),
            });
        }
        at = end + 1;
    }
    gaps
}

/// Whether one word or name stands where the statement has another, between words that agree.
fn substituted(mine: &[Item], matched_mine: &[bool], said: &[Item], matched_said: &[bool]) -> bool {
    let stated = gaps(mine, matched_mine);
    gaps(said, matched_said).iter().any(|gap| {
        stated.iter().any(|other| {
            let named = |gap: &Gap| gap.items.iter().all(|item| item.capital);
            let alike = named(gap) && other.items[0].capital
                || gap.items.len() == 1
                    && other.items.len() == 1
                    && gap.items[0].capital == other.items[0].capital
                    && gap.items[0].number == other.items[0].number;
            let open = gap.after.is_none() && (gap.before.is_some() || other.after.is_none());
            alike
                && gap.before == other.before
                && (gap.after == other.after || open)
                && (gap.before.is_some() || gap.after.is_some())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_judged_against_the_statement() {
        let check = |statement: &str, question: &str, reply: &str, expected: Nli| {
            assert_eq!(
                label("Alice", statement, question, reply),
                expected,
                "{reply}"
            )
        };
        let guitar = "Alice plays the guitar.";
        check(
            guitar,
            "What do you play?",
            "I play the guitar.",
            Nli::Entailed,
        );
        check(
            guitar,
            "What do you play?",
            "I play the piano.",
            Nli::Contradicted,
        );
        check(
            guitar,
            "Do you play the guitar?",
            "No, I don't play the guitar.",
            Nli::Contradicted,
        );
        check(
            guitar,
            "Do you play the guitar?",
            "Yes, I do.",
            Nli::Entailed,
        );
        check(guitar, "Do you play the guitar?", "No.", Nli::Contradicted);
        check(
            guitar,
            "What do you play?",
            "I would rather not say.",
            Nli::Neutral,
        );
        check(guitar, "What do you play?", "The piano.", Nli::Contradicted);
        check(
            guitar,
            "Where do you live?",
            "I live in Paris with my sister.",
            Nli::Neutral,
        );
        check(
            "Alice was born in Bonn in 1984.",
            "When were you born?",
            "I was born in 1991.",
            Nli::Contradicted,
        );
        check(
            "Alice does not like dogs.",
            "Do you like dogs?",
            "I like dogs.",
            Nli::Contradicted,
        );
        check(
            "Alice does not like dogs.",
            "Do you like dogs?",
            "No, I do not like dogs.",
            Nli::Entailed,
        );
        check(
            "Alice's mother is a nurse.",
            "Who is your mother?",
            "My mother is a teacher.",
            Nli::Contradicted,
        );
    }
}
