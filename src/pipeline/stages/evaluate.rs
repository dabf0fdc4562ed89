//! How much better the replies became, told by judges that took no part in the reward.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::persona::RelevanceTable;
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::replies::SampledReplies;
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::Table;
use crate::pipeline::stages::asked::{Asked, Queries};
use crate::pipeline::stages::judges::spec_with_judge;
use crate::pipeline::stages::sample::{Samples, reads_samples, sample};
use crate::text::seed_for;
use crate::{Result, files};

/// The name of the stage before training.
pub(in crate::pipeline) const BEFORE: &str = "evaluation-before";
/// The name of the stage after training.
pub(in crate::pipeline) const AFTER: &str = "evaluation-after";

/// The evaluation of the base model.
pub(super) fn spec_before(run: &Run<'_>) -> Result<StageSpec> {
    spec(run, BEFORE)
}

/// The evaluation of the base model with the adapter.
pub(super) fn spec_after(run: &Run<'_>) -> Result<StageSpec> {
    Ok(spec(run, AFTER)?.reads("adapter", run.layout.adapter()))
}

fn spec(run: &Run<'_>, name: &str) -> Result<StageSpec> {
    let replies = &run.config.replies;
    let spec = reads_samples(run, run.stage(name), Queries::HeldOut)
        .with_settings(json!({
            "max_eval_queries": replies.max_eval_queries,
            "eval_replies": replies.eval_replies,
        }))
        .reads("grading", run.layout.jsonl(Table::Grading.name()))
        .writes(Output::result(run.layout.jsonl(name)));
    spec_with_judge(run, spec, &run.graders.nli)
}

pub(in crate::pipeline) fn before(
    run: &mut Run<'_>,
    asked: &Asked<'_>,
    grading: &RelevanceTable,
) -> Result<Vec<SampledReplies>> {
    let spec = spec_before(run)?;
    make(run, spec, asked, grading, None)
}

pub(in crate::pipeline) fn after(
    run: &mut Run<'_>,
    asked: &Asked<'_>,
    grading: &RelevanceTable,
) -> Result<Vec<SampledReplies>> {
    let (spec, adapter) = (spec_after(run)?, run.layout.adapter());
    make(run, spec, asked, grading, Some(&adapter))
}

fn make(
    run: &mut Run<'_>,
    spec: StageSpec,
    asked: &Asked<'_>,
    grading: &RelevanceTable,
    adapter: Option<&Path>,
) -> Result<Vec<SampledReplies>> {
    let path = run.layout.jsonl(&spec.name);
    let mut stage = run.open(spec)?;
    if !stage.is_complete() {
        let samples = Samples {
            path: &path,
            asked,
            relevance: grading,
            nli: &run.graders.nli,
            n_replies: run.config.replies.eval_replies,
            adapter,
            seed: seed_for(run.config.seed, &[4]),
        };
        sample(run, &stage, &samples)?;
        stage.complete()?;
    }
    files::read_jsonl(&path)
}

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Mean ΔAPC over held-out queries before and after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many queries.
    pub queries: usize,
    /// Replies to each.
    pub replies: usize,
    /// Mean ΔAPC without the adapter.
    pub before: f64,
    /// Mean ΔAPC with it.
    pub after: f64,
    /// Mean of the differences by query.
    pub difference: f64,
    /// Bootstrap interval of that mean.
    pub interval: Interval,
}

impl Evaluation {
    /// Compares replies to the same queries.
    pub fn new(before: &[SampledReplies], after: &[SampledReplies], seed: u64) -> Self {
        let mean = |record: &SampledReplies| mean(&record.delta_apc);
        let by_query: Vec<(f64, f64)> = before
            .iter()
            .filter_map(|old| {
                let new = after.iter().find(|new| new.query_idx == old.query_idx)?;
                Some((mean(old), mean(new)))
            })
            .collect();
        let differences: Vec<f64> = by_query.iter().map(|(old, new)| new - old).collect();
        Self {
            queries: by_query.len(),
            replies: before.first().map_or(0, |record| record.responses.len()),
            before: self::mean(&by_query.iter().map(|(old, _)| *old).collect::<Vec<_>>()),
            after: self::mean(&by_query.iter().map(|(_, new)| *new).collect::<Vec<_>>()),
            difference: self::mean(&differences),
            interval: bootstrap_interval(&differences, seed),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

/// The percentile bootstrap's 95 % interval of a mean, from 10,000 resamples.
pub fn bootstrap_interval(values: &[f64], seed: u64) -> Interval {
    const RESAMPLES: usize = 10_000;
    if values.is_empty() {
        return Interval {
            low: 0.0,
            high: 0.0,
        };
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            (0..values.len())
                .map(|_| values[rng.random_range(0..values.len())])
                .sum::<f64>()
                / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Interval {
        low: means[RESAMPLES / 40],
        high: means[RESAMPLES - 1 - RESAMPLES / 40],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_law() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Sums of twelve uniform numbers less six have mean 0 and deviation 1.
        let values: Vec<f64> = (0..400)
            .map(|_| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0)
            .collect();
        let Interval { low, high } = bootstrap_interval(&values, 2);
        assert!(
            (high - low - 2.0 * 1.96 / 20.0).abs() < 0.03,
            "{low} {high}"
        );
        assert!(low < mean(&values) && mean(&values) < high);
    }
}
