//! A chat model as teacher: it is asked each task in the language of the page, and every answer is kept.
//!
//! The model is a server that speaks OpenAI's API or a language model on this machine. Prompts, the parsing of answers and the
//! journal of answers live here; stages and their files do not.

mod asking;
mod judged;
mod judging;
mod labels;
mod local;
mod model;
mod parse;
mod plain;
mod prompts;
mod server;
mod tasks;
mod thoughts;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::Value as PromptValue;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::parallel::at_once;
use crate::persona::{Exchange, Nli, NliExample, Query, Relevance, Statement};
use crate::teacher::{Outcome, Plan, Teacher};
use crate::text::Message;
use crate::{Result, files};

pub(super) use labels::read_label;
pub use local::LocalModel;
pub use model::{ChatModel, Completion, Question, TokenLogprobs, Usage};
pub use prompts::Language;
pub use server::{OpenAi, OpenAiConfig};

use asking::too_long;
use labels::{NLI, RELEVANCE};
use plain::plain;
pub(crate) use prompts::length;
use prompts::{parts, prompt};
use tasks::{FOLLOW_UP, LABEL, QUERIES, RELEVANT, REPLIES, STATEMENTS, Task};

/// Counted up when prompts or the reading of answers change what a character's data would be.
const PROMPTS_VERSION: u32 = 1;
/// How much of a page is read at once, as [`length`] measures it: about 750 tokens in every script.
const PART: usize = 3000;
/// The shortest part that is split when a model cannot read it.
const SHORTEST_PART: usize = 256;
/// Tokens of a statement or question, at most: judges read it with a reply.
const MOST_TOKENS: u64 = 128;
/// A chat model that does a teacher's five tasks.
pub struct ChatTeacher {
    model: Box<dyn ChatModel>,
    language: Language,
    /// Where answers are kept, if anywhere.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    /// Every answer that is kept or was given in this run, by what was asked; empty while the model is asked for it.
    answers: HashMap<String, Slot>,
    /// The file that keeps them; opened for the first of them.
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
    /// Makes a teacher that keeps its answers in a JSON Lines file, if one is given, and never asks again what is answered
    /// there.
    pub fn new(
        model: Box<dyn ChatModel>,
        language: Language,
        answers: Option<&Path>,
    ) -> Result<Self> {
        let (journal, known) = match answers.filter(|path| path.is_file()) {
            Some(path) => {
                let (journal, known) = files::Journal::open::<Answered>(path)?;
                // Two runs would ask, and pay for, the same.
                journal.lock()?;
                (Some(journal), known)
            }
            None => (None, Vec::new()),
        };
        let slot = |known: Answered| {
            let given = Given {
                reply: known.reply,
                is_cut: known.is_cut,
                logprobs: known.logprobs,
            };
            (known.key, Arc::new(Mutex::new(Some(given))))
        };
        let known = known.into_iter().map(slot);
        Ok(Self {
            model,
            language,
            path: answers.map(Path::to_path_buf),
            state: Mutex::new(State {
                answers: known.collect(),
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
        let message = |role: &str, content: String| Message::new(role, content);
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
        self.keep(&answered)?;
        let given = Given {
            reply: answered.reply,
            is_cut: answered.is_cut,
            logprobs: answered.logprobs,
        };
        *known = Some(given.clone());
        Ok(given)
    }

    /// Puts an answer on disk, if answers are kept.
    fn keep(&self, answered: &Answered) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut state = self.state();
        let journal = match &mut state.journal {
            Some(journal) => journal,
            none => {
                let journal = none.insert(files::Journal::open::<Answered>(path)?.0);
                journal.lock()?;
                journal
            }
        };
        journal.append(std::slice::from_ref(answered))
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
        // Small models copy the example of the prompt into their answer.
        let example = self.language.example_name();
        let is_copied = |text: &str| {
            text.contains(example) && !page.contains(example) && !character.contains(example)
        };
        let fault = |text: &str| {
            let copied = || format!("it names {example}, who is only in the prompt's example");
            too_long(text).or_else(|| is_copied(text).then(copied))
        };
        for statement in self.drop_unfit(&STATEMENTS, read.concat(), fault) {
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
        let questions = self.drop_unfit(&QUERIES, questions.unwrap_or_default(), too_long);
        let query = |question: String| Query::new(statement, one_line(&question));
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
        let Query {
            statement, query, ..
        } = query;
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

    fn follow_up(&self, character: &str, before: &Query, next: &Query) -> Result<Option<Exchange>> {
        let values = [&before.statement, &before.query, &next.query];
        let values = values.map(|text| PromptValue::from(text.as_str()));
        let written = self.ask(&FOLLOW_UP, character, &values, |reply| {
            let written = parse::fields(reply, &[&["reply"], &["question"]])?;
            match written.iter().find_map(|text| too_long(text)) {
                Some(fault) => Err(fault),
                None if !is_question(&written[1]) => Err("the follow-up asks nothing".into()),
                None => Ok(written),
            }
        })?;
        let exchange = |written: Vec<String>| Exchange {
            response: one_line(&written[0]),
            query: one_line(&written[1]),
        };
        Ok(written.map(exchange))
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

    fn plan(&self, character: &str, page: &str, fine_tunes: bool, turns: usize) -> Option<Plan> {
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
        // Six queries of a statement come after half as many turns as they may, on average.
        let before = 3 * (turns.max(1) as u64 - 1);
        count(
            before * statements,
            &FOLLOW_UP,
            &[sample(), sample(), sample()],
            60,
        );
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

/// A text on one line, without what a terminal would obey.
fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
