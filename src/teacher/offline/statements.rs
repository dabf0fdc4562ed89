//! From the blocks of a page to statements: one sentence each, with the character's name.

use std::collections::HashSet;

use super::clause::{self, Clause, Subject};
use super::fields;
use super::names::{self, Gender};
use super::page::{self, Block};
use super::profile::{self, Profile};
use super::tokens::{Token, capitalized, content_of, join, n_words};
use super::verbs;
use super::voice::{self, Case};

const MAX_WORDS: usize = 45;
const LONG: usize = 30;
const MIN_WORDS: usize = 3;

/// See [`super::statements`].
pub(super) fn statements(character: &str, page: &str) -> Vec<String> {
    let blocks = page::blocks(page);
    let profile = profile::of(character, &blocks);
    if profile.names.character.is_empty() {
        return Vec::new();
    }
    let mut writer = Writer { profile: &profile, rival: false, seen: HashSet::new(), statements: Vec::new() };
    if let Some(full) = &profile.full_name {
        writer.push(format!("{} full name is {full}.", fields::genitive(&profile.names.character)));
    }
    for block in &blocks {
        writer.rival = false;
        match block {
            Block::Heading(_) => {}
            Block::Prose(text) => page::sentences(text).iter().for_each(|sentence| writer.sentence(sentence)),
            Block::Field { name, text } => fields::sentences(&profile.names, name, text).iter().for_each(|sentence| writer.sentence(sentence)),
        }
    }
    writer.statements
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
        let mut key = super::tokens::content(&statement);
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
        let mut tokens = strip_connective(names.tag_names(&page::without_dashes(sentence)));
        if let Some(person) = self.profile.voice {
            tokens = voice::to_third(&tokens, names, person);
        } else if tokens.iter().any(|token| token.is("i") && token.text == "I" || token.is_any(&["my", "me", "we", "our", "us"])) {
            return;
        }
        for part in split(&tokens) {
            let part = strip_connective(part);
            if let Some(statement) = self.resolve(part) {
                self.push(statement);
            }
        }
    }

    /// Finds who the pronouns mean; a statement if the character is spoken of.
    fn resolve(&mut self, mut tokens: Vec<Token>) -> Option<String> {
        let gender = self.profile.names.gender;
        let named = tokens.iter().any(|token| token.me);
        if let Some(rest) = reported(&tokens, gender) {
            return self.resolve(rest);
        }
        if let Some(gender) = gender.filter(|_| named || !self.rival) {
            names::mark_pronouns(&mut tokens, gender);
        }
        let clause = clause::parse(&tokens);
        if let Some(clause) = &clause {
            self.refocus(&tokens, clause, gender);
        }
        let clause = clause?;
        if !tokens.iter().any(|token| token.me) || is_dangling(&tokens, &clause) || lacks_antecedent(&tokens, gender) {
            return None;
        }
        let tokens = trim(tokens);
        let clause = clause::parse(&tokens)?;
        let tokens = name_once(tokens, &clause, &self.profile.names.character)?;
        finish(&tokens, &self.profile.names.character)
    }

    fn refocus(&mut self, tokens: &[Token], clause: &Clause, gender: Option<Gender>) {
        let subject = &tokens[clause.start..clause.subject_end];
        let who = match clause.kind {
            Subject::Me | Subject::WithMe => {
                self.rival = false;
                return;
            }
            Subject::Mine => names::person_gender(&subject[1..]),
            Subject::Other => names::person_gender(subject),
        };
        let pronoun = Gender::of_pronoun(&tokens[clause.start].lower);
        match (who, pronoun) {
            (_, Some(_)) => {}
            (Some(who), None) if who.is_none() || gender.is_none() || who == gender => self.rival = true,
            (Some(_), None) => {}
            (None, None) => self.rival &= clause.kind != Subject::Mine,
        }
    }
}

/// Quotations of whole clauses are other people's words.
fn has_long_quote(sentence: &str) -> bool {
    let mut parts = sentence.split('"');
    parts.next();
    let parts: Vec<&str> = parts.collect();
    parts.len() % 2 == 1 || parts.iter().step_by(2).any(|quoted| quoted.split_whitespace().count() > 4 || quoted.contains(" I ") || quoted.ends_with('?'))
}

/// Takes `However,`, `In addition,` and the like from the front.
fn strip_connective(mut tokens: Vec<Token>) -> Vec<Token> {
    const WITH_COMMA: &[&str] = &["however", "also", "additionally", "furthermore", "moreover", "thus", "therefore", "consequently", "nevertheless", "nonetheless", "meanwhile", "besides", "similarly", "likewise", "indeed", "finally", "instead", "still", "then", "overall", "hence", "accordingly", "in addition", "as a result", "for example", "for instance", "in fact", "of course", "on the other hand", "in contrast", "at the same time", "as such", "despite this", "in turn", "because of this", "in the event", "in particular", "even so", "after that", "after this", "by contrast", "by then", "during this time", "at this time", "surprisingly", "unfortunately", "interestingly", "notably", "in other words", "to this end", "for this reason", "in this way", "that said", "despite this failure", "in the same year", "yet"];
    const BARE: &[&str] = &["but", "and", "so", "yet", "thus", "also", "or", "nor", "hence"];
    loop {
        let comma = tokens.iter().take(6).position(|token| token.is(","));
        let opening = comma.map(|comma| join(&tokens[..comma]).to_lowercase());
        let n_drop = if opening.is_some_and(|opening| WITH_COMMA.contains(&opening.as_str())) {
            comma.map_or(0, |comma| comma + 1)
        } else if tokens.first().is_some_and(|first| first.is_any(BARE) || !first.is_word() && !first.is("\"") || first.is("then") && tokens.len() > 1 && !tokens[1].is(",")) {
            1
        } else {
            break;
        };
        tokens.drain(..n_drop);
        if tokens.is_empty() {
            break;
        }
    }
    tokens
}

