//! A run under way: settings, page, teacher, models and devices, and how its stages are opened.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::files::{Checkpoint, EmbeddingQuantization, Precision};
use crate::hub::Hub;
use crate::parallel::Devices;
use crate::persona::{JudgeSource, persona_prompt};
use crate::pipeline::changes::changes;
use crate::pipeline::layout::Layout;
use crate::pipeline::lock::Lock;
use crate::pipeline::models::{Judges, Sources};
use crate::pipeline::page::Page;
use crate::pipeline::record::{Stage, StageSpec};
use crate::pipeline::settings::{ModelChoice, TeacherChoice, TrainConfig};
use crate::progress::Job;
use crate::teacher::chat::{ChatModel, ChatTeacher, Language, LocalModel, OpenAi};
use crate::teacher::imported::Imported;
use crate::teacher::{Plan, Teacher};
use crate::text::{ChatFormat, Engine, EngineConfig, Tokenizer, Work};
use crate::{Error, Result, files};

/// Whether a run makes something or only tells what it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Plan,
    Make,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) devices: &'a Devices,
    pub(super) job: &'a Job,
    pub(super) layout: Layout,
    pub(super) hub: Hub,
    pub(super) page: Page,
    pub(super) teacher: Box<dyn Teacher>,
    /// The model that answers.
    pub(super) base: Checkpoint,
    /// What identifies its files.
    pub(super) base_hash: String,
    /// A prompt as it reads them, with names in place of what differs.
    pub(super) prompt: String,
    /// The judges that reward, before they are fine-tuned.
    pub(super) judges: Judges,
    /// The judges that grade, which took no part in the reward.
    pub(super) graders: Judges,
    /// The stages that had something to do.
    pub(super) stages_run: Vec<String>,
    /// How long the teacher has worked.
    pub(super) taught: Duration,
    _lock: Option<Lock>,
}

impl<'a> Run<'a> {
    /// Checks settings, page and base, and takes the character's lock if something is to be made.
    pub(super) fn new(
        config: &'a TrainConfig,
        sources: Sources,
        devices: &'a Devices,
        job: &'a Job,
        purpose: Purpose,
    ) -> Result<Self> {
        config.check()?;
        let layout = Layout::new(&config.output, &config.character);
        let page = match (&config.teacher, sources.page) {
            (TeacherChoice::Imported, _) => Page::imported(&layout.imported())?,
            (_, Some(page)) => page,
            (_, None) => {
                let reason = format!("{:?} has no page", config.character);
                let name = "character";
                return Err(Error::Setting { name, reason });
            }
        };
        let hub = Hub::new(config.hub.clone(), job)?;
        let base = match &config.model {
            Some(ModelChoice::Given) => sources.base,
            Some(ModelChoice::Named(name)) => hub.checkpoint(name)?,
            None => match config.prp_scale.repository() {
                Some(name) => hub.checkpoint(Path::new(name))?,
                None => sources.base,
            },
        };
        // A folder that is no model is told of before the first stage.
        files::read_decoder_config(&base)?;
        files::check_weights(&base)?;
        let base_hash = base.hash()?;
        let format = ChatFormat::load(&base, &Tokenizer::load(&base)?)?;
        let prompt = persona_prompt(&format, "CHARACTER", &["STATEMENTS"], "QUERY")?;
        let chat = chat_model(config, &base, &base_hash, devices, job)?;
        // The lock comes before the answers are read: two runs would tear them.
        let lock = (purpose == Purpose::Make)
            .then(|| Lock::take(&layout.lock(), &layout.data))
            .transpose()?;
        let teacher: Box<dyn Teacher> = match chat {
            Some(model) => {
                let language = Language::of(page.text());
                Box::new(ChatTeacher::new(model, language, Some(&layout.answers()))?)
            }
            None if config.teacher == TeacherChoice::Imported => {
                Box::new(Imported::load(&layout.imported())?)
            }
            None => sources.teacher,
        };
        if !config.judges.use_pretrained && !teacher.teaches_judges() {
            return Err(Error::setting(
                "use_pretrained_discriminator",
                "is false, but the built-in rules write nothing that judges could be fine-tuned on; let a chat model write it \
                 (`model_engine` with its name, or local), or import it",
            ));
        }
        Ok(Self {
            config,
            devices,
            job,
            layout,
            hub,
            page,
            teacher,
            base,
            base_hash,
            prompt,
            judges: sources.judges,
            graders: sources.graders,
            stages_run: Vec::new(),
            taught: Duration::ZERO,
            _lock: lock,
        })
    }

    /// A stage of that name.
    pub(super) fn stage(&self, name: &str) -> StageSpec {
        StageSpec::new(name, self.layout.record(name))
    }

