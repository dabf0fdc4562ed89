//! `Field: text` lines as whole sentences about the character.

use super::templates::from_template;
use crate::tiny::english::clause;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{join, tokenize};
use crate::tiny::english::words::verbs::{self, PAST, THIRD};
use crate::tiny::english::words::wording::{decapitalized, genitive};

/// The sentences a field stands for, each naming the character or using a pronoun for it.
pub(crate) fn sentences(names: &Names, field: &str, text: &str) -> Vec<String> {
    let key = field.to_lowercase();
    if matches!(
        key.as_str(),
        "quote"
            | "quotes"
            | "source"
            | "sources"
            | "references"
            | "image"
            | "caption"
            | "see also"
            | "pronouns"
            | "tags"
            | "links"
    ) {
        return Vec::new();
    }
    let mut sentences = Vec::new();
    for part in sentences::sentences(text) {
        let bare = part.trim_end_matches(['.', ';', ',', '!']).trim();
        let template = sentences.is_empty();
        if !bare.contains(char::is_alphanumeric) {
            continue;
        }
        if is_sentence(names, &part) {
            sentences.push(of_relative(names, &key, &part));
        } else if let Some(sentence) = from_predicate(names, bare) {
            sentences.push(sentence);
        } else if template && let Some(sentence) = from_template(names, field.trim(), &key, bare) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// Whether the text has a subject and a finite verb.
fn is_sentence(names: &Names, text: &str) -> bool {
    let tokens = names.tag_names(text);
    let Some(clause) = clause::parse(&tokens) else {
        return false;
    };
    let pronoun = tokens[clause.start].is_any(&[
        "he", "she", "they", "it", "i", "you", "we", "her", "his", "their", "my", "your", "this",
        "these", "the",
    ]);
    let verb = &tokens[clause.verb].lower;
    tokens[clause.start].me
        || pronoun
        || verbs::is_auxiliary(verb)
        || (verbs::known(verb).is_some() && text.ends_with('.'))
}

/// In a field on a relative, a pronoun that opens the sentence means the relative.
fn of_relative(names: &Names, key: &str, sentence: &str) -> String {
    let mut tokens = tokenize(sentence);
    let gender = Gender::of_word(key);
    let person = gender.is_some()
        || (people::is_person_word(key) && !grammar::is_plural(key) && !people::is_job(key));
    if person && let Some(first) = tokens.first_mut() {
        let nominative = Gender::of_pronoun(&first.lower)
            .filter(|&shown| gender.is_none_or(|gender| gender == shown));
        if nominative.is_some_and(|shown| first.is(shown.forms()[0])) {
            first.text = format!("{} {key}", genitive(&names.character));
            return join(&tokens);
        }
    }
    sentence.to_owned()
}

/// `Plays the guitar`, `Born in Bonn`, `A loyal friend`, `Brave and loyal`: the subject is added.
fn from_predicate(names: &Names, text: &str) -> Option<String> {
    let tokens = tokenize(text);
    let first = tokens.first()?;
    let name = &names.character;
    if tokens.len() < 2 {
        return None;
    }
    if first.is_any(&["born", "raised", "trained", "married", "known", "adopted"]) {
        return Some(format!("{name} was {}.", decapitalized(&tokens)));
    }
    let forms = verbs::known(&first.lower).map_or(0, |(_, forms)| forms);
    let second = &tokens[1];
    let object = second.is_any(&[
        "to", "in", "on", "at", "with", "for", "as", "from", "about", "by",
    ]) || grammar::is_determiner(&second.lower)
        || verbs::is_adverb(&second.lower);
    let finite = verbs::is_auxiliary(&first.lower)
        || (forms & THIRD != 0 && !second.is_any(&["and", ","]))
        || (forms & PAST != 0 && object);
    if finite && first.is_capital() && !first.is_any(&["do", "can", "may", "might", "must", "will"])
    {
        return Some(format!("{name} {}.", decapitalized(&tokens)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, text: &str, expected: &[&str]) {
        assert_eq!(sentences(&Names::new("Alice"), field, text), expected);
    }

    #[test]
    fn known_fields_have_their_own_wording() {
        check("Age", "26", &["Alice is 26 years old."]);
        check("Personality", "???", &[]);
        check("Looks", "★★★; …", &[]);
        check("Occupation", "Engineer", &["Alice is an engineer."]);
        check("Hair", "Long and red", &["Alice has long and red hair."]);
        check("Birthday", "3 May 1990", &["Alice was born on 3 May 1990."]);
        check(
            "Personality",
            "Introverted, loyal",
            &["Alice is introverted and loyal."],
        );
        check(
            "Languages",
            "French and German",
            &["Alice speaks French and German."],
        );
    }

    #[test]
    fn unknown_fields_name_themselves() {
        check(
            "Hobbies",
            "Painting, chess and hiking",
            &["Alice's hobbies are painting, chess and hiking."],
        );
        check(
            "Favourite food",
            "Pizza",
            &["Alice's favourite food is pizza."],
        );
        check("Mother", "Anna", &["Alice's mother is Anna."]);
    }

    #[test]
    fn sentences_after_the_colon_stay() {
        check(
            "Talent",
            "She plays the violin. Sings well.",
            &["She plays the violin.", "Alice sings well."],
        );
        check("Mother", "She is a nurse.", &["Alice's mother is a nurse."]);
    }
}
