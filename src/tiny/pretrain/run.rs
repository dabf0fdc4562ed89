//! From a seed to a folder of models.

use std::path::Path;

use burn::tensor::Device;

use super::corpus_judges::{CorpusPair, PairFolders, PretrainSources, pretrain_corpus_judges};
use super::gemma::{GemmaSources, pretrain_gemma};
use super::recipe::Pretrain;
use crate::Result;
use crate::progress::Job;

/// A part of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those that reward and those that grade.
    Judges,
    /// The model that answers.
    Gemma,
}

/// Which models are made, and what they are made from.
#[derive(Clone, Debug)]
pub struct PretrainParts {
    /// The part that is made, if not all.
    pub only: Option<Part>,
    /// The encoder and the corpus.
    pub from: PretrainSources,
}

impl PretrainParts {
    /// Whether this part is made.
    pub fn makes(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Trains the judges that reward, on another seed the judges that grade, and the Gemma, whose statements the judge that rewards
/// retrieves.
///
/// The folder then has `gemma`, `relevance`, `nli`, `evaluation/relevance` and `evaluation/nli`, and `words`, which all judges
/// share. A run that was stopped goes on where it was; what is complete is left as it is.
pub fn pretrain(
    config: &Pretrain,
    parts: &PretrainParts,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    device.seed(config.seed);
    let pairs = [
        (CorpusPair::REWARDING, ""),
        (CorpusPair::GRADING, "evaluation"),
    ];
    for (place, (pair, name)) in pairs.into_iter().enumerate() {
        if !parts.makes(Part::Judges) {
            break;
        }
        let folders = PairFolders {
            words: folder.join("words"),
            judges: folder.join(name),
            work: work.join(name),
        };
        let seed = config.seed + 1000 * place as u64;
        pretrain_corpus_judges(&parts.from, pair, seed, &folders, device, job)?;
    }
    if parts.makes(Part::Gemma) {
        let from = GemmaSources {
            corpus: &parts.from.corpus,
            base: &parts.from.base,
            relevance: folder.join("relevance"),
        };
        let (folder, work) = (folder.join("gemma"), work.join("gemma"));
        // The same Gemma, whether judges were made before or are there.
        device.seed(config.seed);
        pretrain_gemma(config, &from, &folder, &work, device, job)?;
    }
    Ok(())
}
