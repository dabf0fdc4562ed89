//! From a seed to a folder of models.

use std::path::Path;

use burn::tensor::Device;

use super::gemma::pretrain_gemma;
use super::judges::pretrain_judges;
use super::recipe::Pretrain;
use crate::Result;
use crate::progress::Job;

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
