//! From a seed to a folder of models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::config::Config;
use burn::optim::AdamWConfig;
use burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::optim::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::tensor::{DType, Device};
use rand_chacha::ChaCha8Rng;

use super::examples::{
    JudgeExample, encode_language, example_rng, language_example, nli_example, relevance_example,
};
use crate::hf::{self, ClassifierConfig};
use crate::nn::{DebertaConfig, GemmaConfig, Linear, Weights};
use crate::persona::{JudgeTemplate, Nli, Relevance};
use crate::progress::Job;
use crate::text::{Tokenizer, VocabularyKind, train_tokenizer};
use crate::train::{
    ClassifierExample, ClassifierModel, EpochLoader, Fit, LanguageExample, LanguageModel, fit,
};
use crate::{Error, Result, files, parallel};

/// How the embedded models are made.
#[derive(Config, Debug)]
pub struct Pretrain {
    /// Everything random comes from it.
    #[config(default = 1)]
    pub seed: u64,
    /// Prompts with replies that Gemma learns from.
    #[config(default = 36_000)]
    pub language_examples: usize,
    /// Texts that the NLI judge learns from.
    #[config(default = 160_000)]
    pub nli_examples: usize,
    /// Texts that the relevance judge learns from, beginning with what the NLI judge has learnt.
    #[config(default = 64_000)]
    pub relevance_examples: usize,
    /// Number of token ids.
    #[config(default = 1152)]
    pub vocab_size: usize,
}

/// Examples between two checkpoints, at most.
const EPOCH: usize = 4000;
/// Examples that are held out to watch the training.
const HELD_OUT: usize = 1000;
/// The stream of random numbers from which held-out examples come; training counts up from zero.
const HELD_OUT_STREAM: u64 = 1 << 40;

/// Trains Gemma and the judges that reward, and on another seed the judges that grade.
///
/// The folder then has `gemma`, `relevance`, `nli`, `evaluation/relevance` and `evaluation/nli`. A run that was stopped
/// goes on where it was; what is complete is left as it is.
pub fn pretrain(
    config: &Pretrain,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    device.seed(config.seed);
    pretrain_gemma(
        config,
        &folder.join("gemma"),
        &work.join("gemma"),
        device,
        job,
    )?;
    pretrain_judges(config, config.seed, folder, work, device, job)?;
    let (folder, work) = (folder.join("evaluation"), work.join("evaluation"));
    pretrain_judges(config, config.seed + 1000, &folder, &work, device, job)
}

/// Linear warm-up, then half a cosine.
fn schedule(peak: f64, steps: usize) -> Result<ModuleLrScheduler> {
    let warmup = (steps / 20).clamp(1, 200);
    let parts = vec![
        LinearLrSchedulerConfig::new(peak / 100.0, peak, warmup).into(),
        CosineAnnealingLrSchedulerConfig::new(peak, steps.saturating_sub(warmup).max(1))
            .with_min_lr(peak / 50.0)
            .into(),
    ];
    SequentialLrSchedulerConfig::new(parts, vec![warmup])
        .init()
        .map_err(Error::Training)
}

/// Examples of an epoch, each from random numbers of its own.
fn generate<I: Send>(
    seed: u64,
    first: u64,
    n_examples: usize,
    make: &(impl Fn(&mut ChaCha8Rng) -> Result<I> + Sync),
) -> Result<Vec<I>> {
    parallel::map((0..n_examples as u64).collect(), |number| {
        make(&mut example_rng(seed, first + number))
    })
    .into_iter()
    .collect()
}

/// A loader that makes each epoch's examples when it begins.
fn loader<I, B>(
    seed: u64,
    n_examples: usize,
    batch_size: usize,
    make: impl Fn(&mut ChaCha8Rng) -> Result<I> + Send + Sync + 'static,
    length: fn(&I) -> usize,
    collate: fn(&[&I]) -> B,
) -> EpochLoader<I, B>
where
    I: Clone + Send + Sync + 'static,
{
    let source = move |epoch: usize| {
        let examples = generate(seed, (epoch * EPOCH) as u64, n_examples, &make);
        Arc::new(examples.expect("a vocabulary with byte fallback encodes every text"))
    };
    EpochLoader::generated(Arc::new(source), n_examples, batch_size, length, collate).shuffled(seed)
}

