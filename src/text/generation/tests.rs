use super::*;
use crate::nn::DecoderConfig;
use crate::nn::layers::weight::draw_matrices;
use crate::text::Sampling;
use rand::RngExt;

fn model() -> Decoder {
    let device = Device::default();
    let mut model = DecoderConfig::small().with_vocab_size(50).init(&device);
    draw_matrices(&mut model, 11, 0.7, &device);
    model
}

fn config(max_new_tokens: usize) -> GenerateConfig {
    GenerateConfig {
        sampling: Sampling::at_temperature(1.0),
        stop_ids: vec![7, 8],
        ..GenerateConfig::new(max_new_tokens)
    }
}

/// Prompts of 1 to 40 tokens with one to three replies each.
fn prompts(count: u64) -> Vec<Prompt> {
    let mut rng = ChaCha8Rng::seed_from_u64(count);
    let mut prompt = |prompt_idx| Prompt {
        ids: (0..rng.random_range(1..40))
            .map(|_| rng.random_range(9..50))
            .collect(),
        seeds: (0..rng.random_range(1..4))
            .map(|reply_idx| 10 * prompt_idx + reply_idx)
            .collect(),
    };
    (0..count).map(&mut prompt).collect()
}

/// Returns all replies in order, and what `look` returns after each step.
fn run<T>(
    mut generation: Generation<'_>,
    look: impl Fn(&Generation<'_>) -> T,
) -> (Vec<Vec<i32>>, Vec<T>) {
    let (mut replies, mut seen) = (Vec::new(), Vec::new());
    while !generation.is_done() {
        replies.extend(generation.step(&Job::default(), &mut |_, _| {}).unwrap());
        seen.push(look(&generation));
    }
    replies.sort_by_key(|reply| reply.reply_idx);
    let places = replies.iter().map(|reply| reply.reply_idx);
    assert!(places.eq(0..replies.len()), "every reply comes once");
    (replies.into_iter().map(|reply| reply.ids).collect(), seen)
}

const ROOM: Room = Room {
    rows: 8,
    tokens: 100_000,
};

#[test]
fn replies_are_the_same_in_any_room() {
    let (model, config, prompts) = (model(), config(30), prompts(40));
    let replies = |rows, tokens| {
        let room = Room { rows, tokens };
        run(Generation::new(&model, &prompts, &config, room), |_| ()).0
    };
    let together = replies(1000, 100_000);
    assert!(together.iter().any(Vec::is_empty) && together.iter().any(|r| r.len() == 30));
    for (rows, tokens) in [(1, 100_000), (2, 100_000), (8, 100_000), (1000, 300)] {
        assert_eq!(
            replies(rows, tokens),
            together,
            "{rows} rows, {tokens} tokens"
        );
    }
}

#[test]
fn replies_are_the_same_with_lengths_rounded_up() {
    let (model, config, prompts) = (model(), config(30), prompts(40));
    let replies = |lengths| {
        let mut generation = Generation::new(&model, &prompts, &config, ROOM);
        generation.lengths = lengths;
        generation.cache = generation.cache.with_lengths(lengths);
        run(generation, |generation| generation.cache.clone())
    };
    let (exact, _) = replies(Lengths::Exact);
    let (rounded, caches) = replies(Lengths::Bucketed);
    assert_eq!(rounded, exact);
    let seen: Vec<usize> = caches.iter().map(KvCache::columns).collect();
    assert!(seen.contains(&32) && seen.contains(&64), "{seen:?}");
    assert!(seen.iter().all(|columns| columns % 32 == 0), "{seen:?}");
}

#[test]
fn a_lone_reply_is_the_same_in_fewer_steps_with_a_model_that_drafts() {
    let model = model();
    let draft_model = DraftModel {
        model: model.to_draft(),
    };
    assert!(draft_model.model.is_some());
    for stop_ids in [vec![], vec![7, 8]] {
        for seed in 0..8 {
            let config = GenerateConfig {
                stop_ids: stop_ids.clone(),
                min_new_tokens: 5 * seed as usize,
                ..config(60)
            };
            let prompt = [Prompt {
                ids: vec![2, 30, 31 + seed as i32],
                seeds: vec![seed],
            }];
            let reply = |draft_model: &DraftModel| {
                let generation = Generation::new(&model, &prompt, &config, ROOM);
                let (mut replies, steps) = run(generation.with_draft_model(draft_model), |_| ());
                (replies.remove(0), steps.len())
            };
            let (plain, _) = reply(&DraftModel::none());
            let (drafted, steps) = reply(&draft_model);
            assert_eq!(drafted, plain, "seed {seed}");
            let tokens = plain.len();
            assert!(
                tokens < 60 || 3 * steps < tokens,
                "{steps} steps for {tokens} tokens"
            );
        }
    }
}

#[test]
fn a_reply_that_ends_makes_room_for_the_next_prompt() {
    let (model, config, prompts) = (model(), config(30), prompts(40));
    let generation = Generation::new(&model, &prompts, &config, ROOM);
    let (_, rows) = run(generation, |generation| {
        (!generation.waiting.is_empty()).then_some(generation.rows.len())
    });
    let rows: Vec<usize> = rows.into_iter().flatten().collect();
    assert!(rows.iter().all(|&rows| rows <= 8));
    let mean = rows.iter().sum::<usize>() as f64 / rows.len() as f64;
    assert!(mean > 6.0, "{mean} of 8 rows go on while prompts wait");
}

#[test]
fn the_cache_never_holds_more_than_there_is_room_for() {
    let (model, config, prompts) = (model(), config(30), prompts(40));
    let room = Room {
        rows: 1000,
        tokens: 300,
    };
    let generation = Generation::new(&model, &prompts, &config, room);
    let (_, tokens) = run(generation, |generation| {
        generation.cache.rows() * generation.cache.seq_len()
    });
    let most = tokens.into_iter().max().unwrap();
    assert!((200..=300).contains(&most), "{most}");
}

#[test]
fn a_prompt_goes_through_the_model_once_for_all_of_its_replies_that_there_is_room_for() {
    let (model, config) = (model(), config(5));
    let prompts = [2, 20].map(|seeds| Prompt {
        ids: vec![2, 30],
        seeds: (0..seeds).collect(),
    });
    let generation = Generation::new(&model, &prompts, &config, ROOM);
    let replies = generation.waiting.iter().map(|prompt| prompt.replies.len());
    assert_eq!(replies.collect::<Vec<_>>(), [2, 8, 8, 4]);
    let (replies, _) = run(generation, |_| ());
    assert_eq!(replies.len(), 22);
    assert_eq!(replies[..2], replies[2..4]);
}

#[test]
fn prompts_of_about_one_length_begin_together_the_longest_first() {
    let (model, config) = (model(), config(5));
    let prompts = [10, 400, 8, 350, 390].map(|len| Prompt {
        ids: vec![9; len],
        seeds: vec![0],
    });
    let mut generation = Generation::new(&model, &prompts, &config, ROOM);
    let mut lengths = || -> Vec<usize> {
        let prompts = generation.admitted();
        prompts.iter().map(|prompt| prompt.ids.len()).collect()
    };
    assert_eq!(lengths(), [400, 390, 350]);
    assert_eq!(lengths(), [10, 8]);
}

#[test]
fn replies_of_no_tokens_are_done_at_once() {
    let (model, config) = (model(), config(0));
    let prompts = prompts(3);
    let n_replies = prompts.iter().map(|prompt| prompt.seeds.len()).sum();
    let (replies, _) = run(Generation::new(&model, &prompts, &config, ROOM), |_| ());
    assert_eq!(replies, vec![Vec::<i32>::new(); n_replies]);
}

/// Runs to the end, and returns the replies by their index.
fn finish(generation: &mut Generation<'_>) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !generation.is_done() {
        replies.extend(generation.step(&Job::default(), &mut |_, _| {}).unwrap());
    }
    replies.sort_by_key(|reply| reply.reply_idx);
    replies
}

