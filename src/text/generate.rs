//! Many replies at once.

use burn::tensor::{Bool, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Sampling;
use crate::nn::{Gemma, GemmaInput, KvCache};
use crate::progress::Job;
use crate::{Error, Result};

/// A prompt and the seeds of the replies wanted to it, one reply a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The prompt's ids.
    pub ids: Vec<i32>,
    /// One seed for each reply.
    pub seeds: Vec<u64>,
}

/// How replies are made.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateConfig {
    /// Longest reply, in tokens.
    pub max_new_tokens: usize,
    /// Shortest reply, in tokens: until then no stop token is chosen.
    pub min_new_tokens: usize,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// Tokens that end a reply; they are not part of it.
    pub stop_ids: Vec<i32>,
}

/// A reply under way.
struct Row {
    reply_idx: usize,
    rng: ChaCha8Rng,
}

/// Samples the replies to all prompts in one batch, in the order of prompts and seeds.
///
/// Prompts are padded on the left and go through the model once each; the replies to one prompt share its keys and
/// values. Rows that are done leave the batch. `on_token` hears of each new token with the index of its reply.
pub fn generate(
    model: &Gemma,
    prompts: &[Prompt],
    config: &GenerateConfig,
    job: &Job,
    on_token: &mut dyn FnMut(usize, i32),
) -> Result<Vec<Vec<i32>>> {
    let n_replies = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
    let mut replies = vec![Vec::new(); n_replies];
    if n_replies == 0 || config.max_new_tokens == 0 {
        return Ok(replies);
    }
    let device = model.device();
    let seq = prompts
        .iter()
        .map(|prompt| prompt.ids.len())
        .max()
        .unwrap_or(0);
    let mut ids = Vec::with_capacity(prompts.len() * seq);
    let mut padding = Vec::with_capacity(prompts.len() * seq);
    for prompt in prompts {
        let pad = seq - prompt.ids.len();
        ids.extend(std::iter::repeat_n(0, pad).chain(prompt.ids.iter().copied()));
        padding.extend((0..seq).map(|position| position < pad));
    }
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [prompts.len(), seq]), &device);
    let padding =
        Tensor::<2, Bool>::from_data(TensorData::new(padding, [prompts.len(), seq]), &device);

    let mut cache = KvCache::new();
    let input = GemmaInput::behind(&mut cache, ids, padding);
    let hidden = model
        .hidden_states(input, Some(&mut cache))
        .narrow(1, seq - 1, 1);
    let [batch, _, hidden_size] = hidden.dims();
    let mut logits = model.logits(hidden.reshape([batch, hidden_size]));

    let mut rows: Vec<Row> = Vec::with_capacity(n_replies);
    let mut spread = Vec::with_capacity(n_replies);
    for (prompt_idx, prompt) in prompts.iter().enumerate() {
        for &seed in &prompt.seeds {
            rows.push(Row {
                reply_idx: rows.len(),
                rng: ChaCha8Rng::seed_from_u64(seed),
            });
            spread.push(prompt_idx as i32);
        }
    }
    let spread = Tensor::<1, Int>::from_data(TensorData::new(spread, [n_replies]), &device);
    cache = cache.select(spread.clone());
    logits = logits.select(0, spread);

    loop {
        job.check()?;
        let vocab_size = logits.dims()[1];
        let mut values = logits.cast(burn::tensor::DType::F32).into_data();
        let values = values
            .as_mut_slice::<f32>()
            .map_err(|error| Error::Training(format!("the logits cannot be read: {error:?}")))?;
        let mut next = Vec::with_capacity(rows.len());
        let mut kept = Vec::with_capacity(rows.len());
        for (row_idx, (row, logits)) in rows
            .iter_mut()
            .zip(values.chunks_exact_mut(vocab_size))
            .enumerate()
        {
            let reply = &mut replies[row.reply_idx];
            if reply.len() < config.min_new_tokens {
                for stop in &config.stop_ids {
                    if let Some(logit) = usize::try_from(*stop)
                        .ok()
                        .and_then(|id| logits.get_mut(id))
                    {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
            let token = config.sampling.choose(logits, &mut row.rng) as i32;
            if config.stop_ids.contains(&token) {
                continue;
            }
            reply.push(token);
            on_token(row.reply_idx, token);
            if reply.len() < config.max_new_tokens {
                next.push(token);
                kept.push(row_idx as i32);
            }
        }
        if kept.is_empty() {
            return Ok(replies);
        }
        if kept.len() < rows.len() {
            let alive: Vec<usize> = kept.iter().map(|&row_idx| row_idx as usize).collect();
            let mut row_idx = 0;
            rows.retain(|_| {
                row_idx += 1;
                alive.binary_search(&(row_idx - 1)).is_ok()
            });
            cache = cache.select(Tensor::from_data(
                TensorData::new(kept, [rows.len()]),
                &device,
            ));
        }
        let batch = rows.len();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(next, [batch, 1]), &device);
        let padding =
            Tensor::<2, Bool>::from_data(TensorData::new(vec![false; batch], [batch, 1]), &device);
        let input = GemmaInput::behind(&mut cache, ids, padding);
        let hidden = model.hidden_states(input, Some(&mut cache));
        logits = model.logits(hidden.reshape([batch, hidden_size]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::GemmaConfig;
    use burn::tensor::Device;

    fn model() -> Gemma {
        let device = Device::default();
        device.seed(11);
        GemmaConfig::new(50, 16, 32, 2, 4, 2, 8)
            .with_initializer_range(0.4)
            .init(&device)
    }

    fn config(sampling: Sampling) -> GenerateConfig {
        GenerateConfig {
            max_new_tokens: 12,
            min_new_tokens: 0,
            sampling,
            stop_ids: vec![7],
        }
    }

    fn replies(model: &Gemma, prompts: &[Prompt], config: &GenerateConfig) -> Vec<Vec<i32>> {
        generate(model, prompts, config, &Job::default(), &mut |_, _| {}).unwrap()
    }

    #[test]
    fn a_reply_does_not_depend_on_what_else_is_in_the_batch() {
        let prompts = [
            Prompt {
                ids: vec![2, 10, 11, 12, 13],
                seeds: vec![1, 2],
            },
            Prompt {
                ids: vec![2, 20],
                seeds: vec![3],
            },
        ];
        let (model, config) = (model(), config(Sampling::at_temperature(1.0)));
        let together = replies(&model, &prompts, &config);
        let apart: Vec<_> = prompts
            .iter()
            .flat_map(|prompt| replies(&model, std::slice::from_ref(prompt), &config))
            .collect();
        assert_eq!(together, apart);
        assert_ne!(together[0], together[1]);
    }

    #[test]
    fn a_reply_ends_before_a_stop_token_or_at_the_longest_length() {
        let prompts: Vec<Prompt> = (0..30)
            .map(|seed| Prompt {
                ids: vec![2, 5 + seed as i32],
                seeds: vec![seed],
            })
            .collect();
        let replies = replies(&model(), &prompts, &config(Sampling::at_temperature(1.0)));
        assert!(
            replies
                .iter()
                .all(|reply| !reply.contains(&7) && reply.len() <= 12)
        );
        assert!(replies.iter().any(|reply| reply.len() < 12));
    }

    #[test]
    fn no_reply_ends_before_its_shortest_length() {
        let prompts: Vec<Prompt> = (0..30)
            .map(|seed| Prompt {
                ids: vec![2, 5 + seed as i32],
                seeds: vec![seed],
            })
            .collect();
        let config = GenerateConfig {
            min_new_tokens: 8,
            ..config(Sampling::at_temperature(1.0))
        };
        let lengths: Vec<usize> = replies(&model(), &prompts, &config)
            .iter()
            .map(Vec::len)
            .collect();
        assert!(lengths.iter().all(|length| (8..=12).contains(length)));
        assert!(lengths.iter().any(|&length| length < 12));
    }

    #[test]
    fn a_job_that_was_stopped_ends_generation() {
        let job = Job::default();
        job.stop();
        let prompt = Prompt {
            ids: vec![2],
            seeds: vec![0],
        };
        let got = generate(
            &model(),
            &[prompt],
            &config(Sampling::Greedy),
            &job,
            &mut |_, _| {},
        );
        assert!(matches!(got, Err(Error::Interrupted)));
    }
}
