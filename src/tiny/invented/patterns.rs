//! The sentence patterns of a composed fact: statements, denials, replies, questions, chit-chat.

use std::borrow::Cow;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::kinds::Lines;
use super::predicate::{Aspect, Predicate, plain_says, predicate};
use super::verbs::Verb;

/// Which details a fact has, by the letter of their slot.
#[derive(Default)]
pub(super) struct Details {
    pub(super) relation: Option<char>,
    pub(super) place: Option<char>,
    pub(super) time: Option<char>,
    pub(super) companion: Option<char>,
    pub(super) purpose: Option<char>,
    pub(super) second: Option<(char, usize)>,
}

/// The parts of which the patterns are put together.
pub(super) struct Words {
    pub(super) subject: String,
    pub(super) asked_subject: String,
    pub(super) predicate: Predicate,
    pub(super) tail: String,
    pub(super) second: String,
}

fn add(lines: &mut Lines, code: &str, text: String) {
    lines.add(code, Cow::Owned(text));
}

pub(super) fn state(words: &Words, details: &Details, lines: &mut Lines, rng: &mut ChaCha8Rng) {
    let Words {
        subject,
        predicate,
        tail,
        second,
        ..
    } = words;
    let says = &predicate.says;
    let plain = format!("{subject} {says} {{a}}{tail}{second}");
    let fronted = details.time.map(|time| {
        let rest = tail.replace(&format!(" {{{time}}}"), "");
        format!("{{{time}}} {subject} {says} {{a}}{rest}{second}")
    });
    match fronted {
        Some(fronted) if rng.random_bool(0.25) => {
            add(lines, "s", fronted);
            add(lines, "r", plain);
        }
        Some(fronted) => {
            add(lines, "s", plain);
            add(lines, "r", fronted);
        }
        None => add(lines, "s", plain),
    }
}

pub(super) fn deny(words: &Words, lines: &mut Lines) {
    for denial in &words.predicate.denies {
        add(lines, "n", format!("{} {denial} {{a}}", words.subject));
    }
    let claim = format!("{} {} {{a}}", words.subject, plain_says(&words.predicate));
    for denial in ["it is <not> true that", "<nobody can say> that"] {
        add(lines, "m", format!("{denial} {claim}"));
    }
}

/// What follows when details are left out, and the details alone.
pub(super) fn shorten(
    words: &Words,
    details: &Details,
    aspect: Aspect,
    asks: &str,
    lines: &mut Lines,
) {
    let Words {
        subject, predicate, ..
    } = words;
    let says = &predicate.says;
    add(lines, "p", format!("{subject} {says} {{a}}"));
    if asks != "Where" {
        let what = if asks == "Who" { "the one" } else { "what" };
        add(
            lines,
            "r",
            format!("{what} {subject} {says}{}{}", past_is(aspect), words.tail),
        );
        add(lines, "p", format!("{subject} {says} {{a}}, not {{a*}}"));
    }
    for letter in [
        details.place,
        details.time,
        details.companion,
        details.purpose,
    ]
    .into_iter()
    .flatten()
    {
        let before = if Some(letter) == details.companion {
            "with "
        } else {
            ""
        };
        add(
            lines,
            "p",
            format!("{subject} {says} {{a}} {before}{{{letter}}}"),
        );
        add(
            lines,
            "p",
            format!(
                "it {} {before}{{{letter}}} that {subject} {says} {{a}}",
                past_is(aspect).split(' ').nth(1).unwrap_or("is")
            ),
        );
        add(lines, "f", format!("{before}{{{letter}}}"));
    }
    if let Some(letter) = details.relation {
        add(
            lines,
            "p",
            format!(
                "it {} my {{{letter}}} who {says} {{a}}",
                past_is(aspect).split(' ').nth(1).unwrap_or("is")
            ),
        );
        add(lines, "f", format!("my {{{letter}}}"));
    }
    add(lines, "f", "{a}".to_owned());
}

/// Things to say with the same words that leave the fact open.
pub(super) fn chat(verb: &Verb, intransitive: bool, lines: &mut Lines) {
    let Verb {
        base,
        past,
        participle,
        gerund,
        ..
    } = verb;
    let mut chatter = vec![
        format!("I know somebody who {past} {{a}}"),
        format!("have you ever {participle} {{a}}?"),
        format!("some people {base} {{a}}"),
        format!("{gerund} {{a}} isn't for everyone"),
        format!("is it hard to {base} {{a}}?"),
        format!("not everybody can {base} {{a}}"),
        format!("I read about people who {base} {{a}}"),
        format!("the neighbours talk about {gerund} {{a}}"),
    ];
    if !intransitive {
        let about = [
            "{a}? I have heard that before",
            "someone told me a story about {a}",
            "{a} would make a good title for a song",
            "I had a dream about {a}",
            "what made you think of {a}?",
        ];
        chatter.extend(about.map(str::to_owned));
    }
    for text in chatter {
        add(lines, "x", text);
    }
}

