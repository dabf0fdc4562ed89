//! From the blocks of a page to statements: one sentence each, with the character's name.

use std::collections::HashSet;

use super::blocks::{self, Block, opens_with_verb};
use super::context::{has_long_quote, is_dangling, lacks_antecedent, reported};
use super::descriptions::atoms;
use super::fields;
use super::profile::{self, Profile};
use super::splitting::{split, strip_connective, trim};
use super::{talk, third_person};
use crate::tiny::english::clause::pronouns;
use crate::tiny::english::clause::voice::{self, Case, Person};
use crate::tiny::english::clause::{self, Clause, Subject};
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{self, Token, capitalized, content_of, join, n_words};
use crate::tiny::english::words::wording;

const MAX_WORDS: usize = 45;
const MIN_WORDS: usize = 3;

/// What was read of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The persona statements: one sentence each, with the character's name, in the order of the page.
    pub statements: Vec<String>,
    /// The sentences and lines that gave no statement: about something else, or not understood.
    pub unread: Vec<String>,
    /// How many sentences and lines the page has, headings not counted.
    pub n_sentences: usize,
}

/// Returns the persona statements of a page: one sentence each, with the character's name, in the order of the page.
pub fn statements(character: &str, page: &str) -> Vec<String> {
    read(character, page).statements
}

/// Reads a page about a character.
pub fn read(character: &str, page: &str) -> Reading {
    let blocks = blocks::blocks(character, page);
    let profile = profile::of(character, &blocks);
    if profile.names.character.is_empty() {
        return Reading::default();
    }
    let mut writer = Writer {
        profile: &profile,
        voice: profile.voice,
        rival: false,
        seen: HashSet::new(),
        read: Reading::default(),
    };
    if let Some(full) = &profile.full_name {
        writer.push(format!(
            "{} full name is {full}.",
            wording::genitive(&profile.names.character)
        ));
    }
    for block in &blocks {
        writer.rival = false;
        writer.voice = profile.voice;
        match block {
            Block::Heading(_) => {}
            Block::Prose(text) => sentences::sentences(text)
                .iter()
                .for_each(|sentence| writer.read(sentence, &[sentence])),
            Block::Field { name, text } if is_of_page(&profile, name, text) => {}
            Block::Field { name, text } => {
                for (piece, sentence) in fields::sentences(&profile.names, name, text) {
                    let sentences = sentence.as_deref();
                    writer.read(&piece, sentences.as_slice());
                }
            }
            Block::Talk { own, text } => {
                writer.voice = Some(Person::First);
                for sentence in talk::spoken(text) {
                    let told = *own && talk::is_fact(&sentence);
                    let words = [sentence.as_str()];
                    writer.read(&sentence, if told { &words } else { &[] });
                    writer.rival = false;
                }
            }
            Block::Unread(line) => writer.read(line, &[]),
        }
    }
    writer.read
}

/// Whether a field gives the name that is known, or tells of the page.
fn is_of_page(profile: &Profile, name: &str, text: &str) -> bool {
    is_name_field(name) && (profile.full_name.is_some() || text == profile.names.character)
        || fields::is_metadata(&name.to_lowercase())
}

fn is_name_field(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "name" | "full name")
}

struct Writer<'a> {
    profile: &'a Profile,
    /// Who speaks in the block.
    voice: Option<Person>,
    /// Whether a pronoun would now mean someone else.
    rival: bool,
    seen: HashSet<String>,
    read: Reading,
}

