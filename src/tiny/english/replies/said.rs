//! A statement in the character's own words, and how words become a reply.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::word::Word;
use crate::tiny::Reply;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::phrases;
use crate::tiny::english::clause::voice::{self, Person};
use crate::tiny::english::clause::{self, Clause};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::tokens::{self, Token};
use crate::tiny::english::words::verbs;

/// Words that begin a reply and say nothing.
pub(crate) const OPENERS: &[&str] = &[
    "Well,",
    "Oh,",
    "You know,",
    "To tell the truth,",
    "Of course,",
    "As you may know,",
    "Honestly,",
];

/// The statement in the character's words, with its main clause.
pub(crate) struct Said {
    pub tokens: Vec<Token>,
    pub clause: Option<Clause>,
}

impl Said {
    pub(crate) fn of(character: &str, statement: &str) -> Self {
        let tokens = voice::to_person(&Names::new(character).tag(statement), Person::First);
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    /// The main clause without side clauses, as often as not.
    pub(crate) fn shortened(&self, rng: &mut ChaCha8Rng) -> Self {
        let Some(clause) = &self.clause else {
            return Self {
                tokens: self.tokens.clone(),
                clause: None,
            };
        };
        let end = phrases::short_end(&self.tokens, clause, 18);
        let mut tokens = self.tokens.clone();
        if end > clause.main + 1 && end < tokens.len() && rng.random_bool(0.6) {
            tokens.truncate(end);
            tokens.push(Token::new(".", false));
        }
        if clause.start > 3 && rng.random_bool(0.4) {
            tokens.drain(..clause.start);
            if let Some(first) = tokens.first_mut() {
                first.text = tokens::capitalized(&first.text);
            }
        }
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    /// The main clause without side clauses.
    pub(crate) fn cut(&self) -> Self {
        let mut tokens = self.tokens.clone();
        if let Some(clause) = &self.clause {
            let end = phrases::short_end(&tokens, clause, 24);
            if end > clause.main + 1 && end < tokens.len() {
                tokens.truncate(end);
                tokens.push(Token::new(".", false));
            }
        }
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    pub(crate) fn is_negated(&self) -> bool {
        self.clause.as_ref().is_some_and(|clause| clause.negated)
    }
}

/// A phrase chosen at random.
pub(crate) fn pick<'a>(options: &[&'a str], rng: &mut ChaCha8Rng) -> &'a str {
    options.choose(rng).copied().unwrap_or_default()
}

/// What a reply begins with.
pub(crate) enum Opening {
    None,
    Agreeing(&'static str),
    Disagreeing(&'static str),
}

/// Writes the words as a reply and notes where the changed ones stand.
pub(crate) fn written(opening: Opening, mut words: Vec<Word>) -> Reply {
    let (text, changed) = match opening {
        Opening::None => ("", false),
        Opening::Agreeing(text) => (text, false),
        Opening::Disagreeing(text) => (text, true),
    };
    let mut reply = Reply {
        text: text.to_owned(),
        changed: Vec::new(),
    };
    if !text.is_empty() {
        decapitalize(&mut words);
        if changed {
            reply.changed.push(0..text.trim_end_matches(',').len());
        }
    }
    for word in &words {
        if (word.token.space || reply.text.len() == text.len()) && !reply.text.is_empty() {
            reply.text.push(' ');
        }
        let start = reply.text.len();
        let shown = if start == 0 {
            tokens::capitalized(&word.token.text)
        } else {
            word.token.text.clone()
        };
        reply.text.push_str(&shown);
        if word.changed {
            reply.changed.push(start..reply.text.len());
        }
    }
    reply
}

/// Makes the first letter small unless the word is a name or `I`.
pub(crate) fn decapitalize(words: &mut [Word]) {
    let followed = words.get(1).is_some_and(|next| next.token.is_capital());
    if let Some(first) = words.first_mut() {
        let token = &mut first.token;
        let plain = grammar::is_determiner(&token.lower)
            || grammar::is_intro_word(&token.lower)
            || tokens::is_stop(&token.lower)
            || verbs::is_adverb(&token.lower)
            || grammar::is_adjective(&token.lower);
        if plain && !token.is("i") && !(followed && grammar::is_adjective(&token.lower))
            || token.is_any(&["people", "parents", "friends", "children"])
        {
            let lower = token.lower.clone();
            token.text = lower;
        }
    }
}
