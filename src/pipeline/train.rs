//! The main job: page → statements → queries → judges → preference pairs → adapter → evaluation.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::parallel::Devices;
use crate::pipeline::config::{Scale, TrainConfig};
use crate::pipeline::dpo::DpoSummary;
use crate::pipeline::evaluate::Evaluation;
use crate::pipeline::run::{Persona, Run};
use crate::pipeline::sampling::Asked;
use crate::progress::Job;
use crate::teacher::Plan;
use crate::teacher::chat::Usage;
use crate::{Result, files, persona};

/// What the main job made, and how good it is.
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
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// What a chat model was asked, if any was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub teacher: Option<Usage>,
    /// Stages that had something to do; none if all was complete.
    pub stages_run: Vec<String>,
}

/// A folder of the embedded models or pages: below the current folder, or where the program was built.
pub fn locate(relative: &str) -> PathBuf {
    let here = PathBuf::from(relative);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(relative);
    if here.exists() || !built.exists() {
        here
    } else {
        built
    }
}

/// What a chat model would be asked for a run, if it has one for a teacher.
pub fn plan(config: &TrainConfig, devices: &Devices, job: &Job) -> Result<Option<Plan>> {
    let mut config = without_model(config);
    // A plan asks nothing, so it needs no key.
    config.chat.api_key.get_or_insert_with(|| "none".into());
    config.check()?;
    Ok(Run::new(&config, devices, job)?.plan())
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

/// Runs the stages that need a teacher, and no others.
pub fn teach(config: &TrainConfig, devices: &Devices, job: &Job) -> Result<TeachSummary> {
    config.check()?;
    let config = &without_model(config);
    let mut run = Run::new(config, devices, job)?;
    let (persona, teacher) = be_taught(&mut run)?;
    Ok(TeachSummary {
        statements: persona.statements.len(),
        queries: persona.queries.len(),
        held_out: persona.held_out.len(),
        data: run.folders.data,
        teacher,
    })
}

/// The settings of a run that needs no other Gemma than the embedded one, unless that is the teacher; so that nothing is
/// downloaded for it.
fn without_model(config: &TrainConfig) -> TrainConfig {
    let mut config = config.clone();
    if config.model_engine != "local" {
        config.model = None;
        config.prp_scale = Scale::Tiny;
    }
    config
}

/// All that the teacher makes; tells beforehand what it may cost, and afterwards what it has.
fn be_taught(run: &mut Run<'_>) -> Result<(Persona, Option<Usage>)> {
    let plan = run.plan();
    if let Some(plan) = plan.filter(|plan| plan.requests > 0 && !run.is_taught()) {
        run.job.progress.note(&plan.to_string());
    }
    let taught = run.persona().and_then(|persona| {
        if !run.config.use_pretrained_discriminator {
            run.discriminator_data(&persona.statements, &persona.queries)?;
        }
        Ok(persona)
    });
    run.teacher.rest();
    // What was spent is told whether it was enough or not.
    let usage = run.teacher.usage().filter(|usage| usage.requests > 0);
    if let Some(usage) = &usage {
        let seconds = run.taught.as_secs_f64();
        run.job.progress.note(&format!("{usage}, {seconds:.1} s"));
    }
    Ok((taught?, usage))
}

/// Runs all stages, from wherever an earlier run stopped.
pub fn train(config: &TrainConfig, devices: &Devices, job: &Job) -> Result<TrainSummary> {
    config.check()?;
    let mut run = Run::new(config, devices, job)?;
    let (persona, teacher) = be_taught(&mut run)?;
    let Persona {
        statements,
        queries,
        held_out,
    } = persona;
    let judges = run.discriminators(&statements, &queries)?;
    let who = persona::Persona::new(&config.character, statements.clone());
    let mut asked = |files: [&'static str; 2], queries, limit| {
        let retrieval = run.relevance(files, &judges.relevance, &who, queries)?;
        Ok(Asked {
            persona: &who,
            queries,
            query_idxs: run.some_of(queries.len(), limit),
            retrieval,
            files,
        })
    };
    let trained = asked(
        ["queries", "relevance-table"],
        &queries,
        config.max_dpo_data,
    )?;
    let held_out = asked(
        ["held-out-queries", "held-out-relevance-table"],
        &held_out,
        config.max_eval_queries,
    )?;
    let graders = run.graders();
    let grading = run.relevance(
        ["held-out-queries", "grading-relevance-table"],
        &graders.relevance,
        &who,
        held_out.queries,
    )?;

    let pairs = run.pairs(&trained, &judges)?;
    let before = run.evaluate("evaluation-before", &held_out, &graders, &grading, None)?;
    let dpo = run.dpo(&pairs)?;
    let adapter = run.folders.models.join("adapter");
    let after = run.evaluate(
        "evaluation-after",
        &held_out,
        &graders,
        &grading,
        Some(&adapter),
    )?;

    let summary = TrainSummary {
        character: config.character.clone(),
        statements: statements.len(),
        queries: queries.len(),
        trained_on: trained.query_idxs.len(),
        sampled: trained.query_idxs.len() * config.samples_per_query(trained.query_idxs.len()),
        dpo,
        evaluation: Evaluation::new(&before, &after, config.seed),
        adapter,
        teacher,
        stages_run: run.stages_run,
    };
    files::write_json(&run.folders.data.join("summary.json"), &summary)?;
    Ok(summary)
}
