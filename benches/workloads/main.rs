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
mod machine;
mod models;
mod training;

use std::time::Instant;

use apc::cli::Dtype;
use apc::files::{self, Checkpoint};
use apc::nn::{Lengths, SequenceClassifier};
use apc::parallel::{self, Devices, Replicas};
use apc::persona::{JudgeTask, Persona, Query, RelevanceTable, persona_prompt};
use apc::pipeline::{Sampler, sample_replies};
use apc::progress::Job;
use apc::text::{
    ChatFormat, DraftModel, GenerateConfig, Prompt, Sampling, Token, Tokenizer, generate,
};
use apc::{Result, memory};
use burn::tensor::Device;
use clap::{Parser, ValueEnum};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use floors::{classifier_bytes, classifier_flops, forward_flops};
use machine::{bandwidth, matrix_peak};
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
    /// Pairs in a batch of the DPO workload.
    #[arg(long, default_value_t = 2)]
    batch_size: usize,
    /// What the DPO workload keeps factors and their moments in.
    #[arg(long, value_enum, default_value = "float32")]
    lora_dtype: Dtype,
    /// Has the DPO workload compute activations anew in the backward pass.
    #[arg(long)]
    gradient_checkpointing: bool,
    /// How many replies the generate workload makes at once, each number in a run of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    replies: Vec<usize>,
    /// cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Direct preference optimization: prompts of 200 tokens, replies of 20 to 60, rank 16; of 448, 40 to 64 and 128 with
    /// the large models.
    Dpo,
    /// 128 tokens behind a prompt of 16.
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
    name: String,
    work: f64,
    unit: &'static str,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

