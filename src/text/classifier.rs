//! Classifies texts and pairs of texts: from text to class probabilities.

use std::collections::HashMap;

use burn::tensor::{DType, activation};
use rayon::prelude::*;

use crate::files::{self, Checkpoint, ClassifierConfig, Precision};
use crate::kernels;
use crate::nn::{ClassifierInput, Lengths, Pooling, SequenceClassifier};
use crate::parallel::{Devices, Replicas};
use crate::progress::{Job, Task};
use crate::text::around::{Around, EncodedText};
use crate::text::{ByteFallback, Tokenizer};
use crate::{Error, Result};

/// The index of a text, and its class probabilities.
pub type TextProbabilities = (usize, Vec<f32>);

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Those of all classes sum to one.
    Softmax,
    /// Each class by itself.
    Sigmoid,
}

/// What is made of a text's hidden states.
#[derive(Clone, Copy, Debug)]
enum Head {
    /// The probabilities of its classes.
    Classes(Activation),
    /// Its embedding.
    Embedding(Pooling),
}

/// A sequence classifier with its tokenizer.
#[derive(Clone, Debug)]
pub struct Classifier {
    models: Replicas<SequenceClassifier>,
    tokenizer: Tokenizer,
    around: Around,
    head: Head,
    labels: Vec<String>,
    pad_token_id: i32,
    max_tokens: usize,
}

/// Pads texts for a classifier, with their token types where one of them is a pair.
pub fn classifier_input(
    model: &SequenceClassifier,
    texts: &[&EncodedText],
    pad_token_id: i32,
    lengths: Lengths,
) -> ClassifierInput {
    let ids: Vec<_> = texts.iter().map(|text| text.ids.clone()).collect();
    let input = model.input(&ids, pad_token_id, lengths);
    if texts.iter().all(|text| text.n_first == text.len()) {
        return input;
    }
    let n_first: Vec<usize> = texts.iter().map(|text| text.n_first).collect();
    input.with_token_types(&n_first)
}

impl Classifier {
    /// Loads a classifier; its texts are spread over the devices.
    pub fn load(checkpoint: &Checkpoint, precision: Precision, devices: &Devices) -> Result<Self> {
        Self::load_with(checkpoint, ByteFallback::Unknown, precision, devices)
    }

    /// Loads a classifier and chooses how unknown characters are encoded, see [`Tokenizer::load_with`].
    pub fn load_with(
        checkpoint: &Checkpoint,
        fallback: ByteFallback,
        precision: Precision,
        devices: &Devices,
    ) -> Result<Self> {
        let config = files::read_classifier_config(checkpoint)?;
        let tokenizer =
            Tokenizer::load_with(checkpoint, fallback)?.for_table(config.model.vocab_size())?;
        let loaded = files::load_classifier(checkpoint, precision, devices.first())?;
        let head = Head::Classes(match config.labels.len() {
            1 => Activation::Sigmoid,
            _ => Activation::Softmax,
        });
        Self::of(loaded, tokenizer, head, devices)
    }

    /// Loads a model that embeds texts, in place of one that classifies them.
    pub(super) fn load_encoder(
        checkpoint: &Checkpoint,
        pooling: Pooling,
        precision: Precision,
        devices: &Devices,
    ) -> Result<Self> {
        let config = files::read_classifier_config(checkpoint)?;
        let tokenizer = Tokenizer::load_with(checkpoint, ByteFallback::Unknown)?
            .for_table(config.model.vocab_size())?;
        let loaded = files::load_encoder(checkpoint, precision, devices.first())?;
        Self::of(loaded, tokenizer, Head::Embedding(pooling), devices)
    }

    fn of(
        (mut model, config): (SequenceClassifier, ClassifierConfig),
        tokenizer: Tokenizer,
        head: Head,
        devices: &Devices,
    ) -> Result<Self> {
        model.keep_in_panels();
        Ok(Self {
            models: Replicas::new(model, devices),
            around: tokenizer.around()?,
            tokenizer,
            head,
            max_tokens: config.max_tokens(),
            labels: config.labels,
            pad_token_id: config.pad_token_id,
        })
    }

