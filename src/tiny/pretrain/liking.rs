//! Replies that say whether somebody likes a thing. Corpora have far more statements about dislikes than about likes, and a judge
//! that learns from these alone takes every "I hate it" for a right reply.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::corpus::Persona;
use super::invented::pick;
use super::pairs::Pair;
use super::whether;
use crate::persona::Nli;
use crate::tiny::english::{is_person_word, is_plural};

/// How many statements of liking, and as many of dislike, are made for each thing in a pass.
const DRAWS: usize = 2;
/// The most words of a thing.
const LONGEST: usize = 5;

/// Verbs of statements about what is liked.
const LIKES: [&str; 8] = [
    "loves",
    "likes",
    "enjoys",
    "adores",
    "is fond of",
    "is very fond of",
    "is mad about",
    "is a great fan of",
];
/// Verbs of statements about what is not.
const DISLIKES: [&str; 9] = [
    "hates",
    "dislikes",
    "cannot stand",
    "cannot bear",
    "does not like",
    "detests",
    "loathes",
    "is not fond of",
    "has no liking for",
];
/// Verbs of fear. They only supply things to talk about: a fear is not a dislike.
const FEARS: [&str; 3] = ["is afraid of", "is scared of", "is terrified of"];

/// Questions that somebody who likes a thing answers with yes.
const ASKS_LIKING: [&str; 6] = [
    "Do you like {}?",
    "Are you fond of {}?",
    "Do you enjoy {}?",
    "You like {}, don't you?",
    "Are you a fan of {}?",
    "I suppose you love {}?",
];
/// Questions that somebody who dislikes a thing answers with yes.
const ASKS_DISLIKE: [&str; 3] = [
    "Do you hate {}?",
    "Is it true that you hate {}?",
    "You dislike {}, I hear?",
];
/// Questions that want more than yes or no.
const ASKS_OPENLY: [&str; 3] = [
    "What do you think of {}?",
    "How do you feel about {}?",
    "What do you say to {}?",
];

const SAYS_LIKING: [&str; 13] = [
    "I love {}.",
    "I love {}!",
    "I like {}.",
    "I like {} a lot.",
    "I do like {}.",
    "I really enjoy {}.",
    "I adore {}!",
    "I'm very fond of {}.",
    "I can't get enough of {}.",
    "I've always loved {}.",
    "Love {}.",
    "Big fan of {}, me.",
    "I could never do without {}.",
];
const SAYS_DISLIKE: [&str; 13] = [
    "I hate {}.",
    "I hate {}!",
    "I don't like {}.",
    "I don't like {} at all.",
    "I do hate {}.",
    "I really dislike {}.",
    "I can't stand {}!",
    "I'm not fond of {}.",
    "I can't bear {}.",
    "I've always hated {}.",
    "Hate {}.",
    "No fan of {}, me.",
    "I could gladly do without {}.",
];
/// What tells nothing, whatever is asked.
const TELLS_NOTHING: [&str; 8] = [
    "Why do you ask?",
    "Do you?",
    "You tell me first.",
    "What a question.",
    "Who wants to know?",
    "Let's talk of something else.",
    "Ask me tomorrow.",
    "People keep asking me that.",
];

/// Pairs of all statements about what somebody likes, dislikes or fears, with replies about the same thing and about another; as many
/// in every call.
pub(super) fn liking_pairs<'a>(personas: &'a [Persona], rng: &mut ChaCha8Rng) -> Vec<Pair<'a>> {
    let mut found: Vec<(&str, Thing)> = Vec::new();
    for persona in personas {
        let name = persona.name();
        let things = persona
            .statements()
            .into_iter()
            .filter_map(|statement| Thing::of(name, statement));
        found.extend(things.map(|thing| (name, thing)));
    }
    let mut pairs = Vec::new();
    for (name, thing) in &found {
        for likes in [true, false].repeat(DRAWS) {
            let statement = thing.stated(name, likes, rng);
            for (says, label) in [(likes, Nli::Entailed), (!likes, Nli::Contradicted)] {
                let (query, reply) = talk(&thing.name, says, rng);
                pairs.push(Pair::new(statement.clone(), query, reply, label));
            }
            // About something unrelated, or what says nothing.
            let open = match found.choose(rng) {
                Some((_, other)) if !other.shares_word(thing) && rng.random_bool(0.5) => {
                    talk(&other.name, rng.random_bool(0.5), rng)
                }
                _ => {
                    let (query, _) = talk(&thing.name, true, rng);
                    (query, pick(&TELLS_NOTHING, rng).to_string())
                }
            };
            pairs.push(Pair::new(statement, open.0, open.1, Nli::Neutral));
        }
    }
    pairs
}

