//! The command line: arguments, printing, exit codes.
//!
//! Only this module reads arguments and the environment, prints, exits, or names a flag in a message. It hands the embedded
//! models and teacher to the pipeline, which knows neither; everything else it calls is the library's public API.

mod args;
mod commands;
mod count;
mod embedded;
mod faults;
mod flags;
mod input;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod kernels;
mod next;
mod output;
mod recorded;
mod shown;
mod table;
mod terminal;

use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::shown::{in_one_line, tell};
use crate::parallel::start_threads;
use crate::progress::Job;
use crate::{Error, Result};

pub use args::device::Dtype;
use commands::train::TrainArgs;
use commands::{
    benchmark, chat, classify, dequantize, dpo, finetune, generate, import, lint, logprobs, merge,
    models, pretrain, quantize, score, serve,
};

/// Turns a page about a character into an AI that stays faithful to it, and measures how faithful any reply is.
#[derive(Parser, Debug)]
#[command(name = "apc", version, propagate_version = true)]
struct Apc {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a faithful character: statements, queries, preference pairs, an adapter, an evaluation.
    Train(TrainArgs),
    /// Talk to a character.
    Chat(chat::ChatArgs),
    /// Answer programs in which people talk to characters, over OpenAI's API.
    Serve(serve::ServeArgs),
    /// Score replies against a character's statements.
    Score(score::ScoreArgs),
    /// Show which statements a page gives, and what of it gives none.
    Lint(lint::LintArgs),
    /// List models that fit into this machine's memory, for chat and for DPO.
    Models(models::ModelsArgs),
    /// Measure how well judges understand everyday talk.
    Benchmark(benchmark::BenchmarkArgs),
    /// Print the log-probability of each token of a response.
    Logprobs(logprobs::LogprobsArgs),
    /// Continue a text with a language model.
    Generate(generate::GenerateArgs),
    /// Print a classifier's class probabilities for the texts of a file.
    Classify(classify::ClassifyArgs),
    /// Train a classifier on labelled texts.
    Finetune(finetune::FinetuneArgs),
    /// Train a LoRA adapter for a language model on preference pairs.
    Dpo(dpo::DpoArgs),
    /// Merge a LoRA adapter into the weights of its model.
    Merge(merge::MergeArgs),
    /// Write a language model in NF4, a quarter of its size in 16 bit.
    Quantize(quantize::QuantizeArgs),
    /// Write a model whose weights are in a few bits with weights in f32, as any program reads them.
    Dequantize(dequantize::DequantizeArgs),
    /// Import the original program's data, so that train need not generate it.
    Import(import::ImportArgs),
    /// Train the embedded models from scratch.
    Pretrain(pretrain::PretrainArgs),
}

/// The `train` binary: `apc train` under a name of its own.
#[derive(Parser, Debug)]
#[command(
    name = "train",
    version,
    about = "Make a faithful character: the same as `apc train`"
)]
struct Train {
    #[command(flatten)]
    args: TrainArgs,
}

/// The program with all of its commands.
fn program() -> clap::Command {
    Apc::command()
}

/// Parses the arguments of `apc` and runs it.
pub fn run_apc() -> ExitCode {
    keep_freed_memory();
    flags::remember(&program());
    let args: Apc = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let behind_train = std::env::args_os().skip(2).collect();
    finish(with_job(|job| match args.command {
        Command::Train(args) => args.run(behind_train, job),
        Command::Chat(args) => args.run(job),
        Command::Serve(args) => args.run(job),
        Command::Score(args) => args.run(job),
        Command::Lint(args) => args.run(),
        Command::Models(args) => args.run(job),
        Command::Benchmark(args) => args.run(job),
        Command::Logprobs(args) => args.run(job),
        Command::Generate(args) => args.run(job),
        Command::Classify(args) => args.run(job),
        Command::Finetune(args) => args.run(job),
        Command::Dpo(args) => args.run(job),
        Command::Merge(args) => args.run(job),
        Command::Quantize(args) => args.run(job),
        Command::Dequantize(args) => args.run(job),
        Command::Import(args) => args.run(),
        Command::Pretrain(args) => args.run(job),
    }))
}

/// Parses the arguments of `train` and runs it.
pub fn run_train() -> ExitCode {
    keep_freed_memory();
    flags::remember(&program());
    let args: Train = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let arguments = std::env::args_os().skip(1).collect();
    finish(with_job(|job| args.args.run(arguments, job)))
}

/// Parses the command line; prints help to stdout, and an error in one line.
fn parse<P: Parser>() -> std::result::Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if is_help || !error.use_stderr() {
            // A closed pipe is not a failure.
            let _ = error.print();
        } else {
            let text = error.to_string();
            let lines = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
            let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            tell(&format!("{}; see --help", lines.join(" ")));
        }
        ExitCode::from(error.exit_code() as u8)
    })
}

/// Restarts the program with an allocator that does not return freed memory to the system, or in a server that runs for days only
/// after a while.
///
/// A training step frees and allocates the same tensors over and over; returned pages come back zeroed, which costs up to
/// a third of the time. The allocator reads its setting only from the environment, before `main`.
#[cfg(unix)]
fn keep_freed_memory() {
    use std::os::unix::process::CommandExt;

    const SETTING: &str = "MIMALLOC_PURGE_DELAY";
    if std::env::var_os(SETTING).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let mut args = std::env::args_os();
        let mut command = std::process::Command::new(program);
        if let Some(name) = args.next() {
            command.arg0(name);
        }
        let args: Vec<_> = args.collect();
        let serves = args.first().is_some_and(|first| first == "serve");
        let milliseconds = if serves { "10000" } else { "-1" };
        // If the system refuses, the program continues as it is, only slower.
        let _ = command.args(args).env(SETTING, milliseconds).exec();
    }
}

#[cfg(not(unix))]
fn keep_freed_memory() {}

/// Makes a job that draws its progress on the terminal and stops at Ctrl-C; a second Ctrl-C ends the program at once.
fn with_job(work: impl FnOnce(&Job) -> Result<()>) -> Result<()> {
    let job = Job::new(Arc::new(terminal::Terminal::new()));
    let handler = job.clone();
    ctrlc::set_handler(move || {
        if handler.stopped() {
            std::process::exit(i32::from(Error::Interrupted.exit_code()));
        }
        handler.stop();
    })
    // Its own thread waits for signals.
    .map_err(|error| Error::Threads(format!("for the Ctrl-C handler: {error}")))?;
    faults::caught(|| {
        start_threads()?;
        work(&job)
    })
}

/// Prints an error in one line and chooses the exit code.
fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {}", in_one_line(&flags::message(&error))));
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_is_defined_twice() {
        program().debug_assert();
        Train::command().debug_assert();
    }
}
