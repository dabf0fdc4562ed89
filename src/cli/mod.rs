//! The command line: arguments, printing, exit codes.

mod args;
mod commands;
mod embedded;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod kernels;
mod table;
mod terminal;

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::pipeline::{Stage, StageSpec, changes};
use crate::progress::Job;
use crate::{Error, Result};

pub use args::device::Dtype;
use commands::train::TrainArgs;
use commands::{
    chat, classify, dpo, finetune, generate, import, logprobs, merge, pretrain, quantize, score,
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
    /// Score replies against a character's statements.
    Score(score::ScoreArgs),
    /// Tell how likely a Gemma holds a response.
    Logprobs(logprobs::LogprobsArgs),
    /// Let a Gemma go on from a text.
    Generate(generate::GenerateArgs),
    /// Tell the probabilities of a classifier's classes for texts of a file.
    Classify(classify::ClassifyArgs),
    /// Train a classifier on texts with classes.
    Finetune(finetune::FinetuneArgs),
    /// Train a LoRA adapter for a Gemma on preference pairs.
    Dpo(dpo::DpoArgs),
    /// Multiply a LoRA adapter into the weights of its Gemma.
    Merge(merge::MergeArgs),
    /// Write a Gemma in NF4, a quarter of its size in 16 bit.
    Quantize(quantize::QuantizeArgs),
    /// Take over the original program's data, so that train need not ask for it.
    Import(import::ImportArgs),
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
struct Train {
    #[command(flatten)]
    args: TrainArgs,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Parses the arguments of `apc` and runs it.
pub fn run_apc() -> ExitCode {
    keep_freed_memory();
    let args: Apc = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    finish(with_job(|job| match &args.command {
        Command::Train(args) => args.run(job),
        Command::Chat(args) => args.run(job),
        Command::Score(args) => args.run(job),
        Command::Logprobs(args) => args.run(job),
        Command::Generate(args) => args.run(job),
        Command::Classify(args) => args.run(job),
        Command::Finetune(args) => args.run(job),
        Command::Dpo(args) => args.run(job),
        Command::Merge(args) => args.run(job),
        Command::Quantize(args) => args.run(job),
        Command::Import(args) => args.run(),
        Command::Pretrain(args) => args.run(job),
    }))
}

/// Parses the arguments of `train` and runs it.
pub fn run_train() -> ExitCode {
    keep_freed_memory();
    let args: Train = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    finish(with_job(|job| args.args.run(job)))
}

/// Parses the command line; help goes to stdout, and an error is told in one line.
#[expect(
    clippy::print_stderr,
    reason = "the one place where errors of usage are told"
)]
fn parse<P: Parser>() -> std::result::Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        if is_help || !error.use_stderr() {
            // A closed pipe is no failure.
            let _ = error.print();
        } else {
            let text = error.to_string();
            let lines = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
            let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            eprintln!("{}; see --help", lines.join(" "));
        }
        ExitCode::from(error.exit_code() as u8)
    })
}

/// Starts the program anew with an allocator that does not return freed memory to the system.
///
/// A training step frees and asks for the same tensors over and over; returned pages come back zeroed, which costs up to
/// a third of the time. The allocator reads its setting from the environment, before `main`, and nowhere else.
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
        // Where the system refuses, the program goes on as it is, only slower.
        let _ = command.args(args).env(SETTING, "-1").exec();
    }
}

#[cfg(not(unix))]
fn keep_freed_memory() {}

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
            eprintln!("error: {}", message(&error).replace('\n', " "));
            ExitCode::from(error.exit_code())
        }
    }
}

/// An error with the flags that mend it, which the library does not know.
fn message(error: &Error) -> String {
    let text = match error {
        Error::Memory { training, .. } => {
            let more = if *training {
                "`gradient_checkpointing` or a lower `batch_size`"
            } else {
                "a lower `max_new_tokens`"
            };
            format!("{error}; try `quantization` nf4, `dtype` bfloat16, {more}")
        }
        _ => error.to_string(),
    };
    with_flags(&text)
}

/// A message of the library with its settings, which stand in backticks, as flags or variables of the environment.
pub(crate) fn with_flags(text: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once('`') {
        let Some((setting, after)) = opened.split_once('`') else {
            break;
        };
        told += before;
        let flag = setting.replace('_', "-");
        told += &match setting {
            "api_key" => "OPENAI_API_KEY".to_string(),
            _ if flags().contains(&flag) => format!("--{flag}"),
            _ => format!("`{setting}`"),
        };
        rest = after;
    }
    told + rest
}

/// The long names of all flags.
fn flags() -> &'static HashSet<String> {
    static FLAGS: OnceLock<HashSet<String>> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let apc = Apc::command();
        let args = apc.get_subcommands().flat_map(clap::Command::get_arguments);
        args.filter_map(|arg| arg.get_long().map(str::to_string))
            .collect()
    })
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

/// The argument that tells the next command of an output folder other than the default.
fn elsewhere(output: &Path) -> String {
    if output.as_os_str() == "." {
        String::new()
    } else {
        format!(" --output {}", output.display())
    }
}

/// Refuses to write where a model is read from, or where another one lies that the command has not made.
fn check_output(output: &Path, read: &[&Path], record: &str, marks: &[&str]) -> Result<()> {
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

/// Opens a stage that stands alone, and tells why it is made again if it is.
fn open_stage(spec: StageSpec, force: bool, job: &Job) -> Result<Stage> {
    for change in changes(std::slice::from_ref(&spec), force)? {
        job.progress.note(&change.to_string());
    }
    Stage::open(spec, force, job)
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    if name
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    {
        name.to_string()
    } else {
        format!("\"{name}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_backticks_are_told_as_flags_and_variables() {
        for (text, told) in [
            (
                "lower `rag_top_k`, or `seed` 3",
                "lower --rag-top-k, or --seed 3",
            ),
            ("set `api_key`", "set OPENAI_API_KEY"),
            ("`A b` stays, a lone ` too", "`A b` stays, a lone ` too"),
            (
                "the server says `unknown_thing`",
                "the server says `unknown_thing`",
            ),
            ("``", "``"),
            ("plain", "plain"),
        ] {
            assert_eq!(with_flags(text), told);
        }
        let error = Error::setting("lora_rank", "is 0");
        assert_eq!(message(&error), "--lora-rank: is 0");
    }
}
