//! From the blocks of a page to statements: one sentence each, with the character's name.

use std::collections::HashSet;

use super::blocks::{self, Block};
use super::context::{has_long_quote, is_dangling, lacks_antecedent, reported};
use super::descriptions::atoms;
use super::fields;
use super::profile::{self, Profile};
use super::splitting::{split, strip_connective, trim};
use super::third_person;
use crate::tiny::english::clause::pronouns;
use crate::tiny::english::clause::voice::{self, Case};
use crate::tiny::english::clause::{self, Clause, Subject};
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{self, Token, capitalized, content_of, join, n_words};
use crate::tiny::english::words::wording;

const MAX_WORDS: usize = 45;
const MIN_WORDS: usize = 3;

/// Returns the persona statements of a page: one sentence each, with the character's name, in the order of the page.
pub fn statements(character: &str, page: &str) -> Vec<String> {
    let blocks = blocks::blocks(page);
    let profile = profile::of(character, &blocks);
    if profile.names.character.is_empty() {
        return Vec::new();
    }
    let mut writer = Writer {
        profile: &profile,
        rival: false,
        seen: HashSet::new(),
        statements: Vec::new(),
    };
    if let Some(full) = &profile.full_name {
        writer.push(format!(
            "{} full name is {full}.",
            wording::genitive(&profile.names.character)
        ));
    }
    for block in &blocks {
        writer.rival = false;
        match block {
            Block::Heading(_) => {}
            Block::Prose(text) => sentences::sentences(text)
                .iter()
                .for_each(|sentence| writer.sentence(sentence)),
            Block::Field { name, text }
                if is_name_field(name)
                    && (profile.full_name.is_some() || *text == profile.names.character) => {}
            Block::Field { name, text } => fields::sentences(&profile.names, name, text)
                .iter()
                .for_each(|sentence| writer.sentence(sentence)),
        }
    }
    writer.statements
}

fn is_name_field(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "name" | "full name")
}

struct Writer<'a> {
    profile: &'a Profile,
    /// Whether a pronoun would now mean someone else.
    rival: bool,
    seen: HashSet<String>,
    statements: Vec<String>,
}

impl Writer<'_> {
    fn push(&mut self, statement: String) {
        let mut key = tokens::content(&statement);
        key.sort();
        if self.seen.insert(key.join(" ")) {
            self.statements.push(statement);
        }
    }

    fn sentence(&mut self, sentence: &str) {
        if sentence.len() > 4000 || has_long_quote(sentence) || sentence.ends_with('?') {
            self.rival = false;
            return;
        }
        let names = &self.profile.names;
        let mut tokens = strip_connective(names.tag_names(&sentences::without_dashes(sentence)));
        if let Some(person) = self.profile.voice {
            tokens = third_person::to_third(&tokens, names, person);
        } else if tokens.iter().any(|token| {
            token.is("i") && token.text == "I" || token.is_any(&["my", "me", "we", "our", "us"])
        }) {
            return;
        }
        for part in split(&tokens) {
            let part = strip_connective(part);
            let character = &names.character;
            for atom in self.resolve(part).map_or_else(Vec::new, atoms) {
                if let Some(statement) = finish(&atom, character) {
                    self.push(statement);
                }
            }
        }
    }

    /// Finds who the pronouns mean; the sentence with the character's name if the character is spoken of.
    fn resolve(&mut self, mut tokens: Vec<Token>) -> Option<Vec<Token>> {
        let gender = self.profile.names.gender;
        let named = tokens.iter().any(|token| token.me);
        if let Some(rest) = reported(&tokens, gender) {
            return self.resolve(rest);
        }
        if let Some(gender) = gender.filter(|_| named || !self.rival) {
            pronouns::mark_pronouns(&mut tokens, gender);
        }
        let clause = clause::parse(&tokens);
        if let Some(clause) = &clause {
            self.refocus(&tokens, clause, gender);
        }
        let clause = clause?;
        if !tokens.iter().any(|token| token.me)
            || is_dangling(&tokens, &clause)
            || lacks_antecedent(&tokens, gender)
        {
            return None;
        }
        if self.is_ambiguous(&tokens, &clause, gender) {
            return None;
        }
        let tokens = trim(tokens);
        let clause = clause::parse(&tokens)?;
        name_once(tokens, &clause, &self.profile.names.character)
    }

    /// Whether a pronoun may mean the character as well as the person who is the subject.
    fn is_ambiguous(&self, tokens: &[Token], clause: &Clause, gender: Option<Gender>) -> bool {
        let nominative = gender.map_or("", |gender| gender.forms()[0]);
        self.rival
            && clause.kind == Subject::Other
            && tokens[clause.verb..]
                .iter()
                .any(|token| token.is(nominative) && !token.me)
    }

    fn refocus(&mut self, tokens: &[Token], clause: &Clause, gender: Option<Gender>) {
        let subject = &tokens[clause.start..clause.subject_end];
        let who = match clause.kind {
            Subject::Me | Subject::WithMe => {
                self.rival = false;
                return;
            }
            Subject::Mine => people::person_gender(&subject[1..]),
            Subject::Other => people::person_gender(subject),
        };
        let pronoun = Gender::of_pronoun(&tokens[clause.start].lower);
        match (who, pronoun) {
            (_, Some(_)) => {}
            (Some(_), None) if clause.plural && gender != Some(Gender::They) => {}
            (Some(who), None) if who.is_none() || gender.is_none() || who == gender => {
                self.rival = true
            }
            (Some(_), None) => {}
            (None, None) => self.rival &= clause.kind != Subject::Mine,
        }
    }
}