#[test]
fn prompts_with_settings_of_their_own_are_answered_together_as_alone() {
    let (model, prompts) = (model(), prompts(12));
    let configs: Vec<Arc<GenerateConfig>> = (0..12)
        .map(|idx| {
            Arc::new(GenerateConfig {
                sampling: Sampling::at_temperature(idx as f32 % 3.0),
                presence_penalty: idx as f32 / 4.0,
                frequency_penalty: 1.0 - idx as f32 / 8.0,
                logit_bias: vec![(9 + idx, 2.0), (999, 1.0), (-4, 1.0)],
                ..config(5 + idx as usize)
            })
        })
        .collect();
    let mut together = Generation::empty(&model, ROOM);
    for (prompt, config) in prompts.iter().zip(&configs) {
        together.push(prompt, config);
    }
    let together = finish(&mut together);
    let alone = prompts.iter().zip(&configs).flat_map(|(prompt, config)| {
        finish(&mut Generation::new(
            &model,
            std::slice::from_ref(prompt),
            config,
            ROOM,
        ))
    });
    for (reply, (idx, alone)) in together.iter().zip(alone.enumerate()) {
        assert_eq!((reply.reply_idx, &reply.ids), (idx, &alone.ids));
        assert_eq!(reply.finish_reason, alone.finish_reason);
    }
    for reason in [FinishReason::Stop, FinishReason::Length] {
        assert!(together.iter().any(|reply| reply.finish_reason == reason));
    }
}