/// What a statement says that somebody likes or not.
struct Thing {
    name: String,
    /// The statement in which it was found, and whether that says that it is liked; none if it says that the thing is feared, which is not the same as disliked.
    stated: Option<(String, bool)>,
}

impl Thing {
    /// None if the statement is about something else, or the thing is not told in a few words that anybody could say.
    fn of(character: &str, statement: &str) -> Option<Self> {
        /// Words that begin what is no part of the thing.
        const ENDS: [&str; 8] = [
            ", ",
            " because ",
            " since ",
            " though ",
            " although ",
            " when ",
            " unless ",
            " so ",
        ];
        /// Things with one of these words are skipped: several things, a comparison, or a pronoun that a reply would have to change.
        const NOT_ALONE: [&str; 25] = [
            "all",
            "any",
            "every",
            "and",
            "or",
            "but",
            "who",
            "than",
            "more",
            "less",
            "above",
            "passion",
            "he",
            "she",
            "his",
            "her",
            "him",
            "their",
            "them",
            "himself",
            "herself",
            "to",
            "it",
            "nothing",
            "everything",
        ];
        let said = statement
            .strip_prefix(character)?
            .strip_prefix(' ')?
            .strip_suffix('.')?;
        let behind = |verbs: &[&str]| {
            let rests = verbs
                .iter()
                .filter_map(|verb| said.strip_prefix(verb)?.strip_prefix(' '));
            rests.min_by_key(|rest| rest.len()).map(str::to_string)
        };
        let (rest, likes) = match (behind(&LIKES), behind(&DISLIKES), behind(&FEARS)) {
            (Some(rest), _, _) => (rest, Some(true)),
            (_, Some(rest), _) => (rest, Some(false)),
            (_, _, Some(rest)) => (rest, None),
            _ => return None,
        };
        let end = ENDS.iter().filter_map(|end| rest.find(end)).min();
        let name = &rest[..end.unwrap_or(rest.len())];
        let words: Vec<&str> = name.split(' ').collect();
        let is_plain = name.starts_with(char::is_lowercase)
            && words.len() <= LONGEST
            && !words
                .iter()
                .any(|word| NOT_ALONE.contains(word) || is_person_word(word));
        is_plain.then(|| Self {
            name: name.to_string(),
            stated: likes.map(|likes| (statement.to_string(), likes)),
        })
    }

    /// Whether a reply about the one may be about the other: "dogs" and "big dogs".
    fn shares_word(&self, other: &Self) -> bool {
        self.name
            .split(' ')
            .any(|word| other.name.split(' ').any(|other| word == other))
    }

    /// A statement that somebody likes or dislikes it: half of the time the one in which it was found, if that says so.
    fn stated(&self, character: &str, likes: bool, rng: &mut ChaCha8Rng) -> String {
        match &self.stated {
            Some((statement, found)) if *found == likes && rng.random_bool(0.5) => {
                statement.clone()
            }
            _ => {
                let verb = if likes {
                    pick(&LIKES, rng)
                } else {
                    pick(&DISLIKES, rng)
                };
                format!("{character} {verb} {}.", self.name)
            }
        }
    }
}

/// A question about a thing and a reply of somebody who likes or dislikes it.
fn talk(thing: &str, likes: bool, rng: &mut ChaCha8Rng) -> (String, String) {
    let says = if likes { &SAYS_LIKING } else { &SAYS_DISLIKE };
    let named = if rng.random_bool(0.7) {
        pronoun(thing)
    } else {
        thing
    };
    let said = pick(says, rng).replace("{}", named);
    let (question, is_yes) = match rng.random_range(0..4) {
        0 | 1 => (pick(&ASKS_LIKING, rng), likes),
        2 => (pick(&ASKS_DISLIKE, rng), !likes),
        _ => return (pick(&ASKS_OPENLY, rng).replace("{}", thing), said),
    };
    let question = question.replace("{}", thing);
    let reply = match rng.random_bool(0.25) {
        true => said,
        false => whether::reply(&question, is_yes, Some(&small(&said)), rng),
    };
    (question, reply)
}

/// A sentence as it goes on behind a comma.
fn small(sentence: &str) -> String {
    match sentence.split([' ', '\'']).next() {
        Some("I") => sentence.to_string(),
        _ => sentence[..1].to_lowercase() + &sentence[1..],
    }
}

