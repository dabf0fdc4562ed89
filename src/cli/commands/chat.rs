//! `apc chat`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use rustyline::error::ReadlineError;

use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::judges::JudgeArgs;
use crate::cli::args::persona::check_length;
use crate::cli::args::prompt::PromptArgs;
use crate::cli::args::sampling::SamplingArgs;
use crate::cli::commands::character::CharacterSource;
use crate::cli::input::stdin_lines;
use crate::cli::next::{command, elsewhere};
use crate::cli::output::{Format, print_json, put};
use crate::cli::shown::visible;
use crate::cli::table::print_score;
use crate::persona::{Answer, AnswerConfig, Character};
use crate::pipeline::{Page, check_name, state_of};
use crate::progress::Job;
use crate::tiny::pages;
use crate::{Error, Result};

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ChatArgs {
    /// Who answers.
    #[arg(long, value_name = "NAME")]
    character: String,
    /// An adapter, a folder or a name on the hub, or none for the base model [default: the character's own if it was
    /// trained].
    #[arg(long, value_name = "none|DIR|NAME")]
    adapter: Option<String>,
    /// The base model, a folder or a name on the hub [default: the one that the adapter, or with none the character's own,
    /// was trained on, else the embedded one].
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    #[command(flatten)]
    judges: JudgeArgs,
    /// Say this and exit; may be given several times.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Vec<String>,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Longest reply, in tokens.
    #[arg(long, value_name = "N", default_value_t = defaults().max_new_tokens)]
    max_new_tokens: usize,
    #[command(flatten)]
    prompt: PromptArgs,
    /// Seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    seed: u64,
    /// Where data/NAME and models/NAME are.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// How replies are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    device: DeviceArgs,
}

fn defaults() -> AnswerConfig {
    AnswerConfig::new()
}

/// A conversation with a character.
struct Chat<'a> {
    args: &'a ChatArgs,
    job: &'a Job,
    character: Character,
}

impl ChatArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        check_name(&self.character)?;
        for message in &self.message {
            check_length(message)?;
        }
        let mut chat = Chat::load(self, job)?;
        if self.message.is_empty() {
            return chat.talk();
        }
        for message in &self.message {
            let stream = self.format == Format::Text;
            let Some(answer) = chat.answer(message, stream)? else {
                return Ok(());
            };
            if self.format == Format::Json {
                print_json(&answer)?;
            }
        }
        Ok(())
    }
}

impl ChatArgs {
    /// Tells what a user may not expect: that the character is untrained, or that its page or statements have changed.
    fn tell_state(&self, job: &Job) -> Result<()> {
        let inside = pages::page(&self.character).map(|text| Page::new(&self.character, text));
        let state = state_of(&self.output, &self.character, inside.as_ref())?;
        let note = |line: &str| job.progress.note(line);
        // A command that is spelt out would lack what the first one was given.
        let again = "run the same training again";
        if state.statements_of_page == Some(false) {
            note(&format!(
                "the page has changed since its statements were made; {again} to follow it"
            ));
        }
        if self.adapter.is_some() {
            return Ok(());
        }
        if !state.trained {
            let train = if state.begun {
                "run the same training to its end to train it".to_string()
            } else {
                let output = elsewhere(&self.output);
                let train = ["train", "--character", &self.character];
                let train = command(train.into_iter().chain(output.iter().map(String::as_str)));
                format!("{train} trains it")
            };
            note(&format!(
                "{} is not trained, so the base model answers; {train}",
                self.character
            ));
        } else if state.adapter_matches == Some(false) {
            note(&format!(
                "the adapter was trained on other statements; {again} to follow them"
            ));
        }
        Ok(())
    }
}

impl<'a> Chat<'a> {
    fn load(args: &'a ChatArgs, job: &'a Job) -> Result<Self> {
        let config = AnswerConfig::new()
            .with_max_new_tokens(args.max_new_tokens)
            .with_seed(args.seed);
        // What is said wrongly is told before a model is looked for.
        args.sampling.over(config.clone()).check()?;
        args.tell_state(job)?;
        let source = CharacterSource {
            name: &args.character,
            output: &args.output,
            adapter: args.adapter.as_deref(),
            model: args.model.as_deref(),
            prompt: args.prompt,
            sampling: Some(args.sampling),
            precision: Some(args.precision),
            judges: &args.judges,
            device: &args.device,
        };
        let character = source.load(config, &args.message, job)?;
        Ok(Self {
            args,
            job,
            character,
        })
    }

    /// Answers a message, piece by piece on stdout if `stream`; nothing if nobody reads that any more.
    fn answer(&mut self, message: &str, stream: bool) -> Result<Option<Answer>> {
        check_length(message)?;
        let (job, mut is_read) = (self.job, Ok(true));
        let mut on_text = |text: &str| {
            if stream && matches!(is_read, Ok(true)) {
                is_read = put(&visible(text));
                if !matches!(is_read, Ok(true)) {
                    job.stop();
                }
            }
        };
        let answer = self.character.answer_aloud(message, job, &mut on_text);
        if !is_read? || (stream && answer.is_ok() && !put("\n")?) {
            return Ok(None);
        }
        answer.map(Some)
    }

    /// A conversation on the terminal, or with lines from stdin.
    fn talk(&mut self) -> Result<()> {
        let name = self.args.character.clone();
        if !std::io::stdin().is_terminal() {
            let mut last = None;
            for line in stdin_lines(self.job)? {
                if !self.say(&line?, &mut last)? {
                    break;
                }
            }
            return Ok(());
        }
        self.job.progress.note(&format!(
            "You are talking to {name}. /why prints the statements and scores of the last reply, /quit exits. \
             Messages are independent: there is no history."
        ));
        let failed =
            |error: ReadlineError| Error::Usage(format!("cannot read the terminal: {error}"));
        let mut editor = rustyline::DefaultEditor::new().map_err(failed)?;
        let mut last = None;
        loop {
            match editor.readline("you> ") {
                Ok(line) => {
                    editor.add_history_entry(&line).map_err(failed)?;
                    match self.say(&line, &mut last) {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        // A message that cannot be answered does not end the conversation.
                        Err(error @ Error::Usage(_)) => self.job.progress.note(&format!("{error}")),
                        Err(error) => return Err(error),
                    }
                }
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Handles one line; false ends the conversation.
    fn say(&mut self, line: &str, last: &mut Option<Answer>) -> Result<bool> {
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(false),
            "/why" => match last {
                Some(answer) if self.args.format == Format::Json => print_json(answer)?,
                Some(answer) => why(answer)?,
                None => self.job.progress.note("There is no reply yet."),
            },
            command if command.starts_with('/') => {
                self.job.progress.note("unknown command; use /why or /quit");
            }
            message => {
                let stream = self.args.format == Format::Text;
                let Some(answer) = self.answer(message, stream)? else {
                    return Ok(false);
                };
                if !stream {
                    print_json(&answer)?;
                }
                *last = Some(answer);
            }
        }
        Ok(true)
    }
}

/// Prints what a reply came from and how it scores.
fn why(answer: &Answer) -> Result<()> {
    let mut retrieved = match answer.retrieved.is_empty() {
        true => "retrieved: nothing".to_string(),
        false => "retrieved:".to_string(),
    };
    for statement in &answer.retrieved {
        retrieved = format!("{retrieved}\n  {statement}");
    }
    print_score(&retrieved, &answer.score)
}
