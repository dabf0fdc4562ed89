//! `apc quantize`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::hub;
use crate::cli::commands::merge::OutputArgs;
use crate::progress::Job;
use crate::{Result, files};

#[derive(Args, Debug)]
pub(crate) struct QuantizeArgs {
    /// A language model, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl QuantizeArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let max_bytes = self.output.max_bytes()?;
        let written = files::quantize_model(
            &hub::checkpoint(&self.model, job)?,
            &self.output.output,
            max_bytes,
            job,
        )?;
        self.output.tell("weights in NF4", &written)
    }
}
