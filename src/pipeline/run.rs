//! The stages from the page to the judges' tables.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::files::Checkpoint;
use crate::hub::Hub;
use crate::parallel::Devices;
use crate::persona::{
    self, JudgeInput, JudgeSource, JudgeTask, JudgeTemplate, LocalJudge, NliExample, Query,
    RelevanceCache, RelevanceExample, RelevanceTable, Statement, find_judge,
};
use crate::pipeline::config::{Scale, TrainConfig};
use crate::pipeline::discriminators::{Discriminators, judge_hash};
use crate::pipeline::finetune::FineTune;
use crate::pipeline::page::{find_page, read_page};
use crate::pipeline::record::{Stage, file_hash};
use crate::pipeline::teach::{ask, nli_data, relevance_data};
use crate::pipeline::train::locate;
use crate::progress::Job;
use crate::teacher::chat::{ChatModel, ChatTeacher, Language, LocalGemma, OpenAi};
use crate::teacher::imported::Imported;
use crate::teacher::{Examples, Plan, Teacher, some_others};
use crate::text::seed_for;
use crate::text::{ByteFallback, Engine, EngineConfig, Work};
use crate::tiny::Offline;
use crate::{Error, Result, files};

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

/// The original's discriminators for relevance and NLI.
const PUBLISHED_ENGLISH: [&str; 2] = [
    "KomeijiForce/deberta-v3-large-relevance-12character",
    "KomeijiForce/deberta-v3-large-nli-12character",
];
/// The same for other languages.
const PUBLISHED_MULTILINGUAL: [&str; 2] = [
    "KomeijiForce/xlm-roberta-large-relevance-multilingual-12character",
    "KomeijiForce/xlm-roberta-large-nli-multilingual-12character",
];

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) devices: &'a Devices,
    pub(super) job: &'a Job,
    pub(super) folders: Folders,
    /// The page's text.
    page: String,
    page_path: PathBuf,
    pub(super) teacher: Box<dyn Teacher>,
    hub: Hub,
    /// The Gemma that answers.
    pub(super) base: Checkpoint,
    /// The stages that had something to do.
    pub(super) stages_run: Vec<String>,
    /// How long the teacher has worked.
    pub(super) taught: Duration,
}

