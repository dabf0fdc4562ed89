//! `apc chat`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustyline::error::ReadlineError;

use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::judges::JudgeArgs;
use crate::cli::args::persona::check_length;
use crate::cli::args::prompt::{HistoryArgs, PromptArgs};
use crate::cli::args::sampling::SamplingArgs;
use crate::cli::commands::character::CharacterSource;
use crate::cli::input::stdin_lines;
use crate::cli::next::{command, elsewhere};
use crate::cli::output::{Format, print_json, put};
use crate::cli::shown::visible;
use crate::cli::table::print_score;
use crate::persona::{Answer, AnswerConfig, Character, Conversation, Opening};
use crate::pipeline::{Page, check_name, state_of};
use crate::progress::Job;
use crate::tiny::{Offline, pages};
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
    /// Say this and exit; may be given several times, one turn after the other.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Vec<String>,
    #[command(flatten)]
    history: HistoryArgs,
    /// Your name, where the character's card names the user.
    #[arg(long, value_name = "NAME", default_value = Opening::USER)]
    user: String,
    /// Which of the card's greetings begins the conversation; 0 is none.
    #[arg(long, value_name = "N", default_value_t = 1)]
    greeting: usize,
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
    /// How each conversation begins.
    opening: Conversation,
    conversation: Conversation,
    /// What came of the last turn.
    last: Option<Answer>,
}

