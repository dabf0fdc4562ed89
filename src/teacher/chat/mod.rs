//! A chat model as teacher: it is asked each task in the language of the page, and every answer is kept.
//!
//! The model is a server that speaks OpenAI's API or a Gemma on this machine. Prompts, the parsing of answers and the
//! journal of answers live here; stages and their files do not.

mod address;
mod answer;
mod form;
mod gate;
mod judged;
mod labels;
mod learning;
mod local;
mod model;
mod openai;
mod parse;
mod plain;
mod prompts;
mod refusal;
mod sizes;
mod tasks;
mod thoughts;
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
use plain::plain;
use prompts::{length, parts, prompt};
use tasks::{Kind, LABEL, QUERIES, RELEVANT, REPLIES, STATEMENTS, Task};
use thoughts::answer_of;

/// Counted up when prompts or the reading of answers change what a character's data would be.
const PROMPTS_VERSION: u32 = 1;
/// How much of a page is read at once, as [`length`] measures it: about 750 tokens in every script.
const PART: usize = 3000;
/// The shortest part that is split when a model cannot read it.
const SHORTEST_PART: usize = 256;
/// Tokens of a statement or question, at most: judges read it with a reply.
const MOST_TOKENS: u64 = 128;
/// Characters of an unusable answer that are shown to the model again.
const SHOWN_CHARS: usize = 2000;

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
    /// Whether it was told that labels have no probabilities.
    is_certain: bool,
}

/// An answer, locked while the model is asked for it.
type Slot = Arc<Mutex<Option<Given>>>;

/// An answer on disk.
#[derive(Serialize, Deserialize)]
struct Answered {
    /// The SHA-256 of the model's name, the conversation and the server's address.
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
                is_certain: false,
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
        let question = self.question(task, character, values);
        self.ask_twice(question, |given| read(&given.reply))
    }

    /// Asks a question, and once more if the answer cannot be used: with more room if it was cut off.
    fn ask_twice<T>(
        &self,
        mut question: Question,
        read: impl Fn(&Given) -> std::result::Result<T, Unusable>,
    ) -> Result<Option<T>> {
        self.state().outcome.asked += 1;
        let read = |given: &Given| {
            if given.is_cut {
                Err("it is cut off before its end; be brief".into())
            } else {
                read(given)
            }
        };
        let first = self.answer(&question)?;
        let reason = match read(&first) {
            Ok(made) => return Ok(Some(made)),
            Err(reason) => reason,
        };
        if first.is_cut {
            question.max_tokens *= 2;
        }
        let again = prompt(self.language, "again", &[PromptValue::from(&reason)]);
        for (role, content) in [("assistant", shown_again(&first)), ("user", again)] {
            let role = role.into();
            question.messages.push(Message { role, content });
        }
        let second = self.answer(&question)?;
        match read(&second) {
            Ok(made) => Ok(Some(made)),
            Err(reason) => {
                let rejected = Rejected {
                    task: question.task.to_string(),
                    asked: question.messages[1].content.clone(),
                    replies: vec![first.reply, second.reply],
                    reason,
                };
                self.state().outcome.rejected.push(rejected);
                Ok(None)
            }
        }
    }

    /// Sets aside what was too long of an answer that is used otherwise.
    fn drop_long(&self, task: &Task, texts: Vec<String>) -> Vec<String> {
        let is_long = |text: &String| model::estimated_tokens(text) > MOST_TOKENS;
        let (long, rest): (Vec<_>, Vec<_>) = texts.into_iter().partition(is_long);
        let dropped = long.into_iter().map(|text| Rejected {
            task: task.name.to_string(),
            asked: String::new(),
            reason: format!(
                "it has about {} tokens, but a sentence may have {MOST_TOKENS}",
                model::estimated_tokens(&text)
            ),
            replies: vec![text],
        });
        self.state().outcome.dropped.extend(dropped);
        rest
    }

    /// Reads the statements in a part of a page; halves a part that does not fit into the context of the model.
    fn statements_in(&self, character: &str, part: &str) -> Result<Vec<String>> {
        let read = self.ask(&STATEMENTS, character, &[part.into()], |reply| {
            // A refusal does not name the character.
            parse::strings(reply, STATEMENTS.field(), |line| line.contains(character))
        });
        let error = match read {
            Ok(statements) => return Ok(statements.unwrap_or_default()),
            Err(error) => error,
        };
        let fills = |context: u64| {
            let question = self.question(&STATEMENTS, character, &[part.into()]);
            2 * question.estimated_tokens() > context
        };
        if length(part) <= SHORTEST_PART || !self.model.context().is_some_and(fills) {
            return Err(error);
        }
        let halves = parts(part, length(part).div_ceil(2));
        let read = halves
            .iter()
            .map(|half| self.statements_in(character, half));
        Ok(read.collect::<Result<Vec<_>>>()?.concat())
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
            none => none.insert(files::Journal::open::<Answered>(&self.path)?.0),
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
        let mut asked = json!([self.model.name(), question.messages, question.logprobs]);
        let origin = self.model.origin();
        if let (Some(asked), false) = (asked.as_array_mut(), origin.is_empty()) {
            asked.push(json!(origin));
        }
        files::checksum_of(asked.to_string())
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
        let judged = self.ask_twice(question, |given| {
            if let Some(probabilities) = judged::probabilities(&given.logprobs, labels) {
                return Ok(probabilities);
            }
            let said = match task.fields[0].1 {
                Kind::SomeOf(_) => parse::labels(&given.reply, task.field(), labels, 1)?[0],
                _ => parse::label(&given.reply, task.field(), labels)?,
            };
            self.tell_certain();
            let p = |label_idx| f64::from(u8::from(label_idx == said));
            Ok((0..labels.len()).map(p).collect())
        })?;
        judged.ok_or_else(|| {
            let rejected = self.state().outcome.rejected.pop();
            let reason = rejected.map_or(String::new(), |rejected| rejected.reason);
            crate::Error::Teacher(format!(
                "{} gave no usable judgement, twice: {reason}",
                self.model.name()
            ))
        })
    }

    /// Tells once that labels count as certain.
    fn tell_certain(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.is_certain, true) {
            self.model.tell(&format!(
                "{} tells no log-probabilities of its labels: a label that it gives counts as certain",
                self.model.name()
            ));
        }
    }
}