#[test]
fn a_reply_that_is_given_up_is_not_returned_and_changes_no_other() {
    let (model, config, prompts) = (model(), config(30), prompts(20));
    let all = finish(&mut Generation::new(&model, &prompts, &config, ROOM));
    let mut generation = Generation::new(&model, &prompts, &config, ROOM);
    let mut replies = Vec::new();
    for given_up in [3, 11, 25] {
        for _ in 0..4 {
            replies.extend(generation.step(&Job::default(), &mut |_, _| {}).unwrap());
        }
        if replies.iter().all(|reply| reply.reply_idx != given_up) {
            generation.cancel(given_up);
        }
    }
    replies.extend(finish(&mut generation));
    replies.sort_by_key(|reply| reply.reply_idx);
    assert!(replies.len() < all.len());
    assert!(replies.iter().all(|reply| *reply == all[reply.reply_idx]));
}

#[test]
fn a_penalty_keeps_tokens_from_coming_again_and_a_bias_brings_one_up() {
    let (model, prompts) = (model(), prompts(1));
    let reply = |config: &GenerateConfig| {
        finish(&mut Generation::new(&model, &prompts, config, ROOM))
            .remove(0)
            .ids
    };
    let plain = GenerateConfig::new(30);
    let twice = |ids: &[i32]| (1..ids.len()).any(|idx| ids[..idx].contains(&ids[idx]));
    assert!(twice(&reply(&plain)));
    let punished = GenerateConfig {
        presence_penalty: 1e4,
        ..plain.clone()
    };
    assert!(!twice(&reply(&punished)));
    let biased = GenerateConfig {
        logit_bias: vec![(17, 1e4)],
        ..plain
    };
    assert_eq!(reply(&biased), [17; 30]);
}

#[test]
fn log_probabilities_are_those_of_the_whole_distribution_and_change_no_token() {
    let (model, prompts, plain) = (model(), prompts(3), config(10));
    let with = GenerateConfig {
        top_logprobs: Some(3),
        ..plain.clone()
    };
    let expected = finish(&mut Generation::new(&model, &prompts, &plain, ROOM));
    let mut generation = Generation::new(&model, &prompts, &with, ROOM);
    let mut told: Vec<(usize, Token)> = Vec::new();
    let mut replies = Vec::new();
    while !generation.is_done() {
        let mut on_token = |idx: usize, token: &Token| told.push((idx, token.clone()));
        replies.extend(generation.step(&Job::default(), &mut on_token).unwrap());
    }
    replies.sort_by_key(|reply| reply.reply_idx);
    assert_eq!(replies, expected);
    let (prompt, seeds) = (&prompts[0], prompts[0].seeds.len());
    for reply in &replies[..seeds] {
        let logps = crate::text::response_logprobs(&model, &prompt.ids, &reply.ids);
        let own = told.iter().filter(|(idx, _)| *idx == reply.reply_idx);
        for ((_, token), logp) in own.zip(logps) {
            let logprobs = token.logprobs.as_ref().unwrap();
            assert!((logprobs.chosen - logp).abs() < 1e-4);
            assert_eq!(logprobs.top.len(), 3);
            assert!(logprobs.top.is_sorted_by(|a, b| a.1 >= b.1));
            assert!(logprobs.top[0].1 >= logprobs.chosen);
        }
    }
}

