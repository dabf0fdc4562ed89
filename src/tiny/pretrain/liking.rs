//! Replies that say whether somebody likes, dislikes or fears a thing. Corpora have far more statements about dislikes than about
//! likes, and a judge that learns from these alone takes every "I hate it" for a right reply.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::corpus::Persona;
use super::feelings::{
    Feeling::{self, Dislikes, Fears, Likes},
    question, talk,
};
use super::invented::pick;
use super::pairs::Pair;
use crate::persona::Nli;
use crate::tiny::english::is_person_word;

/// What the statements say that are made for each thing in a pass.
const STATED: [Feeling; 5] = [Likes, Dislikes, Likes, Dislikes, Fears];
/// The share of replies against a liking that tell of fear, not of dislike.
const AFRAID: f64 = 0.3;
/// The most words of a thing.
const LONGEST: usize = 5;

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
        for feels in STATED {
            let statement = thing.stated(name, feels, rng);
            let contrary = match feels {
                Likes if rng.random_bool(AFRAID) => Fears,
                Likes => Dislikes,
                Dislikes | Fears => Likes,
            };
            for (says, label) in [(feels, Nli::Entailed), (contrary, Nli::Contradicted)] {
                let (query, reply) = talk(&thing.name, feels, says, rng);
                pairs.push(Pair::new(statement.clone(), query, reply, label));
            }
            // About something unrelated, or what says nothing.
            let open = match found.choose(rng) {
                Some((_, other)) if !other.shares_word(thing) && rng.random_bool(0.5) => {
                    let says = [Likes, Dislikes, Fears][rng.random_range(0..3)];
                    talk(&other.name, feels, says, rng)
                }
                _ => {
                    let query = question(&thing.name, feels, rng);
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
    /// The statement in which it was found, and what that says of it.
    statement: String,
    felt: Feeling,
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
            "all",
            "any",
            "every",
        ];
        let said = statement
            .strip_prefix(character)?
            .strip_prefix(' ')?
            .strip_suffix('.')?;
        let behind = |felt: Feeling| {
            let rests = felt
                .verbs()
                .iter()
                .filter_map(|verb| said.strip_prefix(verb)?.strip_prefix(' '));
            Some((rests.min_by_key(|rest| rest.len())?, felt))
        };
        let (rest, felt) = [Likes, Dislikes, Fears].into_iter().find_map(behind)?;
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
            statement: statement.to_string(),
            felt,
        })
    }

    /// Whether a reply about the one may be about the other: "dogs" and "big dogs".
    fn shares_word(&self, other: &Self) -> bool {
        self.name
            .split(' ')
            .any(|word| other.name.split(' ').any(|other| word == other))
    }

    /// A statement of what somebody feels about it: half of the time the one in which it was found, if that says so.
    fn stated(&self, character: &str, feels: Feeling, rng: &mut ChaCha8Rng) -> String {
        match self.felt == feels && rng.random_bool(0.5) {
            true => self.statement.clone(),
            false => format!("{character} {} {}.", pick(feels.verbs(), rng), self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::corpus;
    use super::super::recipe::example_rng;
    use super::super::whether::tests::says_yes;
    use super::*;

    fn persona(statements: &[&str]) -> Persona {
        Persona {
            lines: statements
                .iter()
                .map(|statement| corpus::tests::line(statement))
                .collect(),
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
    fn a_reply_follows_where_it_likes_or_fears_what_the_statement_says() {
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
        const AGAINST: [&str; 16] = [
            "hate",
            "dislike",
            "n't like",
            "stand",
            "not fond",
            "bear",
            "no fan",
            "gladly",
            "afraid",
            "scare",
            "terrif",
            "fright",
            "dread",
            "near",
            "away from",
            "shake",
        ];
        let mut found = BTreeSet::new();
        for number in 0..300 {
            let pairs = liking_pairs(&personas, &mut example_rng(1, number));
            assert_eq!(pairs.len(), 3 * STATED.len() * 3);
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
                let stated = Likes
                    .verbs()
                    .iter()
                    .any(|verb| input.statement.contains(&format!(" {verb} ")));
                let is_named = has(&reply, &LIKING[..9]) || has(&reply, &AGAINST);
                let agrees = says_yes(input.response);
                let fears = Fears
                    .verbs()
                    .iter()
                    .any(|verb| input.statement.contains(&format!(" {verb} ")));
                let asks_fear = has(&query, &["afraid", "scared", "frightened", "dread"]);
                let asks_dislike = has(&query, &["hate", "dislike"]);
                let replied = match is_named {
                    true => !has(&reply, &AGAINST),
                    false => {
                        let is_told = match (stated, fears) {
                            (true, _) => !asks_fear && !asks_dislike,
                            (_, true) => asks_fear,
                            _ => !asks_fear,
                        };
                        assert!(is_told, "{input:?} says only yes or no");
                        agrees != has(&query, &AGAINST)
                    }
                };
                assert_eq!(pair.label == Nli::Entailed, stated == replied, "{input:?}");
                found.insert((stated, replied, agrees, fears));
            }
        }
        assert_eq!(
            found.len(),
            12,
            "likes, dislikes and fears, right and wrong, each with and without a yes"
        );
    }
}
