//! Work that several devices share: here the CPU twice, so each batch is cut as it would be for two.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use apc::files::{self, AdapterConfig, Checkpoint, Journal, Precision};
use apc::nn::LoraConfig;
use apc::parallel::{Devices, Replicas};
use apc::persona::{Judge, JudgeTask, LocalJudge, Persona, Query, RelevanceTable};
use apc::pipeline::{DpoRun, DpoTraining, FineTune, FineTuneConfig, Sampler, sample_replies};
use apc::progress::{Job, Progress, Silent, Task};
use apc::text::{ByteFallback, ChatFormat, Sampling, Tokenizer};
use apc::train::{DpoConfig, DpoExample, DpoPair};
use apc::{Error, Result};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::{Map, Value};

use super::bad_input::small;

fn devices(count: usize) -> Devices {
    Devices::new(vec![Device::flex(); count])
}

/// The numbers of every step, in the order of the steps; but for accuracies, which at first tell the sign of rounding.
fn steps(folder: &Path) -> Vec<f64> {
    let steps: Vec<Map<String, Value>> = files::read_jsonl(&folder.join("steps.jsonl")).unwrap();
    let numbers = steps.iter().flatten();
    numbers
        .filter(|(name, _)| *name != "rewards/accuracies")
        .map(|(_, number)| number.as_f64().unwrap())
        .collect()
}

/// All numbers of a file of tensors, in the order of their names.
fn tensors(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let numbers = |data: &[u8]| -> Vec<f64> {
        let numbers = data.chunks_exact(4);
        let number = |bytes: &[u8]| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()));
        numbers.map(number).collect()
    };
    tensors
        .iter()
        .flat_map(|(_, tensor)| numbers(tensor.data()))
        .collect()
}

fn assert_close(one: &[f64], two: &[f64]) {
    assert!(!one.is_empty() && one.len() == two.len());
    for (one, two) in one.iter().zip(two) {
        let tolerance = 1e-5 * one.abs().max(1.0);
        assert!((one - two).abs() < tolerance, "{one} {two}");
    }
}

/// Prompts with one to three pairs each.
fn examples() -> Vec<DpoExample> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut ids = |most: usize| -> Vec<i32> {
        let count = rng.random_range(2..most);
        (0..count).map(|_| rng.random_range(10..900)).collect()
    };
    let mut pair = |_| DpoPair {
        chosen: ids(9),
        rejected: ids(9),
        reference: [0.0; 2],
    };
    let pairs: Vec<Vec<DpoPair>> = (0..8)
        .map(|prompt_idx| (0..=prompt_idx % 3).map(&mut pair).collect())
        .collect();
    let with_prompt = |pairs| DpoExample {
        prompt: ids(30),
        pairs,
    };
    pairs.into_iter().map(with_prompt).collect()
}

/// Trains an adapter into `folder` for two epochs, from one and the same adapter.
fn dpo(
    folder: &Path,
    batch_size: usize,
    accumulate: usize,
    gradient_checkpointing: bool,
    devices: &Devices,
    job: &Job,
) -> Result<()> {
    let (base, lora) = (small("gemma"), LoraConfig::new(4, 8.0));
    let gemma = files::load_decoder(
        &Checkpoint::folder(base),
        Precision::default(),
        devices.first(),
    )?;
    let first = folder.with_file_name("first");
    if !first.is_dir() {
        let mut gemma = gemma.clone();
        gemma.add_lora(&lora, devices.first());
        // Drawn here: burn's numbers are shared with the tests that run beside this one.
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for (_, _, linear) in gemma.projections_mut() {
            if let Some(lora) = linear.lora_mut() {
                lora.lora_a = lora.lora_a.clone().map(|a| {
                    let shape = a.dims();
                    let bound = (shape[1] as f32).recip().sqrt();
                    let count = shape.iter().product();
                    let numbers = (0..count).map(|_| rng.random_range(-bound..bound));
                    let numbers = TensorData::new(numbers.collect::<Vec<f32>>(), shape);
                    Tensor::from_data(numbers, &a.device())
                });
            }
        }
        files::save_adapter(&gemma, &AdapterConfig::new(&lora, "tiny"), &first)?;
    }
    let run = DpoRun {
        training: &DpoTraining::new(lora)
            .with_dpo(
                DpoConfig::new()
                    .with_accumulate(accumulate)
                    .with_sft_weight(0.5),
            )
            .with_batch_size(batch_size)
            .with_epochs(2)
            .with_learning_rate(1e-3)
            .with_seed(7),
        adapter: Some(&first),
        base: &Checkpoint::folder("tiny"),
        precision: Precision::default(),
        output: folder,
        work: &folder.join("work"),
        gradient_checkpointing,
        record_steps: true,
    };
    let trained = run.run(&Replicas::new(gemma, devices), examples(), job)?;
    run.summarize(&trained, job).map(|_| ())
}

