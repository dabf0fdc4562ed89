//! What the program spends its time on, one workload each, with random weights; a line of JSON for each.
//!
//! ```sh
//! cargo bench --bench workloads -- --size mid dpo generate classify finetune pairs
//! ```
//!
//! `flops` is what the work needs at least: the products of the weights with every token that has to go through them, and
//! of queries with keys. `bytes` is what has to be read or written at least: the weights, once for each batch. Their shares are
//! those of what a large square product, and one of a matrix with a vector, reach in the same run.

mod floors;
mod models;

use std::path::Path;
use std::time::Instant;

use apc::cli::Dtype;
use apc::nn::{ClassifierInput, Linear, LoraConfig, SequenceClassifier, Weights};
use apc::parallel::{self, Replicas};
use apc::persona::{JudgeTask, Nli, RelevanceTable, judge_relevance, persona_prompt};
use apc::pipeline::{DpoRun, FineTune, Sampler, sample_replies};
use apc::progress::Job;
use apc::text::{ByteFallback, GenerateConfig, Prompt, Sampling, Tokenizer, generate};
use apc::train::{DpoConfig, DpoExample, DpoPair};
use apc::{Result, files, memory};
use burn::tensor::{DType, Device, Distribution, Tensor};
use clap::{Parser, ValueEnum};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use floors::{classifier_bytes, classifier_flops, forward_flops};
use models::{Models, Size, embedded};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Which workloads [default: all].
    workloads: Vec<Workload>,
    /// How large the models are.
    #[arg(long, value_enum, default_value = "tiny")]
    size: Size,
    /// Pairs of the DPO workload.
    #[arg(long, default_value_t = 32)]
    pairs: usize,
    /// Statements of the pairs workload.
    #[arg(long, default_value_t = 20)]
    statements: usize,
    /// Queries of the pairs workload.
    #[arg(long, default_value_t = 20)]
    queries: usize,
    /// What weights are kept in; fine-tuning and the judges of pairs stay in f32.
    #[arg(long, value_enum, default_value = "float32")]
    dtype: Dtype,
    /// Keeps Gemma's projections in four bits.
    #[arg(long)]
    nf4: bool,
    /// cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Direct preference optimization: prompts of 200 tokens, replies of 20 to 60, rank 16.
    Dpo,
    /// 128 tokens behind a prompt of 16, one reply and 16 at once.
    Generate,
    /// Texts of 40 to 160 tokens through a classifier.
    Classify,
    /// The same texts, trained on, eight a step.
    Finetune,
    /// Queries, two replies of 32 tokens to each, scored with all statements.
    Pairs,
}

