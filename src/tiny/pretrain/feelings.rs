//! What somebody says who likes, dislikes or fears a thing.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::invented::pick;
use super::whether;
use crate::tiny::english::is_plural;

use Feeling::{Dislikes, Fears, Likes};

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
/// Verbs of fear.
const FEARS: [&str; 5] = [
    "is afraid of",
    "is scared of",
    "is terrified of",
    "is frightened of",
    "dreads",
];

/// Questions to which who likes a thing says yes.
const ASKS_LIKING: [&str; 6] = [
    "Do you like {}?",
    "Are you fond of {}?",
    "Do you enjoy {}?",
    "You like {}, don't you?",
    "Are you a fan of {}?",
    "I suppose you love {}?",
];
/// Questions to which who dislikes a thing says yes.
const ASKS_DISLIKE: [&str; 3] = [
    "Do you hate {}?",
    "Is it true that you hate {}?",
    "You dislike {}, I hear?",
];
/// Questions to which who fears a thing says yes.
const ASKS_FEAR: [&str; 4] = [
    "Are you afraid of {}?",
    "Are you scared of {}?",
    "You are frightened of {}, aren't you?",
    "Is it true that you dread {}?",
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
const SAYS_FEAR: [&str; 11] = [
    "I'm afraid of {}.",
    "I'm scared of {}.",
    "I'm terrified of {}!",
    "I'm really frightened of {}.",
    "I dread {}.",
    "I can't go near {}.",
    "I keep well away from {}.",
    "I've always been afraid of {}.",
    "I've been scared of {} since I was small.",
    "Scared of {}, me.",
    "I shake when I think of {}.",
];
/// Replies of fear in which the thing is the subject: "it", "they".
const SCARES: [(&str, &str); 3] = [
    ("It scares me.", "They scare me."),
    ("It frightens me.", "They frighten me."),
    ("It scares me to death!", "They scare me to death!"),
];
/// What somebody feels about a thing. Fear and dislike leave each other open; liking contradicts both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feeling {
    Likes,
    Dislikes,
    Fears,
}

impl Feeling {
    pub(super) fn verbs(self) -> &'static [&'static str] {
        match self {
            Likes => &LIKES,
            Dislikes => &DISLIKES,
            Fears => &FEARS,
        }
    }

    /// What somebody says who feels so.
    fn says(self) -> &'static [&'static str] {
        match self {
            Likes => &SAYS_LIKING,
            Dislikes => &SAYS_DISLIKE,
            Fears => &SAYS_FEAR,
        }
    }

    /// Questions to which somebody says yes who feels so.
    fn asks(self) -> &'static [&'static str] {
        match self {
            Likes => &ASKS_LIKING,
            Dislikes => &ASKS_DISLIKE,
            Fears => &ASKS_FEAR,
        }
    }
}

/// A question about a thing and a reply that says what somebody feels about it.
///
/// - stated: what the statement says. Where a bare yes or no would not tell (asked about fear, when the statement says dislike), the
///   feeling is said as well.
pub(super) fn talk(
    thing: &str,
    stated: Feeling,
    says: Feeling,
    rng: &mut ChaCha8Rng,
) -> (String, String) {
    let said = said(thing, says, rng);
    let asked = match rng.random_range(0..8) {
        0..4 => Likes,
        // Who likes the thing answers the other questions, too; who dislikes or fears it only the question for that.
        4 if says == Likes => Fears,
        5 if says == Likes => Dislikes,
        4 | 5 => says,
        _ => return (pick(&ASKS_OPENLY, rng).replace("{}", thing), said),
    };
    let question = question(thing, asked, rng);
    let tells = asked == stated || asked == Likes && stated == Dislikes;
    let reply = match (rng.random_bool(0.25), tells) {
        (true, _) => said,
        (false, true) => whether::reply(&question, says == asked, Some(&small(&said)), rng),
        (false, false) => {
            let word = if says == asked { "Yes" } else { "No" };
            format!("{word}, {}", small(&said))
        }
    };
    (question, reply)
}

/// A question to which somebody says yes who feels so.
pub(super) fn question(thing: &str, feeling: Feeling, rng: &mut ChaCha8Rng) -> String {
    pick(feeling.asks(), rng).replace("{}", thing)
}

/// What somebody says who feels so about a thing.
fn said(thing: &str, feeling: Feeling, rng: &mut ChaCha8Rng) -> String {
    let named = if rng.random_bool(0.7) {
        pronoun(thing)
    } else {
        thing
    };
    if feeling == Fears && rng.random_bool(0.25) {
        let (it, they) = SCARES[rng.random_range(0..SCARES.len())];
        match named {
            "it" => return it.to_string(),
            "them" => return they.to_string(),
            _ => {}
        }
    }
    pick(feeling.says(), rng).replace("{}", named)
}

/// Whether a statement says what somebody likes, dislikes or fears, so that it leaves open what they feel about anything else.
pub(super) fn states_feeling(statement: &str) -> bool {
    let mut verbs = [Likes, Dislikes, Fears]
        .into_iter()
        .flat_map(Feeling::verbs);
    verbs.any(|verb| statement.contains(&format!(" {verb} ")))
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
    use super::*;

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
    fn a_feeling_is_told_by_its_verb() {
        for (statement, expected) in [
            ("Ada loves winter.", true),
            ("Ada cannot stand rain.", true),
            ("Ada is afraid of dogs.", true),
            ("Ada plays the cello.", false),
        ] {
            assert_eq!(states_feeling(statement), expected, "{statement}");
        }
    }
}