#[test]
fn dpo_on_two_devices_makes_the_steps_of_one() {
    let folder = tempfile::tempdir().unwrap();
    for (batch_size, accumulate, by_layer) in [(1, 3, false), (4, 1, true), (3, 2, false)] {
        let name = |count| format!("{batch_size} times {accumulate} on {count}");
        let trained = [1, 2].map(|count| {
            let (folder, devices) = (folder.path().join(name(count)), devices(count));
            let job = Job::default();
            dpo(&folder, batch_size, accumulate, by_layer, &devices, &job).unwrap();
            (
                steps(&folder),
                tensors(&folder.join("adapter_model.safetensors")),
            )
        });
        assert_close(&trained[0].0, &trained[1].0);
        // AdamW's first steps are as long where a gradient is all rounding: a few factors of thousands differ by more.
        let apart = trained[0].1.iter().zip(&trained[1].1);
        let apart: Vec<f64> = apart.map(|(one, two)| (one - two).powi(2)).collect();
        let apart = (apart.iter().sum::<f64>() / apart.len() as f64).sqrt();
        assert!(apart < 1e-6, "{apart}");
    }
}

/// Stops its job at a step.
struct StopAt(&'static str, OnceLock<Job>);

impl Progress for StopAt {
    fn task(&self, label: &str, total: usize, unit: &'static str) -> Box<dyn Task> {
        Silent.task(label, total, unit)
    }

    fn note(&self, line: &str) {
        if line.starts_with(self.0) {
            self.1.get().unwrap().stop();
        }
    }
}

#[test]
fn dpo_on_two_devices_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, job: &Job| {
        let folder = folder.path().join(name);
        dpo(&folder, 1, 3, false, &devices(2), job).map(|()| {
            let adapter = fs::read(folder.join("adapter_model.safetensors")).unwrap();
            (steps(&folder), adapter)
        })
    };
    let whole = run("whole", &Job::default()).unwrap();
    // Eight prompts are three steps an epoch: the second one is under way.
    let stop = Arc::new(StopAt("step 5:", OnceLock::new()));
    let job = Job::new(stop.clone());
    stop.1.set(job.clone()).unwrap();
    assert!(matches!(run("parts", &job), Err(Error::Interrupted)));
    assert!(run("parts", &Job::default()).unwrap() == whole);
}

