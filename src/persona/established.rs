//! What a user has told of themself: it is theirs, and stands apart from what is true of the character.

use std::collections::HashSet;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::{Conversation, Persona, Scorer};
use crate::Result;
use crate::progress::Job;

/// The most statements of a user that a reply is compared with, the latest ones.
const MOST: usize = 40;

/// Reads what users tell of themselves, and what they are told of themselves.
pub trait Listener: Debug + Send + Sync {
    /// Statements about `user` in what they say.
    fn told_by(&self, user: &str, text: &str) -> Vec<String>;

    /// What a reply says of the user, as they would say it; nothing if it says nothing of them.
    fn told_to(&self, user: &str, text: &str) -> Option<String>;
}

/// A statement of the user, and what a reply does with it; the numbers sum to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The statement.
    pub statement: String,
    /// P(the reply contradicts the statement).
    pub contradicted: f64,
    /// P(the statement leaves the reply open).
    pub neutral: f64,
    /// P(the reply follows from the statement).
    pub entailed: f64,
}

/// What a user has told of themself in the last turns of a conversation, the latest last.
pub(super) fn told_in(listener: &dyn Listener, user: &str, talk: &Conversation) -> Vec<String> {
    /// Turns that are looked at, and how much of each, in bytes.
    const LAST: [usize; 2] = [100, 4096];
    let said = talk.exchanges.iter().map(|exchange| &exchange.query);
    let said = said.chain([&talk.query]).rev().take(LAST[0]);
    let mut known = HashSet::new();
    let mut told: Vec<String> = Vec::new();
    for text in said {
        let statements = listener.told_by(user, &text[..text.floor_char_boundary(LAST[1])]);
        for statement in statements.into_iter().rev() {
            // What is said again counts as said last.
            if known.insert(statement.clone()) {
                told.push(statement);
            }
        }
        if told.len() >= MOST {
            break;
        }
    }
    told.truncate(MOST);
    told.reverse();
    told
}

impl Scorer {
    /// What replies do with statements of the user; nothing where a reply says nothing of them.
    pub(super) fn established(
        &self,
        listener: &dyn Listener,
        user: &str,
        told: &[String],
        responses: &[&str],
        job: &Job,
    ) -> Result<Vec<Vec<Told>>> {
        // The judge knows people who speak of themselves; so the user speaks.
        const ASKED: &str = "What can you tell me about yourself?";
        let mut found = vec![Vec::new(); responses.len()];
        if told.is_empty() {
            return Ok(found);
        }
        let claims = responses.iter().map(|text| listener.told_to(user, text));
        let claims: Vec<(usize, String)> = claims
            .enumerate()
            .filter_map(|(place, claim)| Some((place, claim?)))
            .collect();
        if claims.is_empty() {
            return Ok(found);
        }
        let persona = Persona::new(user, told.iter().cloned());
        let asked: Vec<(&str, &str)> = claims.iter().map(|(_, claim)| (ASKED, &**claim)).collect();
        let judged = self.nli.nli(&persona, &asked, job)?;
        for ((place, _), judged) in claims.iter().zip(judged) {
            let told = told.iter().zip(judged).map(|(statement, nli)| Told {
                statement: statement.clone(),
                contradicted: nli.contradicted,
                neutral: nli.neutral,
                entailed: nli.entailed,
            });
            found[*place] = told.collect();
        }
        Ok(found)
    }
}