struct Bench<'a> {
    arguments: &'a Arguments,
    models: Models,
    rng: ChaCha8Rng,
    job: Job,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let workloads = if arguments.workloads.is_empty() {
        Workload::value_variants()
    } else {
        &arguments.workloads
    };
    let device = Device::default();
    let mut lines = Vec::new();
    for &workload in workloads {
        device.seed(0);
        let mut bench = Bench {
            arguments: &arguments,
            models: Models {
                size: arguments.size,
                dtype: arguments.dtype.into(),
                nf4: arguments.nf4,
                device: device.clone(),
            },
            rng: ChaCha8Rng::seed_from_u64(0),
            job: Job::default(),
        };
        for measured in bench.run(workload)? {
            let on_device = device.memory_pool_usage();
            let device_bytes = on_device.map(|usage| usage.bytes_reserved);
            tell(&measured);
            lines.push((measured, memory::peak(), device_bytes));
        }
    }
    // Behind the workloads, as they take memory, too.
    let options = (&device, arguments.dtype.into());
    let [peak, bandwidth] = [matrix_peak(options), bandwidth(options)];
    for (measured, peak_bytes, device_bytes) in lines {
        let Measured {
            name,
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

/// What is known before the machine's limits are, for who waits or stops.
#[expect(clippy::print_stderr, reason = "a benchmark takes a while")]
fn tell(measured: &Measured) {
    let Measured {
        name,
        work,
        unit,
        seconds,
        ..
    } = measured;
    let rate = work / seconds;
    eprintln!("{name}: {work} {unit} in {seconds:.2} s, {rate:.2} a second");
}

#[expect(clippy::print_stdout, reason = "results are what this program is for")]
fn print(line: &str) {
    println!("{line}");
}

impl Bench<'_> {
    fn run(&mut self, workload: Workload) -> Result<Vec<Measured>> {
        Ok(match workload {
            Workload::Dpo => vec![self.dpo()?],
            Workload::Generate => self.generate()?,
            Workload::Classify => vec![self.classify()?],
            Workload::Finetune => vec![self.finetune()?],
            Workload::Pairs => vec![self.pairs()?],
        })
    }

    /// Passes that count for nothing before one is timed: away from the CPU each new shape has kernels to compile and to
    /// choose among.
    fn warms_up(&self) -> bool {
        !parallel::is_cpu(&self.models.device)
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

    fn generate(&mut self) -> Result<Vec<Measured>> {
        const PROMPT: usize = 16;
        const TOKENS: usize = 128;
        let gemma = self.models.gemma(&mut self.rng)?;
        let config = GenerateConfig {
            min_new_tokens: TOKENS,
            // The likeliest tokens of random weights go in circles, which takes fewer passes.
            sampling: Sampling::at_temperature(1.0),
            stop_ids: vec![1],
            ..GenerateConfig::new(TOKENS)
        };
        let warm = GenerateConfig {
            max_new_tokens: if self.warms_up() { TOKENS } else { 4 },
            ..config.clone()
        };
        let draft_model = DraftModel::of(&gemma);
        let mut all = Vec::new();
        for &replies in &self.arguments.replies {
            let prompts: Vec<Prompt> = (0..replies)
                .map(|seed| Prompt {
                    ids: self.ids(PROMPT..PROMPT + 1),
                    seeds: vec![seed as u64],
                })
                .collect();
            let mut tell = |_, _: &Token| {};
            generate(&gemma, &draft_model, &prompts, &warm, &self.job, &mut tell)?;
            let start = Instant::now();
            generate(
                &gemma,
                &draft_model,
                &prompts,
                &config,
                &self.job,
                &mut tell,
            )?;
            let seconds = start.elapsed().as_secs_f64();
            let flops = forward_flops(&self.models.size.gemma(), PROMPT + TOKENS, TOKENS);
            all.push(Measured {
                name: format!("generate {replies}"),
                work: (replies * TOKENS) as f64,
                unit: "tokens",
                seconds,
                flops: replies as f64 * flops,
                bytes: TOKENS as f64 * self.models.gemma_bytes(),
            });
        }
        Ok(all)
    }

    fn classify(&mut self) -> Result<Measured> {
        // As many tokens as the program takes; see `Classifier::batch_tokens`.
        let (n_texts, most_tokens) = if parallel::is_cpu(&self.models.device) {
            (64, 1024)
        } else {
            (512, 16_384)
        };
        let config = self.models.size.classifier(3);
        let mut model = self.models.classifier(3);
        model.keep_in_panels(); // as the program does
        let mut texts: Vec<Vec<i32>> = (0..n_texts).map(|_| self.ids(40..160)).collect();
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
        let lengths = Lengths::on(&self.models.device);
        let devices = Devices::from(self.models.device.clone());
        let classify = |model: &SequenceClassifier, batches: Vec<Vec<Vec<i32>>>| {
            devices.map(batches, |batch| {
                let input = model.input(&batch, 0, lengths);
                model.forward(input).into_data()
            });
        };
        let warm = if self.warms_up() { n_batches } else { 1 };
        classify(&model, batches[..warm].to_vec());
        let start = Instant::now();
        classify(&model, batches);
        Ok(Measured {
            name: "classify".into(),
            work: n_texts as f64,
            unit: "texts",
            seconds: start.elapsed().as_secs_f64(),
            flops,
            bytes: classifier_bytes(&config) * n_batches as f64,
        })
    }

    fn pairs(&mut self) -> Result<Measured> {
        const TOKENS: usize = 32;
        let folder = tempfile::tempdir().expect("a folder for the judges");
        let relevance = self.models.judge(folder.path(), JudgeTask::Relevance)?;
        let nli = self.models.judge(folder.path(), JudgeTask::Nli)?;
        let mut gemma = self.models.gemma(&mut self.rng)?;
        gemma.keep_in_panels();
        let checkpoint = Checkpoint::folder(embedded("gemma"));
        let tokenizer = Tokenizer::load(&checkpoint)?;
        let format = ChatFormat::load(&checkpoint, &tokenizer)?;
        let statements = (0..self.arguments.statements).map(|_| self.text(8..14));
        let persona = Persona::new("X", statements.collect::<Vec<_>>());
        let texts = (0..self.arguments.queries).map(|_| self.text(5..9));
        let texts: Vec<String> = texts.collect();
        let queries: Vec<Query> = texts.iter().map(|text| Query::new("", text)).collect();
        let models = Replicas::new(gemma, &self.models.device.clone().into());
        let stage = |replies: &str| -> Result<RelevanceTable> {
            let table = relevance.relevance(&persona, &texts, &self.job)?;
            let sampler = Sampler {
                persona: &persona,
                models: &models,
                tokenizer: &tokenizer,
                format: &format,
                max_tokens: 1024,
                top_k: 5,
                min_relevance: 0.0,
                retrieval: &table,
                earlier: &[],
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
        let judges = Tokenizer::load(&Checkpoint::folder(embedded("nli")))?;
        let mut flops = 0.0;
        for (query_idx, query) in texts.iter().enumerate() {
            for input in persona.inputs(query, "") {
                let text = relevance.text(&input).unwrap_or_default();
                flops += 3.0 * classifier_flops(&classifier, judges.encode(&text)?.len());
            }
            let retrieved = table.retrieve(query_idx, 5);
            let retrieved = retrieved.iter().map(|&idx| &*persona.statements[idx]);
            let retrieved: Vec<&str> = retrieved.collect();
            let prompt = persona_prompt(&format, "X", &retrieved, query)?;
            flops += forward_flops(&config, tokenizer.encode(&prompt)?.len(), 1)
                + 2.0 * forward_flops(&config, TOKENS, TOKENS);
        }
        Ok(Measured {
            name: "pairs".into(),
            work: self.arguments.queries as f64,
            unit: "queries",
            seconds,
            flops,
            // Each of the tokens comes after the one before; the judges could read all texts at once.
            bytes: TOKENS as f64 * self.models.gemma_bytes() + 2.0 * classifier_bytes(&classifier),
        })
    }
}
