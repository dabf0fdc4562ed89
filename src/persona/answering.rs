//! How well a character answers everyday questions.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Character, Conversation, Everyday, EverydayQuestion, Share};
use crate::Result;
use crate::progress::Job;

/// How a character replied to the questions of a benchmark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answering {
    /// Questions that a statement answers, and whose reply does not decline and has one of the words of the answer.
    pub answered: Share,
    /// Questions that nothing answers, and whose reply claims nothing about the character.
    pub declined: Share,
    /// Replies that are broken.
    pub broken: Share,
    /// Every reply.
    pub replies: Vec<AskedReply>,
}

/// A question with the reply to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedReply {
    /// Who was asked.
    pub name: String,
    /// What was asked.
    pub query: String,
    /// What was replied.
    pub response: String,
    /// The answer in a few words; empty if the persona does not know.
    pub answer: String,
    /// The statements in the prompt, the most relevant first.
    pub retrieved: Vec<String>,
    /// Whether the reply answers, or declines where nothing answers.
    pub is_right: bool,
    /// What is broken, if anything is.
    pub broken: Option<Broken>,
}

/// What is broken about a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// It does not end within the limit.
    Endless,
    /// It has no letter or digit.
    Empty,
    /// It has a mark of a turn or a byte that is no text.
    Mark,
    /// It repeats a word or a phrase.
    Repeated,
}

impl Answering {
    /// Asks a character the questions of a persona and adds what it replies.
    ///
    /// # Errors
    ///
    /// A question that leaves no room for a reply, or a judge that fails.
    pub fn measure(
        &mut self,
        character: &mut Character,
        everyday: &Everyday,
        job: &Job,
    ) -> Result<()> {
        for question in &everyday.questions {
            let asked = Conversation::asked(question.query.trim());
            let answer = character.reply_aloud(&asked, job, &mut |_| {})?;
            let response = answer.response;
            let broken = match answer.is_cut {
                true => Some(Broken::Endless),
                false => broken(&response),
            };
            let knows = !question.statements.is_empty();
            let is_right = match knows {
                true => answers(question, &response),
                false => claims_nothing(question, &answer.retrieved, &response),
            };
            match knows {
                true => self.answered.count(is_right),
                false => self.declined.count(is_right),
            }
            self.broken.count(broken.is_some());
            self.replies.push(AskedReply {
                name: everyday.name.clone(),
                query: question.query.clone(),
                response,
                answer: question.answer.clone(),
                retrieved: answer.retrieved,
                is_right,
                broken,
            });
        }
        Ok(())
    }
}

/// Whether the reply answers. What declines does not, even if it names what was asked about.
fn answers(question: &EverydayQuestion, response: &str) -> bool {
    has_key(question, response) && !declines(response)
}

/// Whether the reply says that the character does not know or does not tell.
pub(crate) fn declines(response: &str) -> bool {
    /// How such replies begin.
    const OPENINGS: [&str; 10] = [
        "i don't know about",
        "i don't know that",
        "i don't know anything",
        "i don't know what to say",
        "i can't tell you that",
        "i can't tell you about",
        "i can't answer",
        "i'm not sure about",
        "i have no idea",
        "i'd rather not say",
    ];
    /// What such a first sentence may be.
    const WHOLE: [&str; 7] = [
        "i don't know",
        "i can't say",
        "i couldn't say",
        "i can't tell you",
        "i can't tell",
        "i'm not sure",
        "no idea",
    ];
    let response = response.to_lowercase().replace('’', "'");
    let response = response
        .replace(" do not ", " don't ")
        .replace(" cannot ", " can't ")
        .replace("i am not ", "i'm not ");
    let sentence = response.split(['.', '!', ',']).next().unwrap_or_default();
    WHOLE.contains(&sentence.trim()) || OPENINGS.iter().any(|opening| response.starts_with(opening))
}

/// Whether a word of the reply begins with a word of the answer.
fn has_key(question: &EverydayQuestion, response: &str) -> bool {
    let response = response.to_lowercase();
    let is_start = |place: usize| !response[..place].ends_with(char::is_alphanumeric);
    let mut keys = question.keys.iter().map(|key| key.to_lowercase());
    keys.any(|key| {
        response
            .match_indices(&key)
            .any(|(place, _)| is_start(place))
    })
}

