//! The command line: arguments, printing, exit codes.

mod chat;
mod device;
mod pretrain;
mod score;
mod table;
mod terminal;
mod train;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};

use crate::progress::Job;
use crate::{Error, Result};

pub use train::TrainArgs;

/// Turns a page about a character into an AI that stays faithful to it, and measures how faithful any reply is.
#[derive(Parser, Debug)]
#[command(name = "apc", version, propagate_version = true)]
pub struct Apc {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a faithful character: statements, queries, preference pairs, an adapter, an evaluation.
    Train(TrainArgs),
    /// Talk to a character.
    Chat(chat::ChatArgs),
    /// Score replies against a character's statements.
    Score(score::ScoreArgs),
    /// Make the embedded models again from nothing.
    Pretrain(pretrain::PretrainArgs),
}

/// The `train` binary: `apc train` under a name of its own.
#[derive(Parser, Debug)]
#[command(
    name = "train",
    version,
    about = "Make a faithful character: the same as `apc train`"
)]
pub struct Train {
    #[command(flatten)]
    args: TrainArgs,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Parses the arguments of `apc` and runs it.
pub fn run_apc() -> ExitCode {
    let args = Apc::parse();
    finish(with_job(|job| match &args.command {
        Command::Train(args) => args.run(job),
        Command::Chat(args) => args.run(job),
        Command::Score(args) => args.run(job),
        Command::Pretrain(args) => args.run(job),
    }))
}

/// Parses the arguments of `train` and runs it.
pub fn run_train() -> ExitCode {
    let args = Train::parse();
    finish(with_job(|job| args.args.run(job)))
}

/// A job that is drawn on the terminal and stops at Ctrl-C; a second Ctrl-C ends the program at once.
fn with_job(work: impl FnOnce(&Job) -> Result<()>) -> Result<()> {
    let job = Job::new(Arc::new(terminal::Terminal::new()));
    let handler = job.clone();
    ctrlc::set_handler(move || {
        if handler.stopped() {
            std::process::exit(i32::from(Error::Interrupted.exit_code()));
        }
        handler.stop();
    })
    .map_err(|error| Error::Usage(format!("cannot listen for Ctrl-C: {error}")))?;
    work(&job)
}

/// Prints an error in one line and chooses the exit code.
#[expect(clippy::print_stderr, reason = "the one place where errors are told")]
fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.to_string().replace('\n', " "));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints a result to stdout; a closed pipe is no failure.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to", std::path::Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

/// Prints a value as one line of JSON.
fn print_json<T: serde::Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Usage(format!("cannot print JSON: {error}")))?;
    print(&text)
}
