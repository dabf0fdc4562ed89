//! Embeds sentences: from text to a vector whose product with another tells how near their meanings are.

use crate::Result;
use crate::files::{Checkpoint, Precision};
use crate::nn::Pooling;
use crate::parallel::Devices;
use crate::progress::{Job, Task};
use crate::text::classifier::Classifier;
use crate::text::{EncodedText, Tokenizer};

/// An encoder of sentences with its tokenizer, as sentence-transformers has it.
#[derive(Clone, Debug)]
pub struct SentenceEncoder(Classifier);

impl SentenceEncoder {
    /// Loads an encoder; its texts are spread over the devices.
    pub fn load(
        checkpoint: &Checkpoint,
        pooling: Pooling,
        precision: Precision,
        devices: &Devices,
    ) -> Result<Self> {
        Classifier::load_encoder(checkpoint, pooling, precision, devices).map(Self)
    }

    /// The most tokens of a text that it reads.
    pub fn max_tokens(&self) -> usize {
        self.0.max_tokens()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.0.tokenizer()
    }

    /// The embedding of each text, of length 1, in the order of the texts. Equal texts are embedded once.
    ///
    /// # Errors
    ///
    /// A text that is longer than the encoder reads.
    pub fn embed(
        &self,
        texts: &[EncodedText],
        task: &dyn Task,
        job: &Job,
    ) -> Result<Vec<Vec<f32>>> {
        let mut embeddings = vec![Vec::new(); texts.len()];
        let tokens = self.0.batch_tokens();
        self.0
            .judge(texts, tokens, &|_| false, task, job, &mut |rows| {
                for (text_idx, row) in rows {
                    embeddings[*text_idx].clone_from(row);
                }
                Ok(())
            })?;
        Ok(embeddings)
    }
}
