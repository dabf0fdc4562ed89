//! The run: page → statements → queries → judges → preference pairs → adapter → evaluation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::Checkpoint;
use crate::hub::Hub;
use crate::parallel::Devices;
use crate::persona::Persona;
use crate::pipeline::changes::changes;
use crate::pipeline::dpo::DpoSummary;
use crate::pipeline::layout::Layout;
use crate::pipeline::lock::Lock;
use crate::pipeline::models::{Judges, Sources};
use crate::pipeline::page::Page;
use crate::pipeline::record::{Stage, StageSpec};
use crate::pipeline::settings::{Scale, TeacherChoice, TrainConfig};
use crate::pipeline::stages::{
    self, Evaluation, TeacherData, dpo, evaluate, judge_data, judges, pairs, queries, statements,
};
use crate::progress::Job;
use crate::teacher::chat::{ChatModel, ChatTeacher, Language, LocalGemma, OpenAi, Usage};
use crate::teacher::imported::Imported;
use crate::teacher::{Plan, Teacher};
use crate::text::{Engine, EngineConfig, Work};
use crate::{Error, Result, files};

/// What a run has made, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// The character's name.
    pub character: String,
    /// TeacherData statements.
    pub statements: usize,
    /// Queries made from them to train on.
    pub queries: usize,
    /// Those to which replies were sampled.
    pub trained_on: usize,
    /// Samples of two replies to them.
    pub sampled: usize,
    /// What came of the pairs.
    pub dpo: DpoSummary,
    /// Before and after.
    pub evaluation: Evaluation,
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// What a chat model was asked, if any was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub teacher: Option<Usage>,
    /// Stages that had something to do; none if all was complete.
    pub stages_run: Vec<String>,
}

/// What a teacher has made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeachSummary {
    /// TeacherData statements.
    pub statements: usize,
    /// Queries to train on.
    pub queries: usize,
    /// Queries that are held out.
    pub held_out: usize,
    /// The folder with all of it.
    pub data: PathBuf,
    /// What a chat model was asked, if any was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub teacher: Option<Usage>,
}

/// Returns what a chat model would be asked for a run, if it has one for a teacher; nothing is written.
///
/// # Errors
///
/// Settings, a page or a model that cannot be used.
pub fn plan(
    config: &TrainConfig,
    sources: Sources,
    devices: &Devices,
    job: &Job,
) -> Result<Option<Plan>> {
    let mut config = without_model(config);
    // A plan asks nothing, so it needs no key.
    config.chat.api_key.get_or_insert_with(|| "none".into());
    Ok(Run::new(&config, sources, devices, job, Purpose::Plan)?.plan())
}

/// Runs the stages that need a teacher, and no others.
///
/// # Errors
///
/// As [`train`].
pub fn teach(
    config: &TrainConfig,
    sources: Sources,
    devices: &Devices,
    job: &Job,
) -> Result<TeachSummary> {
    let config = &without_model(config);
    let mut run = Run::new(config, sources, devices, job, Purpose::Make)?;
    let told = run.tell_changes(&stages::of_teacher(&run))?;
    let Taught { data, usage } = be_taught(&mut run)?;
    run.tell_unchanged(&told);
    Ok(TeachSummary {
        statements: data.statements.len(),
        queries: data.queries.len(),
        held_out: data.held_out.len(),
        data: run.layout.data,
        teacher: usage,
    })
}

/// Runs all stages, from wherever an earlier run stopped, and again those that an edit has changed.
///
/// # Errors
///
/// Settings, a page or a model that cannot be used; another run on this character; files that cannot be read or written;
/// a chat model that cannot be asked; a stop on request.
pub fn train(
    config: &TrainConfig,
    sources: Sources,
    devices: &Devices,
    job: &Job,
) -> Result<TrainSummary> {
    let mut run = Run::new(config, sources, devices, job, Purpose::Make)?;
    run.check_memory()?;
    run.judges = judges::find(&run)?;
    let told = run.tell_changes(&stages::all(&run)?)?;
    let Taught { data, usage } = be_taught(&mut run)?;
    judges::fine_tune(&mut run)?;
    let TeacherData {
        statements,
        queries,
        held_out,
    } = data;
    let persona = Persona::new(&config.character, statements);
    let trained = stages::ask_to_train(&mut run, &persona, &queries)?;
    let held_out = stages::ask_held_out(&mut run, &persona, &held_out)?;
    let grading = stages::grading_relevance(&mut run, &held_out)?;

    let pairs = pairs::make(&mut run, &trained)?;
    let before = evaluate::before(&mut run, &held_out, &grading)?;
    let dpo = dpo::make(&mut run, &pairs)?;
    let after = evaluate::after(&mut run, &held_out, &grading)?;
    run.tell_unchanged(&told);

    let n_asked = trained.query_idxs.len();
    let layout = run.layout;
    let summary = TrainSummary {
        character: config.character.clone(),
        statements: persona.statements.len(),
        queries: queries.len(),
        trained_on: n_asked,
        sampled: n_asked * config.replies.samples_per_query(n_asked),
        dpo,
        evaluation: Evaluation::new(&before, &after, config.seed),
        adapter: layout.adapter(),
        teacher: usage,
        stages_run: run.stages_run,
    };
    write_summary(&layout.summary(), &summary)?;
    Ok(summary)
}

/// Writes a summary unless the same is there: what is complete may lie on a disk that is not to be written.
fn write_summary(path: &Path, summary: &TrainSummary) -> Result<()> {
    let there = files::read_json::<TrainSummary>(path).ok();
    let same = there.is_some_and(|there| {
        let (stages_run, teacher) = (summary.stages_run.clone(), summary.teacher);
        let there = TrainSummary {
            stages_run,
            teacher,
            ..there
        };
        there == *summary
    });
    if same && summary.stages_run.is_empty() {
        return Ok(());
    }
    files::write_json(path, summary)
}

