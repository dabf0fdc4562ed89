//! The stages from the page to the judges' tables.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde_json::json;

use super::config::{Scale, TrainConfig};
use super::discriminators::Discriminators;
use super::finetune::FineTune;
use super::page::{find_page, read_page};
use super::stage::{Stage, file_hash, folder_hash, seed_for};
use super::teach::{ask, nli_data, relevance_data};
use super::train::locate;
use crate::persona::{
    Judge, JudgeTemplate, NliExample, Query, RelevanceExample, RelevanceTable, Statement,
    judge_relevance,
};
use crate::progress::Job;
use crate::teacher::{Plan, Teacher, some_others, teacher};
use crate::text::ByteFallback;
use crate::{Error, Result, files, hf};

/// The files of a character.
pub(super) struct Folders {
    pub(super) data: PathBuf,
    pub(super) models: PathBuf,
}

impl Folders {
    fn new(output: &Path, character: &str) -> Self {
        Self {
            data: output.join("data").join(character),
            models: output.join("models").join(character),
        }
    }

    fn stage(&self, name: &str) -> PathBuf {
        self.data.join("stages").join(format!("{name}.json"))
    }
}

/// What is known of a character, and what is asked.
pub(super) struct Persona {
    pub(super) statements: Vec<String>,
    /// Queries to train on.
    pub(super) queries: Vec<Query>,
    /// Queries to evaluate with.
    pub(super) held_out: Vec<Query>,
}

fn answers_path(data: &Path) -> PathBuf {
    data.join("answers.jsonl")
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) device: &'a Device,
    pub(super) job: &'a Job,
    pub(super) folders: Folders,
    /// The page's text.
    page: String,
    page_path: PathBuf,
    pub(super) teacher: Box<dyn Teacher>,
    /// The folder of the Gemma that answers.
    pub(super) base: PathBuf,
    /// The stages that had something to do.
    pub(super) stages_run: Vec<String>,
    /// How long the teacher has worked.
    pub(super) taught: Duration,
}

impl<'a> Run<'a> {
    pub(super) fn new(config: &'a TrainConfig, device: &'a Device, job: &'a Job) -> Result<Self> {
        let page = match &config.wiki {
            Some(path) => path.clone(),
            None => find_page(&locate("wiki"), &config.character)?,
        };
        let base = match (&config.model, config.prp_scale) {
            (Some(folder), _) => folder.clone(),
            (None, Scale::Tiny) => locate("models/tiny/gemma"),
            (None, scale) => {
                let name = if scale == Scale::TwoB {
                    "gemma-1.1-2b-it"
                } else {
                    "gemma-1.1-7b-it"
                };
                return Err(Error::Usage(format!(
                    "--prp-scale needs google/{name}, which this version cannot download: \
                     download it yourself and name its folder with --model DIR"
                )));
            }
        };
        // A folder that is no model is told of before the first stage.
        hf::read_gemma_config(&base)?;
        hf::check_weights(&base)?;
        let folders = Folders::new(&config.output, &config.character);
        let text = read_page(&page)?;
        let teacher = teacher(
            &config.model_engine,
            &config.chat,
            &text,
            &answers_path(&folders.data),
            job,
        )?;
        Ok(Self {
            teacher,
            folders,
            config,
            device,
            job,
            page: text,
            page_path: page,
            base,
            stages_run: Vec::new(),
            taught: Duration::ZERO,
        })
    }

    /// Opens a stage; tells of it when there is something to do.
    pub(super) fn open(
        &mut self,
        name: &str,
        inputs: serde_json::Value,
        outputs: &[PathBuf],
    ) -> Result<Stage> {
        self.job.check()?;
        let stage = Stage::open(
            &self.folders.stage(name),
            inputs,
            outputs,
            self.config.force,
        )?;
        if !stage.is_complete() {
            self.stages_run.push(name.to_string());
        }
        Ok(stage)
    }

    /// Where a chat model's answers are kept.
    pub(super) fn answers_path(&self) -> PathBuf {
        answers_path(&self.folders.data)
    }