/// Whether the reply has no word of a statement that the question does not have too.
fn claims_nothing(question: &EverydayQuestion, statements: &[String], response: &str) -> bool {
    /// Words of four letters or more that say nothing of anybody.
    const EMPTY: &str = "about that this what with have know tell don't can't couldn't wouldn't you'd you're somebody someone \
                         else would could never really much there anything nothing they them than then when where which from \
                         does been being more very your ever just like want";
    let words = |text: &str| -> BTreeSet<String> {
        let text = text.to_lowercase().replace('’', "'");
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
        let words = words.filter(|word| word.chars().count() > 3);
        words.map(str::to_string).collect()
    };
    let empty = words(EMPTY);
    let asked = words(&question.query);
    let told: BTreeSet<String> = statements.iter().flat_map(|text| words(text)).collect();
    let said = words(response);
    let mut claims = said.intersection(&told);
    !claims.any(|word| !empty.contains(word) && !asked.contains(word))
}

/// What is broken about a reply that ends.
fn broken(response: &str) -> Option<Broken> {
    const MARKS: [&str; 8] = [
        "<start_of_turn>",
        "<end_of_turn>",
        "<eos>",
        "<bos>",
        "<pad>",
        "<unk>",
        "<0x",
        "\u{fffd}",
    ];
    if !response.chars().any(char::is_alphanumeric) {
        Some(Broken::Empty)
    } else if MARKS.iter().any(|mark| response.contains(mark)) {
        Some(Broken::Mark)
    } else {
        repeats(response).then_some(Broken::Repeated)
    }
}

/// Whether a word comes twice in a row, or three words in their order come again.
fn repeats(response: &str) -> bool {
    /// Words that good English has twice in a row.
    const TWICE: [&str; 2] = ["that", "had"];
    let words: Vec<String> = response
        .to_lowercase()
        .split_whitespace()
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_string()
        })
        .filter(|word| !word.is_empty())
        .collect();
    let mut pairs = words.windows(2);
    if pairs.any(|pair| pair[0] == pair[1] && !TWICE.contains(&pair[0].as_str())) {
        return true;
    }
    let mut seen = BTreeSet::new();
    words.windows(3).any(|phrase| !seen.insert(phrase.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str, keys: &[&str]) -> EverydayQuestion {
        EverydayQuestion {
            query: query.into(),
            statements: Vec::new(),
            answer: String::new(),
            keys: keys.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn an_answer_has_a_word_that_begins_with_a_key() {
        let question = question("Where do you live?", &["bergen", "norw"]);
        assert!(has_key(&question, "I live in Bergen."));
        assert!(has_key(&question, "In the Norwegian rain."));
        assert!(!has_key(&question, "In Ravnsbergen."));
    }

    #[test]
    fn what_declines_answers_nothing() {
        let question = question("Can you swim?", &["swim", "can't"]);
        assert!(answers(&question, "I don't know how to swim."));
        assert!(answers(&question, "I can't say no to a swim."));
        for response in [
            "I don't know about swimming.",
            "I do not know about swimming.",
            "I am not sure about swimming.",
            "I can’t say.",
            "I don't know, swimming?",
        ] {
            assert!(!answers(&question, response), "{response}");
        }
    }

    #[test]
    fn a_reply_claims_nothing_if_its_words_are_the_questions_own() {
        let question = question("Which football team do you support?", &[]);
        let statements =
            ["Mira never watches football.", "Mira plays the cello."].map(String::from);
        let claims_nothing = |response| claims_nothing(&question, &statements, response);
        assert!(claims_nothing("I don't know about that."));
        assert!(claims_nothing("I never know about football."));
        assert!(!claims_nothing("I play the cello."));
    }

    #[test]
    fn what_is_broken_is_told_and_plain_replies_are_not() {
        for (response, expected) in [
            ("I live in Bergen.", None),
            ("I know that that is so.", None),
            ("...", Some(Broken::Empty)),
            ("I live in <eos> Bergen.", Some(Broken::Mark)),
            ("I live in in Bergen.", Some(Broken::Repeated)),
            ("I live in rain, I live in rain.", Some(Broken::Repeated)),
        ] {
            assert_eq!(broken(response), expected, "{response}");
        }
    }
}
