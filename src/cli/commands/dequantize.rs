//! `apc dequantize`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::hub;
use crate::cli::commands::merge::OutputArgs;
use crate::progress::Job;
use crate::{Result, files};

#[derive(Args, Debug)]
pub(crate) struct DequantizeArgs {
    /// A model or a judge in a few bits: a folder, a name on the hub, or an embedded judge such as embedded/nli.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl DequantizeArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let written = files::dequantize_model(
            &hub::checkpoint(&self.model, job)?,
            &self.output.output,
            self.output.max_bytes()?,
            job,
        )?;
        self.output.tell_of("weights in f32", &written, None)
    }
}
