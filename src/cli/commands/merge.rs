//! `apc merge`, and the arguments that it shares with `apc quantize`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;

use crate::cli::args::device::{DeviceArgs, Dtype};
use crate::cli::args::hub;
use crate::cli::next::command;
use crate::cli::output::{Format, print, print_json};
use crate::progress::Job;
use crate::{Error, Result, files};

#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// The model for which the adapter was trained, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The PEFT adapter, a folder or a name on the hub.
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// What the weights are written in [default: each in its own].
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Where to write a model, and how to print the result.
#[derive(Args, Debug)]
pub(crate) struct OutputArgs {
    /// A new folder for the model.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// The largest file; larger models are written in shards.
    #[arg(long, value_name = "SIZE", default_value = "5GB")]
    max_shard_size: ByteSize,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl MergeArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let written = files::merge_adapter(
            &hub::checkpoint(&self.model, job)?,
            &hub::folder(&self.adapter, job)?,
            &self.output.output,
            self.dtype.map(Into::into),
            self.output.max_bytes()?,
            &self.device.device(job)?,
            job,
        )?;
        self.output.tell("weights changed", &written)
    }
}

impl OutputArgs {
    pub(crate) fn max_bytes(&self) -> Result<u64> {
        match self.max_shard_size.as_u64() {
            0 => Err(Error::Usage(
                "--max-shard-size is 0, but must be at least 1B".into(),
            )),
            bytes => Ok(bytes),
        }
    }

    /// Prints what was written of a model; `changed` names the weights that differ from the model's.
    pub(crate) fn tell(&self, changed: &str, written: &files::Written) -> Result<()> {
        let output = self.output.to_string_lossy();
        let next = command(["generate", "--model", &output, "--prompt", "…"]);
        self.tell_of(changed, written, Some(next))
    }

    /// Prints what was written, and a command that uses it.
    pub(crate) fn tell_of(
        &self,
        changed: &str,
        written: &files::Written,
        next: Option<String>,
    ) -> Result<()> {
        let next = next.map_or(String::new(), |next| format!("\n\nnext: {next}"));
        let output = self.output.to_string_lossy();
        match self.format {
            Format::Json => print_json(written),
            Format::Text => print(&format!(
                "{changed:<17}{}\nsize             {} in {} {}\nmodel            {output}{next}",
                written.changed,
                ByteSize::b(written.bytes).display().si(),
                written.files,
                if written.files == 1 { "file" } else { "files" },
            )),
        }
    }
}
