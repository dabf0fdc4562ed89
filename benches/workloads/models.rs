//! The models, of random weights where they are not the embedded ones.

use std::path::{Path, PathBuf};

use apc::Result;
use apc::files::{self, Checkpoint, Precision};
use apc::nn::nf4::{BLOCK_SIZE, CODE, Nf4};
use apc::nn::{
    DebertaConfig, Gemma, GemmaConfig, SequenceClassifier, SequenceClassifierConfig, Weight,
    WeightMut, Weights,
};
use apc::persona::{Judge, JudgeFormat, JudgeTask, Nli, Relevance};
use apc::progress::Job;
use apc::text::Tokenizer;
use burn::tensor::{DType, Device, Distribution, Tensor};
use clap::ValueEnum;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::floors::gemma_weights;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// The embedded models' shapes.
    Tiny,
    /// Gemma of hidden 768 with 6 layers, DeBERTa-v3-base.
    Mid,
    /// Gemma 1.1 2b, DeBERTa-v3-large.
    #[value(name = "2b")]
    Gemma2b,
    /// Gemma 1.1 7b, DeBERTa-v3-large.
    #[value(name = "7b")]
    Gemma7b,
}

/// The tokens of the embedded judges' tokenizer, with which classifiers of all sizes read.
const JUDGES_VOCABULARY: usize = 30_522;

impl Size {
    pub(crate) fn gemma(self) -> GemmaConfig {
        match self {
            Self::Tiny => GemmaConfig::new()
                .with_vocab_size(2048)
                .with_hidden_size(192)
                .with_intermediate_size(512)
                .with_num_hidden_layers(4)
                .with_num_attention_heads(4)
                .with_num_key_value_heads(4)
                .with_head_dim(48),
            Self::Mid => GemmaConfig::new()
                .with_vocab_size(8192)
                .with_hidden_size(768)
                .with_intermediate_size(3072)
                .with_num_hidden_layers(6)
                .with_num_attention_heads(8)
                .with_num_key_value_heads(8)
                .with_head_dim(96),
            Self::Gemma2b => GemmaConfig::gemma_2b(),
            Self::Gemma7b => GemmaConfig::gemma_7b(),
        }
        .with_max_position_embeddings(1024)
    }

    pub(crate) fn classifier(self, num_labels: usize) -> DebertaConfig {
        match self {
            Self::Tiny => DebertaConfig::new()
                .with_vocab_size(JUDGES_VOCABULARY)
                .with_hidden_size(128)
                .with_intermediate_size(512)
                .with_num_hidden_layers(3)
                .with_num_attention_heads(4)
                .with_position_buckets(Some(32)),
            Self::Mid => DebertaConfig::deberta_v3_base().with_vocab_size(JUDGES_VOCABULARY),
            Self::Gemma2b | Self::Gemma7b => DebertaConfig::deberta_v3_large(),
        }
        .with_num_labels(num_labels)
    }
}

/// What models are made in.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    pub(crate) size: Size,
    pub(crate) dtype: DType,
    /// Whether Gemma's projections are kept in four bits.
    pub(crate) nf4: bool,
    pub(crate) device: Device,
}

impl Models {
    /// A frozen Gemma, which is the embedded one where that is the size.
    pub(crate) fn gemma(&self, rng: &mut ChaCha8Rng) -> Result<Gemma> {
        if self.size == Size::Tiny {
            let dtype = match self.dtype {
                DType::BF16 => files::Dtype::Bfloat16,
                DType::F16 => files::Dtype::Float16,
                _ => files::Dtype::Float32,
            };
            let precision = Precision::from(dtype);
            let precision = if self.nf4 {
                precision.in_nf4()
            } else {
                precision
            };
            return files::load_decoder(
                &Checkpoint::folder(embedded("gemma")),
                precision,
                &self.device,
            );
        }
        let mut gemma = self.size.gemma().init(&self.device);
        gemma.weights("", &mut |name, weight| match weight {
            WeightMut::Matrix(weight) if self.nf4 && name.ends_with("_proj.weight") => {
                *weight = Weight::nf4(self.four_bits(weight.shape(), rng));
            }
            weight => self.draw(weight),
        });
        Ok(gemma)
    }

    /// What Gemma's layers and head take.
    pub(crate) fn gemma_bytes(&self) -> f64 {
        let bytes = self.dtype.size() as f64;
        // Half a byte, and a scale in f32 for each block.
        let in_layers = if self.nf4 {
            0.5 + 4.0 / BLOCK_SIZE as f64
        } else {
            bytes
        };
        let [layers, head] = gemma_weights(&self.size.gemma());
        layers * in_layers + head * bytes
    }

    pub(crate) fn classifier(&self, num_labels: usize) -> SequenceClassifier {
        let config = SequenceClassifierConfig::Deberta(self.size.classifier(num_labels));
        let mut classifier = config.init(&self.device);
        classifier.weights("", &mut |_, weight| self.draw(weight));
        classifier
    }

    /// Draws a frozen weight where it will lie, without those that are drawn already in another dtype.
    fn draw(&self, weight: WeightMut<'_>) {
        match weight {
            WeightMut::Vector(weight) => *weight = Weight::frozen(self.random(weight.shape())),
            WeightMut::Matrix(weight) => *weight = Weight::frozen(self.random(weight.shape())),
        }
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let normal = Distribution::Normal(0.0, 0.02);
        let drawn = Tensor::<D>::random(shape, normal, (&self.device, DType::F32));
        drawn.cast(self.dtype)
    }

    fn four_bits(&self, shape: [usize; 2], rng: &mut ChaCha8Rng) -> Nf4<2> {
        let n_values = shape[0] * shape[1];
        let mut codes = vec![0; n_values.div_ceil(2)];
        rng.fill_bytes(&mut codes);
        let absmax = vec![0.05; n_values.div_ceil(BLOCK_SIZE)];
        Nf4::new(
            codes,
            absmax,
            CODE,
            shape,
            BLOCK_SIZE,
            self.dtype,
            &self.device,
        )
    }

    /// A judge, which is the embedded one where that is the size, and else lies in `folder`.
    pub(crate) fn judge(&self, folder: &Path, task: JudgeTask) -> Result<Judge> {
        let (name, labels): (_, &[&str]) = match task {
            JudgeTask::Relevance => ("relevance", &Relevance::NAMES),
            JudgeTask::Nli => ("nli", &Nli::NAMES),
        };
        let folder = if self.size == Size::Tiny {
            embedded(name)
        } else {
            let folder = folder.join(name);
            self.save_classifier(&folder, labels)?;
            JudgeFormat::from(task.template()).save(&folder)?;
            folder
        };
        Judge::load(
            &Checkpoint::folder(folder).into(),
            task,
            &self.device.clone().into(),
            &Job::default(),
        )
    }

    /// A random classifier in a folder, with the embedded judges' tokenizer.
    pub(crate) fn save_classifier(&self, folder: &Path, labels: &[&str]) -> Result<()> {
        let model = SequenceClassifierConfig::Deberta(self.size.classifier(labels.len()));
        files::create_dir(folder)?;
        files::save_weights(&mut model.init(&self.device), folder)?;
        let config = files::ClassifierConfig {
            model,
            labels: labels.iter().map(ToString::to_string).collect(),
            pad_token_id: 0,
        };
        files::write_classifier_config(folder, &config)?;
        Tokenizer::load(&Checkpoint::folder(embedded("nli")))?.save(folder)
    }
}

/// The folder of an embedded model.
pub(crate) fn embedded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("models/tiny")
        .join(name)
}
