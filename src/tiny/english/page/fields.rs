//! `Field: text` lines as whole sentences about the character.

use super::templates::from_template;
use crate::tiny::english::clause;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{Token, join, tokenize};
use crate::tiny::english::words::verbs::{self, PAST, THIRD};
use crate::tiny::english::words::wording::{decapitalized, genitive};

/// The parts of a field's text, each with the sentence it stands for, which names the character or has a pronoun for it.
pub(crate) fn sentences(names: &Names, field: &str, text: &str) -> Vec<(String, Option<String>)> {
    let key = field.to_lowercase();
    let parts = sentences::sentences(text);
    let mut found = false;
    let mut read = Vec::new();
    for part in parts {
        let bare = part.trim_end_matches(['.', ';', ',', '!']).trim();
        if !bare.contains(char::is_alphanumeric) {
            continue;
        }
        let sentence = if is_sentence(names, &part) {
            Some(of_relative(names, &key, &part))
        } else if let Some(begun) = begun_by(names, field) {
            Some(format!("{begun} {}.", decapitalized(&tokenize(bare))))
        } else if let Some(sentence) = from_predicate(&subject_of(names, field), bare) {
            Some(sentence)
        } else if found || part.ends_with(['?', '!']) {
            // What is asked or exclaimed is no value of a field.
            None
        } else if field.trim().is_empty() {
            from_fragment(names, bare)
        } else {
            from_template(names, field.trim(), &key, bare)
        };
        found |= sentence.is_some();
        let piece = match field.trim() {
            "" => part,
            name => format!("{name}: {part}"),
        };
        read.push((piece, sentence));
    }
    read
}

/// Whether a field describes the page, not the character.
pub(crate) fn is_metadata(key: &str) -> bool {
    matches!(
        key,
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
            | "genre"
            | "links"
    )
}

/// A field that begins the sentence itself: `Bruno knows: three recipes`.
fn begun_by<'a>(names: &Names, field: &'a str) -> Option<&'a str> {
    let tokens = names.tag_names(field);
    let verb = tokens.get(1)?;
    let is_verb = verbs::known(&verb.lower).is_some_and(|(_, forms)| forms & (THIRD | PAST) != 0);
    (tokens[0].me && is_verb).then_some(field.trim())
}

/// Whom a field's predicate is about: a person that it names, or the character.
fn subject_of(names: &Names, field: &str) -> String {
    let mut words = tokenize(field);
    let is_person = people::is_person_word_of(field)
        || words
            .first()
            .is_some_and(|first| people::is_person_word_of(&first.lower));
    if !is_person
        || words
            .iter()
            .any(|word| names.character.contains(&word.text))
    {
        return names.character.clone();
    }
    match words.first_mut() {
        Some(first) if !people::is_name(&first.lower) => {
            first.text = first.lower.clone();
            format!("{} {}", genitive(&names.character), join(&words))
        }
        _ => field.trim().to_owned(),
    }
}

/// `Left-handed`, `Loyal to his clan`, `No sense of smell`, from a list without a heading.
fn from_fragment(names: &Names, text: &str) -> Option<String> {
    let name = &names.character;
    let tokens = tokenize(text);
    let first = tokens.first()?;
    let low = decapitalized(&tokens);
    let last = tokens.iter().rev().find(|token| token.is_word())?;
    let describes = grammar::is_adjective(&first.lower)
        && (tokens.len() == 1
            || grammar::is_preposition(&tokens[1].lower)
            || tokens[1].is_any(&["and", ",", "but", "to"])
            || tokens.iter().all(|token| {
                !token.is_word()
                    || grammar::is_adjective(&token.lower)
                    || verbs::is_adverb(&token.lower)
            }));
    let compound = tokens.len() == 1 && first.text.contains('-') && first.lower.ends_with("ed");
    if first.is("no") && tokens.len() > 1 {
        return Some(format!("{name} has {low}."));
    }
    let somebody = first.is_any(&["a", "an", "the"]) && people::is_person_word(&last.lower);
    (describes || compound || somebody).then(|| format!("{name} is {low}."))
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
pub(crate) fn from_predicate(name: &str, text: &str) -> Option<String> {
    let tokens = tokenize(text);
    // `Never sleeps past dawn`, but not `Always late`.
    let n_adverbs = tokens
        .iter()
        .take_while(|token| verbs::is_adverb(&token.lower))
        .count();
    let (adverbs, tokens) = tokens.split_at(n_adverbs.min(2));
    let first = tokens.first()?;
    if tokens.len() < 2 {
        return None;
    }
    // `Not once has he …`, `There was …` have a subject.
    let inverted = tokens[1].is_any(&["he", "she", "they", "it", "i", "you", "we"])
        || adverbs
            .iter()
            .any(|token| token.is_any(&["there", "here", "not"]));
    if inverted {
        return None;
    }
    let decapitalized = |tokens: &[Token]| match adverbs.is_empty() {
        true => decapitalized(tokens),
        false => decapitalized(&[adverbs, tokens].concat()),
    };
    let passive = !tokens[1].is_any(&["a", "an", "the", "her", "him", "them", "his", "their"]);
    if passive && first.is_any(&["born", "raised", "trained", "married", "known", "adopted"]) {
        return Some(format!("{name} was {}.", decapitalized(tokens)));
    }
    let forms = verbs::known(&first.lower).map_or(0, |(_, forms)| forms);
    let second = &tokens[1];
    let object = second.is_any(&["her", "him", "them", "his", "their"])
        || second.is_any(&[
            "to", "in", "on", "at", "with", "for", "as", "from", "about", "by",
        ])
        || grammar::is_determiner(&second.lower)
        || verbs::is_adverb(&second.lower);
    let finite = verbs::is_auxiliary(&first.lower)
        || (forms & THIRD != 0 && !second.is_any(&["and", ","]))
        || (forms & PAST != 0 && (object || !adverbs.is_empty()));
    let asks = first.is_any(&["do", "can", "may", "might", "must", "will"]);
    let capital = first.is_capital() || adverbs.first().is_some_and(Token::is_capital);
    let told = forms & THIRD != 0 || verbs::is_be(&first.lower) || forms & PAST != 0 && object;
    if finite && (capital && !asks || told) {
        return Some(format!("{name} {}.", decapitalized(tokens)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, text: &str, expected: &[&str]) {
        let read = sentences(&Names::new("Alice"), field, text);
        let made: Vec<String> = read.into_iter().filter_map(|(_, made)| made).collect();
        assert_eq!(made, expected);
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
