//! From the blocks of a page to statements: one sentence each, with the character's name.

use std::collections::HashSet;

use super::asked::{self, Said};
use super::blocks::{self, Block};
use super::context::{self, has_long_quote, is_dangling, lacks_antecedent};
use super::descriptions::atoms;
use super::fields;
use super::finished::{finish, loses_negation, name_once};
use super::fragments;
use super::kept::about;
use super::markup::{Aside, without_parentheses};
use super::profile::{self, Profile};
use super::splitting::{split, strip_connective};
use super::{lists, marriages, sections, spelling, talk, third_person, values, wiki};
use crate::tiny::english::clause::predicates::{from_predicate, lacks_subject, opens_with_verb};
use crate::tiny::english::clause::pronouns;
use crate::tiny::english::clause::voice::Person;
use crate::tiny::english::clause::{self, Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{self, Token};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording;

use crate::teacher::Unread;

/// What was read of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The persona statements: one sentence each, with the character's name, in the order of the page.
    pub statements: Vec<String>,
    /// The sentences and lines that gave no statement, each with the reason.
    pub unread: Vec<Unread>,
    /// How many sentences and lines the page has, headings not counted.
    pub n_sentences: usize,
}

/// Returns the persona statements of a page: one sentence each, with the character's name, in the order of the page.
pub fn statements(character: &str, page: &str) -> Vec<String> {
    read(character, page).statements
}

/// Reads a page about a character.
pub fn read(character: &str, page: &str) -> Reading {
    let page = spelling::with_own_spelling(character, page);
    let blocks = blocks::blocks(character, &page);
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
        writer.block(block);
    }
    writer.read
}

/// Whether a field gives the name or the pronouns that are known.
fn is_known_already(profile: &Profile, name: &str, text: &str) -> bool {
    (is_name_field(name) || name.eq_ignore_ascii_case("character"))
        && (profile.full_name.is_some() || text == profile.names.character)
        || name.eq_ignore_ascii_case("pronouns")
}

fn is_name_field(name: &str) -> bool {
    matches!(name.to_lowercase().as_str(), "name" | "full name")
}

/// Whether the verb stands before its subject behind an adverb: `Never has she lied.`
fn is_inverted(sentence: &str) -> bool {
    const FIRST: &str = "never rarely seldom hardly scarcely always often once nowhere";
    let tokens = tokens::tokenize(sentence);
    let [first, second, third, ..] = &tokens[..] else {
        return false;
    };
    let is_verb = |token: &Token| verbs::is_auxiliary(&token.lower);
    let is_subject = third.is_capital() || third.is_in("he she they it the his her their");
    first.is_in(FIRST) && is_verb(second) && is_subject
}

/// Whether somebody of the character's may be the subject behind a comma: `Born in Lima, her mother sings.`
fn names_another_behind(sentence: &str) -> bool {
    let whose = [", his ", ", her ", ", their "];
    whose.iter().any(|whose| sentence.contains(whose))
}

/// Whether the character is named with something between first and last name: `Theodora "Teddy" Vane`, `Jack the Hammer Moss`.
fn has_nickname_inside(tokens: &[Token]) -> bool {
    const MOST: usize = 4;
    let places: Vec<usize> = (0..tokens.len()).filter(|&at| tokens[at].me).collect();
    let is_inside = |token: &Token| {
        token.is_capital() || token.is_any(&["the", "\"", "'", "(", ")", "“", "”", "‘", "’", "of"])
    };
    let is_parted = |pair: &[usize]| {
        let between = &tokens[pair[0] + 1..pair[1]];
        !between.is_empty() && between.len() <= MOST && between.iter().all(is_inside)
    };
    let is_before =
        |&at: &usize| at > 1 && tokens[at - 1].is_any(&["\"", "“"]) && tokens[at - 2].is_capital();
    places.windows(2).any(is_parted) || places.iter().take(1).any(is_before)
}

pub(crate) struct Writer<'a> {
    pub(super) profile: &'a Profile,
    /// Who speaks in the block.
    pub(super) voice: Option<Person>,
    /// Whether a pronoun would now mean someone else.
    pub(super) rival: bool,
    seen: HashSet<String>,
    pub(super) read: Reading,
}

