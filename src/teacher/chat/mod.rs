//! A chat model as teacher: it is asked each task in the language of the page, and every answer is kept.
//!
//! The model is a server that speaks OpenAI's API or a Gemma on this machine. Prompts, the parsing of answers and the
//! journal of answers live here; stages and their files do not.

mod answer;
mod judged;
mod labels;
mod local;
mod model;
mod openai;
mod parse;
mod prompts;
mod tasks;
mod traffic;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::Value as PromptValue;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::parallel::at_once;
use crate::persona::{
    ChatJudge, JudgeInput, Nli, NliExample, NliProbabilities, Query, Relevance, Statement,
};
use crate::teacher::{Outcome, Plan, Rejected, Teacher};
use crate::text::Message;
use crate::{Result, files};

pub(super) use labels::read_label;
pub use local::LocalGemma;
pub use model::{ChatModel, Completion, Question, TokenLogprobs, Usage};
pub use openai::{OpenAi, OpenAiConfig};
pub use prompts::Language;

use labels::{NLI, RELEVANCE};
use parse::Unusable;
use prompts::{parts, prompt};
use tasks::{Kind, LABEL, QUERIES, RELEVANT, REPLIES, STATEMENTS, Task};

/// Counted up when prompts or the reading of answers change what a character's data would be.
const PROMPTS_VERSION: u32 = 1;
/// Characters of a page that are read at once, about.
const PART_CHARS: usize = 3000;

/// A chat model that does a teacher's five tasks.
pub struct ChatTeacher {
    model: Box<dyn ChatModel>,
    language: Language,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// Every answer that was ever given, by what was asked; empty while the model is asked for it.
    answers: HashMap<String, Slot>,
    /// Where they are kept; opened for the first of them.
    journal: Option<files::Journal>,
    outcome: Outcome,
}

/// An answer, locked while the model is asked for it.
type Slot = Arc<Mutex<Option<Given>>>;

/// An answer on disk.
#[derive(Serialize, Deserialize)]
struct Answered {
    /// The SHA-256 of the model's name and the conversation.
    key: String,
    task: String,
    reply: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logprobs: Vec<TokenLogprobs>,
}

/// An answer as it was given.
#[derive(Clone, Debug)]
struct Given {
    reply: String,
    is_cut: bool,
    logprobs: Vec<TokenLogprobs>,
}

impl fmt::Debug for ChatTeacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTeacher")
            .field("model", &self.model.name())
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