/// Makes the subject, or else the first mention, the character's name when no name is there.
fn name_once(mut tokens: Vec<Token>, clause: &Clause, character: &str) -> Option<Vec<Token>> {
    if tokens
        .iter()
        .any(|token| token.me && token.text == character)
    {
        return Some(tokens);
    }
    let at = if tokens[clause.start].me {
        clause.start
    } else {
        tokens.iter().position(|token| token.me)?
    };
    let text = match voice::case_of(&tokens, at) {
        Case::Nominative => {
            if tokens[at].is("they") {
                let plural = tokens.clone();
                third_person::disagree_verbs(&plural, at, false, &mut tokens);
            }
            character.to_owned()
        }
        Case::Possessive => wording::genitive(character),
        Case::Accusative => character.to_owned(),
        Case::PossessiveAlone | Case::Reflexive => return None,
    };
    tokens[at].set(&text);
    Some(tokens)
}

/// The statement as text, if it is whole and of a fit length.
fn finish(tokens: &[Token], character: &str) -> Option<String> {
    let words = n_words(tokens);
    if !(MIN_WORDS..=MAX_WORDS).contains(&words) || content_of(tokens).is_empty() {
        return None;
    }
    let text = join(tokens);
    let text = text.replace(".\"", "\"").replace(",\"", "\",");
    let text = text
        .trim()
        .trim_end_matches(['.', '!', ';', ',', ':', ' ', '-', '–']);
    let last = tokens.iter().rev().find(|token| token.is_word())?;
    let unfinished = last.is_any(&[
        "and", "or", "the", "a", "an", "of", "but", "which", "that", "because", "his", "her",
        "their", "my",
    ]);
    let quotes = text.matches('"').count() % 2 == 1;
    let ended = if text.ends_with("etc") || text.ends_with("Jr") {
        format!("{text}.")
    } else {
        text.to_owned()
    };
    let ended = if ended.ends_with('.') {
        ended
    } else {
        format!("{ended}.")
    };
    let statement = capitalized(&ended);
    let tautology = tokens.len() <= 4
        && tokens
            .iter()
            .filter(|token| token.text == character)
            .count()
            > 1;
    (!unfinished && !tautology && !quotes && statement.contains(character)).then_some(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_becomes_statements_about_the_character_alone() {
        let page = "# Mara\n\nMara Voss is a captain.[1] She was born in 1840 (in Aldreth). Her brother, Jory, is a smith. \
            The rain fell for days. However, she hates the sea; she loves maps.\n\n## Ship\nTom built her ship. It is old.";
        assert_eq!(
            statements("Mara", page),
            [
                "Mara's full name is Mara Voss.",
                "Mara is a captain.",
                "Mara was born in 1840.",
                "Mara's brother, Jory, is a smith.",
                "Mara hates the sea.",
                "Mara loves maps.",
                "Tom built Mara's ship.",
            ]
        );
    }

    #[test]
    fn a_page_of_fields_becomes_sentences() {
        let page = "Name: Kit\nAge: 31\nPronouns: they/them\nHobbies:\n- chess\n- painting\nJob: Nurse\nBackground: They grew up in Oslo. Their father is a judge.\nQuote: \"No.\"";
        assert_eq!(
            statements("Kit", page),
            [
                "Kit is 31 years old.",
                "Kit's hobbies are chess and painting.",
                "Kit is a nurse.",
                "Kit grew up in Oslo.",
                "Kit's father is a judge.",
            ]
        );
    }

    #[test]
    fn statements_are_not_repeated() {
        assert_eq!(
            statements("Alice", "Alice likes tea. Alice likes tea. She likes tea."),
            ["Alice likes tea."]
        );
    }

    #[test]
    fn any_text_is_survived() {
        for page in [
            "",
            "\n\n",
            "((((",
            "\"\"\"",
            "🦀 Alice 🦀 is 🦀 here.",
            "爱丽丝弹吉他。",
            "Alice's",
            "Alice is",
            "- \n- \n",
            "a: b: c:\n:",
            "'s 's 's",
            "Alice Alice Alice Alice",
        ] {
            for character in ["Alice", "", " ", "🦀", "O'Brien", "爱丽丝", "Dr. Who"] {
                for statement in statements(character, page) {
                    assert!(statement.contains(character));
                }
            }
        }
    }
}
