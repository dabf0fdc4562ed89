//! The judges: DeBERTa classifiers that learn to compare a statement with a question or a reply.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;

use super::examples::{JudgeExample, NLI_SHARES, nli_example, relevance_example};
use super::init::keys_like_queries;
use super::prior::move_prior;
use super::recipe::{
    EPOCH, HELD_OUT, HELD_OUT_STREAM, Pretrain, generate, loader, optimizer, schedule,
};
use super::store::{save_in_bf16, tell_bf16};
use super::vocabulary::{VocabularyKind, train_tokenizer};
use crate::Result;
use crate::files::{self, Checkpoint, ClassifierConfig, Precision};
use crate::nn::{DebertaConfig, Linear, SequenceClassifier, SequenceClassifierConfig, Weights};
use crate::persona::{JudgeFormat, JudgeTask, JudgeTemplate, LocalJudge, Nli, Relevance};
use crate::progress::Job;
use crate::text::Tokenizer;
use crate::train::{ClassifierExample, ClassifierModel, EpochLoader, Fit, fit};

/// In scoring, one statement in twenty contradicts or entails the reply.
pub(super) const NLI_SHARES_IN_SCORING: [f64; 3] = [0.025, 0.95, 0.025];

/// The NLI judge from nothing, then the relevance judge from what it has learnt.
pub(super) fn pretrain_judges(
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
        shares: Some([NLI_SHARES, NLI_SHARES_IN_SCORING]),
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
        shares: None,
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
    /// The shares of the classes in training and in scoring, where they differ.
    shares: Option<[[f64; 3]; 2]>,
}

/// Width of a judge.
const HIDDEN_SIZE: usize = 128;

impl JudgeRun {
    fn run(&self, config: &Pretrain, seed: u64, device: &Device, job: &Job) -> Result<()> {
        let folder = &self.folder;
        if is_there(folder, job) {
            return Ok(());
        }
        let mut classifier;
        let model_config;
        if let Some(base) = &self.base {
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                files::write(
                    &folder.join(name),
                    files::read_text(&base.join(name))?.as_bytes(),
                )?;
            }
            let (model, base_config) =
                files::load_classifier(&Checkpoint::folder(base), Precision::default(), device)?;
            classifier = model;
            classifier.reset_classifier(self.labels.len(), device);
            model_config = base_config.model.with_num_labels(self.labels.len());
        } else {
            if !folder.join("tokenizer.json").is_file() {
                let texts: Vec<String> =
                    generate(seed ^ 7, 0, 12_000, &|rng| Ok((self.make)(rng).text))?;
                train_tokenizer(VocabularyKind::Deberta, &texts, config.vocab_size, folder)?;
            }
            let vocab_size = Tokenizer::load(&Checkpoint::folder(folder))?.vocab_size();
            let config = DebertaConfig::deberta_v3_base()
                .with_vocab_size(vocab_size)
                .with_hidden_size(HIDDEN_SIZE)
                .with_intermediate_size(512)
                .with_num_hidden_layers(3)
                .with_num_attention_heads(4)
                .with_num_labels(self.labels.len())
                .with_position_buckets(Some(32))
                .with_initializer_range((HIDDEN_SIZE as f64).powf(-0.5));
            let mut deberta = config.init(device);
            keys_like_queries(&mut deberta);
            classifier = SequenceClassifier::Deberta(deberta);
            model_config = SequenceClassifierConfig::Deberta(config);
        }
        classifier.unfreeze_weights();
        let tokenizer = Tokenizer::load(&Checkpoint::folder(folder))?;
        let make = self.make;
        let encode = move |rng: &mut ChaCha8Rng| make(rng).encode(&tokenizer);
        let held_out = generate(seed, HELD_OUT_STREAM, HELD_OUT, &encode)?;
        let train = loader(
            seed,
            self.examples.min(EPOCH),
            16,
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
        let mut head = Linear::new(HIDDEN_SIZE, 2, true, 0.02, device);
        head.unfreeze_weights();
        let model = ClassifierModel::new(classifier, Some(head), 0).with_max_grad_norm(1.0);
        let schedule = schedule(7e-4, epochs * train.steps_per_epoch(1))?;
        let metrics = [("loss", false), ("accuracy", true)];
        let run = Fit {
            label: self.label,
            folder: &self.work,
            epochs,
            accumulate: 1,
            metrics: &metrics,
        };
        let mut trained = fit(model, optimizer(), schedule, &train, &valid, &run, job)?;
        if let Some([training, scoring]) = self.shares {
            move_prior(&mut trained.classifier, &training, &scoring);
        }
        let labels = self.labels.iter().map(ToString::to_string).collect();
        let config = ClassifierConfig {
            model: model_config,
            labels,
            pad_token_id: 0,
        };
        save_judge(&mut trained.classifier, &config, &self.template, folder)
    }
}

/// Writes a judge beside its tokenizer; the config goes last.
pub(super) fn save_judge(
    classifier: &mut SequenceClassifier,
    config: &ClassifierConfig,
    template: &JudgeTemplate,
    folder: &Path,
) -> Result<()> {
    save_in_bf16(classifier, folder)?;
    JudgeFormat::from(template.clone()).save(folder)?;
    files::write_classifier_config(folder, config)?;
    tell_bf16(folder)
}

/// Whether a judge is there from an earlier run, which is then told.
pub(super) fn is_there(folder: &Path, job: &Job) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let is_there = has("config.json") && has("judge.json");
    if is_there {
        job.progress
            .note(&format!("{} is there already", folder.display()));
    }
    is_there
}

/// The share of held-out examples on which a judge in `folder` is right: examples of `seed`, which no training saw.
pub fn evaluate_judges(
    folder: &Path,
    seed: u64,
    n_examples: usize,
    device: &Device,
    job: &Job,
) -> Result<[f64; 2]> {
    let devices = device.clone().into();
    let accuracy = |name: &str, make: fn(&mut ChaCha8Rng) -> JudgeExample| -> Result<f64> {
        let folder = folder.join(name);
        let task = match name {
            "nli" => JudgeTask::Nli,
            _ => JudgeTask::Relevance,
        };
        let judge = LocalJudge::load(&Checkpoint::from(folder).into(), task, &devices)?;
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