/// Splits a compound sentence at semicolons and before `and she …`, `but she …`.
fn split(tokens: &[Token]) -> Vec<Vec<Token>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let total = n_words(tokens);
    for at in 0..tokens.len() {
        if at < start {
            continue;
        }
        let conjunction = tokens[at].is(",") && total > 12 && tokens.get(at + 1).is_some_and(|next| next.is_any(&["and", "but", "so", "yet", "while", "whereas", "although"]));
        let plain = total > LONG && tokens[at].is_any(&["and", "but"]) && tokens.get(at + 1).is_some_and(|next| next.is_any(&["he", "she"]));
        let next = match () {
            () if tokens[at].is(";") => at + 1,
            () if tokens[at].is(":") && is_whole(&tokens[at + 1..]) => at + 1,
            () if conjunction => at + 2,
            () if plain => at + 1,
            () => continue,
        };
        if at > start + 2 && tokens[at - 1].is_capital() && tokens[at - 2].is(",") {
            continue;
        }
        let (left, right) = (&tokens[start..at], &tokens[next.min(tokens.len())..]);
        if n_words(left) >= 4 && n_words(right) >= 3 && is_whole(left) && (tokens[at].is_any(&[";", ":"]) || (opens_clause(right) && is_whole(right))) {
            parts.push(left.to_vec());
            start = next;
        }
    }
    parts.push(tokens[start..].to_vec());
    parts
}

/// Whether the words begin with a subject which is not the end of a list.
fn opens_clause(tokens: &[Token]) -> bool {
    let Some(first) = tokens.first() else { return false };
    first.is_any(&["he", "she", "they", "it"]) || first.me || ((clause::is_determiner(&first.lower) || first.is_capital()) && clause::parse(&tokens[..tokens.len().min(9)]).is_some_and(|clause| clause.start == 0))
}

fn is_whole(tokens: &[Token]) -> bool {
    !tokens.first().is_some_and(|first| clause::is_subordinator(&first.lower) && !tokens.iter().any(|token| token.is(","))) && clause::parse(tokens).is_some()
}

/// `Rowling states that Alice was born …`: what is reported.
fn reported(tokens: &[Token], gender: Option<Gender>) -> Option<Vec<Token>> {
    let clause = clause::parse(tokens).filter(|clause| clause.kind == Subject::Other && voice::says(&tokens[clause.main].lower))?;
    let that = clause.main + 1;
    if !tokens.get(that)?.is("that") {
        return None;
    }
    let mut rest = tokens[that + 1..].to_vec();
    if let Some(gender) = gender {
        names::mark_pronouns(&mut rest, gender);
    }
    let inner = clause::parse(&rest).filter(|inner| matches!(inner.kind, Subject::Me | Subject::Mine) && inner.start == 0)?;
    let hoped = rest[inner.main].is_any(&["wanted", "felt", "thought", "believed", "intended", "did", "wished", "hoped"]);
    let modal = rest[inner.verb].is_any(&["would", "should", "could", "must", "might", "may"]);
    let reflexive = rest.iter().any(|token| token.is_any(&["herself", "himself"]));
    (!hoped && !modal && !reflexive && !clause.negated).then(|| rest.into_iter().map(unmarked).collect())
}

/// Pronouns lose their mark, to be judged again.
fn unmarked(mut token: Token) -> Token {
    token.me &= Gender::of_pronoun(&token.lower).is_none();
    token
}

/// Whether a pronoun means something that only an earlier sentence names.
fn lacks_antecedent(tokens: &[Token], gender: Option<Gender>) -> bool {
    let mut person = false;
    let mut thing = false;
    let mut plural = false;
    for (idx, token) in tokens.iter().enumerate() {
        let object = matches!(token.lower.as_str(), "him" | "her" | "them") && !names::is_possessive(tokens, idx);
        if token.me || !token.is_word() || (gender.is_some() && Gender::of_pronoun(&token.lower) == gender && !object) {
            continue;
        }
        let missing = match token.lower.as_str() {
            "it" | "its" => !thing && !tokens.get(idx + 1).is_some_and(|next| verbs::is_be(&next.lower)) && !tokens[..idx].iter().any(|token| verbs::can_be(&token.lower, verbs::BASE)),
            "he" | "him" | "his" | "she" | "her" | "himself" | "herself" => !person,
            "they" | "them" | "their" | "themselves" => !plural,
            _ => false,
        };
        if missing {
            return true;
        }
        let noun = !clause::is_determiner(&token.lower) && !clause::is_preposition(&token.lower) && !super::tokens::is_stop(&token.lower) && !verbs::is_adverb(&token.lower) && !clause::is_adjective(&token.lower);
        person |= names::is_person_word(&token.lower) || token.is_capital();
        plural |= clause::is_plural(&token.lower) || token.is("and") || token.is_any(&["team", "family", "band", "group", "company", "couple", "someone", "anyone"]);
        thing |= noun && (clause::is_determiner(&tokens[idx.saturating_sub(1)].lower) || !verbs::can_be(&token.lower, verbs::PAST | verbs::THIRD));
    }
    false
}