impl ChatTeacher {
    /// Makes a teacher that keeps its answers in a JSON Lines file and never asks again what is answered there.
    pub fn new(model: Box<dyn ChatModel>, language: Language, answers: &Path) -> Result<Self> {
        let path = answers.to_path_buf();
        let (journal, known) = if path.is_file() {
            let (journal, known) = files::Journal::open::<Answered>(&path)?;
            // Two runs would ask, and pay for, the same.
            journal.lock()?;
            (Some(journal), known)
        } else {
            (None, Vec::new())
        };
        let slot = |known: Answered| {
            let given = Given {
                reply: known.reply,
                is_cut: known.is_cut,
                logprobs: known.logprobs,
            };
            (known.key, Arc::new(Mutex::new(Some(given))))
        };
        let answers = known.into_iter().map(slot);
        Ok(Self {
            model,
            language,
            path,
            state: Mutex::new(State {
                answers: answers.collect(),
                journal,
                outcome: Outcome::default(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds the conversation of a task: the system prompt and one question.
    fn question(&self, task: &Task, character: &str, values: &[PromptValue]) -> Question {
        let message = |role: &str, content: String| Message {
            role: role.into(),
            content,
        };
        let character = PromptValue::from(character);
        let values: Vec<PromptValue> = [character.clone()].iter().chain(values).cloned().collect();
        Question {
            task: task.name,
            messages: vec![
                message("system", prompt(self.language, "system", &[character])),
                message("user", prompt(self.language, task.name, &values)),
            ],
            schema: task.schema(),
            max_tokens: task.max_tokens,
            logprobs: false,
        }
    }

    /// Asks a task's question, and once more if the answer cannot be used; `None` if the second cannot either.
    fn ask<T>(
        &self,
        task: &Task,
        character: &str,
        values: &[PromptValue],
        read: impl Fn(&str) -> std::result::Result<T, Unusable>,
    ) -> Result<Option<T>> {
        let mut question = self.question(task, character, values);
        self.state().outcome.asked += 1;
        let read = |given: &Given| {
            if given.is_cut {
                Err("it is cut off before its end; be brief".into())
            } else {
                read(&given.reply)
            }
        };
        let first = self.answer(&question)?;
        let reason = match read(&first) {
            Ok(made) => return Ok(Some(made)),
            Err(reason) => reason,
        };
        let again = prompt(self.language, "again", &[PromptValue::from(&reason)]);
        for (role, content) in [("assistant", first.reply.clone()), ("user", again)] {
            let role = role.into();
            question.messages.push(Message { role, content });
        }
        let second = self.answer(&question)?;
        match read(&second) {
            Ok(made) => Ok(Some(made)),
            Err(reason) => {
                let rejected = Rejected {
                    task: task.name.to_string(),
                    asked: question.messages[1].content.clone(),
                    replies: vec![first.reply, second.reply],
                    reason,
                };
                self.state().outcome.rejected.push(rejected);
                Ok(None)
            }
        }
    }

    /// The answer to a question: the one on disk, or the model's, which is put there first.
    fn answer(&self, question: &Question) -> Result<Given> {
        let key = self.key(question);
        let slot = self.state().answers.entry(key.clone()).or_default().clone();
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(given) = &*known {
            return Ok(given.clone());
        }
        let completion = self.model.complete(question)?;
        let answered = Answered {
            key,
            task: question.task.to_string(),
            reply: completion.reply,
            is_cut: completion.is_cut,
            prompt_tokens: completion.prompt_tokens,
            completion_tokens: completion.completion_tokens,
            logprobs: completion.logprobs,
        };
        let mut state = self.state();
        let journal = match &mut state.journal {
            Some(journal) => journal,
            none => {
                let journal = none.insert(files::Journal::open::<Answered>(&self.path)?.0);
                journal.lock()?;
                journal
            }
        };
        journal.append(std::slice::from_ref(&answered))?;
        drop(state);
        let given = Given {
            reply: answered.reply,
            is_cut: answered.is_cut,
            logprobs: answered.logprobs,
        };
        *known = Some(given.clone());
        Ok(given)
    }

    fn key(&self, question: &Question) -> String {
        let asked = json!([self.model.name(), question.messages, question.logprobs]).to_string();
        files::checksum_of(asked)
    }
}

impl ChatJudge for ChatTeacher {
    fn concurrency(&self) -> usize {
        self.model.concurrency()
    }

    fn relevance(&self, character: &str, statement: &str, query: &str) -> Result<f64> {
        let values = [statement.into(), [query].into_iter().collect()];
        let p = self.judge(&RELEVANT, &RELEVANCE, character, &values)?;
        Ok(p[1])
    }

    fn nli(&self, input: &JudgeInput<'_>) -> Result<NliProbabilities> {
        let values = [
            input.statement.into(),
            input.query.into(),
            input.response.into(),
        ];
        let p = self.judge(&LABEL, &NLI, input.character, &values)?;
        Ok(NliProbabilities {
            contradicted: p[0],
            neutral: p[1],
            entailed: p[2],
        })
    }
}

impl ChatTeacher {
    /// Returns the probabilities of a task's labels: from the token probabilities if the model returns them, else 1 for the
    /// label that it replies with.
    fn judge(
        &self,
        task: &Task,
        labels: &[&[&str]],
        character: &str,
        values: &[PromptValue],
    ) -> Result<Vec<f64>> {
        let mut question = self.question(task, character, values);
        question.logprobs = true;
        let given = self.answer(&question)?;
        if let Some(probabilities) = judged::probabilities(&given.logprobs, labels) {
            return Ok(probabilities);
        }
        let said = self.ask(task, character, values, |reply| {
            Ok(match task.fields[0].1 {
                Kind::SomeOf(_) => parse::labels(reply, task.field(), labels, 1)?[0],
                _ => parse::label(reply, task.field(), labels)?,
            })
        })?;
        let said = said.ok_or_else(|| {
            let rejected = self.state().outcome.rejected.pop();
            let reason = rejected.map_or(String::new(), |rejected| rejected.reason);
            crate::Error::Teacher(format!(
                "{} gave no usable judgement, twice: {reason}",
                self.model.name()
            ))
        })?;
        let p = |label_idx| f64::from(u8::from(label_idx == said));
        Ok((0..labels.len()).map(p).collect())
    }
}

impl Teacher for ChatTeacher {
    fn version(&self) -> String {
        let (name, language) = (self.model.name(), self.language.code());
        format!("{name}, prompts {language}-{PROMPTS_VERSION}")
    }

    fn concurrency(&self) -> usize {
        self.model.concurrency()
    }

    fn rounds(&self) -> u64 {
        2
    }

    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>> {
        let parts = parts(page, PART_CHARS);
        let read = at_once(&parts, self.model.concurrency(), |part| {
            self.ask(&STATEMENTS, character, &[part.as_str().into()], |reply| {
                // A refusal does not name the character.
                parse::strings(reply, STATEMENTS.field(), |line| line.contains(character))
            })
        })?;
        let mut statements: Vec<Statement> = Vec::new();
        for statement in read.into_iter().flatten().flatten() {
            let statement = Statement {
                statement: one_line(&statement),
            };
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
        Ok(statements)
    }

    fn queries(
        &self,
        character: &str,
        statement: &str,
        asked: &[Query],
        _seed: u64,
    ) -> Result<Vec<Query>> {
        let asked = asked.iter().map(|query| query.query.as_str());
        let values = [statement.into(), asked.collect()];
        let questions = self.ask(&QUERIES, character, &values, |reply| {
            let questions = parse::strings(reply, QUERIES.field(), is_question)?;
            if questions.is_empty() {
                return Err("it has no question".into());
            }
            Ok(questions)
        })?;
        let query = |question: String| Query {
            statement: statement.to_string(),
            query: one_line(&question),
        };
        Ok(questions
            .unwrap_or_default()
            .into_iter()
            .map(query)
            .collect())
    }

    fn relevance(
        &self,
        character: &str,
        statement: &str,
        queries: &[&str],
    ) -> Result<Option<Vec<Relevance>>> {
        let values = [statement.into(), queries.iter().copied().collect()];
        let labels = self.ask(&RELEVANT, character, &values, |reply| {
            parse::labels(reply, RELEVANT.field(), &RELEVANCE, queries.len())
        })?;
        let label = |label_idx| [Relevance::No, Relevance::Yes][label_idx];
        Ok(labels.map(|labels| labels.into_iter().map(label).collect()))
    }

    fn replies(
        &self,
        character: &str,
        query: &Query,
        _others: &[String],
        _seed: u64,
    ) -> Result<Option<Vec<NliExample>>> {
        let Query { statement, query } = query;
        let values = [statement.as_str().into(), query.as_str().into()];
        let labels = [Nli::Entailed, Nli::Neutral, Nli::Contradicted];
        let replies = self.ask(&REPLIES, character, &values, |reply| {
            parse::fields(reply, &labels.map(|label| NLI[label as usize]))
        })?;
        let example = |(label, response): (Nli, String)| NliExample {
            statement: statement.clone(),
            query: query.clone(),
            response: one_line(&response),
            label,
        };
        Ok(replies.map(|replies| labels.into_iter().zip(replies).map(example).collect()))
    }

    fn nli(
        &self,
        character: &str,
        statement: &str,
        query: &str,
        response: &str,
    ) -> Result<Option<Nli>> {
        let values = [statement.into(), query.into(), response.into()];
        let label = self.ask(&LABEL, character, &values, |reply| {
            parse::label(reply, LABEL.field(), &NLI)
        })?;
        Ok(label.map(|label_idx| [Nli::Contradicted, Nli::Neutral, Nli::Entailed][label_idx]))
    }

    fn take_outcome(&self) -> Outcome {
        let mut outcome = std::mem::take(&mut self.state().outcome);
        outcome.rejected.sort();
        outcome
    }

    fn plan(&self, character: &str, page: &str, fine_tunes: bool) -> Option<Plan> {
        /// Tokens of a statement, about.
        const STATEMENT: u64 = 12;
        let sample: String = page.chars().take(60).collect();
        let sample = || PromptValue::from(&sample);
        let (mut requests, mut tokens) = (0, 0);
        let mut count = |times: u64, task: &Task, values: &[PromptValue], answer: u64| {
            requests += times;
            tokens += times * (self.question(task, character, values).estimated_tokens() + answer);
        };
        for part in parts(page, PART_CHARS) {
            let answer = model::estimated_tokens(&part) * 5 / 4;
            count(1, &STATEMENTS, &[part.into()], answer);
        }
        let statements = (model::estimated_tokens(page) / STATEMENT).max(1);
        let questions = |n: usize| PromptValue::from(vec![sample(); n]);
        count(statements, &QUERIES, &[sample(), questions(0)], 60);
        count(statements, &QUERIES, &[sample(), questions(3)], 60);
        if fine_tunes {
            count(statements, &RELEVANT, &[sample(), questions(8)], 40);
            count(3 * statements, &REPLIES, &[sample(), sample()], 90);
            count(9 * statements, &LABEL, &[sample(), sample(), sample()], 10);
        }
        let answered = (self.state().answers.len() as u64).min(requests);
        Some(Plan {
            model: self.model.name(),
            requests: requests - answered,
            tokens: tokens * (requests - answered) / requests.max(1),
        })
    }

    fn rest(&self) {
        self.model.rest();
    }

    fn usage(&self) -> Option<Usage> {
        Some(self.model.usage())
    }
}

/// Whether a text asks something.
fn is_question(text: &str) -> bool {
    text.contains(['?', '？']) || text.trim_end().ends_with("か。")
}

/// A text on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
