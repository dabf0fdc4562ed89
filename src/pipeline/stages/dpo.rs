//! From preference pairs to the character's adapter.

use std::path::PathBuf;

use burn::tensor::DType;
use serde_json::json;

use crate::persona::PreferencePair;
use crate::pipeline::dpo::{DpoRun, DpoSummary, encode};
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::run::Run;
use crate::text::Tokenizer;
use crate::{Result, files};

pub(super) fn spec(run: &Run<'_>) -> StageSpec {
    run.stage("dpo")
        .with_settings(json!({"model": run.base_hash}))
        .with_settings(json!(run.config.training()))
        .with_settings(run.precision())
        .with_about(json!({"model_name": run.base.name()}))
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
        let base = run.base.path();
        let model = files::load_gemma(base, DType::F32, run.devices.first())?;
        let work = work(run);
        let dpo = DpoRun {
            training: &run.config.training(),
            adapter: None,
            base: run.base.given(),
            output: &run.layout.adapter(),
            work: &work,
            gradient_checkpointing: run.config.gradient_checkpointing,
            record_steps: false,
        };
        let examples = encode(&Tokenizer::load(base)?, pairs)?;
        let trained = dpo.run(&model, examples, run.devices, run.job)?;
        let summary = dpo.summarize(&trained, run.job)?;
        files::write_json(&path, &summary)?;
        stage.complete()?;
        // The checkpoints have done their part.
        files::remove_dir(&work.join("checkpoint"))?;
    }
    files::read_json(&path)
}