impl Teacher for ChatTeacher {
    fn version(&self) -> String {
        let name = model::recorded_name(&self.model.name(), &self.model.origin());
        format!("{name}, prompts {}-{PROMPTS_VERSION}", self.language.code())
    }

    fn concurrency(&self) -> usize {
        self.model.concurrency()
    }

    fn rounds(&self) -> u64 {
        2
    }

    fn statements(&self, character: &str, page: &str) -> Result<Vec<Statement>> {
        let parts = parts(page, PART);
        let read = at_once(&parts, self.model.concurrency(), |part| {
            self.statements_in(character, part)
        })?;
        let mut statements: Vec<Statement> = Vec::new();
        for statement in self.drop_long(&STATEMENTS, read.concat()) {
            let statement = Statement {
                statement: one_line(&statement),
            };
            if !statement.statement.is_empty() && !statements.contains(&statement) {
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
            let fits = |text: &String| model::estimated_tokens(text) <= MOST_TOKENS;
            if !questions.iter().any(fits) {
                return Err("it has no short question".into());
            }
            Ok(questions)
        })?;
        let questions = self.drop_long(&QUERIES, questions.unwrap_or_default());
        let query = |question: String| Query {
            statement: statement.to_string(),
            query: one_line(&question),
        };
        Ok(questions.into_iter().map(query).collect())
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
            let replies = parse::fields(reply, &labels.map(|label| NLI[label as usize]))?;
            match replies
                .iter()
                .find(|reply| model::estimated_tokens(reply) > 2 * MOST_TOKENS)
            {
                Some(long) => Err(format!("a reply has {} characters", long.chars().count())),
                None => Ok(replies),
            }
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
        outcome.dropped.sort();
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
        for part in parts(page, PART) {
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

/// An unusable answer as the model is shown it again: its beginning, without thoughts.
fn shown_again(given: &Given) -> String {
    let answer = answer_of(&given.reply).unwrap_or_default();
    if answer.is_empty() {
        return "…".into(); // some servers refuse an empty turn
    }
    match answer.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &answer[..end]),
        None => answer.to_string(),
    }
}

/// A text on one line, without what a terminal would obey.
fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