#[test]
fn fine_tuning_on_two_devices_makes_the_steps_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<(String, usize)> = (0..20)
        .map(|n| {
            let word = ["rain", "cello", "harbour"][n % 3];
            let text = format!("Statement: Mira has {n} {word}. Question: What? Reply: {word}.");
            (text, n % 3)
        })
        .collect();
    let trained = [1, 2].map(|count| {
        let folder = folder.path().join(count.to_string());
        let run = FineTune {
            label: "finetune",
            config: &FineTuneConfig::new(2).with_learning_rate(1e-4).with_seed(7),
            base: &Checkpoint::folder(small("nli")),
            output: &folder,
            work: &folder.join("work"),
            byte_fallback: ByteFallback::Unknown,
            record_steps: true,
            classes: None,
        };
        let encode = |tokenizer: &Tokenizer, _: usize| {
            let encode =
                |(text, label): &(String, usize)| Ok((tokenizer.encode(text)?.into(), *label));
            texts.iter().map(encode).collect()
        };
        let tuned = run.run(&encode, &devices(count), &Job::default()).unwrap();
        (steps(&folder), tuned.accuracies, tuned.best_epoch)
    });
    assert_close(&trained[0].0, &trained[1].0);
    assert_eq!(trained[0].1, trained[1].1);
    assert_eq!(trained[0].2, trained[1].2);
}

#[test]
fn texts_have_the_same_probabilities_in_the_same_order_on_two_devices() {
    let texts: Vec<String> = (0..300)
        .map(|n| {
            format!(
                "Statement: Mira sings. Question: {}?",
                "What? ".repeat(n % 9)
            )
        })
        .collect();
    let judged = [1, 2].map(|count| {
        let judge = LocalJudge::load(
            &Checkpoint::folder(small("relevance")).into(),
            JudgeTask::Relevance,
            &devices(count),
        );
        let judge = judge.unwrap();
        judge.probabilities(&texts, "", &Job::default()).unwrap()
    });
    assert_eq!(judged[0], judged[1]);
}

#[test]
fn replies_are_the_same_on_two_devices() {
    const QUERIES: usize = 30;
    let persona = Persona::new(
        "Mira",
        ["Mira plays the cello.", "Mira lives by the harbour."],
    );
    let queries: Vec<Query> = (0..QUERIES)
        .map(|age| format!("{}What did you do at {age}?", "Please. ".repeat(age % 7)))
        .map(|text| Query::new("", text))
        .collect();
    let table = RelevanceTable {
        rows: vec![vec![0.5, 0.4]; QUERIES],
    };
    let folder = tempfile::tempdir().unwrap();
    let sampled = [1, 2].map(|count| {
        let devices = devices(count);
        let gemma = files::load_decoder(
            &Checkpoint::folder(small("gemma")),
            Precision::default(),
            devices.first(),
        )
        .unwrap();
        let checkpoint = Checkpoint::folder(small("gemma"));
        let tokenizer = Tokenizer::load(&checkpoint).unwrap();
        let sampler = Sampler {
            persona: &persona,
            models: &Replicas::new(gemma, &devices),
            tokenizer: &tokenizer,
            format: &ChatFormat::load(&checkpoint, &tokenizer).unwrap(),
            max_tokens: 1024,
            top_k: 2,
            min_relevance: 0.0,
            retrieval: &table,
            earlier: &[],
            relevance: &table,
            nli: &Judge::load(
                &Checkpoint::folder(small("nli")).into(),
                JudgeTask::Nli,
                &devices,
                &Job::default(),
            )
            .unwrap(),
            n_replies: 2,
            sampling: Sampling::at_temperature(1.0),
            max_new_tokens: 20,
            min_new_tokens: 0,
            seed: 6, // at which no token is nearly a tie
        };
        let path = folder.path().join(count.to_string());
        let (mut journal, done) = Journal::open(&path).unwrap();
        let all: Vec<usize> = (0..QUERIES).collect();
        let job = Job::default();
        let sampled = sample_replies(&sampler, &queries, &all, &mut journal, done, "", &job);
        let mut sampled = sampled.unwrap();
        sampled.sort_by_key(|sampled| sampled.query_idx);
        sampled
    });
    assert_eq!(sampled.each_ref().map(Vec::len), [QUERIES; 2]);
    for (one, two) in sampled[0].iter().zip(&sampled[1]) {
        assert_eq!(
            (one.query_idx, &one.responses),
            (two.query_idx, &two.responses)
        );
        assert_close(&one.apc, &two.apc);
    }
}
