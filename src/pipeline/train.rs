//! The run: page → statements → queries → judges → preference pairs → adapter → evaluation.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::parallel::Devices;
use crate::persona::Persona;
use crate::pipeline::dpo::DpoSummary;
use crate::pipeline::models::Sources;
use crate::pipeline::record::StageSpec;
use crate::pipeline::run::{Purpose, Run};
use crate::pipeline::settings::{Scale, TeacherChoice, TrainConfig};
use crate::pipeline::stages::asked::TeacherData;
use crate::pipeline::stages::{
    self, Evaluation, dpo, evaluate, judge_data, judges, pairs, queries, relevance, statements,
};
use crate::progress::Job;
use crate::teacher::Plan;
use crate::teacher::chat::Usage;
use crate::{Result, files};

/// What a run has made, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// The character's name.
    pub character: String,
    /// Persona statements.
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
    /// Whether no judge that graded took part in the reward.
    #[serde(default)]
    pub graders_apart: bool,
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
    /// Persona statements.
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
    run.judges = judges::find(&run)?;
    run.graders = judges::find_graders(&run)?;
    let graders_apart = judges::grade_apart(&run)?;
    let specs = stages::all(&run)?;
    check_memory(&run, &specs)?;
    let told = run.tell_changes(&specs)?;
    let Taught { data, usage } = be_taught(&mut run)?;
    judges::fine_tune(&mut run)?;
    let TeacherData {
        statements,
        queries,
        held_out,
    } = data;
    let persona = Persona::new(&config.character, statements);
    let trained = relevance::ask_to_train(&mut run, &persona, &queries)?;
    let held_out = relevance::ask_held_out(&mut run, &persona, &held_out)?;
    let grading = relevance::grading_relevance(&mut run, &held_out)?;

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
        graders_apart,
        adapter: layout.adapter(),
        teacher: usage,
        stages_run: run.stages_run,
    };
    let path = layout.summary();
    match write_summary(&path, &summary) {
        // What was complete before can be told where nothing can be written.
        Err(error) if summary.stages_run.is_empty() => {
            job.progress
                .note(&format!("{error}; the summary is only printed"));
        }
        written => written?,
    }
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

/// The settings of a run that needs no other model than the default, unless that is the teacher; so that nothing is
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
        && !is_taught(run)?
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

/// Whether all that the teacher makes is there.
fn is_taught(run: &Run<'_>) -> Result<bool> {
    for spec in stages::of_teacher(run) {
        if run.config.force || !spec.is_current()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks the memory for what the stages that are not current will do.
fn check_memory(run: &Run<'_>, specs: &[StageSpec]) -> Result<()> {
    let (mut samples, mut trains) = (false, false);
    for spec in specs {
        if run.config.force || !spec.is_current()? {
            trains |= spec.name == dpo::NAME;
            samples |=
                [pairs::NAME, evaluate::BEFORE, evaluate::AFTER].contains(&spec.name.as_str());
        }
    }
    run.check_memory(samples, trains)
}
