//! What people tell of themselves and each other, by the rules for English pages.

use super::{Offline, english};
use crate::pattern::pattern;
use crate::persona::Listener;

impl Listener for Offline {
    fn told_by(&self, user: &str, text: &str) -> Vec<String> {
        let told = sentences(text).into_iter();
        let told = told.filter(|sentence| words(sentence).iter().any(|word| is_first(word)));
        let told = told.flat_map(|sentence| {
            // The rules read a page, on which a name is its title.
            let sentence = NAME.replace(sentence, "Your name");
            english::statements(user, &sentence)
        });
        told.filter(|statement| is_plain(user, statement)).collect()
    }

    fn told_to(&self, user: &str, text: &str) -> Option<String> {
        let told = sentences(text).into_iter().filter_map(of_user);
        let told = told.flat_map(|claim| english::statements(user, &claim));
        let told = told.filter(|statement| is_plain(user, statement));
        let told: Vec<String> = told
            .map(|statement| english::first_person(user, &statement))
            .collect();
        (!told.is_empty()).then(|| told.join(" "))
    }
}

pattern!(NAME, r"(?i)^my name\b");
pattern!(
    /// What stands in front of a claim: `I remember that`, `you told me`.
    OPENING,
    r"(?i)^(?:\w+, )?(?:I (?:remember|know|knew|think|thought|believe|heard|hear|guess)|you (?:said|told me|mentioned))(?: that)? (your?\b)"
);

/// What a sentence claims of the user: without what stands in front of it, and up to where the speaker comes in.
fn of_user(sentence: &str) -> Option<String> {
    let claim = OPENING.replace(sentence.trim(), "$1");
    let is_own = |clause: &str| words(clause).iter().any(|word| is_first(word));
    let clauses: Vec<&str> = claim
        .split(',')
        .take_while(|clause| !is_own(clause))
        .collect();
    let claim = clauses.join(",");
    let claim = claim.trim_end_matches(['.', '!', ' ']);
    let has_user = words(claim).iter().any(|word| is_second(word));
    has_user.then(|| format!("{}.", english::capitalized(claim)))
}

fn is_first(word: &str) -> bool {
    matches!(word, "i" | "my" | "mine" | "me" | "we" | "our")
}

fn is_second(word: &str) -> bool {
    matches!(word, "you" | "your" | "yours")
}

/// Words in small letters, of contractions what stands in front: `you're` is `you`.
fn words(sentence: &str) -> Vec<String> {
    let words = sentence.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The sentences of a text that ask nothing.
fn sentences(text: &str) -> Vec<&str> {
    let sentences = text.split_inclusive(['.', '!', '?', '\n']).map(str::trim);
    let sentences = sentences.filter(|sentence| !sentence.is_empty());
    sentences
        .filter(|sentence| !sentence.ends_with('?'))
        .collect()
}

/// Whether a statement was read, and not only kept as it stands.
fn is_plain(user: &str, statement: &str) -> bool {
    statement.starts_with(user) && !statement.contains(" – ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_tell_of_themselves_becomes_statements_about_them() {
        for (text, wanted) in [
            (
                "I have a dog called Bruno.",
                &["User has a dog called Bruno."][..],
            ),
            ("Hi! I'm a nurse. What do you do?", &["User is a nurse."]),
            (
                "My sister lives in Riga.",
                &["User's sister lives in Riga."],
            ),
            ("My name is Tom.", &["User's name is Tom."]),
            ("Do I look tired?", &[]),
            ("You have a nice hat.", &[]),
            ("The sea is cold today.", &[]),
            ("", &[]),
        ] {
            assert_eq!(Offline.told_by("User", text), wanted, "{text}");
        }
    }

    #[test]
    fn what_a_reply_says_of_the_user_is_told_as_they_would_say_it() {
        for (text, wanted) in [
            ("You have a cat, I think.", Some("I have a cat.")),
            (
                "Well, I remember that you have a cat.",
                Some("I have a cat."),
            ),
            (
                "You told me your dog is called Bruno.",
                Some("My dog is called Bruno."),
            ),
            (
                "Your sister lives in Cluj.",
                Some("My sister lives in Cluj."),
            ),
            ("You are a nurse. I am a baker.", Some("I am a nurse.")),
            ("I live by the sea.", None),
            ("I like your hat.", None),
            ("Do you like tea?", None),
            ("", None),
        ] {
            assert_eq!(Offline.told_to("User", text).as_deref(), wanted, "{text}");
        }
    }
}
