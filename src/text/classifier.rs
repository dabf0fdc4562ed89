//! Texts to the probabilities of classes.

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

/// The index of a text, and the probabilities of its classes.
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
    /// Reads a classifier; the devices share its texts.
    pub fn load(checkpoint: &Checkpoint, precision: Precision, devices: &Devices) -> Result<Self> {
        Self::load_with(checkpoint, ByteFallback::Unknown, precision, devices)
    }

    /// The same with a choice of what becomes of unknown characters, see [`Tokenizer::load_with`].
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
            tokenizer: Tokenizer::load_with(checkpoint, fallback)?,
            labels: config.labels,
            pad_token_id: config.pad_token_id,
            max_tokens,
        })
    }

    /// The same classifier, which refuses texts of more than `max_tokens`.
    pub fn with_max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = self.max_tokens.min(max_tokens);
        self
    }

    /// The most tokens that a text may have.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Tokens in a batch, padding included, where nothing else is asked for: what stays in a core's cache on a CPU, what fills
    /// a GPU elsewhere.
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

    /// The ids of texts.
    pub fn encode(&self, texts: &[String]) -> Result<Vec<Vec<i32>>> {
        let encode = |text: &String| self.tokenizer.encode(text);
        texts.par_iter().map(encode).collect()
    }

    /// The ids of texts that differ in what fills the gaps of a frame; what comes again is brought into tokens once.
    ///
    /// - frame: what is before the gaps, between them and behind them
    /// - fillings: of every text, one for each gap
    pub fn encode_filled(&self, frame: &[&str], fillings: &[Vec<&str>]) -> Result<Vec<Vec<i32>>> {
        encode_filled(&self.tokenizer, frame, fillings)
    }

    /// The probabilities of the classes for each text, in the order of the texts; see [`Self::judge`].
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

    /// Finds the probabilities of the classes for each text, given as ids.
    ///
    /// Texts are sorted by length and go through the model in batches of about `batch_tokens`, as many batches at once
    /// as there are cores or devices; equal texts go once. `label` names the progress bar; `on_batches` hears of texts by
    /// their indices, as they are done.
    ///
    /// # Errors
    ///
    /// A text of more tokens than the model was made for, and what `on_batches` returns.
    pub fn judge(
        &self,
        ids: &[Vec<i32>],
        batch_tokens: usize,
        label: &str,
        job: &Job,
        on_batches: &mut dyn FnMut(&[TextProbabilities]) -> Result<()>,
    ) -> Result<()> {
        /// Batches for each worker, who does not wait for the others after each.
        const AT_ONCE: usize = 4;
        let mut encoded: Vec<&Vec<i32>> = Vec::new(); // those that are unlike those before them
        let mut text_idxs: Vec<Vec<usize>> = Vec::new(); // of each of these
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
                let rows = rows.chunks_exact(n_labels).map(<[f32]>::to_vec);
                Ok(batch.into_iter().zip(rows).collect::<Vec<_>>())
            });
            // Of a job that is stopped, what is done counts.
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