    /// Returns the same classifier with another way from logits to probabilities; the default is a sigmoid for one class,
    /// else a softmax.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.head = Head::Classes(activation);
        self
    }

    /// Makes the classifier refuse texts of more than `max_tokens`.
    pub fn with_max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = self.max_tokens.min(max_tokens);
        self
    }

    /// The most tokens that a text may have.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The default number of tokens in a batch, padding included: what stays in a core's cache on a CPU, what fills a GPU
    /// elsewhere.
    pub fn batch_tokens(&self) -> usize {
        if kernels::is_cpu(self.models.devices().first()) {
            1024
        } else {
            16_384
        }
    }

    /// The classes' names in the order of the probabilities.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Encodes texts, with the special tokens that the classifier wants around them.
    pub fn encode(&self, texts: &[String]) -> Result<Vec<EncodedText>> {
        let encode = |text: &String| self.encode_one(text);
        texts.par_iter().map(encode).collect()
    }

    /// Encodes a text, with the special tokens that the classifier wants around it.
    pub fn encode_one(&self, text: &str) -> Result<EncodedText> {
        let ids = self.tokenizer.encode_bare(text)?;
        self.tokenizer.put_around(&self.around, &ids, None)
    }

    /// Encodes a pair of texts, as premise and hypothesis are read.
    ///
    /// # Errors
    ///
    /// Fails if the tokenizer has no tokens that tell two texts apart.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<EncodedText> {
        let [first, second] = [first, second].map(|text| self.tokenizer.encode_bare(text));
        self.tokenizer
            .put_around(&self.around, &first?, Some(&second?))
    }

    /// Returns the class probabilities of each text, in the order of the texts; see [`Self::judge`]. `label` names the
    /// progress bar.
    pub fn probabilities(
        &self,
        texts: &[EncodedText],
        batch_tokens: usize,
        label: &str,
        job: &Job,
    ) -> Result<Vec<Vec<f32>>> {
        let mut probabilities = vec![Vec::new(); texts.len()];
        let task = job.progress.task(label, texts.len(), "texts");
        self.judge(texts, batch_tokens, &|_| false, &*task, job, &mut |rows| {
            for (text_idx, row) in rows {
                probabilities[*text_idx].clone_from(row);
            }
            Ok(())
        })?;
        Ok(probabilities)
    }

    /// Computes the class probabilities of each encoded text.
    ///
    /// Texts are sorted by length and go through the model in batches of about `batch_tokens`, one batch per core
    /// or device at a time; equal texts are computed once. A batch whose texts `is_done` all names is skipped. The last bits
    /// of a probability depend on the batch, so a batch is computed as a whole or not at all: what was stopped goes on
    /// with the same numbers. `on_batches` gets the results of finished texts with their indices.
    ///
    /// # Errors
    ///
    /// Fails if a text has more tokens than the model allows, or if `on_batches` fails.
    pub fn judge(
        &self,
        texts: &[EncodedText],
        batch_tokens: usize,
        is_done: &dyn Fn(usize) -> bool,
        task: &dyn Task,
        job: &Job,
        on_batches: &mut dyn FnMut(&[TextProbabilities]) -> Result<()>,
    ) -> Result<()> {
        /// Batches per worker between two calls of `on_batches`, so that workers do not wait for each other after every batch.
        const AT_ONCE: usize = 4;
        let distinct = self.distinct(texts)?;
        let mut batches = distinct.batches(batch_tokens);
        batches.retain(|batch| {
            let mut idxs = batch.iter().flat_map(|&place| &distinct.text_idxs[place]);
            let done = idxs.all(|&text_idx| is_done(text_idx));
            if done {
                task.resume(distinct.n_texts(batch));
            }
            !done
        });
        let devices = self.models.devices();
        let lengths = Lengths::on(devices.first());
        for group in batches.chunks(AT_ONCE * devices.workers()) {
            let results = self.models.map(group.to_vec(), |model, batch: Vec<usize>| {
                job.check()?;
                let texts: Vec<_> = batch.iter().map(|&place| distinct.texts[place]).collect();
                let rows = self.rows(model, &texts, lengths)?;
                task.advance(distinct.n_texts(&batch));
                Ok(batch.into_iter().zip(rows).collect::<Vec<_>>())
            });
            // If the job is stopped, finished batches still count.
            let mut all = Ok(());
            let mut done = Vec::new();
            for result in results {
                match result {
                    Ok(rows) => done.extend(rows.into_iter().flat_map(|(place, row)| {
                        let text_idxs = distinct.text_idxs[place].iter();
                        text_idxs.map(move |&text_idx| (text_idx, row.clone()))
                    })),
                    Err(error) => all = Err(error),
                }
            }
            on_batches(&done)?;
            all?;
        }
        Ok(())
    }

    /// Finds the texts that are equal; refuses one that is too long.
    fn distinct<'a>(&self, texts: &'a [EncodedText]) -> Result<Distinct<'a>> {
        let mut distinct = Distinct {
            texts: Vec::new(),
            text_idxs: Vec::new(),
        };
        let mut places = HashMap::new();
        for (text_idx, text) in texts.iter().enumerate() {
            if text.len() > self.max_tokens {
                return Err(Error::Usage(format!(
                    "text {} has {} tokens, but the judge reads at most {}; shorten it",
                    text_idx + 1,
                    text.len(),
                    self.max_tokens
                )));
            }
            let place = *places.entry(text).or_insert(distinct.texts.len());
            if place == distinct.texts.len() {
                distinct.texts.push(text);
                distinct.text_idxs.push(Vec::new());
            }
            distinct.text_idxs[place].push(text_idx);
        }
        Ok(distinct)
    }

    /// The class probabilities of each text of a batch.
    fn rows(
        &self,
        model: &SequenceClassifier,
        texts: &[&EncodedText],
        lengths: Lengths,
    ) -> Result<Vec<Vec<f32>>> {
        let input = classifier_input(model, texts, self.pad_token_id, lengths);
        let logits = |input| model.forward(input).cast(DType::F32);
        let rows = match self.head {
            Head::Classes(Activation::Softmax) => activation::softmax(logits(input), 1),
            Head::Classes(Activation::Sigmoid) => activation::sigmoid(logits(input)),
            Head::Embedding(pooling) => {
                let padding = input.padding.clone();
                pooling.embed(model.hidden_states(input), padding)
            }
        };
        let [_, width] = rows.dims();
        let rows = rows.into_data();
        let rows = rows.as_slice::<f32>().expect("the tensor was cast to f32");
        if rows.iter().any(|value| value.is_nan()) {
            return Err(Error::Model(
                "the judge's answers are not numbers: its weights are damaged; take another judge"
                    .into(),
            ));
        }
        Ok(rows.chunks_exact(width).map(<[f32]>::to_vec).collect())
    }
}

/// Texts without those that are equal to an earlier one.
struct Distinct<'a> {
    texts: Vec<&'a EncodedText>,
    /// For each of them the indices of all texts that are equal to it.
    text_idxs: Vec<Vec<usize>>,
}

impl Distinct<'_> {
    /// Sorts the texts by length and puts them into batches of about `batch_tokens`, padding included.
    fn batches(&self, batch_tokens: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        order.sort_by_key(|&place| self.texts[place].len());
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for place in order {
            let tokens = self.texts[place].len();
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * tokens <= batch_tokens => batch.push(place),
                _ => batches.push(vec![place]),
            }
        }
        batches
    }

    /// How many texts have their probabilities from a batch.
    fn n_texts(&self, batch: &[usize]) -> usize {
        batch.iter().map(|&place| self.text_idxs[place].len()).sum()
    }
}
