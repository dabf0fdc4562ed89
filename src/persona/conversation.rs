//! What was said so far, and what the last turn asks.

use serde::{Deserialize, Serialize};

use crate::text::Message;
use crate::{Error, Result};

/// What a user said, and what the character replied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What the user said.
    pub query: String,
    /// What the character replied.
    pub response: String,
}

/// A conversation whose next turn is the character's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Where it takes place, how the character speaks, and what else the model is told beside the statements.
    pub scene: String,
    /// How the character talks, turn by turn; left out where there is no room.
    pub examples: String,
    /// What the character said before the user said anything.
    pub greeting: String,
    /// What was said before, the oldest first.
    pub exchanges: Vec<Exchange>,
    /// What the user says now.
    pub query: String,
    /// How the reply begins that is to be continued.
    pub begun: String,
}

impl Conversation {
    /// A conversation in which a user says something for the first time.
    pub fn asked(query: impl Into<String>) -> Self {
        Self {
            query: query.into(),
            ..Self::default()
        }
    }

    /// Reads the turns of a chat API: system turns anywhere, several turns of one role in a row, and a reply at the end that is to
    /// be continued.
    ///
    /// # Errors
    ///
    /// A role that is not known, and turns of which none is the user's.
    pub fn from_messages(messages: &[Message]) -> Result<Self> {
        let mut read = Self::default();
        let mut is_answered = false;
        let mut n_queries = 0;
        for message in messages {
            let text = message.content.trim();
            match message.role.as_str() {
                "system" | "developer" if n_queries == 0 => append(&mut read.scene, text),
                // What comes later belongs to what is asked next.
                "system" | "developer" | "user" => {
                    if is_answered {
                        read.end();
                        is_answered = false;
                    }
                    n_queries += usize::from(message.role == "user");
                    append(&mut read.query, text);
                }
                "assistant" if n_queries == 0 => append(&mut read.greeting, text),
                "assistant" => {
                    append(&mut read.begun, text);
                    is_answered = true;
                }
                role => {
                    let reason = format!(
                        "has a message of role {role:?}, but only system, developer, user and assistant are known"
                    );
                    return Err(Error::setting("messages", reason));
                }
            }
        }
        if n_queries == 0 {
            let reason = "has no message of role \"user\", so there is nothing to reply to";
            return Err(Error::setting("messages", reason));
        }
        Ok(read)
    }

    /// Ends the turn: what was begun is what was replied.
    pub fn end(&mut self) {
        self.exchanges.push(Exchange {
            query: std::mem::take(&mut self.query),
            response: std::mem::take(&mut self.begun),
        });
    }

    /// Takes the last exchange back; what the user said then is what they say now, so that it can be answered anew.
    ///
    /// Returns whether there was one.
    pub fn undo(&mut self) -> bool {
        let last = self.exchanges.pop();
        let was_there = last.is_some();
        if let Some(last) = last {
            (self.query, self.begun) = (last.query, String::new());
        }
        was_there
    }

    /// What each turn of the user asks, the last one's last.
    pub fn turns(&self) -> Vec<Turn<'_>> {
        let said = self
            .exchanges
            .iter()
            .map(|exchange| exchange.query.as_str());
        let before = self.exchanges.iter().map(Some);
        let said = said.chain([self.query.as_str()]);
        let turns = said.zip([None].into_iter().chain(before));
        turns
            .map(|(query, before)| Turn { query, before })
            .collect()
    }
}

/// A turn of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// What the user said.
    pub query: &'a str,
    /// What was said right before.
    pub before: Option<&'a Exchange>,
}

impl Turn<'_> {
    /// The turn with what was said right before, without which a follow-up such as "And your sister?" is not understood.
    pub fn in_context(&self) -> Option<String> {
        let Exchange { query, response } = self.before?;
        Some(format!(
            "{} {} {}",
            query.trim(),
            response.trim(),
            self.query.trim()
        ))
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(turns: &[(&str, &str)]) -> Result<Conversation> {
        let messages: Vec<Message> = turns
            .iter()
            .map(|(role, text)| Message::new(*role, *text))
            .collect();
        Conversation::from_messages(&messages)
    }

    #[test]
    fn turns_of_any_order_become_exchanges() {
        let conversation = read(&[
            ("system", "A tavern."),
            ("assistant", "Welcome!"),
            ("system", "Speak softly."),
            ("user", "Hello."),
            ("user", "Who are you?"),
            ("assistant", "Mira."),
            ("system", "It begins to rain."),
            ("user", "And your sister?"),
            ("assistant", "She is"),
        ])
        .unwrap();
        let expected = Conversation {
            scene: "A tavern.\n\nSpeak softly.".into(),
            examples: String::new(),
            greeting: "Welcome!".into(),
            exchanges: vec![Exchange {
                query: "Hello.\n\nWho are you?".into(),
                response: "Mira.".into(),
            }],
            query: "It begins to rain.\n\nAnd your sister?".into(),
            begun: "She is".into(),
        };
        assert_eq!(conversation, expected);
    }

    #[test]
    fn turns_without_the_users_and_unknown_roles_are_refused() {
        for turns in [
            &[("system", "A tavern."), ("assistant", "Welcome!")][..],
            &[],
            &[("user", "Hello."), ("tool", "4")],
        ] {
            let error = read(turns).unwrap_err().to_string();
            assert!(error.contains("messages"), "{error}");
        }
    }

    #[test]
    fn a_turn_is_taken_back_with_its_reply() {
        let mut conversation = Conversation::asked("Who are you?");
        conversation.begun = "Mira.".into();
        conversation.end();
        conversation.query = "And your sister?".into();
        assert!(conversation.undo());
        assert_eq!(conversation, Conversation::asked("Who are you?"));
        assert!(!conversation.undo());
    }

    #[test]
    fn a_turn_is_asked_alone_and_with_what_was_said_before() {
        let conversation = read(&[
            ("user", "Where does your brother live?"),
            ("assistant", "In Cluj."),
            ("user", " And your sister? "),
        ])
        .unwrap();
        let turns = conversation.turns();
        assert_eq!(turns.len(), 2);
        assert_eq!(turns[0].in_context(), None);
        let both = "Where does your brother live? In Cluj. And your sister?";
        assert_eq!(turns[1].in_context().as_deref(), Some(both));
    }
}
