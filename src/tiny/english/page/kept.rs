//! Pieces of the page that are kept as they stand, with the character's name in front, or left out for a reason.

use super::asked;
use super::blocks;
use super::context;
use super::statements::Writer;
use super::{talk, wiki};
use crate::teacher::Unread;
use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::words::people::Gender;
use crate::tiny::english::words::tokens::{Token, capitalized, tokenize};
use crate::tiny::english::words::wording;

impl Writer<'_> {
    /// Counts a piece of the page that gives no statement.
    pub(super) fn leave(&mut self, piece: &str, reason: &str) {
        self.read.n_sentences += 1;
        self.read.unread.push(Unread {
            text: piece.replace(wiki::UNKNOWN, "{{…}}"),
            reason: reason.to_owned(),
        });
    }

    /// Keeps a piece of the page as it stands, with the character's name in front where it has none.
    pub(super) fn keep(&mut self, under: Option<&str>, piece: &str) {
        /// What a judge reads beside a reply, in bytes.
        const MOST: usize = 1000;
        if piece.contains(wiki::UNKNOWN) {
            let whole = under.map_or_else(|| piece.to_owned(), |under| format!("{under}: {piece}"));
            return self.leave(&whole, "has a template that is not known");
        }
        let names = &self.profile.names;
        let given = ["I'm ", "I am ", "You are ", "You're ", "My name is "]
            .iter()
            .find_map(|words| piece.strip_prefix(words))
            .map(|name| name.trim_end_matches(['.', '!']));
        if given.is_some_and(|given| given == names.character) {
            return self.leave(piece, "gives the name, which is known");
        }
        if asked::is_question(piece) && under.is_none() && blocks::field(piece).is_none() {
            return self.leave(piece, "is a question");
        }
        if piece.len() > MOST {
            return self.leave(piece, "is longer than a judge reads beside a reply");
        }
        match self.kept(under, piece) {
            Some(statement) => {
                self.read.n_sentences += 1;
                self.push(statement);
            }
            None => self.leave(piece, "has no words"),
        }
    }

    /// A piece of the page as a statement: `Alice – Rumours: She killed the king.`
    fn kept(&self, under: Option<&str>, piece: &str) -> Option<String> {
        let text = piece
            .trim_start_matches([')', ':', ';', ',', '.', '!', '?', ' '])
            .trim_end_matches([';', ',', ':', ' ', '(']);
        if text
            .chars()
            .all(|c| c.is_ascii_punctuation() || c.is_whitespace())
        {
            return None;
        }
        let end = if blocks::ends_sentence(text) { "" } else { "." };
        let names = &self.profile.names;
        // Behind a colon the name is not what the line is about.
        let is_named = names
            .tag_names(text)
            .iter()
            .take_while(|token| !token.is_any(&[":", "?"]))
            .any(|token| token.me && token.text == names.character);
        // What the character says of itself has the name in front; so has what stands behind a heading.
        let is_own = |token: &Token| token.is_in("i my me mine we our us you your");
        let is_said = self.voice.is_some() && tokenize(text).iter().any(is_own);
        // `He owes Alice money`, `So, Alice, where do you live? In Bonn.`
        let opens = tokenize(text)
            .first()
            .is_some_and(|first| first.is_in("he she they"));
        let is_named = is_named
            && !is_said
            && !opens
            && !text.contains("? ")
            && text.contains(&names.character);
        let name = &names.character;
        let under = under.filter(|under| !talk::is_character(name, about(under)));
        Some(match under {
            Some(under) => format!("{name} – {under}: {text}{end}"),
            None => match self.named(text) {
                Some(text) => format!("{text}{end}"),
                None if is_named => capitalized(&format!("{text}{end}")),
                None => format!("{name} – {text}{end}"),
            },
        })
    }

    /// A sentence that begins with the character's pronoun, with the name in its place.
    fn named(&self, text: &str) -> Option<String> {
        let gender = self.profile.names.gender?;
        let (first, rest) = text.split_once(' ')?;
        let forms = gender.forms();
        let name = &self.profile.names.character;
        let is = |form: usize| first.to_lowercase() == forms[form];
        // `They` needs another verb.
        if self.rival || self.voice.is_some() || gender == Gender::They {
            return None;
        }
        // `He makes him scrub pots`
        let is_of_two = context::pairs_pronouns(&tokenize(text), gender);
        match (is(0) && !is_of_two, is(2)) {
            // `She was ill when Alice came` is of somebody else.
            (true, _) if !rest.contains(name.as_str()) => Some(format!("{name} {rest}")),
            (_, true) if is_possessive(&tokenize(text), 0) => {
                Some(format!("{} {rest}", wording::genitive(name)))
            }
            _ => None,
        }
    }
}

/// What a heading is about: `About Alice`.
pub(super) fn about(heading: &str) -> &str {
    let heading = heading.trim();
    match heading.split_once(' ') {
        Some((first, rest)) if first.eq_ignore_ascii_case("about") => rest,
        _ => heading,
    }
}