impl Writer<'_> {
    pub(super) fn push(&mut self, statement: String) {
        if self.seen.insert(statement.to_lowercase()) {
            self.read.statements.push(statement);
        }
    }

    fn block(&mut self, block: &Block) {
        let profile = self.profile;
        match block {
            Block::Heading(_) => {}
            Block::Prose(text) => {
                for said in asked::with_answers(text) {
                    match said {
                        Said::Sentence(sentence) => self.prose(&sentence),
                        Said::Answered(text) => {
                            let field = asked::as_field(&text);
                            match field.and_then(|field| blocks::field(&field)) {
                                Some((name, text)) => self.field(&name, &text),
                                None => self.keep(None, &text),
                            }
                        }
                    }
                }
            }
            Block::Other { under, text } => {
                for sentence in sentences::sentences(text) {
                    let tokens = profile.names.tag_names(&sentence);
                    let is_named = tokens.iter().any(|token| token.me)
                        && blocks::has_finite_verb(&sentence)
                        && !opens_with_verb(&tokens);
                    let by_pronoun = tokens
                        .first()
                        .is_some_and(|first| Gender::of_pronoun(&first.lower).is_some());
                    match is_named && !by_pronoun {
                        true => self.prose(&sentence),
                        false => self.keep(Some(under), &sentence),
                    }
                    // Whom a pronoun means in the next is not known.
                    self.rival = true;
                }
            }
            Block::Field { name, text } if is_known_already(profile, name, text) => {}
            // `Name: Harlan "Dusty" Voss` has his own name apart.
            Block::Field { name, text } if is_name_field(name) && text.contains('"') => {
                self.read.n_sentences += 1;
                let whose = wording::genitive(&profile.names.character);
                self.push(format!("{whose} {} is {text}.", name.to_lowercase()));
            }
            Block::Field { name, text } if self.is_about_page(name, text) => {
                self.leave(&format!("{name}: {text}"), "describes the page")
            }
            Block::Field { name, text } => self.field(name, text),
            Block::Talk { own, text } => {
                self.voice = Some(Person::First);
                let (said, told) = talk::spoken(text);
                for narrated in told {
                    self.leave(&narrated, "is told of the moment between words of a talk");
                }
                for sentence in said {
                    match (*own, talk::is_fact(&sentence)) {
                        (true, true) => self.read(None, &sentence, &[&sentence]),
                        (true, false) => {
                            self.leave(&sentence, "is said in a talk and holds for the moment")
                        }
                        (false, _) => self.leave(&sentence, "is said by somebody else"),
                    }
                    self.rival = false;
                }
            }
            // `Is she brave? Very.`
            Block::Kept { under, text } if text.contains("? ") && text.len() < 900 => {
                self.keep(under.as_deref(), text)
            }
            Block::Kept { under, text } => {
                for sentence in sentences::sentences(text) {
                    self.keep(under.as_deref(), &sentence);
                }
            }
            Block::Unread { text, reason } => self.leave(text, reason),
        }
    }

    /// Whether a field describes the page: not `Title: Warden of the Marsh`, which is the character's.
    fn is_about_page(&self, name: &str, text: &str) -> bool {
        let key = name.to_lowercase();
        let is_named = text.contains(&self.profile.names.character);
        values::is_metadata(&key) && (key != "title" || is_named)
    }

    /// Makes statements of a piece of the page from the `sentences` it stands for; it is kept as it stands, `under` what announces it, if
    /// they do not give all of it.
    fn read(&mut self, under: Option<&str>, piece: &str, sentences: &[&str]) {
        let before = self.rival;
        // A word of a sentence with such a template is missing.
        let statements = match piece.contains(wiki::UNKNOWN) || sentences.is_empty() {
            true => None,
            false => sentences
                .iter()
                .map(|sentence| self.whole(sentence))
                .collect::<Option<Vec<_>>>(),
        };
        if let Some(statements) = statements {
            self.read.n_sentences += 1;
            statements
                .into_iter()
                .flatten()
                .for_each(|text| self.push(text));
            return;
        }
        let after = std::mem::replace(&mut self.rival, before);
        self.keep(under, piece);
        self.rival = after;
    }

    /// The statements of a sentence, which may leave the subject out.
    fn whole(&mut self, sentence: &str) -> Option<Vec<String>> {
        // `Never has she lied.`
        if is_inverted(sentence) {
            return None;
        }
        if let Some(statements) = self.sentence(sentence) {
            return Some(statements);
        }
        // `Has never flown.`
        if self.voice.is_some()
            || self.rival
            || sentence.ends_with('?')
            || names_another_behind(sentence)
        {
            return None;
        }
        let name = &self.profile.names.character;
        let whole =
            from_predicate(name, sentence).or_else(|| fragments::from_feeling(name, sentence))?;
        self.sentence(&whole)
    }

    /// Reads a sentence of prose, whose parentheses are statements or stay in it.
    fn prose(&mut self, sentence: &str) {
        if self.voice == Some(Person::Second) && third_person::is_order(sentence) {
            return self.leave(sentence, "tells the reader what to do");
        }
        let (plain, asides) = without_parentheses(sentence);
        let said: Option<Vec<String>> = asides.iter().map(|aside| self.said_of(aside)).collect();
        let Some(said) = said else {
            return self.keep(None, sentence);
        };
        let mut sentences = vec![plain.as_str()];
        sentences.extend(said.iter().map(String::as_str));
        self.read(None, sentence, &sentences);
        // What comes after `In the play, she is a nun.` may be of the play, too.
        self.rival |= context::is_framed(&tokens::tokenize(sentence));
    }

    /// What parentheses right behind the character's name say: `(born in 1990)`.
    fn said_of(&self, aside: &Aside) -> Option<String> {
        let names = &self.profile.names;
        let is_named = names.tag_names(&aside.before).last()?.me;
        is_named
            .then(|| fragments::of_aside(names, &aside.text))
            .flatten()
    }

    /// Reads a field.
    fn field(&mut self, name: &str, text: &str) {
        let names = &self.profile.names;
        let is_own = talk::is_character(&names.character, about(name));
        let name = if is_own { "" } else { name };
        let under = Some(name).filter(|name| !name.is_empty());
        let married = marriages::sentences(&names.character, &name.to_lowercase(), text);
        if let Some(sentences) = married {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            return self.read(under, text, &sentences);
        }
        let (plain, asides) = without_parentheses(text);
        let said: Option<Vec<String>> = asides
            .iter()
            .map(|aside| fragments::of_aside_in(names, name, &aside.text))
            .collect();
        // `Tom: I'm a priest.`, `Tom: a priest. He loves Bo.`
        let is_name = |token: Token| people::is_name(&token.lower);
        let whose = match tokens::tokenize(name).into_iter().any(is_name) {
            true => "i my me mine we our he him his she her hers they them their",
            false => "i my me mine we our",
        };
        // `Ana: she is a nurse`, but not `Background: she grew up in Oslo`
        let opening = tokens::tokenize(text);
        let is_described = matches!(&opening[..], [who, is, a, ..]
            if Gender::of_pronoun(&who.lower).is_some()
                && verbs::is_be(&is.lower)
                && a.is_any(&["a", "an"]))
            && !values::takes_predicates(&name.to_lowercase());
        let is_of_other = lists::is_proper(name)
            && !talk::is_character(&names.character, name)
            && (is_described || opening.iter().any(|token| token.is_in(whose)));
        let is_doubtful = sections::is_doubtful(name) || is_of_other;
        let (Some(said), false) = (said, is_doubtful) else {
            return self.keep(under, text);
        };
        let pieces = fields::sentences(names, name, &plain);
        if pieces.is_empty() && said.is_empty() {
            return self.leave(&format!("{name}: {text}"), "has no words");
        }
        for (piece, sentence) in pieces {
            let sentences = sentence.as_deref();
            self.read(under, &piece, sentences.as_slice());
        }
        for sentence in said {
            self.read(under, text, &[&sentence]);
        }
    }

    /// The statements of a sentence, if each of its parts gives some.
    fn sentence(&mut self, sentence: &str) -> Option<Vec<String>> {
        // `I smoke ☑ no ☐ yes`
        let has_boxes = sentence.contains(['☑', '☐', '○', '●']);
        if sentence.len() > 4000 || has_long_quote(sentence) || sentence.ends_with('?') || has_boxes
        {
            self.rival = false;
            return None;
        }
        let names = &self.profile.names;
        if has_nickname_inside(&names.tag_names(sentence)) {
            return None;
        }
        let mut tokens =
            strip_connective(names.tag_names(&sentences::pair_of_dashes_as_commas(sentence)));
        // `I'm looking for: silence`
        let is_open = |at: &usize| {
            let before = at.checked_sub(1).map(|before| &tokens[before].lower);
            tokens[*at].is(":") && before.is_some_and(|before| grammar::is_preposition(before))
        };
        if let Some(colon) = (0..tokens.len()).find(is_open) {
            tokens.remove(colon);
        }
        if let Some(person) = self.voice {
            if third_person::is_no_plain_sentence(&tokens) {
                return None;
            }
            tokens = third_person::to_third(&tokens, names, person)?;
        } else if tokens.iter().any(|token| {
            token.is("i") && token.text == "I" || token.is_any(&["my", "me", "we", "our", "us"])
        }) {
            return None;
        }
        let mut made = Some(Vec::new());
        for part in split(&tokens, names.gender) {
            let part = strip_connective(part);
            let atoms = match loses_negation(&part) {
                true => None,
                false => self.resolve(part).map(atoms),
            };
            let finished = |atoms: Vec<Vec<Token>>| -> Option<Vec<String>> {
                let atoms = atoms.iter();
                atoms.map(|atom| finish(atom, &names.character)).collect()
            };
            // What comes after a part of which nothing can be made is read for whom it speaks of.
            made = made
                .zip(atoms.and_then(finished))
                .map(|(made, more)| [made, more].concat());
        }
        made
    }

    /// Finds who the pronouns mean; the sentence with the character's name if the character is spoken of.
    fn resolve(&mut self, tokens: Vec<Token>) -> Option<Vec<Token>> {
        let gender = self.profile.names.gender;
        let resolved = self.resolved(tokens.clone());
        let marked = resolved.as_deref().unwrap_or(&tokens);
        let of_me = clause::parse(marked).filter(|clause| {
            let subject = &marked[clause.start..clause.subject_end];
            subject.iter().all(|token| token.me && !token.is_genitive())
        });
        if resolved.is_none() && clause::parse(marked).is_none() {
            self.rival |= context::opens_with_other(marked);
        }
        // Whom the pronoun of the next sentence means is not known.
        let verb = of_me.map(|clause| clause.main);
        self.rival |= context::names_rival(marked, gender, verb);
        resolved
    }

    fn resolved(&mut self, mut tokens: Vec<Token>) -> Option<Vec<Token>> {
        let gender = self.profile.names.gender;
        let named = tokens.iter().any(|token| token.me);
        if let Some(gender) = gender.filter(|_| named || !self.rival) {
            pronouns::mark_pronouns(&mut tokens, gender);
        }
        let clause = clause::parse(&tokens);
        if let Some(clause) = &clause {
            self.refocus(&tokens, clause, gender);
        }
        let clause = clause?;
        if gender.is_some_and(|gender| context::pairs_pronouns(&tokens, gender)) {
            return None;
        }
        if !tokens.iter().any(|token| token.me)
            || lacks_subject(&tokens, &clause)
            || is_dangling(&tokens, &clause)
            || lacks_antecedent(&tokens, gender)
        {
            return None;
        }
        if self.is_ambiguous(&tokens, &clause, gender) {
            return None;
        }
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
        // `The dog`, `Her landlord`
        let named = &subject[usize::from(clause.kind == Subject::Mine)..];
        let named = match named.first() {
            Some(first) if first.is_genitive() => &named[1..],
            _ => named,
        };
        let who = who.or_else(|| people::is_living(named).then_some(None));
        let pronoun = Gender::of_pronoun(&tokens[clause.start].lower)
            .filter(|_| clause.kind != Subject::Mine);
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
