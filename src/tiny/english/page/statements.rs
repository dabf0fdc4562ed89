//! From the blocks of a page to statements: one sentence each, with the character's name.

use std::collections::HashSet;

use super::blocks::{self, Block, opens_with_verb};
use super::context::{has_long_quote, is_dangling, lacks_antecedent, reported};
use super::descriptions::atoms;
use super::fields;
use super::markup::Aside;
use super::profile::{self, Profile};
use super::splitting::{split, strip_connective, trim};
use super::{talk, third_person, wiki};
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
            Block::Field { name, text } if fields::is_metadata(&name.to_lowercase()) => {
                writer.read(&format!("{name}: {text}"), &[])
            }
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
            Block::Aside(aside) => writer.aside(aside),
            Block::Unread(line) => writer.read(line, &[]),
        }
    }
    writer.read
}

/// Whether a field gives the name or the pronouns that are known.
fn is_of_page(profile: &Profile, name: &str, text: &str) -> bool {
    is_name_field(name) && (profile.full_name.is_some() || text == profile.names.character)
        || name.eq_ignore_ascii_case("pronouns")
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
        // A word of a sentence with such a template is missing.
        let is_whole = !piece.contains(wiki::UNKNOWN);
        for sentence in sentences.iter().filter(|_| is_whole) {
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
            self.read.unread.push(piece.replace(wiki::UNKNOWN, "{{…}}"));
        }
    }

    /// Makes a statement of what stands in parentheses behind the character's name or in a field.
    fn aside(&mut self, aside: &Aside) {
        let names = &self.profile.names;
        let of_field = blocks::field(&aside.before).filter(|(_, text)| !text.is_empty());
        let is_named = names
            .tag_names(&aside.before)
            .last()
            .is_some_and(|last| last.me);
        let behind = sentences::sentences(&aside.before).pop();
        let (piece, sentence) = match of_field {
            Some((name, text)) => (
                format!("{name}: {text} ({})", aside.text),
                fields::of_aside_in(names, &name, &aside.text),
            ),
            None => (
                format!("{} ({})", behind.unwrap_or_default(), aside.text),
                is_named
                    .then(|| fields::of_aside(names, &aside.text))
                    .flatten(),
            ),
        };
        self.read(piece.trim(), sentence.as_deref().as_slice());
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
            if loses_negation(&part) {
                continue;
            }
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

/// Whether a part begins with a negation that its clause would lose: `Neither Alice nor Marco can swim`, `Nor can Alice swim`.
fn loses_negation(part: &[Token]) -> bool {
    let begins = |word: &str| part.first().is_some_and(|first| first.is(word));
    begins("nor") || begins("neither") && part.iter().any(|token| token.is("nor"))
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