fn pretrain_gemma(
    config: &Pretrain,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    if folder.join("config.json").is_file() {
        job.progress
            .note(&format!("{} is there already", folder.display()));
        return Ok(());
    }
    let texts: Vec<String> = generate(config.seed ^ 7, 0, 6000, &|rng| {
        let (prompt, reply) = language_example(rng);
        Ok(prompt + &reply)
    })?;
    train_tokenizer(VocabularyKind::Gemma, &texts, config.vocab_size, folder)?;
    let tokenizer = Tokenizer::load(folder)?;

    let model_config = GemmaConfig::new(tokenizer.vocab_size(), 192, 512, 3, 4, 4, 48)
        .with_max_position_embeddings(1024);
    let mut gemma = model_config.init(device);
    gemma.unfreeze_weights();
    let encode = move |rng: &mut ChaCha8Rng| {
        let (prompt, reply) = language_example(rng);
        encode_language(&tokenizer, &prompt, &reply)
    };
    let held_out = generate(config.seed, HELD_OUT_STREAM, HELD_OUT / 4, &encode)?;
    let train = loader(
        config.seed,
        config.language_examples.min(EPOCH),
        16,
        encode,
        LanguageExample::len,
        LanguageExample::collate,
    );
    let valid = EpochLoader::new(held_out, 32, LanguageExample::len, LanguageExample::collate);
    let epochs = config.language_examples.div_ceil(EPOCH);
    let optimizer = AdamWConfig::new()
        .with_beta_2(0.98)
        .with_epsilon(1e-8)
        .with_weight_decay(0.01)
        .init();
    let schedule = schedule(2e-3, epochs * train.steps_per_epoch(1))?;
    let run = Fit {
        label: "gemma",
        folder: work,
        epochs,
        accumulate: 1,
        metrics: &[("loss", false)],
    };
    let mut trained = fit(
        LanguageModel { gemma },
        optimizer,
        schedule,
        &train,
        &valid,
        &run,
        job,
    )?;
    hf::save_weights(&mut trained.gemma, folder)?;
    hf::write_gemma_config(folder, &model_config)
}

/// The NLI judge from nothing, then the relevance judge from what it has learnt.
fn pretrain_judges(
    config: &Pretrain,
    seed: u64,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    let nli = JudgeRun {
        label: "nli",
        folder: folder.join("nli"),
        work: work.join("nli"),
        labels: &Nli::NAMES,
        template: JudgeTemplate::nli(),
        examples: config.nli_examples,
        make: nli_example,
        base: None,
    };
    let relevance = JudgeRun {
        label: "relevance",
        folder: folder.join("relevance"),
        work: work.join("relevance"),
        labels: &Relevance::NAMES,
        template: JudgeTemplate::relevance(),
        examples: config.relevance_examples,
        make: relevance_example,
        base: Some(nli.folder.clone()),
    };
    nli.run(config, seed, device, job)?;
    relevance.run(config, seed + 1, device, job)
}

struct JudgeRun {
    label: &'static str,
    folder: PathBuf,
    work: PathBuf,
    labels: &'static [&'static str],
    template: JudgeTemplate,
    examples: usize,
    make: fn(&mut ChaCha8Rng) -> JudgeExample,
    base: Option<PathBuf>,
}

