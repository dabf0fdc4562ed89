//! `Field: text` lines as whole sentences about the character.

use super::fragments::from_fragment;
use super::templates::{from_template, none_of};
use super::values::{
    has_lone_adverb, is_plain, listed, mixes_adjectives, takes_predicates, with_commas,
};
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::predicates::{from_predicate, lacks_subject};
use crate::tiny::english::clause::{self, Subject};
use crate::tiny::english::words::lexicon::has_word;
use crate::tiny::english::words::people;
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{join, tokenize};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording::genitive;

/// The parts of a field's text, each with the sentence it stands for, which names the character or has a pronoun for it.
pub(crate) fn sentences(names: &Names, field: &str, text: &str) -> Vec<(String, Option<String>)> {
    let key = field.to_lowercase();
    let text = with_commas(text);
    // A question inside a value is answered behind it, so all of it is kept as it stands: `rain? No. Snow.`
    if text.contains("? ") {
        return vec![(text.into_owned(), None)];
    }
    let mut read: Vec<(String, Option<String>)> = Vec::new();
    for part in sentences::sentences(&text) {
        let found = read.iter().any(|(_, sentence)| sentence.is_some());
        let values = values(names, &part);
        let several = values.len() > 1;
        for value in values {
            let given = Given {
                field,
                key: &key,
                found,
                several,
            };
            let sentence = sentence(names, given, &value);
            read.extend(sentence.map(|sentence| (value, sentence)));
        }
    }
    read
}

