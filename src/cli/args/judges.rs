//! `--relevance` and `--nli`: the judges that score.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;
use crate::cli::args::chat_model::ChatModelArgs;
use crate::cli::args::hub;
use crate::cli::embedded::locate;
use crate::hub::Hub;
use crate::parallel::Devices;
use crate::persona::{Judge, JudgeTask, RelevanceTable, find_judge, judge_nli, judge_relevance};
use crate::progress::Job;
use crate::teacher::chat::{ChatTeacher, Language, OpenAi};
use crate::teacher::{Teacher, at_once};

/// Which judges score.
#[derive(Args, Debug)]
pub(crate) struct JudgeArgs {
    /// The relevance judge: a folder, a name on the hub, or openai:MODEL for a chat model [default: the character's own,
    /// else the embedded one].
    #[arg(long, value_name = "DIR|NAME")]
    relevance: Option<PathBuf>,
    /// The NLI judge, likewise.
    #[arg(long, value_name = "DIR|NAME")]
    nli: Option<PathBuf>,
    /// How judges are asked that do not say so themselves: JSON with relevance and nli, or the original's prompt.py.
    #[arg(long, value_name = "FILE")]
    judge_templates: Option<PathBuf>,
    #[command(flatten)]
    chat: ChatModelArgs,
}

/// The two judges that score.
pub(crate) struct Judges {
    pub(crate) relevance: AnyJudge,
    pub(crate) nli: AnyJudge,
}

/// A discriminator, or a chat model in its place.
pub(crate) enum AnyJudge {
    Local(Box<Judge>),
    Chat(ChatTeacher),
}

impl JudgeArgs {
    /// The judges of a character with these statements.
    pub(crate) fn load(
        &self,
        output: &Path,
        character: &str,
        statements: &[String],
        devices: &Devices,
        job: &Job,
    ) -> Result<Judges> {
        let hub = Hub::new(hub::config(), job)?;
        let load = |given: &Option<PathBuf>, name: &str, task| {
            let chat = given
                .as_ref()
                .and_then(|name| name.to_str()?.strip_prefix("openai:"));
            if let Some(model) = chat {
                let language = Language::of(&statements.join("\n"));
                let model = OpenAi::new(model, self.chat.config(), job)?;
                // Each judge has a file of its own, as each writes to it.
                let answers = output
                    .join("data")
                    .join(character)
                    .join(format!("{name}-judgements.jsonl"));
                let teacher = ChatTeacher::new(Box::new(model), language, &answers)?;
                return Ok(AnyJudge::Chat(teacher));
            }
            let judge = match given {
                Some(name) => find_judge(&hub, name, task, self.judge_templates.as_deref())?,
                None => judge_folder(output, character, name).into(),
            };
            Ok(AnyJudge::Local(Box::new(Judge::load(
                &judge, task, devices,
            )?)))
        };
        Ok(Judges {
            relevance: load(&self.relevance, "relevance", JudgeTask::Relevance)?,
            nli: load(&self.nli, "nli", JudgeTask::Nli)?,
        })
    }
}

impl AnyJudge {
    /// What it reads of a character, a statement, a query and a reply.
    pub(crate) fn reads(&self, [character, statement, query, response]: [&str; 4]) -> String {
        match self {
            Self::Local(judge) => judge
                .template()
                .render(character, statement, query, response),
            Self::Chat(_) => "(a chat model reads the prompts of its teacher's tasks)".into(),
        }
    }

    /// P(relevant) of every statement for every query.
    pub(crate) fn relevance(
        &self,
        character: &str,
        statements: &[String],
        queries: &[String],
        job: &Job,
    ) -> Result<RelevanceTable> {
        let judge = match self {
            Self::Local(judge) => {
                return judge_relevance(judge, None, character, statements, queries, job);
            }
            Self::Chat(judge) => judge,
        };
        let asked: Vec<(&String, &String)> = queries
            .iter()
            .flat_map(|query| statements.iter().map(move |statement| (statement, query)))
            .collect();
        let task = job.progress.task("relevance", asked.len(), "questions");
        let judged = at_once(&asked, judge.concurrency(), |(statement, query)| {
            job.check()?;
            let [_, yes] = judge.judge_relevance(character, statement, query)?;
            task.advance(1);
            Ok(yes)
        })?;
        let rows = judged.chunks(statements.len().max(1));
        Ok(RelevanceTable {
            rows: rows.map(<[f64]>::to_vec).collect(),
        })
    }

    /// P(contradicted), P(neutral), P(entailed) of every (query, reply) under every statement; one row a reply.
    pub(crate) fn nli(
        &self,
        character: &str,
        statements: &[String],
        replies: &[(&str, &str)],
        job: &Job,
    ) -> Result<Vec<Vec<[f64; 3]>>> {
        let judge = match self {
            Self::Local(judge) => return judge_nli(judge, character, statements, replies, job),
            Self::Chat(judge) => judge,
        };
        let asked: Vec<(&String, &(&str, &str))> = replies
            .iter()
            .flat_map(|reply| statements.iter().map(move |statement| (statement, reply)))
            .collect();
        let task = job.progress.task("entailment", asked.len(), "questions");
        let judged = at_once(
            &asked,
            judge.concurrency(),
            |(statement, (query, response))| {
                job.check()?;
                let judged = judge.judge_nli(character, statement, query, response)?;
                task.advance(1);
                Ok(judged)
            },
        )?;
        let rows = judged.chunks(statements.len().max(1));
        Ok(rows.map(<[[f64; 3]]>::to_vec).collect())
    }
}

/// The folder of a character's own judge if it was fine-tuned, else of the embedded one.
fn judge_folder(output: &Path, character: &str, name: &str) -> PathBuf {
    let own = output.join("models").join(character).join(name);
    if own.join("config.json").is_file() {
        own
    } else {
        locate(&format!("models/tiny/{name}"))
    }
}
