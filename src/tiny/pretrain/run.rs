//! From a seed to a folder of models.

use std::path::Path;

use burn::tensor::Device;

use super::corpus_judges::{CorpusJudges, CorpusPair, pretrain_corpus_judges};
use super::gemma::pretrain_gemma;
use super::judges::pretrain_judges;
use super::recipe::Pretrain;
use crate::Result;
use crate::progress::Job;

/// Which models are made, and what the judges are made from.
#[derive(Clone, Debug, Default)]
pub struct PretrainParts {
    /// Whether the judges are made alone, without the Gemma.
    pub judges_only: bool,
    /// The encoder and the corpus of the judges; if there are none, they learn from nothing on invented personas.
    pub judges: Option<CorpusJudges>,
}

/// Trains Gemma and the judges that reward, and on another seed the judges that grade.
///
/// The folder then has `gemma`, `relevance`, `nli`, `evaluation/relevance` and `evaluation/nli`. A run that was stopped
/// goes on where it was; what is complete is left as it is.
pub fn pretrain(
    config: &Pretrain,
    parts: &PretrainParts,
    folder: &Path,
    work: &Path,
    device: &Device,
    job: &Job,
) -> Result<()> {
    device.seed(config.seed);
    if !parts.judges_only {
        let (folder, work) = (folder.join("gemma"), work.join("gemma"));
        pretrain_gemma(config, &folder, &work, device, job)?;
    }
    let pairs = [
        (
            CorpusPair::REWARDING,
            folder.to_path_buf(),
            work.to_path_buf(),
        ),
        (
            CorpusPair::GRADING,
            folder.join("evaluation"),
            work.join("evaluation"),
        ),
    ];
    for (place, (pair, folder, work)) in pairs.iter().enumerate() {
        let seed = config.seed + 1000 * place as u64;
        match &parts.judges {
            Some(from) => pretrain_corpus_judges(from, *pair, seed, folder, work, device, job)?,
            None => pretrain_judges(config, seed, folder, work, device, job)?,
        }
    }
    Ok(())
}