#[test]
fn a_text_that_begins_like_an_earlier_one_gets_the_same_reply_from_where_it_differs() {
    let device = Device::default();
    for mut model in [model(), DecoderConfig::small_with_all_parts().init(&device)] {
        draw_matrices(&mut model, 11, 0.7, &device);
        let plain = GenerateConfig {
            stop_ids: vec![7],
            ..GenerateConfig::new(12)
        };
        let reply = |ids: &[i32]| {
            let prompt = Prompt {
                ids: ids.to_vec(),
                seeds: vec![0],
            };
            let mut alone = Generation::new(&model, &[prompt], &plain, ROOM);
            finish(&mut alone).remove(0).ids
        };
        let config = Arc::new(plain.clone());
        let mut kept = Generation::empty(&model, ROOM).with_prefixes(2000);
        let mut saved = 0;
        let mut text: Vec<i32> = (0..40).map(|idx| 9 + idx % 30).collect();
        for turn in 0..6 {
            // The same prompt once more, then the conversation goes on.
            for _ in 0..2 {
                let prompt = Prompt {
                    ids: text.clone(),
                    seeds: vec![0],
                };
                saved += usize::from(kept.prefixes.as_mut().unwrap().take(&text).is_some());
                kept.push(&prompt, &config);
                assert_eq!(finish(&mut kept)[0].ids, reply(&text), "turn {turn}");
            }
            text.extend(reply(&text));
            text.extend([30 + turn, 31, 32]);
        }
        assert!(saved >= 10, "{saved} of 12 prompts had begun like another");
        let held = |prefixes: &Prefixes| prefixes.tokens();
        assert!(held(kept.prefixes.as_ref().unwrap()) <= 2000);
    }
}

#[test]
fn what_a_window_has_dropped_of_a_kept_text_is_not_taken_for_there() {
    let device = Device::default();
    let mut model = DecoderConfig::small_with_all_parts()
        .with_sliding_window(32)
        .init(&device);
    draw_matrices(&mut model, 11, 0.7, &device);
    let config = Arc::new(GenerateConfig {
        top_logprobs: Some(0),
        ..GenerateConfig::new(4)
    });
    let ids = |seed: u64, len: usize| -> Vec<i32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..len).map(|_| rng.random_range(9..40)).collect()
    };
    let common = ids(1, 200);
    let mut kept = Generation::empty(&model, ROOM).with_prefixes(5000);
    // The second goes on from a cut of the first, and the third from a cut of the second.
    for (seed, shared, own) in [(2, 200, 60), (3, 200, 10), (4, 165, 12), (5, 190, 3)] {
        let prompt = Prompt {
            ids: [&common[..shared], &ids(seed, own)].concat(),
            seeds: vec![0],
        };
        let mut told = [Vec::new(), Vec::new()];
        let mut alone = Generation::empty(&model, ROOM);
        for (generation, told) in [&mut kept, &mut alone].into_iter().zip(&mut told) {
            generation.push(&prompt, &config);
            let mut on_token = |_, token: &Token| {
                told.push((token.id, token.logprobs.as_ref().unwrap().chosen));
            };
            while !generation.is_done() {
                generation.step(&Job::default(), &mut on_token).unwrap();
            }
        }
        let [with, without] = told;
        for ((id, logp), (expected, expected_logp)) in with.iter().zip(&without) {
            assert_eq!(id, expected, "prompt {seed}");
            assert!(
                (logp - expected_logp).abs() < 1e-3,
                "{logp} {expected_logp}"
            );
        }
    }
}

#[test]
fn a_short_text_beside_a_long_one_is_kept_in_no_more_memory_than_it_needs() {
    let model = model();
    let config = Arc::new(config(3));
    let mut generation = Generation::empty(&model, ROOM).with_prefixes(5000);
    for len in [400, 20] {
        let prompt = Prompt {
            ids: vec![9; len],
            seeds: vec![0],
        };
        generation.push(&prompt, &config);
    }
    finish(&mut generation);
    let columns = generation.prefixes.as_ref().unwrap().columns();
    assert!(columns.iter().any(|&columns| columns < 64), "{columns:?}");
}