impl<'a> Run<'a> {
    pub(super) fn new(config: &'a TrainConfig, devices: &'a Devices, job: &'a Job) -> Result<Self> {
        let folders = Folders::new(&config.output, &config.character);
        let imported = folders.data.join("imported");
        let page = match &config.wiki {
            Some(path) => path.clone(),
            // What was imported stands for its page.
            None if config.model_engine == "imported" => Imported::statements_path(&imported)?,
            None => find_page(&locate("wiki"), &config.character)?,
        };
        let hub = Hub::new(config.hub.clone(), job)?;
        let base = match (&config.model, config.prp_scale.repository()) {
            (Some(name), _) => hub.checkpoint(name)?,
            (None, Some(name)) => hub.checkpoint(Path::new(name))?,
            (None, None) => Checkpoint::folder(locate("models/tiny/gemma")).with_name("embedded"),
        };
        // A folder that is no model is told of before the first stage.
        files::read_gemma_config(&base)?;
        files::check_weights(&base)?;
        let text = if config.model_engine == "imported" {
            let statements: Vec<Statement> = files::read_jsonl(&page)?;
            let texts: Vec<String> = statements
                .into_iter()
                .map(|known| known.statement)
                .collect();
            texts.join("\n")
        } else {
            read_page(&page)?
        };
        let answers = answers_path(&folders.data);
        let chat = |model: Box<dyn ChatModel>| -> Result<Box<dyn Teacher>> {
            Ok(Box::new(ChatTeacher::new(
                model,
                Language::of(&text),
                &answers,
            )?))
        };
        let teacher: Box<dyn Teacher> = match config.model_engine.as_str() {
            "offline" => Box::new(Offline),
            "imported" => Box::new(Imported::load(&imported)?),
            "local" => {
                let hash = base.hash()?;
                let name = format!("local {}", &hash[..12]);
                let engine = EngineConfig::new(
                    base.clone(),
                    Work::Reply {
                        tokens: 4096,
                        new_tokens: 1024,
                    },
                )
                .with_precision(config.precision);
                let engine = Engine::open(engine, &Devices::from(devices.first().clone()))?;
                chat(Box::new(LocalGemma::new(&name, engine, job)))?
            }
            name => chat(Box::new(OpenAi::new(name, config.chat.clone(), job)?))?,
        };
        Ok(Self {
            teacher,
            folders,
            config,
            devices,
            job,
            page: text,
            page_path: page,
            hub,
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

    /// The judges that are used as they are, or fine-tuned: those that were named, else those that fit the Gemma and the
    /// page's language.
    fn base_judges(&self) -> Result<Discriminators> {
        let config = self.config;
        let english = Language::of(&self.page) == Language::English;
        let names = match (
            config.prp_scale,
            config.use_pretrained_discriminator,
            english,
        ) {
            (Scale::Tiny, _, _) => [locate("models/tiny/relevance"), locate("models/tiny/nli")],
            (_, true, true) => PUBLISHED_ENGLISH.map(PathBuf::from),
            (_, true, false) => PUBLISHED_MULTILINGUAL.map(PathBuf::from),
            (_, false, true) => ["microsoft/deberta-v3-large"; 2].map(PathBuf::from),
            (_, false, false) => ["FacebookAI/xlm-roberta-large"; 2].map(PathBuf::from),
        };
        let [relevance, nli] = names;
        let find = |named: &Option<PathBuf>, default: PathBuf, task| {
            let name = named.as_ref().unwrap_or(&default);
            find_judge(&self.hub, name, task, config.judge_templates.as_deref())
        };
        Ok(Discriminators {
            relevance: find(&config.relevance, relevance, JudgeTask::Relevance)?,
            nli: find(&config.nli, nli, JudgeTask::Nli)?,
        })
    }

    /// The judges that reward: the embedded ones, or those fine-tuned on the teacher's data.
    pub(super) fn discriminators(
        &mut self,
        statements: &[String],
        queries: &[Query],
    ) -> Result<Discriminators> {
        let base = self.base_judges()?;
        if self.config.use_pretrained_discriminator {
            return Ok(base);
        }
        let data = self.discriminator_data(statements, queries)?;
        let (character, seed) = (&self.config.character, self.config.seed);
        let relevance: Vec<RelevanceExample> = files::read_jsonl(&data[0])?;
        let nli: Vec<NliExample> = files::read_jsonl(&data[1])?;
        // A model that is no judge yet is asked as the embedded ones are.
        let template = |judge: &JudgeSource, task: JudgeTask| match &judge.template {
            None if !JudgeTemplate::is_in(&judge.checkpoint) => Ok(task.template()),
            _ => judge.template(),
        };
        let relevance_template = template(&base.relevance, JudgeTask::Relevance)?;
        let nli_template = template(&base.nli, JudgeTask::Nli)?;
        let relevance_texts = relevance.iter().map(|example| {
            let text = relevance_template.render(&JudgeInput {
                character,
                statement: &example.statement,
                query: &example.query,
                response: "",
            });
            (text, example.label as usize)
        });
        let nli_texts = nli.iter().map(|example| {
            let text = nli_template.render(&JudgeInput {
                character,
                statement: &example.statement,
                query: &example.query,
                response: &example.response,
            });
            (text, example.label as usize)
        });
        let own = ["relevance", "nli"].map(|name| self.folders.models.join(name));
        let epochs = [
            self.config.relevance_finetune_epoch,
            self.config.nli_finetune_epoch,
        ];
        let runs = [
            (
                "relevance",
                &base.relevance.checkpoint,
                &relevance_template,
                &own[0],
                &data[0],
                epochs[0],
                relevance_texts.collect::<Vec<_>>(),
            ),
            (
                "nli",
                &base.nli.checkpoint,
                &nli_template,
                &own[1],
                &data[1],
                epochs[1],
                nli_texts.collect::<Vec<_>>(),
            ),
        ];
        for (label, base, template, output, data, epochs, texts) in runs {
            let work = self.folders.models.join(format!("{label}.training"));
            let inputs = json!({
                "data": file_hash(data)?, "base": base.hash()?, "template": template, "epochs": epochs, "seed": seed,
            });
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
                .run(&texts, self.devices, self.job)?;
                template.save(output)?;
                stage.complete()?;
                // The checkpoints have done their part.
                files::remove_dir(&work.join("checkpoint"))?;
            }
        }
        let [relevance, nli] = own.map(|folder| Checkpoint::from(folder).into());
        Ok(Discriminators { relevance, nli })
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
            let Examples { relevance, nli } = match teacher.examples() {
                Some(examples) => examples,
                None => Examples {
                    relevance: relevance_data(
                        teacher, character, statements, queries, seed, self.job,
                    )?,
                    nli: nli_data(teacher, character, statements, queries, seed, self.job)?,
                },
            };
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
            relevance: Checkpoint::from(locate("models/tiny/evaluation/relevance")).into(),
            nli: Checkpoint::from(locate("models/tiny/evaluation/nli")).into(),
        }
    }

    /// Relevance of every statement to every query by one judge, once; `files` are the names of the queries and the table.
    pub(super) fn relevance(
        &mut self,
        [asked, table]: [&str; 2],
        judge: &JudgeSource,
        persona: &persona::Persona,
        queries: &[Query],
    ) -> Result<RelevanceTable> {
        let path = self.folders.data.join(format!("{table}.jsonl"));
        let inputs = json!({
            "statements": file_hash(&self.folders.data.join("statements.jsonl"))?,
            "queries": file_hash(&self.folders.data.join(format!("{asked}.jsonl")))?,
            "judge": judge_hash(judge)?,
        });
        let mut stage = self.open(table, inputs, std::slice::from_ref(&path))?;
        if !stage.is_complete() {
            let cache = self.folders.data.join("relevance-cache.jsonl");
            let mut cache = RelevanceCache::open(&cache, &judge_hash(judge)?.to_string())?;
            let judge = LocalJudge::load(judge, JudgeTask::Relevance, self.devices)?;
            let queries: Vec<String> = queries.iter().map(|query| query.query.clone()).collect();
            let table = judge.relevance(Some(&mut cache), persona, &queries, self.job)?;
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