impl JudgeRun {
    fn run(&self, config: &Pretrain, seed: u64, device: &Device, job: &Job) -> Result<()> {
        let folder = &self.folder;
        if folder.join("config.json").is_file() {
            job.progress
                .note(&format!("{} is there already", folder.display()));
            return Ok(());
        }
        let mut deberta;
        let model_config;
        if let Some(base) = &self.base {
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                files::write(
                    &folder.join(name),
                    files::read_text(&base.join(name))?.as_bytes(),
                )?;
            }
            let (model, base_config) = hf::load_classifier(base, DType::F32, device)?;
            deberta = model;
            deberta.reset_classifier(self.labels.len(), device);
            model_config = DebertaConfig {
                num_labels: self.labels.len(),
                ..base_config.model
            };
        } else {
            let texts: Vec<String> =
                generate(seed ^ 7, 0, 12_000, &|rng| Ok((self.make)(rng).text))?;
            train_tokenizer(VocabularyKind::Deberta, &texts, config.vocab_size, folder)?;
            let vocab_size = Tokenizer::load(folder)?.vocab_size();
            model_config = DebertaConfig::new(vocab_size, 128, 512, 3, 4, self.labels.len())
                .with_position_buckets(Some(32));
            deberta = model_config.init(device);
        }
        deberta.unfreeze_weights();
        let tokenizer = Tokenizer::load(folder)?;
        let make = self.make;
        let encode = move |rng: &mut ChaCha8Rng| make(rng).encode(&tokenizer);
        let held_out = generate(seed, HELD_OUT_STREAM, HELD_OUT, &encode)?;
        let train = loader(
            seed,
            self.examples.min(EPOCH),
            32,
            encode,
            ClassifierExample::len,
            ClassifierExample::collate,
        );
        let valid = EpochLoader::new(
            held_out,
            64,
            ClassifierExample::len,
            ClassifierExample::collate,
        );
        let epochs = self.examples.div_ceil(EPOCH);
        let mut head = Linear::new(model_config.hidden_size, 2, true, 0.02, device);
        head.unfreeze_weights();
        let model = ClassifierModel::new(deberta, Some(head), 0);
        let optimizer = AdamWConfig::new()
            .with_beta_2(0.98)
            .with_epsilon(1e-8)
            .with_weight_decay(0.01)
            .init();
        let schedule = schedule(1e-3, epochs * train.steps_per_epoch(1))?;
        let metrics = [("loss", false), ("accuracy", true)];
        let run = Fit {
            label: self.label,
            folder: &self.work,
            epochs,
            accumulate: 1,
            metrics: &metrics,
        };
        let mut trained = fit(model, optimizer, schedule, &train, &valid, &run, job)?;
        hf::save_weights(&mut trained.deberta, folder)?;
        self.template.save(folder)?;
        let labels = self.labels.iter().map(ToString::to_string).collect();
        hf::write_classifier_config(
            folder,
            &ClassifierConfig {
                model: model_config,
                labels,
                pad_token_id: 0,
            },
        )
    }
}

/// The share of held-out examples on which a judge in `folder` is right: examples of `seed`, which no training saw.
pub fn evaluate_judges(
    folder: &Path,
    seed: u64,
    n_examples: usize,
    device: &Device,
    job: &Job,
) -> Result<[f64; 2]> {
    let accuracy = |name: &str, make: fn(&mut ChaCha8Rng) -> JudgeExample| -> Result<f64> {
        let folder = folder.join(name);
        let judge = if name == "nli" {
            crate::persona::Judge::load_nli(&folder, device)?
        } else {
            crate::persona::Judge::load_relevance(&folder, device)?
        };
        let examples = generate(seed, HELD_OUT_STREAM, n_examples, &|rng| Ok(make(rng)))?;
        let texts: Vec<String> = examples
            .iter()
            .map(|example| example.text.clone())
            .collect();
        let probabilities = judge.probabilities(&texts, name, job)?;
        let right = probabilities
            .iter()
            .zip(&examples)
            .filter(|(row, example)| {
                row.iter()
                    .enumerate()
                    .max_by(|a, b| a.1.total_cmp(b.1))
                    .map(|(label, _)| label)
                    == Some(example.label)
            });
        Ok(right.count() as f64 / n_examples as f64)
    };
    Ok([
        accuracy("relevance", relevance_example)?,
        accuracy("nli", nli_example)?,
    ])
}