impl Writer<'_> {
    fn push(&mut self, statement: String) {
        let mut key = tokens::content(&statement);
        key.sort();
        if self.seen.insert(key.join(" ")) {
            self.read.statements.push(statement);
        }
    }

    /// Makes statements of a piece of the page, which is unread if the `sentences` it stands for give none.
    fn read(&mut self, piece: &str, sentences: &[&str]) {
        self.read.n_sentences += 1;
        let mut n_made = 0;
        for sentence in sentences {
            n_made += self.sentence(sentence);
            // `Has never flown.`, in prose that leaves the subject out.
            if n_made == 0
                && self.voice.is_none()
                && opens_with_verb(&tokens::tokenize(sentence))
                && let Some(whole) = fields::from_predicate(&self.profile.names.character, sentence)
            {
                n_made += self.sentence(&whole);
            }
        }
        if n_made == 0 {
            self.read.unread.push(piece.to_string());
        }
    }

    /// Makes the statements of a sentence, and returns how many there are, the known ones included.
    fn sentence(&mut self, sentence: &str) -> usize {
        if sentence.len() > 4000 || has_long_quote(sentence) || sentence.ends_with('?') {
            self.rival = false;
            return 0;
        }
        let names = &self.profile.names;
        let mut tokens = strip_connective(names.tag_names(&sentences::without_dashes(sentence)));
        if let Some(person) = self.voice {
            tokens = third_person::to_third(&tokens, names, person);
        } else if tokens.iter().any(|token| {
            token.is("i") && token.text == "I" || token.is_any(&["my", "me", "we", "our", "us"])
        }) {
            return 0;
        }
        let mut n_made = 0;
        for part in split(&tokens) {
            let part = strip_connective(part);
            let character = &names.character;
            for atom in self.resolve(part).map_or_else(Vec::new, atoms) {
                if let Some(statement) = finish(&atom, character) {
                    self.push(statement);
                    n_made += 1;
                }
            }
        }
        n_made
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

    /// Checks the statements of a page, and which of its lines give none.
    fn check(character: &str, page: &str, expected: &[&str], unread: &[&str]) {
        let read = read(character, page);
        assert_eq!(read.statements, expected);
        assert_eq!(read.unread, unread);
    }

    #[test]
    fn bullets_after_a_field_are_about_the_character() {
        check(
            "Gorin",
            "Age: 140\nwife: Hilda\n- forges axes\n- is afraid of bats\n- Left-handed\n- Never sleeps past dawn\n- Loyal to his clan\n\
             - No sense of smell\n- Born in winter\n- A red door",
            &[
                "Gorin is 140 years old.",
                "Gorin's wife is Hilda.",
                "Gorin forges axes.",
                "Gorin is afraid of bats.",
                "Gorin is left-handed.",
                "Gorin never sleeps past dawn.",
                "Gorin is loyal to his clan.",
                "Gorin has no sense of smell.",
                "Gorin was born in winter.",
            ],
            &["A red door"],
        );
    }

    #[test]
    fn bullets_below_a_relative_are_about_the_relative() {
        check(
            "Petra",
            "- Sister: Maja\n  - lives in Oslo\n  - Age: 7\n- sings well\n\n## Relationships\n- **Henrik** – her first mate\n- Odile: her aunt",
            &[
                "Petra's sister is Maja.",
                "Petra's sister lives in Oslo.",
                "Petra sings well.",
                "Henrik is Petra's first mate.",
                "Odile is Petra's aunt.",
            ],
            &["Age: 7"],
        );
    }

    #[test]
    fn of_a_conversation_only_lasting_facts_of_the_character_are_taken() {
        check(
            "Rosa",
            "Rosa: Hello there! Did you bring the bread?\nBen: My mother bakes too.\nRosa: My grandmother taught me to bake. *laughs* \
             I think so.\nBen: I hate bread.\nRosa: No. I never work on Sundays.",
            &[
                "Rosa's grandmother taught her to bake.",
                "Rosa never works on Sundays.",
            ],
            &[
                "Hello there!",
                "Did you bring the bread?",
                "My mother bakes too.",
                "I think so.",
                "I hate bread.",
            ],
        );
    }

    #[test]
    fn a_sentence_may_open_with_when_it_happens() {
        check(
            "Iwan",
            "Iwan keeps bees. Every Saturday he sells honey with his niece, Carys. His mother, Ruth, died of a fever. \
             Most of his lyrics begin as poems. There he also met Ann. By this year he had two hives.",
            &[
                "Iwan keeps bees.",
                "Every Saturday Iwan sells honey with his niece, Carys.",
                "Iwan's mother, Ruth, died of a fever.",
                "Most of Iwan's lyrics begin as poems.",
                "Iwan also met Ann.",
            ],
            &["By this year he had two hives."],
        );
    }

    #[test]
    fn every_sentence_of_the_embedded_pages_is_a_statement_or_unread() {
        for (character, n_sentences, unread) in [
            (
                "Alice",
                39,
                &[
                    "She calls him every Sunday evening after supper.",
                    "She has finished seven of its eleven songs.",
                ][..],
            ),
            (
                "Tomas",
                36,
                &[
                    "They married in 1921 and were happy together for twenty years.",
                    "She died of pneumonia in the winter of 1941.",
                    "They had one daughter, Elke, who works as a nurse in Rotterdam.",
                    "She visits her father twice a year and writes to him every month.",
                    "In November 1927 a freighter called the Adelheid struck the rock in a storm.",
                ],
            ),
        ] {
            let read = read(character, crate::tiny::pages::page(character).unwrap());
            assert_eq!(
                (read.n_sentences, read.unread),
                (n_sentences, unread.iter().map(|s| s.to_string()).collect())
            );
        }
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