/// The settings of a run that needs no other Gemma than the default, unless that is the teacher; so that nothing is
/// downloaded for it.
fn without_model(config: &TrainConfig) -> TrainConfig {
    let mut config = config.clone();
    if config.teacher != TeacherChoice::Local {
        config.model = None;
        config.prp_scale = Scale::Tiny;
    }
    config
}

/// All that the teacher makes, and what it was asked.
struct Taught {
    data: TeacherData,
    usage: Option<Usage>,
}

/// Runs the teacher's stages; tells beforehand what it may cost, and afterwards what it has.
fn be_taught(run: &mut Run<'_>) -> Result<Taught> {
    if let Some(plan) = run.plan().filter(|plan| plan.requests > 0)
        && !run.is_taught()?
    {
        run.job.progress.note(&plan.to_string());
    }
    let taught = teacher_data(run);
    run.teacher.rest();
    // What was spent is told whether it was enough or not.
    let usage = run.teacher.usage().filter(|usage| usage.requests > 0);
    if let Some(usage) = &usage {
        let seconds = run.taught.as_secs_f64();
        run.job.progress.note(&format!("{usage}, {seconds:.1} s"));
    }
    Ok(Taught {
        data: taught?,
        usage,
    })
}

fn teacher_data(run: &mut Run<'_>) -> Result<TeacherData> {
    let statements = statements::make(run)?;
    let data = queries::make(run, statements)?;
    if !run.config.judges.use_pretrained {
        judge_data::make(run, &data)?;
    }
    Ok(data)
}

/// Whether a run makes something or only tells what it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
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
    /// The Gemma that answers.
    pub(super) base: Checkpoint,
    /// What identifies its files.
    pub(super) base_hash: String,
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
    fn new(
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
        let on_hub = config.prp_scale.repository().map(PathBuf::from);
        let base = match config.model.as_ref().or(on_hub.as_ref()) {
            Some(name) => hub.checkpoint(name)?,
            None => sources.base,
        };
        // A folder that is no model is told of before the first stage.
        files::read_gemma_config(&base)?;
        files::check_weights(&base)?;
        let base_hash = base.hash()?;
        let chat = chat_model(config, &base, &base_hash, devices, job)?;
        // The lock comes before the answers are read: two runs would tear them.
        let lock = (purpose == Purpose::Make)
            .then(|| Lock::take(&layout.lock(), &layout.data))
            .transpose()?;
        let teacher: Box<dyn Teacher> = match chat {
            Some(model) => {
                let language = Language::of(page.text());
                Box::new(ChatTeacher::new(model, language, &layout.answers())?)
            }
            None if config.teacher == TeacherChoice::Imported => {
                Box::new(Imported::load(&layout.imported())?)
            }
            None => sources.teacher,
        };
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

    /// What the Gemma's weights are kept in, as records have it.
    pub(super) fn precision(&self) -> Value {
        json!(self.config.precision)
    }

    /// What records call the Gemma that answers; a folder is named from the output folder.
    pub(super) fn base_name(&self) -> String {
        self.base.reference(&self.config.output)
    }

    /// The Gemma that answers, for some work.
    pub(super) fn engine(&self, work: Work, adapter: Option<&Path>) -> Result<Engine> {
        Engine::open(self.engine_config(work, adapter), self.devices)
    }

    fn engine_config(&self, work: Work, adapter: Option<&Path>) -> EngineConfig {
        EngineConfig::new(self.base.clone(), work)
            .with_adapter(adapter)
            .with_precision(self.config.precision)
    }

    /// Tells what the run will need in memory, and stops it now where that cannot fit.
    fn check_memory(&self) -> Result<()> {
        let replies = &self.config.replies;
        let sampling = Work::sample(replies.eval_replies, replies.max_new_tokens);
        let training = self.config.training_work();
        for (purpose, work) in [("to sample replies", sampling), ("to train", training)] {
            let config = self.engine_config(work, None);
            config.announce(purpose, self.devices.first(), self.job)?;
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
    fn tell_changes(&self, specs: &[StageSpec]) -> Result<Vec<String>> {
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
    fn tell_unchanged(&self, told: &[String]) {
        let stays = |stage: &&String| !self.stages_run.contains(stage);
        let stayed: Vec<&str> = told.iter().filter(stays).map(String::as_str).collect();
        if !stayed.is_empty() {
            self.job.progress.note(&format!(
                "what these read came out the same, so they stay: {}",
                stayed.join(", ")
            ));
        }
    }

    /// Whether all that the teacher makes is there.
    fn is_taught(&self) -> Result<bool> {
        for spec in stages::of_teacher(self) {
            if self.config.force || !spec.is_current()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the teacher will be asked, if it is a model.
    fn plan(&self) -> Option<Plan> {
        let fine_tunes = !self.config.judges.use_pretrained;
        self.teacher
            .plan(&self.config.character, self.page.text(), fine_tunes)
    }
}

/// Tokens of an answer of the local Gemma as teacher, at most.
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
            let name = format!("local {}", &base_hash[..12]);
            let engine = EngineConfig::new(base.clone(), Work::reply(LOCAL_TOKENS))
                .with_precision(config.precision);
            let engine = Engine::open(engine, &Devices::from(devices.first().clone()))?;
            Some(Box::new(LocalGemma::new(&name, engine, job)))
        }
        TeacherChoice::Chat(name) => Some(Box::new(OpenAi::new(name, config.chat.clone(), job)?)),
    })
}