    /// Whether all that the teacher makes is there.
    pub(super) fn is_taught(&self) -> bool {
        let data = if self.config.use_pretrained_discriminator {
            "held-out-queries.jsonl"
        } else {
            "nli.jsonl"
        };
        self.folders.data.join(data).is_file()
    }

    /// What the teacher will be asked, if it is a model.
    pub(super) fn plan(&self) -> Option<Plan> {
        let fine_tunes = !self.config.use_pretrained_discriminator;
        self.teacher
            .plan(&self.config.character, &self.page, fine_tunes)
    }

    /// The statements of the page, and what is asked about them.
    pub(super) fn persona(&mut self) -> Result<Persona> {
        let character = &self.config.character;
        let path = self.folders.data.join("statements.jsonl");
        let inputs = json!({"character": character, "page": file_hash(&self.page_path)?, "teacher": self.teacher.version()});
        let mut stage = self.open("statements", inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let started = Instant::now();
            let statements = self.teacher.statements(character, &self.page)?;
            self.settle("statements", started)?;
            if statements.len() < 2 {
                return Err(Error::invalid(
                    &self.page_path,
                    format!(
                        "only {} statements about {character} were found; write more whole sentences that name {character}",
                        statements.len()
                    ),
                ));
            }
            files::write_jsonl(&path, &statements)?;
            stage.complete()?;
        }
        let statements: Vec<Statement> = files::read_jsonl(&path)?;
        let statements: Vec<String> = statements
            .into_iter()
            .map(|record| record.statement)
            .collect();

        let statements_hash = file_hash(&path)?;
        let paths = ["queries", "held-out-queries"]
            .map(|name| self.folders.data.join(format!("{name}.jsonl")));
        let inputs = json!({"statements": statements_hash, "seed": self.config.seed, "teacher": self.teacher.version()});
        let mut stage = self.open("queries", inputs, &paths)?;
        if !stage.is_complete() {
            let started = Instant::now();
            let (queries, held_out) = ask(
                self.teacher.as_ref(),
                character,
                &statements,
                self.config.seed,
                self.job,
            )?;
            self.settle("queries", started)?;
            if queries.is_empty() {
                return Err(Error::Teacher(format!(
                    "there is no question about any statement in {}",
                    path.display()
                )));
            }
            files::write_jsonl(&paths[0], &queries)?;
            files::write_jsonl(&paths[1], &held_out)?;
            stage.complete()?;
            self.job.progress.note(&format!(
                "{} statements, {} queries, {} more held out",
                statements.len(),
                queries.len(),
                held_out.len()
            ));
        }
        Ok(Persona {
            statements,
            queries: files::read_jsonl(&paths[0])?,
            held_out: files::read_jsonl(&paths[1])?,
        })
    }

    /// The judges that reward: the embedded ones, or those fine-tuned on the teacher's data.
    pub(super) fn discriminators(
        &mut self,
        statements: &[String],
        queries: &[Query],
    ) -> Result<Discriminators> {
        let base = Discriminators {
            relevance: (self.config.relevance.clone())
                .unwrap_or_else(|| locate("models/tiny/relevance")),
            nli: (self.config.nli.clone()).unwrap_or_else(|| locate("models/tiny/nli")),
        };
        if self.config.use_pretrained_discriminator {
            return Ok(base);
        }
        let data = self.discriminator_data(statements, queries)?;
        let (character, seed) = (&self.config.character, self.config.seed);
        let relevance: Vec<RelevanceExample> = files::read_jsonl(&data[0])?;
        let nli: Vec<NliExample> = files::read_jsonl(&data[1])?;
        let relevance_template = JudgeTemplate::load(&base.relevance)?;
        let nli_template = JudgeTemplate::load(&base.nli)?;
        let relevance_texts = relevance.iter().map(|example| {
            let text = relevance_template.render(character, &example.statement, &example.query, "");
            (text, example.label as usize)
        });
        let nli_texts = nli.iter().map(|example| {
            let text = nli_template.render(
                character,
                &example.statement,
                &example.query,
                &example.response,
            );
            (text, example.label as usize)
        });
        let own = Discriminators {
            relevance: self.folders.models.join("relevance"),
            nli: self.folders.models.join("nli"),
        };
        let epochs = [
            self.config.relevance_finetune_epoch,
            self.config.nli_finetune_epoch,
        ];
        let runs = [
            (
                "relevance",
                &base.relevance,
                &own.relevance,
                &data[0],
                epochs[0],
                relevance_texts.collect::<Vec<_>>(),
            ),
            (
                "nli",
                &base.nli,
                &own.nli,
                &data[1],
                epochs[1],
                nli_texts.collect::<Vec<_>>(),
            ),
        ];
        for (label, base, output, data, epochs, texts) in runs {
            let work = self.folders.models.join(format!("{label}.training"));
            let inputs = json!({"data": file_hash(data)?, "base": folder_hash(base)?, "epochs": epochs, "seed": seed});
            let mut stage = self.open(
                &format!("discriminator-{label}"),
                inputs,
                &[output.clone(), work.clone()],
            )?;
            if !stage.is_complete() {
                FineTune {
                    label,
                    base,
                    output,
                    work: &work,
                    epochs,
                    batch_size: 8,
                    learning_rate: 1e-5,
                    held_out: 0.2,
                    shuffle: true,
                    dropout: false,
                    byte_fallback: ByteFallback::Unknown,
                    seed,
                    record_steps: false,
                }
                .run(&texts, self.device, self.job)?;
                stage.complete()?;
            }
        }
        Ok(own)
    }

