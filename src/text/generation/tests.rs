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
        max_new_tokens,
        min_new_tokens: 0,
        sampling: Sampling::at_temperature(1.0),
        stop_ids: vec![7, 8],
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