/// "It" or "them" for a thing, by the last noun before a preposition or clause. The thing itself where that is unclear ("ironing shirts").
fn pronoun(thing: &str) -> &str {
    const MORE: [&str; 17] = [
        "of", "in", "on", "at", "with", "from", "outside", "about", "by", "near", "for", "under",
        "which", "that", "made", "cooked", "called",
    ];
    let words: Vec<&str> = thing
        .split(' ')
        .take_while(|word| !MORE.contains(word))
        .collect();
    let is_action = words.first().is_some_and(|word| word.ends_with("ing"));
    let head = words.last().unwrap_or(&thing);
    let is_many = is_plural(head) || head.ends_with("men");
    match (is_action, is_many) {
        // "Flying insects", but also "ironing shirts".
        (true, true) => thing,
        (_, true) => "them",
        (_, false) => "it",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::recipe::example_rng;
    use super::*;

    fn persona(statements: &[&str]) -> Persona {
        let line = |statement: &&str| {
            let line = serde_json::json!({"s": statement, "q": ["And?"]});
            serde_json::from_value(line).unwrap()
        };
        Persona {
            lines: statements.iter().map(line).collect(),
        }
    }

    #[test]
    fn things_are_told_in_a_few_words_without_anybody_else() {
        let thing = |statement| Thing::of("Ada", statement).map(|thing| thing.name);
        for (statement, wanted) in [
            (
                "Ada loves old comedies, the older the better.",
                Some("old comedies"),
            ),
            ("Ada is very fond of ironing.", Some("ironing")),
            ("Ada is afraid of dogs.", Some("dogs")),
            ("Ada is afraid of dogs and ghosts.", None),
            ("Ada likes cats far less than dogs.", None),
            ("Ada hates the old king.", None),
            (
                "Ada does not like the taste of mint.",
                Some("the taste of mint"),
            ),
            ("Ada loves her aunt.", None),
            ("Ada hates Leeds.", None),
            ("Ada loves to swim.", None),
            ("Ada sells old comedies.", None),
            ("Bo loves old comedies.", None),
        ] {
            assert_eq!(thing(statement).as_deref(), wanted, "{statement}");
        }
    }

    #[test]
    fn one_thing_is_it_and_many_are_them() {
        for (thing, wanted) in [
            ("old comedies", "them"),
            ("rain", "it"),
            ("chess", "it"),
            ("white mice", "them"),
            ("the smell of onions", "it"),
            ("frogs of any kind", "them"),
            ("swimming", "it"),
            ("wines made from figs", "them"),
            ("ironing shirts", "ironing shirts"),
        ] {
            assert_eq!(pronoun(thing), wanted, "{thing}");
        }
    }

    #[test]
    fn a_reply_follows_where_it_likes_what_the_statement_likes() {
        let personas = [persona(&[
            "Ada loves opera.",
            "Ada hates trams.",
            "Ada is scared of owls.",
        ])];
        const LIKING: [&str; 10] = [
            "love",
            "like",
            "enjoy",
            "adore",
            "fond",
            "enough",
            "big fan",
            "never do without",
            "very much",
            "yes",
        ];
        const DISLIKE: [&str; 8] = [
            "hate", "dislike", "n't like", "stand", "not fond", "bear", "no fan", "gladly",
        ];
        let mut found = BTreeSet::new();
        for number in 0..300 {
            let pairs = liking_pairs(&personas, &mut example_rng(1, number));
            assert_eq!(pairs.len(), 3 * 2 * DRAWS * 3);
            for pair in pairs {
                let input = pair.input();
                let [query, reply] = [input.query, input.response].map(str::to_lowercase);
                let has = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
                let thing = ["opera", "trams", "owls"].map(|thing| input.statement.contains(thing));
                let asked = ["opera", "trams", "owls"].map(|thing| query.contains(thing));
                let says_nothing = TELLS_NOTHING.contains(&input.response);
                let is_open = thing != asked || says_nothing;
                assert_eq!(pair.label == Nli::Neutral, is_open, "{input:?}");
                if is_open {
                    continue;
                }
                let stated = LIKES
                    .iter()
                    .any(|verb| input.statement.contains(&format!(" {verb} ")));
                let is_named = has(&reply, &LIKING[..9]) || has(&reply, &DISLIKE);
                let agrees = has(
                    &reply,
                    &[
                        "yes",
                        "yep",
                        "yeah",
                        "sure",
                        "of course.",
                        "that's",
                        "i do.",
                        "i am.",
                    ],
                );
                let replied = match is_named {
                    true => !has(&reply, &DISLIKE),
                    false => agrees != has(&query, &["hate", "dislike"]),
                };
                assert_eq!(pair.label == Nli::Entailed, stated == replied, "{input:?}");
                found.insert((stated, replied, agrees));
            }
        }
        assert_eq!(found.len(), 8, "each with and without a yes");
    }
}
