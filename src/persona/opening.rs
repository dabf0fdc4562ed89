//! How a conversation with a character begins.

use serde::{Deserialize, Serialize};

use super::Conversation;

/// What a card says of conversations, beside what is true of the character. Its texts have `{{user}}` where the user's name
/// stands.
///
/// ```
/// use apc::persona::Opening;
///
/// let opening = Opening {
///     greetings: vec!["Good evening, {{user}}.".into()],
///     ..Opening::default()
/// };
/// assert_eq!(opening.with_user("Tom").conversation(0).greeting, "Good evening, Tom.");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What the character may say first.
    pub greetings: Vec<String>,
    /// Where it takes place, and how the character is to speak.
    pub scene: String,
    /// How the character talks, turn by turn.
    pub examples: String,
}

impl Opening {
    /// The name of a user who has not said one.
    pub const USER: &str = "User";

    /// The same with the user's name in place.
    pub fn with_user(&self, user: &str) -> Self {
        let named = |text: &String| text.replace("{{user}}", user);
        Self {
            greetings: self.greetings.iter().map(named).collect(),
            scene: named(&self.scene),
            examples: named(&self.examples),
        }
    }

    /// A conversation in which the user has said nothing yet; without a greeting if there is none with that number, counted from 0.
    pub fn conversation(&self, greeting: usize) -> Conversation {
        Conversation {
            scene: self.scene.clone(),
            examples: self.examples.clone(),
            greeting: self.greetings.get(greeting).cloned().unwrap_or_default(),
            ..Conversation::default()
        }
    }
}