/// One run of a workload.
struct Measured {
    work: f64,
    unit: &'static str,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

struct Bench {
    models: Models,
    n_pairs: usize,
    n_statements: usize,
    n_queries: usize,
    rng: ChaCha8Rng,
    job: Job,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let workloads = if arguments.workloads.is_empty() {
        Workload::value_variants().to_vec()
    } else {
        arguments.workloads
    };
    let device = Device::default();
    let mut lines = Vec::new();
    for workload in workloads {
        device.seed(0);
        let mut bench = Bench {
            models: Models {
                size: arguments.size,
                dtype: arguments.dtype.into(),
                nf4: arguments.nf4,
                device: device.clone(),
            },
            n_pairs: arguments.pairs,
            n_statements: arguments.statements,
            n_queries: arguments.queries,
            rng: ChaCha8Rng::seed_from_u64(0),
            job: Job::default(),
        };
        for (name, measured) in bench.run(workload)? {
            let on_device = device.memory_pool_usage();
            let device_bytes = on_device.map(|usage| usage.bytes_reserved);
            lines.push((name, measured, memory::peak(), device_bytes));
        }
    }
    // Behind the workloads, as they take memory, too.
    let [peak, bandwidth] = [matrix_peak(&device), bandwidth(&device)];
    for (name, measured, peak_bytes, device_bytes) in lines {
        let Measured {
            work,
            unit,
            seconds,
            flops,
            bytes,
        } = measured;
        let line = json!({
            "workload": name,
            "size": format!("{:?}", arguments.size).to_lowercase(),
            "work": work,
            "unit": unit,
            "seconds": seconds,
            "rate": work / seconds,
            "flops": flops,
            "flops_share": flops / seconds / peak,
            "bytes": bytes,
            "bytes_share": bytes / seconds / bandwidth,
            "peak_bytes": peak_bytes,
            "device_bytes": device_bytes,
        });
        print(&line.to_string());
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "results are what this program is for")]
fn print(line: &str) {
    println!("{line}");
}

/// Floating-point operations a second in a product of 1536 by 1536, the best of five.
fn matrix_peak(device: &Device) -> f64 {
    const N: usize = 1536;
    let [a, b] =
        [0, 1].map(|_| Tensor::<2>::random([N, N], Distribution::Normal(0.0, 1.0), device));
    2.0 * (N as f64).powi(3) / best_of_five(|| a.clone().matmul(b.clone()))
}

/// Bytes a second in a product of a matrix of 128 MiB with a vector, the best of five.
fn bandwidth(device: &Device) -> f64 {
    const INNER: usize = 2048;
    const OUT: usize = 16_384;
    let mut linear = Linear::new(INNER, OUT, false, 0.02, device);
    linear.freeze_weights();
    let x = Tensor::<2>::random([1, INNER], Distribution::Normal(0.0, 1.0), device);
    4.0 * (INNER * OUT) as f64 / best_of_five(|| linear.forward(x.clone()))
}

fn best_of_five(work: impl Fn() -> Tensor<2>) -> f64 {
    let seconds = (0..5).map(|_| {
        let start = Instant::now();
        let _ = work().into_data();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::MAX, f64::min)
}

impl Bench {
    fn run(&mut self, workload: Workload) -> Result<Vec<(&'static str, Measured)>> {
        Ok(match workload {
            Workload::Dpo => vec![("dpo", self.dpo()?)],
            Workload::Generate => vec![
                ("generate 1", self.generate(1)?),
                ("generate 16", self.generate(16)?),
            ],
            Workload::Classify => vec![("classify", self.classify()?)],
            Workload::Finetune => vec![("finetune", self.finetune()?)],
            Workload::Pairs => vec![("pairs", self.pairs()?)],
        })
    }

    /// Random ids, of which none is special.
    fn ids(&mut self, range: std::ops::Range<usize>) -> Vec<i32> {
        let count = self.rng.random_range(range);
        (0..count)
            .map(|_| self.rng.random_range(300..2000))
            .collect()
    }

    /// A text of about so many tokens.
    fn text(&mut self, range: std::ops::Range<usize>) -> String {
        const WORDS: [&str; 8] = [
            "rain", "old", "cello", "she", "plays", "in", "harbour", "the",
        ];
        let count = self.rng.random_range(range);
        let words = (0..count).map(|_| WORDS[self.rng.random_range(0..WORDS.len())]);
        words.collect::<Vec<_>>().join(" ")
    }

    fn dpo(&mut self) -> Result<Measured> {
        const BATCH: usize = 2;
        let (rank, prompt, reply) = match self.models.size {
            Size::Tiny | Size::Mid => (16, 200, 20..60),
            Size::Gemma2b | Size::Gemma7b => (128, 400, 40..72),
        };
        let gemma = self.models.gemma(&mut self.rng)?;
        let pairs: Vec<DpoExample> = (0..self.n_pairs)
            .map(|_| DpoExample {
                prompt: self.ids(prompt..prompt + 1),
                pairs: vec![DpoPair {
                    chosen: self.ids(reply.clone()),
                    rejected: self.ids(reply.clone()),
                    reference: [0.0; 2],
                }],
            })
            .collect();
        let config = self.models.size.gemma();
        let flops: f64 = pairs
            .iter()
            .map(|example| {
                let replies = example.len() - example.prompt.len();
                let once = forward_flops(&config, example.len(), replies);
                // The reference, the policy, and the gradients of what is between the factors.
                3.0 * once
            })
            .sum();
        let folder = tempfile::tempdir().expect("a folder for the adapter");
        let run = DpoRun {
            lora: &LoraConfig::new(rank, rank as f64),
            lora_dtype: DType::F32,
            adapter: None,
            dpo: &DpoConfig::new(),
            batch_size: BATCH,
            epochs: 1,
            learning_rate: 1e-4,
            seed: 0,
            shuffle: false,
            base: Path::new("random"),
            output: folder.path(),
            work: &folder.path().join("work"),
            gradient_checkpointing: false,
            record_steps: false,
        };
        let start = Instant::now();
        run.run(&gemma, pairs, &self.models.device.clone().into(), &self.job)?;
        Ok(Measured {
            work: self.n_pairs as f64,
            unit: "pairs",
            seconds: start.elapsed().as_secs_f64(),
            flops,
            bytes: 3.0 * self.models.gemma_bytes() * self.n_pairs.div_ceil(BATCH) as f64,
        })
    }

    fn generate(&mut self, replies: usize) -> Result<Measured> {
        const TOKENS: usize = 128;
        let gemma = self.models.gemma(&mut self.rng)?;
        let prompts: Vec<Prompt> = (0..replies)
            .map(|seed| Prompt {
                ids: self.ids(16..17),
                seeds: vec![seed as u64],
            })
            .collect();
        let config = GenerateConfig {
            max_new_tokens: TOKENS,
            min_new_tokens: TOKENS,
            sampling: Sampling::Greedy,
            stop_ids: vec![1],
        };
        let mut tell = |_, _| {};
        let warm = GenerateConfig {
            max_new_tokens: 4,
            ..config.clone()
        };
        generate(&gemma, &prompts, &warm, &self.job, &mut tell)?;
        let start = Instant::now();
        generate(&gemma, &prompts, &config, &self.job, &mut tell)?;
        let tokens = 16 + TOKENS;
        Ok(Measured {
            work: (replies * TOKENS) as f64,
            unit: "tokens",
            seconds: start.elapsed().as_secs_f64(),
            flops: replies as f64 * forward_flops(&self.models.size.gemma(), tokens, TOKENS),
            bytes: TOKENS as f64 * self.models.gemma_bytes(),
        })
    }

    fn classify(&mut self) -> Result<Measured> {
        const TEXTS: usize = 64;
        // What the program takes; see `Classifier::batch_tokens`.
        let most_tokens = if parallel::is_cpu(&self.models.device) {
            1024
        } else {
            16_384
        };
        let config = self.models.size.classifier(3);
        let model = self.models.classifier(3);
        let mut texts: Vec<Vec<i32>> = (0..TEXTS).map(|_| self.ids(40..160)).collect();
        texts.sort_by_key(Vec::len);
        let flops = texts
            .iter()
            .map(|text| classifier_flops(&config, text.len()))
            .sum();
        let mut batches: Vec<Vec<Vec<i32>>> = Vec::new();
        for text in texts {
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * text.len() <= most_tokens => batch.push(text),
                _ => batches.push(vec![text]),
            }
        }
        let n_batches = batches.len();
        let classify = |model: &SequenceClassifier, batches: Vec<Vec<Vec<i32>>>| {
            parallel::map(batches, |batch| {
                let input = ClassifierInput::new(&batch, 0, &self.models.device);
                model.forward(input).into_data()
            });
        };
        classify(&model, batches[..1].to_vec());
        let start = Instant::now();
        classify(&model, batches);
        Ok(Measured {
            work: TEXTS as f64,
            unit: "texts",
            seconds: start.elapsed().as_secs_f64(),
            flops,
            bytes: classifier_bytes(&config) * n_batches as f64,
        })
    }

    fn finetune(&mut self) -> Result<Measured> {
        const TEXTS: usize = 32;
        const BATCH: usize = 8;
        let folder = tempfile::tempdir().expect("a folder for the classifier");
        let base = folder.path().join("base");
        self.models.save_classifier(&base, &Nli::NAMES)?;
        let texts: Vec<(String, usize)> = (0..TEXTS)
            .map(|idx| (self.text(40..160), idx % 3))
            .collect();
        let tokenizer = Tokenizer::load(&base)?;
        let config = self.models.size.classifier(3);
        let mut flops = 0.0;
        for (text, _) in &texts {
            flops += 3.0 * classifier_flops(&config, tokenizer.encode(text)?.len());
        }
        let run = FineTune {
            label: "finetune",
            base: &base,
            output: &folder.path().join("out"),
            work: &folder.path().join("work"),
            epochs: 1,
            batch_size: BATCH,
            learning_rate: 1e-5,
            held_out: 0.0,
            shuffle: false,
            dropout: false,
            byte_fallback: ByteFallback::Unknown,
            seed: 0,
            record_steps: false,
        };
        let start = Instant::now();
        run.run(&texts, &self.models.device.clone().into(), &self.job)?;
        Ok(Measured {
            work: TEXTS as f64,
            unit: "texts",
            seconds: start.elapsed().as_secs_f64(),
            flops,
            // Forward and backward; AdamW reads gradients, moments and weights, and writes all but the first.
            bytes: (2.0 + 7.0) * classifier_bytes(&config) * TEXTS.div_ceil(BATCH) as f64,
        })
    }

    fn pairs(&mut self) -> Result<Measured> {
        const TOKENS: usize = 32;
        let folder = tempfile::tempdir().expect("a folder for the judges");
        let relevance = self.models.judge(folder.path(), JudgeTask::Relevance)?;
        let nli = self.models.judge(folder.path(), JudgeTask::Nli)?;
        let gemma = self.models.gemma(&mut self.rng)?;
        let tokenizer = Tokenizer::load(&embedded("gemma"))?;
        let statements: Vec<String> = (0..self.n_statements).map(|_| self.text(8..14)).collect();
        let queries: Vec<String> = (0..self.n_queries).map(|_| self.text(5..9)).collect();
        let models = Replicas::new(gemma, &self.models.device.clone().into());
        let stage = |replies: &str| -> Result<RelevanceTable> {
            let table = judge_relevance(&relevance, None, "X", &statements, &queries, &self.job)?;
            let sampler = Sampler {
                character: "X",
                statements: &statements,
                models: &models,
                tokenizer: &tokenizer,
                max_tokens: 1024,
                top_k: 5,
                retrieval: &table,
                relevance: &table,
                nli: &nli,
                n_replies: 2,
                sampling: Sampling::at_temperature(1.0),
                max_new_tokens: TOKENS,
                min_new_tokens: TOKENS,
                seed: 0,
            };
            let (mut journal, done) = files::Journal::open(&folder.path().join(replies))?;
            let all: Vec<usize> = (0..queries.len()).collect();
            sample_replies(&sampler, &queries, &all, &mut journal, done, "", &self.job)?;
            Ok(table)
        };
        stage("warm.jsonl")?;
        let start = Instant::now();
        let table = stage("replies.jsonl")?;
        let seconds = start.elapsed().as_secs_f64();
        let (classifier, config) = (self.models.size.classifier(3), self.models.size.gemma());
        // A statement with a question goes through the relevance judge once, and with each of two replies, whose tokens are
        // not counted, through the other.
        let judges = Tokenizer::load(&embedded("nli"))?;
        let mut flops = 0.0;
        for (query_idx, query) in queries.iter().enumerate() {
            for statement in &statements {
                let text = relevance.template().render("X", statement, query, "");
                flops += 3.0 * classifier_flops(&classifier, judges.encode(&text)?.len());
            }
            let retrieved = table.retrieve(query_idx, 5);
            let retrieved: Vec<&str> = retrieved.iter().map(|&idx| &*statements[idx]).collect();
            let prompt = persona_prompt("X", &retrieved, query);
            flops += forward_flops(&config, tokenizer.encode(&prompt)?.len(), 1)
                + 2.0 * forward_flops(&config, TOKENS, TOKENS);
        }
        Ok(Measured {
            work: self.n_queries as f64,
            unit: "queries",
            seconds,
            flops,
            // Each of the tokens comes after the one before; the judges could read all texts at once.
            bytes: TOKENS as f64 * self.models.gemma_bytes() + 2.0 * classifier_bytes(&classifier),
        })
    }
}
