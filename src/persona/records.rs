//! What the stages leave on disk, one record a line.

use serde::{Deserialize, Serialize};

use crate::persona::{Conversation, Exchange, Nli, Relevance};

/// One thing that is true of the character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// One sentence with the character's name.
    pub statement: String,
}

/// A question whose answer is in a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The statement it was made from.
    pub statement: String,
    /// What was said before, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Exchange>,
    /// The question, put to the character.
    pub query: String,
}

impl Query {
    /// A question before which nothing was said.
    pub fn new(statement: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            statement: statement.into(),
            before: Vec::new(),
            query: query.into(),
        }
    }

    /// The conversation whose next turn answers it.
    pub fn conversation(&self) -> Conversation {
        Conversation {
            exchanges: self.before.clone(),
            ..Conversation::asked(&self.query)
        }
    }
}

/// Whether a statement matters to a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelevanceExample {
    /// The statement.
    pub statement: String,
    /// The query.
    pub query: String,
    /// Whether one matters to the other.
    pub label: Relevance,
}

/// What a statement says of a reply to a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NliExample {
    /// The statement.
    pub statement: String,
    /// The query.
    pub query: String,
    /// The reply.
    pub response: String,
    /// Whether the reply follows, is left open or is contradicted.
    pub label: Nli,
}

/// Two replies to a query, the better one first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreferencePair {
    /// Which of the queries it is.
    pub query_idx: usize,
    /// The query.
    pub query: String,
    /// The whole prompt that both replies were sampled from.
    pub prompt: String,
    /// The reply with the higher APC.
    pub chosen: String,
    /// The other.
    pub rejected: String,
    /// APC of the chosen reply.
    pub chosen_apc: f64,
    /// APC of the rejected reply.
    pub rejected_apc: f64,
}
