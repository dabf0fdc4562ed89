//! Printing results, and the folders that commands write to.

use std::path::Path;

use clap::ValueEnum;

use crate::cli::shown::visible;
use crate::pipeline::{Lock, Output, Stage, StageSpec, changes};
use crate::progress::Job;
use crate::{Error, Result};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints a result for people to stdout: with its control characters spelt out.
pub(super) fn print(text: &str) -> Result<()> {
    print_as_it_is(&visible(text))
}

/// Prints a text that has nothing in it but what this program has formatted.
pub(super) fn print_as_it_is(text: &str) -> Result<()> {
    put(&format!("{text}\n")).map(drop)
}

/// Writes to stdout, and tells whether anybody still reads it: a closed pipe is not a failure.
pub(super) fn put(text: &str) -> Result<bool> {
    use std::io::Write;
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::io("write to", Path::new("stdout"))(error)),
    }
}

/// Prints a value as one line of JSON.
pub(super) fn print_json<T: serde::Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Usage(format!("cannot print JSON: {error}")))?;
    print_as_it_is(&text)
}

/// Fails if the output is a folder that a model is read from, or has a model that this command did not make.
pub(super) fn check_output(
    output: &Path,
    read: &[&Path],
    record: &str,
    marks: &[&str],
) -> Result<()> {
    let place = |path: &Path| path.canonicalize().ok();
    let here = place(output);
    if here.is_some() && read.iter().any(|read| place(read) == here) {
        return Err(Error::Usage(format!(
            "--output {} is where the model is read from; name another folder",
            output.display()
        )));
    }
    if !output.join(record).is_file() && marks.iter().any(|mark| output.join(mark).is_file()) {
        let reason = "holds a model already; name another folder";
        return Err(Error::invalid(output, reason));
    }
    Ok(())
}

/// Opens the one stage of a command that writes the files `made` into the folder `output`, which it holds for this run, and
/// tells why it is made again, or that it is complete; then there is none to run.
pub(super) fn open_stage(
    mut spec: StageSpec,
    output: &Path,
    made: &[&str],
    force: bool,
    job: &Job,
) -> Result<Option<(Stage, Lock)>> {
    let lock = Lock::folder(output)?;
    for name in made {
        spec = spec.writes(Output::result(output.join(name)));
    }
    for change in changes(std::slice::from_ref(&spec), force)? {
        job.progress.note(&change.to_string());
    }
    let stage = Stage::open(spec, force, job)?;
    if stage.is_complete() {
        let done = format!("{} is complete, nothing was done", output.display());
        job.progress.note(&done);
        return Ok(None);
    }
    Ok(Some((stage, lock)))
}
