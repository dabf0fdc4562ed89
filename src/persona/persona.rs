//! Who a character is.

use serde::{Deserialize, Serialize};

use super::JudgeInput;

/// A character's name, and what is true of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// The name.
    pub name: String,
    /// One sentence each, with the name.
    pub statements: Vec<String>,
}

impl Persona {
    /// A persona from its name and statements.
    pub fn new<S: Into<String>>(name: &str, statements: impl IntoIterator<Item = S>) -> Self {
        Self {
            name: name.to_string(),
            statements: statements.into_iter().map(Into::into).collect(),
        }
    }

    /// What a judge is asked about one statement.
    pub fn input<'a>(
        &'a self,
        statement: &'a str,
        query: &'a str,
        response: &'a str,
    ) -> JudgeInput<'a> {
        JudgeInput {
            character: &self.name,
            statement,
            query,
            response,
        }
    }

    /// What a judge is asked about every statement.
    pub fn inputs<'a>(
        &'a self,
        query: &'a str,
        response: &'a str,
    ) -> impl Iterator<Item = JudgeInput<'a>> {
        self.statements
            .iter()
            .map(move |statement| self.input(statement, query, response))
    }
}
