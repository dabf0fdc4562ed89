//! A clause taken apart so that it can be asked for.

use super::topics;
use crate::tiny::english::clause::phrases;
use crate::tiny::english::clause::{Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::tokens::{Token, capitalized, join};
use crate::tiny::english::words::verbs::{self, BASE, PAST, THIRD};

/// The clause taken apart for a question: auxiliary, subject, and what follows it.
pub(crate) struct Form {
    pub auxiliary: String,
    pub subject: String,
    pub adverbs: String,
    /// The verb as it stands after the subject: a base form or a participle.
    pub verb: String,
    pub copula: bool,
}

impl Form {
    pub(crate) fn of(tokens: &[Token], clause: &Clause) -> Self {
        let verb = &tokens[clause.verb];
        let subject = match clause.kind {
            Subject::Me => "you".to_owned(),
            _ => topics::subject_text(tokens, clause),
        };
        let words = |range: std::ops::Range<usize>| -> Vec<&Token> {
            tokens[range]
                .iter()
                .filter(|token| !token.is_any(&["not", "never"]))
                .collect()
        };
        let text = |words: Vec<&Token>| join(&words.into_iter().cloned().collect::<Vec<_>>());
        let before = if clause.subject_end <= clause.verb
            && tokens[clause.subject_end..clause.verb]
                .iter()
                .all(|token| verbs::is_adverb(&token.lower))
        {
            text(words(clause.subject_end..clause.verb))
        } else {
            String::new()
        };
        let copula = clause.main == clause.verb && verbs::is_be(&verb.lower);
        if copula {
            return Self {
                auxiliary: verb.lower.clone(),
                subject,
                adverbs: before,
                verb: String::new(),
                copula,
            };
        }
        if clause.main != clause.verb {
            let middle = text(words(clause.verb + 1..clause.main + 1));
            return Self {
                auxiliary: verb.lower.replace("cannot", "can"),
                subject,
                adverbs: before,
                verb: middle,
                copula,
            };
        }
        let forms = verbs::known(&verb.lower).map_or(0, |(_, forms)| forms);
        let past = forms & PAST != 0 && forms & (BASE | THIRD) == 0
            || (forms == 0 && verbs::can_be(&verb.lower, PAST));
        let third = forms & THIRD != 0 || (forms == 0 && verb.lower.ends_with('s') && !past);
        let plural_you = clause.kind == Subject::Me;
        let auxiliary = if past {
            "did"
        } else if third && !plural_you {
            "does"
        } else {
            "do"
        };
        let base = if past || third {
            verbs::base(&verb.lower)
        } else {
            verb.lower.clone()
        };
        Self {
            auxiliary: auxiliary.to_owned(),
            subject,
            adverbs: before,
            verb: base,
            copula,
        }
    }

    /// `<word> <auxiliary> <subject> <adverbs> <verb> <rest>?`
    pub(crate) fn ask(&self, word: &str, rest: &str) -> String {
        let parts = [
            word,
            &self.auxiliary,
            &self.subject,
            &self.adverbs,
            &self.verb,
            rest,
        ];
        let text = parts
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ");
        format!("{}?", capitalized(text.trim()))
    }
}

/// A short phrase of time or place before the subject, to be put at the end.
pub(crate) fn lead(tokens: &[Token], clause: &Clause) -> Option<String> {
    let end = tokens[..clause.start].iter().rposition(Token::is_word)? + 1;
    let phrase = &tokens[..end];
    let fits = phrase.len() <= 5
        && grammar::is_preposition(&phrase[0].lower)
        && phrase[0].is_in("in on at from during after before since until")
        && !phrase.iter().any(|token| {
            token.is(",")
                || (verbs::is_auxiliary(&token.lower) && !token.is_capital())
                || token.is_any(&["that", "which", "this"])
        });
    fits.then(|| phrases::inner_text(tokens, 0..end))
}
