//! `apc benchmark`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::judges::JudgeArgs;
use crate::cli::output::{Format, print, print_json};
use crate::persona::{Everyday, Share, Understanding};
use crate::progress::Job;
use crate::{Error, Result, files};

#[derive(Args, Debug)]
pub(crate) struct BenchmarkArgs {
    /// A folder of personas with pairs and questions, a JSON file each.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How the shares are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    judges: JudgeArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl BenchmarkArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        let devices = self.device.devices(job)?;
        let personas = read(&self.data)?;
        // No character was trained on these personas, so none has judges of its own.
        let judges = self.judges.choose_for_nobody(job)?;
        let scorer = self.judges.load_chosen(&judges, &devices, job)?;
        let task = job.progress.task("benchmark", personas.len(), "personas");
        let mut found = Understanding::default();
        for everyday in &personas {
            everyday.measure(&scorer, &mut found, job)?;
            task.advance(1);
        }
        drop(task);
        match self.format {
            Format::Json => print_json(&found),
            Format::Text => print(&table(&found)),
        }
    }
}

fn read(folder: &Path) -> Result<Vec<Everyday>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::invalid(
            folder,
            "has no persona: no file ends in .json",
        ));
    }
    paths.sort();
    paths.iter().map(|path| files::read_json(path)).collect()
}

/// The shares, one a line.
fn table(found: &Understanding) -> String {
    let share = |name: &str, share: &Share| {
        let (Share { right, of }, rate) = (share, 100.0 * share.rate());
        format!("{name:<24} {right:>4} of {of:<4} {rate:>5.1} %")
    };
    let mut lines = vec![share("right reply first", &found.pairs)];
    for (kind, of) in &found.kinds {
        lines.push(share(&format!("  against {kind}"), of));
    }
    for (style, of) in &found.styles {
        lines.push(share(&format!("  page in {style}"), of));
    }
    lines.push(share("statement found first", &found.first));
    lines.push(share("statement among five", &found.among_five));
    lines.join("\n")
}