    /// The files of what judges are fine-tuned on, for relevance and NLI.
    pub(super) fn discriminator_data(
        &mut self,
        statements: &[String],
        queries: &[Query],
    ) -> Result<[PathBuf; 2]> {
        let (character, seed) = (&self.config.character, self.config.seed);
        let data = [
            self.folders.data.join("relevance.jsonl"),
            self.folders.data.join("nli.jsonl"),
        ];
        let inputs = json!({
            "queries": file_hash(&self.folders.data.join("queries.jsonl"))?,
            "seed": seed,
            "teacher": self.teacher.version(),
        });
        let mut stage = self.open("discriminator-data", inputs, &data)?;
        if !stage.is_complete() {
            let started = Instant::now();
            let teacher = self.teacher.as_ref();
            let relevance =
                relevance_data(teacher, character, statements, queries, seed, self.job)?;
            let nli = nli_data(teacher, character, statements, queries, seed, self.job)?;
            self.settle("discriminator-data", started)?;
            files::write_jsonl(&data[0], &relevance)?;
            files::write_jsonl(&data[1], &nli)?;
            stage.complete()?;
        }
        Ok(data)
    }

    /// The judges that grade took no part in the reward.
    pub(super) fn graders(&self) -> Discriminators {
        Discriminators {
            relevance: locate("models/tiny/evaluation/relevance"),
            nli: locate("models/tiny/evaluation/nli"),
        }
    }

    /// Relevance of every statement to every query by one judge, once; `files` are the names of the queries and the table.
    pub(super) fn relevance(
        &mut self,
        [asked, table]: [&str; 2],
        judge: &Path,
        statements: &[String],
        queries: &[Query],
    ) -> Result<RelevanceTable> {
        let path = self.folders.data.join(format!("{table}.jsonl"));
        let inputs = json!({
            "queries": file_hash(&self.folders.data.join(format!("{asked}.jsonl")))?,
            "judge": folder_hash(judge)?,
        });
        let mut stage = self.open(table, inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let judge = Judge::load_relevance(judge, self.device)?;
            let queries: Vec<String> = queries.iter().map(|query| query.query.clone()).collect();
            let table = judge_relevance(
                &judge,
                &self.config.character,
                statements,
                &queries,
                self.job,
            )?;
            files::write_jsonl(&path, &table.rows)?;
            stage.complete()?;
        }
        Ok(RelevanceTable {
            rows: files::read_jsonl(&path)?,
        })
    }

    /// At most `limit` of the queries, drawn by seed, in their order.
    pub(super) fn some_of(&self, n_queries: usize, limit: usize) -> Vec<usize> {
        let all: Vec<usize> = (0..n_queries).collect();
        let seed = seed_for(self.config.seed, &[2]);
        let mut some = some_others(&all, usize::MAX, limit, seed);
        some.sort_unstable();
        some
    }
}
