//! `apc chat`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use rustyline::error::ReadlineError;

use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::hub;
use crate::cli::args::judges::JudgeArgs;
use crate::cli::args::persona::{check_length, own_statements};
use crate::cli::embedded;
use crate::cli::output::{Format, elsewhere, print, print_json, quoted};
use crate::cli::table::score_table;
use crate::files::{AdapterConfig, Checkpoint, Precision};
use crate::parallel::Devices;
use crate::persona::{Answer, AnswerConfig, Character, Persona};
use crate::pipeline::{state_of, trained_with};
use crate::progress::Job;
use crate::text::{Engine, EngineConfig, Work};
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
    /// The base model, a folder or a name on the hub [default: the one that the adapter was trained on, else the embedded
    /// one].
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    #[command(flatten)]
    judges: JudgeArgs,
    /// Say this and exit; may be given several times.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Vec<String>,
    /// 0 takes the likeliest token, 1 draws from the model's own distribution.
    #[arg(long, value_name = "X", default_value_t = 0.3)]
    temperature: f32,
    /// Draw from so many of the likeliest tokens only.
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens whose probabilities reach this sum only.
    #[arg(long, value_name = "X")]
    top_p: Option<f32>,
    /// Longest reply, in tokens.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// Statements in the prompt.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rag_top_k: usize,
    /// Everything random comes from it.
    #[arg(long, value_name = "N", default_value_t = 42)]
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

/// A conversation with a character.
struct Chat<'a> {
    args: &'a ChatArgs,
    job: &'a Job,
    character: Character,
}

impl ChatArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        for message in &self.message {
            check_length(message)?;
        }
        let mut chat = Chat::load(self, job)?;
        if self.message.is_empty() {
            return chat.talk();
        }
        for message in &self.message {
            let stream = self.format == Format::Text;
            let answer = chat.answer(message, stream)?;
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
        let name = quoted(&self.character);
        let elsewhere = elsewhere(&self.output);
        let train = format!("apc train --character {name}{elsewhere}");
        let page = embedded::page(&self.character).ok();
        let state = state_of(&self.output, &self.character, page.as_ref())?;
        let note = |line: &str| job.progress.note(line);
        if state.statements_of_page == Some(false) {
            note(&format!(
                "the page has changed since its statements were made; {train} follows it"
            ));
        }
        if self.adapter.is_some() {
            return Ok(());
        }
        if !state.trained {
            note(&format!(
                "{} is not trained, so the base model answers; {train} trains it",
                self.character
            ));
        } else if state.adapter_matches == Some(false) {
            note(&format!(
                "the adapter was trained on other statements; {train} follows them"
            ));
        }
        Ok(())
    }
}

/// The model that an adapter was trained on; the embedded one, if there is no adapter or it does not tell.
fn base_of(adapter: Option<&Path>, job: &Job) -> Result<Checkpoint> {
    let config = adapter.map(AdapterConfig::load).transpose()?;
    let (Some(adapter), Some(base)) = (adapter, config.and_then(|config| config.base())) else {
        return hub::checkpoint(Path::new(hub::EMBEDDED), job);
    };
    // A folder is named from the adapter's own.
    let beside = adapter.join(&base);
    let found = if base != hub::EMBEDDED && beside.join("config.json").is_file() {
        Ok(Checkpoint::folder(beside.canonicalize().unwrap_or(beside)))
    } else {
        hub::checkpoint(Path::new(&base), job)
    };
    match found {
        Ok(found) if found.has("config.json") => Ok(found),
        found => {
            let why = found
                .err()
                .map_or(String::new(), |error| format!(" ({error})"));
            let reason =
                format!("was trained on {base}, which is not there{why}; name it with --model");
            Err(Error::invalid(adapter, reason))
        }
    }
}