/// The values of a field between semicolons: one list if each is short, else each by itself; a sentence stays whole.
fn values(names: &Names, part: &str) -> Vec<String> {
    let bare = part.trim().trim_end_matches(['.', ';']);
    let values: Vec<&str> = bare
        .split(';')
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .collect();
    let is_clause = |value: &&str| is_sentence(names, value) || from_predicate("", value).is_some();
    // `when it rains; but only on Mondays`
    let takes_back = values.iter().skip(1).any(|value| {
        let first = value.split(' ').next().unwrap_or_default().to_lowercase();
        matches!(
            first.as_str(),
            "but" | "only" | "except" | "unless" | "not" | "though"
        )
    });
    if values.len() < 2
        || takes_back
        || is_sentence(names, values[0])
        || part.contains('"')
        || part.contains(": ")
    {
        return vec![part.to_owned()];
    }
    let is_item = |value: &&str| value.split(' ').count() <= 3 && !value.contains(", ");
    match values.iter().all(is_item) && !values.iter().any(is_clause) {
        true => vec![values.join(", ")],
        false => values.into_iter().map(str::to_owned).collect(),
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Given<'a> {
    field: &'a str,
    key: &'a str,
    /// Whether an earlier sentence of the field gave its value.
    found: bool,
    /// Whether semicolons part it from others, so that its commas part nothing.
    several: bool,
}

/// The sentence that a value stands for, if it says something: the inner `None` where nothing can be made of it.
fn sentence(names: &Names, given: Given<'_>, value: &str) -> Option<Option<String>> {
    let Given {
        field,
        key,
        found,
        several,
    } = given;
    let bare = value.trim_end_matches(['.', ';', ',', '!']).trim();
    if !bare.contains(char::is_alphanumeric) {
        let is_blank = bare
            .chars()
            .all(|c| c.is_ascii_punctuation() || c.is_whitespace());
        return (!is_blank).then_some(None);
    }
    // `Wishes: she had a dog`
    let is_of = |names: &str| key.split(' ').any(|word| has_word(names, word));
    let is_unreal =
        is_of("wish wishes hope hopes regrets") || is_of("fear fears") && !value.ends_with('.');
    // In a field on a relative, a pronoun means the relative.
    let is_relative = people::is_person_word_of(field);
    // `none, she works all day`
    let words = tokenize(bare);
    if words.first().is_some_and(|first| first.is("none")) && words.len() > 1 {
        return Some(None);
    }
    if is_sentence(names, value) {
        return Some((!is_unreal && !is_relative).then(|| value.to_owned()));
    }
    if (is_relative || takes_predicates(key))
        && let Some(sentence) = from_predicate(&subject_of(names, field), bare)
    {
        return Some(Some(sentence));
    }
    // What is asked or exclaimed, or comes after a value, is no value of a field; what is not plain may say the contrary.
    let is_lack = field.trim().is_empty() && words.first().is_some_and(|first| first.is("no"));
    let is_unclear = !is_plain(bare) && !is_lack || has_lone_adverb(bare) || mixes_adjectives(bare);
    if found || value.ends_with(['?', '!']) || is_unclear {
        return Some(none_of(names, key, bare));
    }
    let text = if several {
        bare.to_owned()
    } else {
        listed(key, bare)
    };
    Some(match field.trim() {
        "" => from_fragment(names, bare),
        _ => from_template(names, key, &text),
    })
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

/// Whether the text has a subject and a finite verb.
fn is_sentence(names: &Names, text: &str) -> bool {
    let tokens = names.tag_names(text);
    let Some(clause) = clause::parse(&tokens).filter(|clause| !lacks_subject(&tokens, clause))
    else {
        return false;
    };
    let is_pronoun = tokens[clause.start].is_any(&["he", "she", "they", "it", "i", "you", "we"]);
    let verb = &tokens[clause.verb].lower;
    // `His ashes scattered at sea`
    let may_be_participle = verbs::is_participle(verb) && !verbs::is_base(verb);
    tokens[clause.start].me && clause.kind == Subject::Me
        || is_pronoun
        || verbs::is_auxiliary(verb)
        || verbs::known(verb).is_some() && (text.ends_with('.') || !may_be_participle)
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
    fn each_value_between_semicolons_is_read() {
        check(
            "Appearance",
            "red hair; wears a coat; green eyes",
            &[
                "Alice has red hair.",
                "Alice wears a coat.",
                "Alice has green eyes.",
            ],
        );
        check(
            "Likes",
            "ferns; rain; her cat, Pip",
            &[
                "Alice likes ferns.",
                "Alice likes rain.",
                "Alice likes her cat, Pip.",
            ],
        );
        check("Likes", "ferns; rain", &["Alice likes ferns and rain."]);
        check(
            "Personality",
            "Kind + Shy + Brave",
            &["Alice is kind, shy, and brave."],
        );
        check(
            "Traits",
            "kind|shy|brave",
            &["Alice is kind, shy, and brave."],
        );
        check(
            "Hobbies",
            "chess • cello",
            &["Alice's hobbies are chess and cello."],
        );
    }

    #[test]
    fn names_and_days_keep_their_form() {
        check("Birthday", "May 4th", &["Alice was born on May 4th."]);
        check(
            "Nicknames",
            "Ali, Lis",
            &["Alice's nicknames are Ali and Lis."],
        );
        check("Scenario", "garden", &[]);
        check(
            "Scenario",
            "Alice works in a garden.",
            &["Alice works in a garden."],
        );
    }

    #[test]
    fn sentences_after_the_colon_stay() {
        check(
            "Talent",
            "She plays the violin. Sings well.",
            &["She plays the violin.", "Alice sings well."],
        );
        check("Mother", "She is a nurse.", &[]);
    }

    #[test]
    fn values_of_many_kinds_become_sentences() {
        for (field, text, expected) in [
            (
                "Fears",
                "heights and, oddly, moths",
                "Alice fears heights and, oddly, moths.",
            ),
            ("Age", "in her thirties", "Alice is in her thirties."),
            ("Age", "around 40", "Alice is around 40 years old."),
            ("Age", "34 years", "Alice is 34 years old."),
            ("Age", "thirty-four", "Alice is thirty-four years old."),
            ("", "40-year-old", "Alice is 40 years old."),
            (
                "Job",
                "President of France",
                "Alice is president of France.",
            ),
            (
                "Job",
                "Founder of a bakery",
                "Alice is the founder of a bakery.",
            ),
            ("Job", "Student of law", "Alice is a student of law."),
            ("Job", "80-year-old clown", "Alice is an 80-year-old clown."),
            ("Hair", "a bob", "Alice's hair is a bob."),
            ("Alias", "The Fox", "Alice is also known as The Fox."),
            ("Aliases", "Ali, Lis", "Alice is also known as Ali and Lis."),
            (
                "Born",
                "3 March 1973, Cork, Ireland",
                "Alice was born on 3 March 1973 in Cork, Ireland.",
            ),
            (
                "Born",
                "March 3, 1973, Cork",
                "Alice was born on March 3, 1973 in Cork.",
            ),
            ("Born", "Cork, 1973", "Alice was born in 1973 in Cork."),
            ("Died", "2001, London", "Alice died in 2001 in London."),
            ("Birthday", "29 Feb 2008", "Alice was born on 29 Feb 2008."),
            ("Born", "2008-02-29", "Alice was born on 2008-02-29."),
            ("Children", "1", "Alice has 1 child."),
            (
                "Education",
                "University of Leeds",
                "Alice studied at the University of Leeds.",
            ),
            ("Fave colour", "black", "Alice's fave colour is black."),
            (
                "Hair",
                "cropped, going grey",
                "Alice's hair is cropped and going grey.",
            ),
            ("Born in", "Brno", "Alice was born in Brno."),
            (
                "Birthday",
                "Christmas Eve",
                "Alice was born on Christmas Eve.",
            ),
            (
                "Home",
                "Small flat in Hove",
                "Alice lives in a small flat in Hove.",
            ),
            ("City", "bristol", "Alice lives in bristol."),
            ("Status", "widower", "Alice is a widower."),
            ("Died", "of fever", "Alice died of fever."),
            ("Home", "Lou's attic", "Alice's home is Lou's attic."),
            ("Hair", "bald", "Alice is bald."),
            ("Home", "On the road", "Alice lives on the road."),
            (
                "Home",
                "Monastery of Saint Orsolt",
                "Alice lives in the Monastery of Saint Orsolt.",
            ),
            (
                "Born",
                "Deck 14, Long Patience, year 203",
                "Alice was born in year 203 in Deck 14, Long Patience.",
            ),
            (
                "Skills",
                "folding paper animals",
                "Alice's skill is folding paper animals.",
            ),
            ("Status", "Happy widow", "Alice is a happy widow."),
            (
                "Status",
                "Single mother of two",
                "Alice is a single mother of two.",
            ),
            ("Hobbies", "Chess", "Alice's hobby is chess."),
            ("Weaknesses", "Chocolate", "Alice's weakness is chocolate."),
            ("Favourite number", "7", "Alice's favourite number is 7."),
            (
                "Likes",
                "three walks a day",
                "Alice likes three walks a day.",
            ),
            (
                "Likes",
                "tea, rain, Halvorsen anything",
                "Alice likes tea, rain, and Halvorsen anything.",
            ),
            ("Father", "Captain Voss", "Alice's father is Captain Voss."),
        ] {
            check(field, text, &[expected]);
        }
        for (field, text) in [
            ("Eyes", "one"),
            ("Appearance", "Lanky, Broken nose"),
            ("Looks", "short, strong hands, gap between her front teeth"),
            ("Education", "apprenticeship"),
            ("Personality", "Cocky, loyal, terrible liar"),
            ("Fears", "heights, moths, oddly"),
            ("Favourite food", "Soup, always"),
            ("Favourite drink", "coffee, black"),
            ("Hair", "black, short twists"),
            ("Age", "ancient"),
            ("Brother", "2"),
            ("Nickname", "Alice, Nurse Falcon"),
            ("Role", "Alice"),
            ("Born", "premature"),
            ("Born", "1950s"),
            ("Spouse", "Divorced twice"),
            ("Siblings", "3, all dead"),
            ("Likes", "see Hobbies"),
            ("Likes", "rain? No. Snow."),
            ("Likes", "1. rain 2. snow"),
            ("Hobbies", "none, she works all day"),
            ("Father", "see Tom"),
            ("Weakness", "salt water ruins the joints"),
            ("Personality", "dry, haggler"),
            ("", "likes etc"),
            ("Age", "in"),
        ] {
            check(field, text, &[]);
        }
    }
}
