//! `apc import`.

use std::path::PathBuf;

use clap::Args;

use crate::Result;
use crate::cli::next::{command, elsewhere};
use crate::cli::output::{Format, print, print_json};
use crate::pipeline::{Lock, check_name};
use crate::teacher::imported::import;

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The original program's statement folder.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// Whose files.
    #[arg(long, value_name = "NAME")]
    character: String,
    /// Where data/NAME is made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl ImportArgs {
    pub(crate) fn run(&self) -> Result<()> {
        check_name(&self.character)?;
        let to = self
            .output
            .join("data")
            .join(&self.character)
            .join("imported");
        let _lock = Lock::character(&self.output, &self.character)?;
        let summary = import(&self.from, &self.character, &to)?;
        match self.format {
            Format::Json => print_json(&summary),
            Format::Text => {
                let left_out = match summary.left_out {
                    0 => String::new(),
                    n => format!("labels skipped   {n} unknown labels\n"),
                };
                let output = elsewhere(&self.output);
                let train = ["train", "--character", &self.character].into_iter();
                let train = train.chain(output.iter().map(String::as_str));
                let next = command(train.chain([
                    "--model-engine",
                    "imported",
                    "--use-pretrained-discriminator",
                    "false",
                ]));
                print(&format!(
                    "statements       {}\nqueries          {}\nrelevance        {}\nNLI              {}\n\
                     pairs            {}\n{left_out}folder           {}\n\n\
                     next: {next}",
                    summary.statements,
                    summary.queries,
                    summary.relevance,
                    summary.nli,
                    summary.pairs,
                    summary.folder.display(),
                ))
            }
        }
    }
}