impl<'a> Chat<'a> {
    fn load(args: &'a ChatArgs, job: &'a Job) -> Result<Self> {
        let config = AnswerConfig::new()
            .with_rag_top_k(args.rag_top_k)
            .with_max_new_tokens(args.max_new_tokens)
            .with_temperature(args.temperature)
            .with_top_k(args.top_k)
            .with_top_p(args.top_p)
            .with_seed(args.seed);
        config.check()?;
        let devices = args.device.devices(job)?;
        let statements = own_statements(&args.output, &args.character)?;
        let persona = Persona::new(&args.character, statements);
        let own = args.output.join("models").join(&args.character);
        let own = own.join("adapter");
        let is_own = args.adapter.is_none() && args.model.is_none();
        let with = trained_with(&args.output, &args.character)?.filter(|_| is_own);
        args.tell_state(job)?;
        let adapter = match args.adapter.as_deref() {
            Some("none") => None,
            Some(name) => Some(hub::folder(Path::new(name), job)?),
            None => own.join("adapter_config.json").is_file().then_some(own),
        };
        let base = match &args.model {
            Some(name) => hub::checkpoint(name, job)?,
            None => base_of(adapter.as_deref(), job)?,
        };
        let engine = EngineConfig::new(base, Work::reply(args.max_new_tokens))
            .with_adapter(adapter.as_deref())
            .with_precision(
                args.precision
                    .precision(with.map_or_else(Precision::default, |with| with.precision)),
            );
        engine.announce("to chat", 0, devices.first(), job)?;
        let engine = Engine::open(engine, &Devices::from(devices.first().clone()))?;
        engine.load()?;
        let scorer = args.judges.load(&args.output, &persona, &devices, job)?;
        let character = Character::new(persona, engine, scorer, config)?;
        Ok(Self {
            args,
            job,
            character,
        })
    }

    /// Answers a message, piece by piece on stdout if `stream`.
    fn answer(&mut self, message: &str, stream: bool) -> Result<Answer> {
        check_length(message)?;
        let mut on_text = |text: &str| {
            if stream {
                let mut out = std::io::stdout();
                let _ = write!(out, "{text}").and_then(|()| out.flush());
            }
        };
        let answer = self
            .character
            .answer_aloud(message, self.job, &mut on_text)?;
        if stream {
            print("")?;
        }
        Ok(answer)
    }

    /// A conversation on the terminal, or with lines from stdin.
    fn talk(&mut self) -> Result<()> {
        let name = self.args.character.clone();
        if !std::io::stdin().is_terminal() {
            let mut last = None;
            for line in std::io::stdin().lock().lines() {
                let line = line.map_err(Error::io("read", std::path::Path::new("stdin")))?;
                if !self.say(&line, &mut last)? {
                    break;
                }
            }
            return Ok(());
        }
        self.job.progress.note(&format!(
            "You are talking to {name}. /why shows what the last reply came from, /quit ends. \
             Each message is answered by itself."
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
                Some(answer) => print(&why(answer))?,
                None => self.job.progress.note("Nothing was said yet."),
            },
            command if command.starts_with('/') => {
                self.job.progress.note("There are /why and /quit.");
            }
            message => {
                let stream = self.args.format == Format::Text;
                let answer = self.answer(message, stream)?;
                if !stream {
                    print_json(&answer)?;
                }
                *last = Some(answer);
            }
        }
        Ok(true)
    }
}

/// What a reply came from and how it scores.
fn why(answer: &Answer) -> String {
    let retrieved: Vec<String> = answer
        .retrieved
        .iter()
        .map(|statement| format!("  {statement}"))
        .collect();
    format!(
        "retrieved:\n{}\n{}",
        retrieved.join("\n"),
        score_table(&answer.score)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_adapter_is_put_on_the_model_that_it_was_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        let config = json!({
            "peft_type": "LORA", "base_model_name_or_path": base, "r": 2, "lora_alpha": 2.0,
            "target_modules": ["q_proj"],
        });
        std::fs::write(
            folder.path().join("adapter_config.json"),
            config.to_string(),
        )
        .unwrap();
        let base_of = |adapter| base_of(adapter, &Job::default());
        let error = base_of(Some(folder.path())).unwrap_err().to_string();
        assert!(
            error.contains("base") && error.contains("--model"),
            "{error}"
        );
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("config.json"), "{}").unwrap();
        let found = base_of(Some(folder.path())).unwrap();
        assert_eq!(found.as_folder(), Some(base.as_path()));
        assert_eq!(base_of(None).unwrap().name(), hub::EMBEDDED);
    }
}
