//! From preference pairs to the character's adapter.

use std::path::PathBuf;

use serde_json::json;

use crate::persona::PreferencePair;
use crate::pipeline::dpo::{DpoRun, DpoSummary, encode};
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::{Result, files};

/// The stage's name.
pub(in crate::pipeline) const NAME: &str = "dpo";

pub(super) fn spec(run: &Run<'_>) -> StageSpec {
    run.stage(NAME)
        .with_settings(json!({"model": run.base_hash}))
        .with_settings(json!(run.config.training()))
        .with_settings(run.precision())
        .with_about(json!({"model_name": run.base_name(), "turns": run.config.turns}))
        .reads("pairs", run.layout.pairs())
        .writes(Output::result(run.layout.dpo_summary()))
        .writes(Output::result(run.layout.adapter()))
        .writes(Output::work(work(run)))
}

/// Where checkpoints are kept.
fn work(run: &Run<'_>) -> PathBuf {
    run.layout.models.join("adapter.training")
}

pub(in crate::pipeline) fn make(run: &mut Run<'_>, pairs: &[PreferencePair]) -> Result<DpoSummary> {
    let path = run.layout.dpo_summary();
    let mut stage = run.open(spec(run))?;
    if !stage.is_complete() {
        let (work, training, adapter) = (work(run), run.config.training(), run.layout.adapter());
        let engine = run.engine(run.config.training_work(), None)?;
        let examples = encode(&engine, pairs)?;
        let dpo = DpoRun {
            training: &training,
            adapter: None,
            base: &run.base,
            precision: run.config.precision,
            output: &adapter,
            work: &work,
            gradient_checkpointing: run.config.gradient_checkpointing,
            record_steps: false,
        };
        let trained = dpo.run(&engine.load()?.models, examples, run.job)?;
        let summary = dpo.summarize(&trained, run.job)?;
        files::write_json(&path, &summary)?;
        stage.complete()?;
        // The checkpoints have done their part.
        files::remove_dir(&work.join("checkpoint"))?;
    }
    files::read_json(&path)
}
