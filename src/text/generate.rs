//! Samples many replies at once.

use crate::Result;
use crate::nn::Decoder;
use crate::progress::Job;
use crate::text::{DraftModel, GenerateConfig, Generation, Prompt, Reply, Room, Token};

/// Samples all replies to all prompts, in the order of prompts and seeds; see [`Generation`].
///
/// Calls `on_token` for each new token with the index of its reply.
///
/// # Panics
///
/// Panics if a prompt has no token.
pub fn generate(
    model: &Decoder,
    draft_model: &DraftModel,
    prompts: &[Prompt],
    config: &GenerateConfig,
    job: &Job,
    on_token: &mut dyn FnMut(usize, &Token),
) -> Result<Vec<Reply>> {
    let n_replies = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
    let mut replies = Vec::with_capacity(n_replies);
    let mut generation =
        Generation::new(model, prompts, config, Room::of(model)).with_draft_model(draft_model);
    while !generation.is_done() {
        replies.extend(generation.step(job, on_token)?);
    }
    replies.sort_by_key(|reply| reply.reply_idx);
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::nn::DecoderConfig;
    use crate::nn::layers::weight::draw_matrices;
    use crate::text::Sampling;
    use burn::tensor::Device;

    fn model() -> Decoder {
        let device = Device::default();
        let mut model = DecoderConfig::small().with_vocab_size(50).init(&device);
        draw_matrices(&mut model, 11, 0.7, &device);
        model
    }

    fn config(sampling: Sampling) -> GenerateConfig {
        GenerateConfig {
            sampling,
            stop_ids: vec![7],
            ..GenerateConfig::new(12)
        }
    }

    fn replies(model: &Decoder, prompts: &[Prompt], config: &GenerateConfig) -> Vec<Vec<i32>> {
        let none = DraftModel::none();
        let job = Job::default();
        let replies = generate(model, &none, prompts, config, &job, &mut |_, _| {}).unwrap();
        replies.into_iter().map(|reply| reply.ids).collect()
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
            &DraftModel::none(),
            &[prompt],
            &config(Sampling::Greedy),
            &job,
            &mut |_, _| {},
        );
        assert!(matches!(got, Err(Error::Interrupted)));
    }
}
