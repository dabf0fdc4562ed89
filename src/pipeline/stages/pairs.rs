//! Replies to the training queries, and preference pairs among them.

use serde_json::json;

use crate::persona::{JudgeTask, PreferencePair};
use crate::pipeline::record::{Output, StageSpec};
use crate::pipeline::replies::SampledReplies;
use crate::pipeline::run::Run;
use crate::pipeline::stages::asked::{Asked, Queries};
use crate::pipeline::stages::judges;
use crate::pipeline::stages::sample::{Samples, reads_samples, sample};
use crate::text::seed_for;
use crate::{Error, Result, files};

/// Pairs whose scores are closer than this tell nothing.
const THRESHOLD: f64 = 0.2;

/// The stage's name.
pub(in crate::pipeline) const NAME: &str = "pairs";

pub(super) fn spec(run: &Run<'_>) -> Result<StageSpec> {
    let spec = reads_samples(run, run.stage(NAME), Queries::ToTrain)
        .with_settings(json!({"max_dpo_data": run.config.replies.max_dpo_data}))
        .writes(Output::result(run.layout.replies()))
        .writes(Output::data(run.layout.pairs()));
    judges::reads_rewarding(run, spec, JudgeTask::Nli)
}

pub(in crate::pipeline) fn make(
    run: &mut Run<'_>,
    asked: &Asked<'_>,
) -> Result<Vec<PreferencePair>> {
    let (replies, path) = (run.layout.replies(), run.layout.pairs());
    let mut stage = run.open(spec(run)?)?;
    if !stage.is_complete() {
        let n_queries = asked.query_idxs.len();
        let per_query = run.config.replies.samples_per_query(n_queries);
        let samples = Samples {
            path: &replies,
            asked,
            relevance: &asked.retrieval,
            nli: &judges::rewarding(run).nli,
            n_replies: 2 * per_query,
            adapter: None,
            seed: seed_for(run.config.seed, &[3]),
        };
        let sampled = sample(run, &stage, &samples)?;
        let pairs = preference_pairs(&sampled, THRESHOLD);
        run.job.progress.note(&format!(
            "{} of {} pairs kept",
            pairs.len(),
            sampled.len() * per_query
        ));
        if pairs.is_empty() {
            let reason = "no reply that is better than a neutral one differs enough from another to learn from; raise \
                          `top_p` or `max_dpo_data`, lower `min_relevance`, or take another `seed`";
            return Err(Error::invalid(&replies, reason));
        }
        stage.write_jsonl(&path, &pairs, run.job)?;
        stage.complete()?;
    }
    files::read_jsonl(&path)
}

/// The preference pairs among sampled replies: of the replies to a query the best with the worst, the second best with
/// the second worst and so on, as long as their scores differ by more than `threshold` and the better one's ΔAPC is above
/// zero, which is what a reply gets that is always neutral.
///
/// Of two replies that are worse than saying nothing, the better one is no example: where a small model derails, most are,
/// and learning from them spreads what derailed.
///
/// Of two replies this is the pair they make. Of more it is the way to pair them with the largest differences, which are
/// the least likely to be a judge's error. The same reply never comes in two pairs of a query.
fn preference_pairs(samples: &[SampledReplies], threshold: f64) -> Vec<PreferencePair> {
    let pairs_of = |sample: &SampledReplies| -> Vec<PreferencePair> {
        // A reply that was drawn several times is one reply: copies of one pair would outweigh all others.
        let responses = &sample.responses;
        let mut order: Vec<usize> = (0..responses.len()).collect();
        order.retain(|&idx| !responses[..idx].contains(&responses[idx]));
        order.sort_by(|&a, &b| sample.apc[b].total_cmp(&sample.apc[a]));
        let half = order.len() / 2;
        let worst_first = order.iter().rev();
        order[..half]
            .iter()
            .zip(worst_first)
            .filter(|(chosen, _)| sample.delta_apc[**chosen] > 0.0)
            .map(|(&chosen, &rejected)| PreferencePair {
                query_idx: sample.query_idx,
                query: sample.query.clone(),
                prompt: sample.prompt.clone(),
                chosen: sample.responses[chosen].clone(),
                rejected: sample.responses[rejected].clone(),
                chosen_apc: sample.apc[chosen],
                rejected_apc: sample.apc[rejected],
            })
            .collect()
    };
    samples
        .iter()
        .flat_map(pairs_of)
        .filter(|pair| pair.chosen_apc - pair.rejected_apc > threshold)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies of each pair, of replies a, b, c … with these scores.
    fn pairs(apc: &[f64], delta_apc: &[f64]) -> Vec<String> {
        let sample = SampledReplies {
            query_idx: 3,
            query: "q".into(),
            prompt: "p".into(),
            responses: ["a", "b", "c", "d", "e", "f"][..apc.len()]
                .iter()
                .map(ToString::to_string)
                .collect(),
            apc: apc.to_vec(),
            delta_apc: delta_apc.to_vec(),
        };
        preference_pairs(&[sample], 0.2)
            .into_iter()
            .map(|pair| pair.chosen + &pair.rejected)
            .collect()
    }

    #[test]
    fn the_best_reply_is_paired_with_the_worst_and_so_on_while_their_scores_differ_enough() {
        assert_eq!(
            pairs(&[1.0, 2.0, 5.0, 4.5, 4.6, 7.0], &[1.0; 6]),
            ["fa", "cb"]
        );
        assert_eq!(pairs(&[1.0, 2.0], &[1.0; 2]), ["ba"]);
        assert!(pairs(&[1.0, 1.2], &[1.0; 2]).is_empty());
    }

    #[test]
    fn a_reply_that_was_drawn_again_is_in_no_second_pair() {
        let sample = SampledReplies {
            query_idx: 0,
            query: "q".into(),
            prompt: "p".into(),
            responses: ["a", "a", "b", "b", "c"].map(String::from).to_vec(),
            apc: vec![9.0, 9.0, 1.0, 1.0, 5.0],
            delta_apc: vec![1.0; 5],
        };
        let pairs = preference_pairs(&[sample], 0.2);
        let replies = pairs.iter().map(|pair| (&*pair.chosen, &*pair.rejected));
        assert_eq!(replies.collect::<Vec<_>>(), [("a", "b")]);
    }

    #[test]
    fn a_reply_that_is_no_better_than_a_neutral_one_is_never_preferred() {
        let delta_apc = [-2.0, -1.0, 0.0, 0.5];
        assert_eq!(pairs(&[1.0, 2.0, 3.0, 3.5], &delta_apc), ["da"]);
    }
}
