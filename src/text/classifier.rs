//! Classifies texts: from text to class probabilities.

use std::collections::HashMap;

use burn::tensor::{DType, activation};
use rayon::prelude::*;

use crate::files::{self, Checkpoint, Precision};
use crate::kernels;
use crate::nn::{Lengths, SequenceClassifier};
use crate::parallel::{Devices, Replicas};
use crate::progress::Job;
use crate::text::filled::encode_filled;
use crate::text::{ByteFallback, Tokenizer};
use crate::{Error, Result};

/// The index of a text, and its class probabilities.
pub type TextProbabilities = (usize, Vec<f32>);

/// A sequence classifier with its tokenizer.
#[derive(Clone, Debug)]
pub struct Classifier {
    models: Replicas<SequenceClassifier>,
    tokenizer: Tokenizer,
    labels: Vec<String>,
    pad_token_id: i32,
    max_tokens: usize,
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
        let (mut model, config) = files::load_classifier(checkpoint, precision, devices.first())?;
        model.keep_in_panels();
        let max_tokens = config.max_tokens();
        Ok(Self {
            models: Replicas::new(model, devices),
            tokenizer: Tokenizer::load_with(checkpoint, fallback)?
                .for_table(config.model.vocab_size())?,
            labels: config.labels,
            pad_token_id: config.pad_token_id,
            max_tokens,
        })
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

    /// Encodes texts to ids.
    pub fn encode(&self, texts: &[String]) -> Result<Vec<Vec<i32>>> {
        let encode = |text: &String| self.tokenizer.encode(text);
        texts.par_iter().map(encode).collect()
    }

    /// Encodes texts that share a frame and differ in what fills its gaps; a repeated filling is tokenized once.
    ///
    /// - frame: the text before, between and after the gaps
    /// - fillings: for every text, one string per gap
    pub fn encode_filled(&self, frame: &[&str], fillings: &[Vec<&str>]) -> Result<Vec<Vec<i32>>> {
        encode_filled(&self.tokenizer, frame, fillings)
    }

    /// Returns the class probabilities of each text, in the order of the texts; see [`Self::judge`].
    pub fn probabilities(
        &self,
        ids: &[Vec<i32>],
        batch_tokens: usize,
        label: &str,
        job: &Job,
    ) -> Result<Vec<Vec<f32>>> {
        let mut probabilities = vec![Vec::new(); ids.len()];
        self.judge(ids, batch_tokens, label, job, &mut |rows| {
            for (text_idx, row) in rows {
                probabilities[*text_idx].clone_from(row);
            }
            Ok(())
        })?;
        Ok(probabilities)
    }

    /// Computes the class probabilities of each text, given as ids.
    ///
    /// Texts are sorted by length and go through the model in batches of about `batch_tokens`, one batch per core
    /// or device at a time; equal texts are computed once. `label` names the progress bar; `on_batches` gets the results
    /// of finished texts with their indices.
    ///
    /// # Errors
    ///
    /// Fails if a text has more tokens than the model allows, or if `on_batches` fails.
    pub fn judge(
        &self,
        ids: &[Vec<i32>],
        batch_tokens: usize,
        label: &str,
        job: &Job,
        on_batches: &mut dyn FnMut(&[TextProbabilities]) -> Result<()>,
    ) -> Result<()> {
        /// Batches per worker between two calls of `on_batches`, so that workers do not wait for each other after every batch.
        const AT_ONCE: usize = 4;
        let mut encoded: Vec<&Vec<i32>> = Vec::new(); // distinct texts
        let mut text_idxs: Vec<Vec<usize>> = Vec::new(); // the texts that are equal to each
        let mut places = HashMap::new();
        for (text_idx, ids) in ids.iter().enumerate() {
            if ids.len() > self.max_tokens {
                return Err(Error::Usage(format!(
                    "text {} has {} tokens, but the judge reads at most {}; shorten it",
                    text_idx + 1,
                    ids.len(),
                    self.max_tokens
                )));
            }
            let place = *places.entry(ids).or_insert(encoded.len());
            if place == encoded.len() {
                encoded.push(ids);
                text_idxs.push(Vec::new());
            }
            text_idxs[place].push(text_idx);
        }
        let mut order: Vec<usize> = (0..encoded.len()).collect();
        order.sort_by_key(|&place| encoded[place].len());
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for place in order {
            let tokens = encoded[place].len();
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * tokens <= batch_tokens => batch.push(place),
                _ => batches.push(vec![place]),
            }
        }
        let task = job.progress.task(label, encoded.len(), "texts");
        let devices = self.models.devices();
        let lengths = Lengths::on(devices.first());
        for group in batches.chunks(AT_ONCE * devices.workers()) {
            let results = self.models.map(group.to_vec(), |model, batch: Vec<usize>| {
                job.check()?;
                let ids: Vec<_> = batch.iter().map(|&place| encoded[place].clone()).collect();
                let input = model.input(&ids, self.pad_token_id, lengths);
                let logits = model.forward(input);
                let [_, n_labels] = logits.dims();
                let rows = activation::softmax(logits.cast(DType::F32), 1).into_data();
                let rows = rows.as_slice::<f32>().expect("the tensor was cast to f32");
                task.advance(batch.len());
                if rows.iter().any(|probability| probability.is_nan()) {
                    return Err(Error::Model(
                        "the judge's probabilities are not numbers: its weights are damaged; take another judge".into(),
                    ));
                }
                let rows = rows.chunks_exact(n_labels).map(<[f32]>::to_vec);
                Ok(batch.into_iter().zip(rows).collect::<Vec<_>>())
            });
            // If the job is stopped, finished batches still count.
            let mut all = Ok(());
            let mut done = Vec::new();
            for result in results {
                match result {
                    Ok(rows) => done.extend(rows.into_iter().flat_map(|(place, row)| {
                        let text_idxs = text_idxs[place].iter();
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
}