/// What a line of the user is.
enum Line<'a> {
    Say(&'a str),
    /// Another reply to the last message.
    Again,
    /// More of the last reply.
    Continue,
    /// Another message in place of the last one.
    Edit(&'a str),
    /// The last exchange was never said.
    Undo,
    /// A new conversation.
    New,
    Why,
    Help,
    Quit,
    Unknown,
}

impl<'a> Line<'a> {
    const COMMANDS: &'static str = "/again for another reply, /continue for more of it, /edit TEXT to say something else instead, /undo, /new for \
                                    a new conversation, /why for statements and scores of the last reply, /quit";

    fn read(line: &'a str) -> Self {
        let line = line.trim();
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, rest.trim()) {
            ("/again", "") => Self::Again,
            ("/continue", "") => Self::Continue,
            ("/edit", text) if !text.is_empty() => Self::Edit(text),
            ("/undo", "") => Self::Undo,
            ("/new", "") => Self::New,
            ("/why", "") => Self::Why,
            ("/help", "") => Self::Help,
            ("/quit" | "/exit", "") => Self::Quit,
            _ if line.starts_with('/') => Self::Unknown,
            _ => Self::Say(line),
        }
    }
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
            if !chat.say(message)? {
                return Ok(());
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
            history: args.history,
            sampling: Some(args.sampling),
            precision: Some(args.precision),
            judges: &args.judges,
            device: &args.device,
        };
        let opening = source.opening()?.with_user(&args.user);
        let greetings = opening.greetings.len();
        if args.greeting > greetings.max(1) {
            let reason = format!("is {}, but the card has {greetings}", args.greeting);
            return Err(Error::setting("greeting", reason));
        }
        let opening = match args.greeting.checked_sub(1) {
            Some(greeting) => opening.conversation(greeting),
            None => Conversation {
                greeting: String::new(),
                ..opening.conversation(0)
            },
        };
        let character = source.load(config, &args.message, job)?;
        let character = character.with_listener(Arc::new(Offline), &args.user);
        Ok(Self {
            args,
            job,
            character,
            conversation: opening.clone(),
            opening,
            last: None,
        })
    }

    /// Begins a new conversation; false if nobody reads the greeting any more.
    fn begin(&mut self) -> Result<bool> {
        (self.conversation, self.last) = (self.opening.clone(), None);
        let greeting = self.opening.greeting.trim();
        if greeting.is_empty() || self.args.format == Format::Json {
            return Ok(true);
        }
        put(&format!("{}\n", visible(greeting)))
    }

    /// Says something and prints the reply; false if nobody reads that any more.
    fn say(&mut self, message: &str) -> Result<bool> {
        check_length(message)?;
        self.conversation.query = message.trim().to_string();
        self.reply()
    }

    /// Prints the character's next turn, piece by piece where a person reads it; false if nobody does any more.
    fn reply(&mut self) -> Result<bool> {
        let stream = self.args.format == Format::Text;
        let (job, mut is_read) = (self.job, Ok(true));
        let begun = &self.conversation.begun;
        if stream && !begun.is_empty() && !put(&visible(begun))? {
            return Ok(false);
        }
        let mut on_text = |text: &str| {
            if stream && matches!(is_read, Ok(true)) {
                is_read = put(&visible(text));
                if !matches!(is_read, Ok(true)) {
                    job.stop();
                }
            }
        };
        let answer = self
            .character
            .reply_aloud(&self.conversation, job, &mut on_text);
        if !is_read? || (stream && answer.is_ok() && !put("\n")?) {
            return Ok(false);
        }
        let answer = answer?;
        if answer.dropped > 0 {
            let dropped = answer.dropped;
            job.progress.note(&format!(
                "the model has no room for the whole conversation: it does not see the first {dropped} exchanges"
            ));
        }
        self.conversation.begun = answer.response.clone();
        self.conversation.end();
        if !stream {
            print_json(&answer)?;
        }
        self.last = Some(answer);
        Ok(true)
    }

    /// A conversation on the terminal, or with lines from stdin.
    fn talk(&mut self) -> Result<()> {
        let name = self.args.character.clone();
        if !std::io::stdin().is_terminal() {
            if !self.begin()? {
                return Ok(());
            }
            for line in stdin_lines(self.job)? {
                if !self.heed(&line?)? {
                    break;
                }
            }
            return Ok(());
        }
        let commands = Line::COMMANDS;
        let note = format!("You are talking to {name}. {commands} exits.");
        self.job.progress.note(&note);
        if !self.begin()? {
            return Ok(());
        }
        let failed =
            |error: ReadlineError| Error::Usage(format!("cannot read the terminal: {error}"));
        let mut editor = rustyline::DefaultEditor::new().map_err(failed)?;
        loop {
            match editor.readline("you> ") {
                Ok(line) => {
                    editor.add_history_entry(&line).map_err(failed)?;
                    match self.heed(&line) {
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

    /// Handles one line; false ends the conversation. What fails was never said.
    fn heed(&mut self, line: &str) -> Result<bool> {
        let before = self.conversation.clone();
        let heeded = self.obey(&Line::read(line));
        if heeded.is_err() {
            self.conversation = before;
        }
        heeded
    }

    fn obey(&mut self, line: &Line<'_>) -> Result<bool> {
        let note = |text: &str| self.job.progress.note(text);
        let none = "There is no reply yet.";
        match line {
            Line::Say("") => {}
            Line::Say(message) => return self.say(message),
            Line::Again if self.conversation.undo() => return self.reply(),
            Line::Continue => match self.conversation.exchanges.pop() {
                None => note(none),
                Some(last) => {
                    (self.conversation.query, self.conversation.begun) =
                        (last.query, last.response);
                    return self.reply();
                }
            },
            Line::Edit(message) if self.conversation.undo() => return self.say(message),
            Line::Undo if self.conversation.undo() => {
                let taken = std::mem::take(&mut self.conversation.query);
                self.last = None;
                note(&format!("taken back: {}", visible(&taken)));
            }
            Line::Again | Line::Edit(_) | Line::Undo => note(none),
            Line::New => return self.begin(),
            Line::Why => match &self.last {
                Some(answer) if self.args.format == Format::Json => print_json(answer)?,
                Some(answer) => why(answer)?,
                None => note(none),
            },
            Line::Help => note(Line::COMMANDS),
            Line::Quit => return Ok(false),
            Line::Unknown => note(&format!("unknown command; there are {}", Line::COMMANDS)),
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
    for told in &answer.established {
        let does = match told {
            _ if told.contradicted >= 0.5 => "contradicts what you told",
            _ if told.entailed >= 0.5 => "knows what you told",
            _ => continue,
        };
        retrieved = format!("{retrieved}\n{does}: {}", told.statement);
    }
    print_score(&retrieved, &answer.score)
}