    /// What its weights are kept in, as records have it.
    pub(super) fn precision(&self) -> Value {
        json!(self.config.precision)
    }

    /// What records call the model that answers; a folder is named from the output folder.
    pub(super) fn base_name(&self) -> String {
        self.base.reference(&self.config.output)
    }

    /// The model that answers, for some work.
    pub(super) fn engine(&self, work: Work, adapter: Option<&Path>) -> Result<Engine> {
        Engine::open(self.engine_config(work, adapter), self.devices)
    }

    pub(super) fn engine_config(&self, work: Work, adapter: Option<&Path>) -> EngineConfig {
        EngineConfig::new(self.base.clone(), work)
            .with_adapter(adapter)
            .with_precision(self.config.precision)
    }

    /// Tells what stages that have something to do will need in memory, and stops the run now where that cannot fit.
    ///
    /// - samples: whether replies are to be sampled
    /// - trains: whether an adapter is to be trained
    pub(super) fn check_memory(&self, samples: bool, trains: bool) -> Result<()> {
        let replies = &self.config.replies;
        let nli = [&self.judges.nli, &self.graders.nli].map(JudgeSource::bytes);
        let [rewarding, grading] = nli;
        let judges = rewarding?.max(grading?);
        let sampling = Work::sample(replies.eval_replies, replies.max_new_tokens);
        let training = self.config.training_work();
        let device = self.devices.first();
        for (wanted, purpose, work, judges) in [
            (samples, "to sample replies", sampling, judges),
            (trains, "to train", training, 0),
        ] {
            if wanted {
                let config = self.engine_config(work, None);
                config.announce(purpose, judges, device, self.job)?;
            }
        }
        Ok(())
    }

    /// Opens a stage; counts it when there is something to do.
    pub(super) fn open(&mut self, spec: StageSpec) -> Result<Stage> {
        self.job.check()?;
        let name = spec.name.clone();
        let stage = Stage::open(spec, self.config.force, self.job)?;
        if !stage.is_complete() {
            self.stages_run.push(name);
        }
        Ok(stage)
    }

    /// Tells which stages are made again and why, a line for each cause; returns those stages.
    pub(super) fn tell_changes(&self, specs: &[StageSpec]) -> Result<Vec<String>> {
        let changes = changes(specs, self.config.force)?;
        for change in &changes {
            self.job.progress.note(&change.to_string());
        }
        Ok(changes
            .into_iter()
            .flat_map(|change| change.stages)
            .collect())
    }

    /// Tells which of the stages that were told to be made again have stayed, as all that they read came out the same.
    pub(super) fn tell_unchanged(&self, told: &[String]) {
        let stays = |stage: &&String| !self.stages_run.contains(stage);
        let stayed: Vec<&str> = told.iter().filter(stays).map(String::as_str).collect();
        if !stayed.is_empty() {
            self.job.progress.note(&format!(
                "what these read came out the same, so they stay: {}",
                stayed.join(", ")
            ));
        }
    }

    /// What the teacher will be asked, if it is a model.
    pub(super) fn plan(&self) -> Option<Plan> {
        let fine_tunes = !self.config.judges.use_pretrained;
        self.teacher.plan(
            &self.config.character,
            self.page.text(),
            fine_tunes,
            self.config.turns,
        )
    }
}

/// Tokens of an answer of the local model as teacher, at most.
const LOCAL_TOKENS: usize = 1024;

/// The chat model that teaches, if one does.
fn chat_model(
    config: &TrainConfig,
    base: &Checkpoint,
    base_hash: &str,
    devices: &Devices,
    job: &Job,
) -> Result<Option<Box<dyn ChatModel>>> {
    Ok(match &config.teacher {
        TeacherChoice::Given | TeacherChoice::Imported => None,
        TeacherChoice::Local => {
            let mut name = format!("local {}", &base_hash[..12]);
            if config.precision != Precision::default() {
                let Precision {
                    dtype,
                    quantization,
                    embeddings,
                } = config.precision;
                name += &format!(" {} {}", dtype.name(), quantization.name());
                if embeddings != EmbeddingQuantization::default() {
                    name += &format!(" {}", embeddings.name());
                }
            }
            let engine = EngineConfig::new(base.clone(), Work::reply(LOCAL_TOKENS))
                .with_precision(config.precision);
            let engine = Engine::open(engine, &Devices::from(devices.first().clone()))?;
            Some(Box::new(LocalModel::new(&name, engine, job)))
        }
        TeacherChoice::Chat(name) => Some(Box::new(OpenAi::new(name, config.chat.clone(), job)?)),
    })
}