fn past_is(aspect: Aspect) -> &'static str {
    if matches!(aspect, Aspect::Past | Aspect::Former) {
        " was {a}"
    } else {
        " is {a}"
    }
}

pub(super) fn ask(words: &Words, details: &Details, asks: &str, verb: &Verb, lines: &mut Lines) {
    let Words {
        asked_subject,
        predicate,
        ..
    } = words;
    let Predicate {
        auxiliary, asked, ..
    } = predicate;
    let clause = format!("{auxiliary} {asked_subject} {asked}");
    let bare = asked.replace("ever ", "");
    let wh = format!("{auxiliary} {asked_subject} {bare}");
    add(lines, "q+a", format!("{} {wh}?", asks.to_lowercase()));
    add(
        lines,
        "q+a",
        format!(
            "can you tell me {} {asked_subject} {}?",
            asks.to_lowercase(),
            plain_says(predicate)
        ),
    );
    if let Some(letter) = details.place {
        add(lines, &format!("q+{letter}"), format!("where {wh} {{a}}?"));
    }
    if let Some(letter) = details.time {
        add(
            lines,
            &format!("q+{letter}"),
            format!(
                "{} {wh} {{a}}?",
                if auxiliary == &"do" || auxiliary == &"does" {
                    "when or how often"
                } else {
                    "when"
                }
            ),
        );
        add(lines, "y", format!("{clause} {{a}} {{{letter}}}?"));
    }
    for letter in [details.place, details.purpose].into_iter().flatten() {
        add(lines, "y", format!("{clause} {{a}} {{{letter}}}?"));
    }
    if let Some(letter) = details.companion {
        add(
            lines,
            &format!("q+{letter}"),
            format!("who {wh} {{a}} with?"),
        );
    }
    if let Some(letter) = details.purpose {
        add(lines, &format!("q+{letter}"), format!("why {wh} {{a}}?"));
        add(
            lines,
            &format!("q+{letter}"),
            format!("for what or whom {wh} {{a}}?"),
        );
    }
    if let Some(letter) = details.relation {
        add(
            lines,
            &format!("q+{letter}"),
            format!("who {} {{a}}?", plain_says(predicate)),
        );
    }
    let topic = if asks == "Where" {
        format!("{} {{a}}", verb.gerund)
    } else {
        "{a}".to_owned()
    };
    let whose = if details.relation.is_some() {
        asked_subject
    } else {
        "yourself"
    };
    let open = [
        format!("is there anything to say about {whose} and {topic}?"),
        format!("what can you tell me about {topic}?"),
        format!("tell me about {topic}."),
        format!(
            "what is the story of {} and {topic}?",
            if whose == "yourself" { "you" } else { whose }
        ),
        format!("let's talk about {topic}."),
        format!("what comes to mind when you think of {topic}?"),
        format!("what about {} {{a}}?", verb.gerund),
        format!("tell me about {whose} and {topic}."),
    ];
    let first = words.tail.len() + verb.base.len();
    for idx in [0, 3, 5] {
        add(lines, "q", open[(first + idx) % open.len()].clone());
    }
    add(lines, "y", format!("{clause} {{a}}?"));
    add(
        lines,
        "y",
        format!(
            "is it true that {asked_subject} {} {{a}}?",
            plain_says(predicate)
        ),
    );
}

pub(super) fn second_predicate(
    words: &Words,
    letter: char,
    verb: &Verb,
    aspect: Aspect,
    other_person: bool,
    lines: &mut Lines,
) {
    let predicate = predicate(verb, aspect, other_person);
    add(
        lines,
        "p",
        format!("{} {} {{{letter}}}", words.subject, predicate.says),
    );
    add(
        lines,
        "m",
        format!("{} {} {{{letter}}}", words.subject, predicate.denies[0]),
    );
    let clause = format!(
        "{} {} {}",
        predicate.auxiliary, words.asked_subject, predicate.asked
    );
    add(lines, &format!("q+{letter}"), format!("what {clause}?"));
    add(lines, "y", format!("{clause} {{{letter}}}?"));
}
