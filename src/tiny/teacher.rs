//! The teacher that needs no model: English by rules.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::english;
use crate::persona::{Exchange, Nli, NliExample, Query, Relevance, Statement};
use crate::teacher::{Teacher, Unread};
use crate::{Error, Result};

/// The version of the rules, part of every record of what they made: it is raised with every change of what they say, so that
/// what older rules made is made again.
const RULES_VERSION: u32 = 14;

/// Rules for English pages; see [`english`](super::english) for what they can and cannot do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Teacher for Offline {
    fn version(&self) -> String {
        format!("offline-{RULES_VERSION}")
    }

    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>> {
        if let Some(language) = english::other_language(page) {
            return Err(Error::Teacher(format!(
                "the page about {character} seems to be in {language}, and the built-in rules read English only; let a chat model \
                 read it (`model_engine` with its name, or local), or bring statements of your own (`model_engine` imported)"
            )));
        }
        let statements = english::statements(character, page);
        Ok(statements
            .into_iter()
            .map(|statement| Statement { statement })
            .collect())
    }

    fn unread(&self, character: &str, page: &str) -> Option<(Vec<Unread>, usize)> {
        let read = english::read(character, page);
        Some((read.unread, read.n_sentences))
    }

    fn topic(&self, character: &str, query: &str) -> String {
        english::matter_of(character, query)
    }

    fn rounds(&self) -> u64 {
        8 // it repeats itself
    }

    fn queries(
        &self,
        character: &str,
        statement: &str,
        _asked: &[Query],
        seed: u64,
    ) -> Result<Vec<Query>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let questions = english::questions(character, statement, &mut rng);
        Ok(questions
            .into_iter()
            .map(|query| Query::new(statement, query))
            .collect())
    }

    fn follow_up(&self, character: &str, before: &Query, next: &Query) -> Result<Option<Exchange>> {
        Ok(Some(Exchange {
            response: english::first_person(character, &before.statement),
            query: english::follow_up(&before.query, &next.query),
        }))
    }

    fn teaches_judges(&self) -> bool {
        false
    }

    fn relevance(&self, _: &str, _: &str, _: &[&str]) -> Result<Option<Vec<Relevance>>> {
        Ok(None)
    }

    fn replies(&self, _: &str, _: &Query, _: &[String], _: u64) -> Result<Option<Vec<NliExample>>> {
        Ok(None)
    }

    fn nli(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Option<Nli>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::tiny::pages;

    /// The SHA-256 of what the rules of [`RULES_VERSION`] say of the embedded pages.
    const SAID: &str = "c092ac821af16a11060c05ffd96b767d79bbbb305ada979ef4d89da3202c2609";

    /// Everything that a teacher is asked, for the embedded pages, with fixed seeds.
    fn said() -> Vec<String> {
        let teacher = Offline;
        let mut said = Vec::new();
        for character in pages::characters() {
            let page = pages::page(character).unwrap();
            let statements = teacher.statements(character, page).unwrap();
            let statements: Vec<String> = statements.into_iter().map(|s| s.statement).collect();
            for (idx, statement) in statements.iter().enumerate() {
                said.push(statement.clone());
                let seed = idx as u64;
                for query in teacher.queries(character, statement, &[], seed).unwrap() {
                    said.push(teacher.topic(character, &query.query));
                    said.push(query.query);
                }
            }
        }
        said
    }

    #[test]
    fn rules_that_say_something_else_have_another_version() {
        let said = said();
        assert!(said.len() > 700, "{}", said.len());
        let mut hash = Sha256::new();
        for text in said {
            hash.update(text);
            hash.update([0]);
        }
        let found: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            found, SAID,
            "the rules or the pages changed: raise RULES_VERSION and store the hash that was found"
        );
    }
}
