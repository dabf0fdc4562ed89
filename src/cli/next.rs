//! The commands that messages advise, as the person who reads them would type them.

use std::path::{Path, PathBuf};

/// Returns a command of this program for a shell: `chat --character Mira` with the program's own name before it.
pub(super) fn command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    arguments.into_iter().fold(program(), |command, argument| {
        command + " " + &quoted(argument)
    })
}

/// Returns the `--output` argument for the next command, if the folder is not the default.
pub(super) fn elsewhere(output: &Path) -> Vec<String> {
    if output.as_os_str() == "." {
        Vec::new()
    } else {
        vec!["--output".into(), output.to_string_lossy().into_owned()]
    }
}

/// Returns how `apc` is run from here: by cargo, by its path, or by its name.
pub(super) fn program() -> String {
    let package = std::env::var("CARGO_PKG_NAME").ok();
    if package.as_deref() == Some(env!("CARGO_PKG_NAME")) {
        return by_cargo();
    }
    let started = std::env::args_os().next().map(PathBuf::from);
    quoted(&beside(&started.unwrap_or_default()).to_string_lossy())
}

fn by_cargo() -> String {
    let mut command = "cargo run".to_string();
    for (is_so, argument) in [
        (!cfg!(debug_assertions), " --release"),
        (cfg!(feature = "cuda"), " --features cuda"),
        (cfg!(feature = "vulkan"), " --features vulkan"),
    ] {
        if is_so {
            command += argument;
        }
    }
    command + " --bin apc --"
}

/// The program `apc`, given the path by which one of the two was started.
fn beside(started: &Path) -> PathBuf {
    let is_apc = started.file_stem().is_some_and(|name| name == "apc");
    let name = format!("apc{}", std::env::consts::EXE_SUFFIX);
    let beside = started.with_file_name(name);
    let is_named = started
        .parent()
        .is_none_or(|folder| folder.as_os_str().is_empty());
    match is_apc || is_named || beside.is_file() {
        true if !is_named => beside,
        _ => PathBuf::from("apc"),
    }
}

/// Quotes an argument for a shell.
fn quoted(argument: &str) -> String {
    shlex::try_quote(argument).map_or_else(|_| argument.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_a_shell_takes_them() {
        for (argument, wanted) in [
            ("Mira", "Mira"),
            ("Mira of $(Riga)", "'Mira of $(Riga)'"),
            ("I'm `id`", "\"I'm \"'`id`'"),
            ("", "''"),
        ] {
            let command = command(["chat", argument]);
            assert!(command.ends_with(&format!(" chat {wanted}")), "{command}");
            let read = shlex::split(&command).unwrap();
            assert_eq!(read.last().unwrap(), argument);
        }
        assert_eq!(elsewhere(Path::new("my out")), ["--output", "my out"]);
        assert!(elsewhere(Path::new(".")).is_empty());
    }

    #[test]
    fn the_program_is_called_as_it_was_started() {
        let folder = tempfile::tempdir().unwrap();
        let [train, apc] = ["train", "apc"].map(|name| folder.path().join(name));
        assert_eq!(beside(Path::new("train")), Path::new("apc"));
        assert_eq!(beside(Path::new("apc")), Path::new("apc"));
        assert_eq!(beside(Path::new("./target/apc")), Path::new("./target/apc"));
        assert_eq!(beside(&train), Path::new("apc"), "there is none beside it");
        std::fs::write(&apc, "").unwrap();
        assert_eq!(beside(&train), apc);
    }
}
