//! Printing results, and the folders that commands write to.

use std::path::Path;

use clap::ValueEnum;

use crate::pipeline::{Output, Stage, StageSpec, changes};
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

/// Prints a result to stdout; a closed pipe is not a failure.
pub(super) fn print(text: &str) -> Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to", std::path::Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

/// Prints a value as one line of JSON.
pub(super) fn print_json<T: serde::Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Usage(format!("cannot print JSON: {error}")))?;
    print(&text)
}

/// Returns the `--output` argument for the next command, if the folder is not the default.
pub(super) fn elsewhere(output: &Path) -> String {
    if output.as_os_str() == "." {
        String::new()
    } else {
        format!(" --output {}", quoted(&output.to_string_lossy()))
    }
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

/// Opens the one stage of a command that writes the files `made` into the folder `output`, and tells why it is made again,
/// or that it is complete; then there is none to run.
pub(super) fn open_stage(
    mut spec: StageSpec,
    output: &Path,
    made: &[&str],
    force: bool,
    job: &Job,
) -> Result<Option<Stage>> {
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
    Ok(Some(stage))
}

/// Quotes a name for a shell.
pub(super) fn quoted(name: &str) -> String {
    shlex::try_quote(name).map_or_else(|_| name.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_a_shell_takes_them() {
        assert_eq!(quoted("Mira"), "Mira");
        assert_eq!(quoted("Mira of $(Riga)"), "'Mira of $(Riga)'");
        assert_eq!(elsewhere(Path::new("my out")), " --output 'my out'");
        assert_eq!(elsewhere(Path::new(".")), "");
    }
}