/// Whether the subject points to a sentence that is not there.
fn is_dangling(tokens: &[Token], clause: &Clause) -> bool {
    let subject = &tokens[clause.start..clause.subject_end];
    let first = &subject[0];
    let bare = subject.len() == 1 && first.is_any(&["this", "that", "these", "those", "it", "both", "others", "some", "one", "another", "which", "who", "such", "we", "all", "neither", "either", "none"]);
    let object = tokens[0].is_any(&["this", "these"]) && tokens.get(1).is_some_and(|next| next.me);
    let other = first.me && Gender::of_pronoun(&first.lower).is_some() && clause.kind == Subject::Me && tokens[clause.verb..].iter().any(|token| token.me && Gender::of_pronoun(&token.lower).is_none());
    let vague = first.is("the") && subject.len() > 1 && subject[1].is_any(&["latter", "former", "two", "three", "others", "same", "result", "first", "second"]) && clause.kind == Subject::Other;
    let of = subject.first().is_some_and(|first| first.is_any(&["all", "some", "most", "many", "one", "both", "two", "three"])) && subject.get(2).is_some_and(|third| third.is_any(&["these", "those", "them", "which", "this"]));
    let pronoun = !first.me && Gender::of_pronoun(&first.lower).is_some();
    let opens = tokens[0].is_any(&["it", "that", "which", "who", "whose"]) && !tokens[0].me || tokens.get(1).is_some_and(|next| next.is_any(&["which", "whom", "whose"]));
    bare || object || other || vague || of || pronoun || opens
}

/// Cuts the tail of a long sentence where a side clause begins.
fn trim(mut tokens: Vec<Token>) -> Vec<Token> {
    while n_words(&tokens) > LONG {
        let cut = (8..tokens.len()).rev().find(|&at| {
            let next = tokens.get(at + 1);
            let side = next.is_some_and(|next| next.is_any(&["which", "who", "whose", "where", "although", "though", "while", "whereas", "because", "as", "since", "when", "including", "with", "such", "despite", "particularly", "especially", "even", "after", "before", "until", "so", "but", "if", "in", "to", "by", "for", "from", "on", "at", "during", "later"]) || verbs::can_be(&next.lower, verbs::ING) || verbs::can_be(&next.lower, verbs::PARTICIPLE));
            let mark = (tokens[at].is(",") || tokens[at].is(":")) && !tokens[at.saturating_sub(4)..at].iter().any(|token| token.is("and") || token.is(","));
            mark && side && n_words(&tokens[..at]) >= 6 && tokens[..at].iter().any(|token| token.me) && clause::parse(&tokens[..at]).is_some_and(|clause| clause.main + 1 < at)
        });
        let Some(cut) = cut else { break };
        tokens.truncate(cut);
    }
    tokens
}

/// Makes the subject, or else the first mention, the character's name when no name is there.
fn name_once(mut tokens: Vec<Token>, clause: &Clause, character: &str) -> Option<Vec<Token>> {
    if tokens.iter().any(|token| token.me && token.text == character) {
        return Some(tokens);
    }
    let at = if tokens[clause.start].me { clause.start } else { tokens.iter().position(|token| token.me)? };
    let text = match voice::case_of(&tokens, at) {
        Case::Nominative => {
            if tokens[at].is("they")
                && let Some(verb) = clause::verb_after(&tokens, at + 1, true)
            {
                let text = verbs::disagree(&tokens[verb].lower);
                tokens[verb].set(&text);
            }
            character.to_owned()
        }
        Case::Possessive => fields::genitive(character),
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
    let text = text.trim().trim_end_matches(['.', '!', ';', ',', ':', ' ', '-', '–']);
    let last = tokens.iter().rev().find(|token| token.is_word())?;
    let unfinished = last.is_any(&["and", "or", "the", "a", "an", "of", "but", "which", "that", "because", "his", "her", "their", "my"]);
    let quotes = text.matches('"').count() % 2 == 1;
    let ended = if text.ends_with("etc") || text.ends_with("Jr") { format!("{text}.") } else { text.to_owned() };
    let ended = if ended.ends_with('.') { ended } else { format!("{ended}.") };
    let statement = capitalized(&ended);
    (!unfinished && !quotes && statement.contains(character)).then_some(statement)
}
