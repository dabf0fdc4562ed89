//! From preference pairs to an adapter.

use std::path::Path;

use burn::optim::AdamWConfig;
use burn::optim::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::nn::{Gemma, LoraConfig};
use crate::persona::{PreferencePair, encode_reply};
use crate::progress::Job;
use crate::text::Tokenizer;
use crate::train::{DpoBatch, DpoConfig, DpoModel, DpoPair, EpochLoader, Fit, fit, reply_logps};
use crate::{Error, Result, hf, parallel};

use super::replies::SampledReplies;

/// The preference pairs among sampled replies, which are taken two by two: those whose scores differ by more than
/// `threshold`.
pub(super) fn preference_pairs(samples: &[SampledReplies], threshold: f64) -> Vec<PreferencePair> {
    let pair = |sample: &SampledReplies, first: usize| {
        let second = first + 1;
        let (chosen, rejected) = if sample.apc[first] >= sample.apc[second] {
            (first, second)
        } else {
            (second, first)
        };
        PreferencePair {
            query_idx: sample.query_idx,
            query: sample.query.clone(),
            prompt: sample.prompt.clone(),
            chosen: sample.responses[chosen].clone(),
            rejected: sample.responses[rejected].clone(),
            chosen_apc: sample.apc[chosen],
            rejected_apc: sample.apc[rejected],
        }
    };
    samples
        .iter()
        .flat_map(|sample| {
            let firsts = (0..sample.responses.len()).step_by(2);
            firsts.map(move |first| pair(sample, first))
        })
        .filter(|pair| pair.chosen_apc - pair.rejected_apc > threshold)
        .collect()
}

/// What a DPO run leaves to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DpoSummary {
    /// Pairs trained on.
    pub pairs: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Share of the pairs whose chosen reply has the higher reward after training.
    #[serde(rename = "rewards/accuracies")]
    pub accuracies: f64,
    /// Mean difference of the rewards after training.
    #[serde(rename = "rewards/margins")]
    pub margins: f64,
}

/// How an adapter is trained.
pub(super) struct DpoRun<'a> {
    pub(super) lora: &'a LoraConfig,
    pub(super) dpo: &'a DpoConfig,
    pub(super) batch_size: usize,
    pub(super) epochs: usize,
    pub(super) learning_rate: f64,
    pub(super) seed: u64,
    pub(super) base: &'a Path,
    pub(super) output: &'a Path,
    pub(super) work: &'a Path,
}

impl DpoRun<'_> {
    /// Trains and writes the adapter.
    pub(super) fn run(
        &self,
        base: &Gemma,
        tokenizer: &Tokenizer,
        pairs: &[PreferencePair],
        device: &Device,
        job: &Job,
    ) -> Result<DpoSummary> {
        let mut encoded = pairs
            .iter()
            .map(|pair| {
                Ok(DpoPair {
                    prompt: tokenizer.encode(&pair.prompt)?,
                    chosen: encode_reply(tokenizer, &pair.chosen)?,
                    rejected: encode_reply(tokenizer, &pair.rejected)?,
                    reference: [0.0; 2],
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let references = self.logps(base, &encoded, job)?;
        for (pair, reference) in encoded.iter_mut().zip(references) {
            pair.reference = reference;
        }

        device.seed(self.seed);
        let mut policy = base.clone();
        policy.add_lora(self.lora, device);
        // Factors are drawn when they are first used: draw them now, in one order.
        policy.projections(&mut |_, _, linear| {
            if let Some(lora) = linear.lora() {
                let _ = (lora.lora_a.val(), lora.lora_b.val());
            }
        });
        let loader = |pairs: Vec<DpoPair>| {
            EpochLoader::new(pairs, self.batch_size, DpoPair::len, DpoPair::collate)
        };
        let train = loader(encoded.clone()).shuffled(self.seed);
        let steps = self.epochs * train.steps_per_epoch(self.dpo.accumulate);
        let schedule = LinearLrSchedulerConfig::new(self.learning_rate, 0.0, steps)
            .init()
            .map_err(Error::Training)?;
        let optimizer = AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(0.0)
            .init();
        let run = Fit {
            label: "dpo",
            folder: self.work,
            epochs: self.epochs,
            accumulate: self.dpo.accumulate,
            metrics: &DpoModel::METRICS,
        };
        let trained = fit(
            DpoModel::new(policy, self.dpo),
            optimizer,
            schedule,
            &train,
            &loader(Vec::new()),
            &run,
            job,
        )?;
        let margins: Vec<f64> = self
            .logps(&trained.policy, &encoded, job)?
            .into_iter()
            .zip(&encoded)
            .map(|(policy, pair)| {
                self.dpo.beta * ((policy[0] - policy[1]) - (pair.reference[0] - pair.reference[1]))
            })
            .collect();
        hf::save_adapter(
            &trained.policy,
            self.lora,
            &self.base.display().to_string(),
            self.output,
        )?;
        let n_pairs = margins.len() as f64;
        Ok(DpoSummary {
            pairs: pairs.len(),
            steps,
            accuracies: margins.iter().filter(|margin| **margin > 0.0).count() as f64 / n_pairs,
            margins: margins.iter().sum::<f64>() / n_pairs,
        })
    }

    /// The log-probabilities of both replies of each pair.
    fn logps(&self, model: &Gemma, pairs: &[DpoPair], job: &Job) -> Result<Vec<[f64; 2]>> {
        let workers = parallel::workers(&model.device());
        let mut logps = Vec::with_capacity(pairs.len());
        for group in pairs.chunks(self.batch_size * workers) {
            job.check()?;
            let parts: Vec<DpoBatch> = group
                .chunks(self.batch_size)
                .map(|part| DpoPair::collate(&part.iter().collect::<Vec<_>>()))
                .collect();
            for values in parallel::map(parts, |batch| reply_logps(model, &batch).into_data()) {
                let values = values
                    .as_slice::<f32>()
                    .expect("log-probabilities are f32")
                    .to_vec();
                logps.extend(
                    values
                        .chunks_exact(2)
                        .map(|pair| [f64::from(pair[0]), f64::from(pair[1])]),
                );
            }
        }
        Ok(logps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_two_replies_the_better_is_chosen_if_their_scores_differ_enough() {
        let sample = SampledReplies {
            query_idx: 3,
            query: "q".into(),
            prompt: "p".into(),
            responses: ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec(),
            apc: vec![1.0, 2.0, 5.0, 4.5, 7.0, 7.1],
            delta_apc: vec![0.0; 6],
        };
        let pairs: Vec<_> = preference_pairs(&[sample], 0.2)
            .into_iter()
            .map(|pair| (pair.query_idx, pair.chosen, pair.rejected))
            .collect();
        let expected = [(3, "b", "a"), (3, "c", "d")];
        assert_eq!(pairs, expected.map(|(idx, c, r)| (idx, c.into(), r.into())));
    }
}
