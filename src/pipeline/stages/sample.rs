//! Sampling replies to queries and scoring them, for pairs and for evaluations.

use std::path::Path;

use serde_json::json;

use crate::Result;
use crate::persona::{Judge, JudgeSource, JudgeTask, RelevanceTable};
use crate::pipeline::record::{Stage, StageSpec};
use crate::pipeline::replies::{SampledReplies, Sampler, sample_replies};
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::{Asked, Queries};
use crate::text::{Sampling, Work};

/// What is sampled, and who scores it.
pub(super) struct Samples<'a> {
    /// The file that grows reply by reply.
    pub(super) path: &'a Path,
    pub(super) asked: &'a Asked<'a>,
    /// Whose relevance counts in the score.
    pub(super) relevance: &'a RelevanceTable,
    pub(super) nli: &'a JudgeSource,
    pub(super) n_replies: usize,
    /// Whose replies; those of the base if absent.
    pub(super) adapter: Option<&'a Path>,
    pub(super) seed: u64,
}

/// The same stage, which samples replies to these queries.
pub(super) fn reads_samples(run: &Run<'_>, spec: StageSpec, which: Queries) -> StageSpec {
    let replies = &run.config.replies;
    spec.with_settings(json!({
        "model": run.base_hash,
        "prompt": run.prompt,
        "rag_top_k": replies.rag_top_k,
        "min_relevance": replies.min_relevance,
        "top_p": replies.top_p,
        "max_new_tokens": replies.max_new_tokens,
        "seed": run.config.seed,
    }))
    .with_settings(run.precision())
    .with_about(json!({"model_name": run.base_name()}))
    .reads("statements", run.layout.statements())
    .reads("queries", which.path(&run.layout))
    .reads("retrieval", run.layout.jsonl(which.retrieval().name()))
}

/// Samples replies and scores them; what a stopped run has sampled stays.
pub(super) fn sample(
    run: &Run<'_>,
    stage: &Stage,
    samples: &Samples<'_>,
) -> Result<Vec<SampledReplies>> {
    let Samples { path, asked, .. } = samples;
    let (mut journal, done) = stage.journal::<SampledReplies>(path, run.job)?;
    let replies = &run.config.replies;
    let work = Work::sample(samples.n_replies, replies.max_new_tokens);
    let engine = run.engine(work, samples.adapter)?;
    let loaded = engine.load()?;
    let sampler = Sampler {
        persona: asked.persona,
        models: &loaded.models,
        tokenizer: engine.tokenizer(),
        format: engine.format(),
        max_tokens: engine.max_tokens(),
        top_k: replies.rag_top_k,
        min_relevance: replies.min_relevance,
        retrieval: &asked.retrieval,
        earlier: &asked.earlier,
        relevance: samples.relevance,
        nli: &Judge::load(samples.nli, JudgeTask::Nli, run.devices, run.job)?,
        n_replies: samples.n_replies,
        sampling: Sampling::Random {
            temperature: 1.0,
            top_k: None,
            top_p: Some(replies.top_p),
        },
        max_new_tokens: replies.max_new_tokens,
        min_new_tokens: 0,
        seed: samples.seed,
    };
    let label = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut sampled = sample_replies(
        &sampler,
        asked.queries,
        &asked.query_idxs,
        &mut journal,
        done,
        &label,
        run.job,
    )?;
    sampled.sort_by_key(|record| {
        let place = |query_idx: &usize| *query_idx == record.query_idx;
        asked.query_idxs.iter().position(place)
    });
    // They were journaled as they became done.
    journal.replace(&sampled)?;
    Ok(sampled)
}
