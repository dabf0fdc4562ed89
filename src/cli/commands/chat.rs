//! `apc chat`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use burn::tensor::DType;
use clap::Args;
use rustyline::error::ReadlineError;
use serde::Serialize;

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::hub;
use crate::cli::args::judges::{JudgeArgs, Judges};
use crate::cli::commands::score::{check_length, own_statements, score_replies};
use crate::cli::embedded::locate;
use crate::cli::table::score_table;
use crate::cli::{Format, print, print_json};
use crate::files::{self, AdapterConfig};
use crate::nn::Gemma;
use crate::persona::{Score, encode_prompt, persona_prompt, stop_ids};
use crate::pipeline::seed_for;
use crate::progress::Job;
use crate::text::{DraftModel, GenerateConfig, Prompt, Sampling, Tokenizer, generate};
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

/// One question and its answer.
#[derive(Serialize)]
struct Turn {
    message: String,
    response: String,
    retrieved: Vec<String>,
    #[serde(flatten)]
    score: Score,
}

/// All that answers.
struct Chat<'a> {
    args: &'a ChatArgs,
    job: &'a Job,
    model: Gemma,
    draft_model: DraftModel,
    tokenizer: Tokenizer,
    max_tokens: usize,
    judges: Judges,
    statements: Vec<String>,
    turns: u64,
}

impl ChatArgs {
    pub(crate) fn run(&self, job: &Job) -> Result<()> {
        if self.rag_top_k == 0 || self.max_new_tokens == 0 || self.top_k == Some(0) {
            return Err(Error::Usage(
                "--rag-top-k, --top-k and --max-new-tokens must be at least 1".into(),
            ));
        }
        if !(0.0..=10.0).contains(&self.temperature)
            || self.top_p.is_some_and(|p| !(p > 0.0 && p <= 1.0))
        {
            return Err(Error::Usage(
                "--temperature must be from 0 to 10, and --top-p above 0 and at most 1".into(),
            ));
        }
        for message in &self.message {
            check_length(message)?;
        }
        let mut chat = Chat::load(self, job)?;
        if self.message.is_empty() {
            return chat.talk();
        }
        for message in &self.message {
            let stream = self.format == Format::Text;
            let turn = chat.answer(message, stream)?;
            if self.format == Format::Json {
                print_json(&turn)?;
            }
        }
        Ok(())
    }
}

/// The model that an adapter was trained on; the embedded one, if there is no adapter or it does not tell.
fn base_of(adapter: Option<&Path>, job: &Job) -> Result<PathBuf> {
    let config = adapter.map(AdapterConfig::load).transpose()?;
    let (Some(adapter), Some(base)) = (adapter, config.as_ref().and_then(AdapterConfig::base))
    else {
        return Ok(locate("models/tiny/gemma"));
    };
    let found = hub::folder(&locate(base), job);
    match found {
        Ok(folder) if folder.join("config.json").is_file() => Ok(folder),
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
        let devices = args.device.devices(job)?;
        let statements = own_statements(&args.output, &args.character)?;
        let own = args
            .output
            .join("models")
            .join(&args.character)
            .join("adapter");
        let adapter = match args.adapter.as_deref() {
            Some("none") => None,
            Some(name) => Some(hub::folder(Path::new(name), job)?),
            None => own.join("adapter_config.json").is_file().then_some(own),
        };
        let base = match &args.model {
            Some(name) => hub::folder(name, job)?,
            None => base_of(adapter.as_deref(), job)?,
        };
        let mut model = files::load_gemma(&base, DType::F32, devices.first())?;
        if let Some(adapter) = &adapter {
            files::load_adapter(&mut model, adapter, devices.first())?;
            model.merge_lora();
        }
        let judges = args
            .judges
            .load(&args.output, &args.character, &statements, &devices, job)?;
        Ok(Self {
            draft_model: DraftModel::of(&model),
            model,
            tokenizer: Tokenizer::load(&base)?,
            max_tokens: files::read_gemma_config(&base)?.max_position_embeddings,
            judges,
            statements,
            turns: 0,
            args,
            job,
        })
    }

    /// Answers a message, token by token on stdout if `stream`, and scores the answer.
    fn answer(&mut self, message: &str, stream: bool) -> Result<Turn> {
        check_length(message)?;
        let message = message.trim();
        let args = self.args;
        let queries = [message.to_string()];
        let table = self.judges.relevance.relevance(
            &args.character,
            &self.statements,
            &queries,
            self.job,
        )?;
        let retrieved: Vec<&str> = table
            .retrieve(0, args.rag_top_k)
            .into_iter()
            .map(|idx| self.statements[idx].as_str())
            .collect();
        let prompt = persona_prompt(&args.character, &retrieved, message);
        let ids = encode_prompt(
            &self.tokenizer,
            &prompt,
            self.max_tokens,
            args.max_new_tokens,
        )?;
        let prompt = Prompt {
            ids,
            seeds: vec![seed_for(args.seed, &[self.turns])],
        };
        self.turns += 1;
        let sampling = match Sampling::at_temperature(args.temperature) {
            Sampling::Random { temperature, .. } => Sampling::Random {
                temperature,
                top_k: args.top_k,
                top_p: args.top_p,
            },
            greedy => greedy,
        };
        let config = GenerateConfig {
            max_new_tokens: args.max_new_tokens,
            min_new_tokens: 0,
            sampling,
            stop_ids: stop_ids(&self.tokenizer),
        };

        let (mut so_far, mut told) = (Vec::new(), 0);
        let mut on_token = |_, token| {
            so_far.push(token);
            // A character may be spelt by several tokens: only whole ones are told.
            let text = self.tokenizer.decode(&so_far).unwrap_or_default();
            if stream && !text.ends_with('\u{fffd}') && text.len() > told {
                let _ = write!(std::io::stdout(), "{}", &text[told..])
                    .and_then(|()| std::io::stdout().flush());
                told = text.len();
            }
        };
        let replies = generate(
            &self.model,
            &self.draft_model,
            &[prompt],
            &config,
            self.job,
            &mut on_token,
        )?;
        let response = self.tokenizer.decode(&replies[0])?.trim().to_string();
        if stream {
            print("")?;
        }
        let responses = [response.clone()];
        let mut scores = score_replies(
            &self.judges,
            &args.character,
            &self.statements,
            message,
            &responses,
            &self.job.quiet(),
        )?;
        let score = scores
            .pop()
            .ok_or_else(|| Error::Usage("no reply to score".into()))?;
        let retrieved = retrieved.into_iter().map(str::to_string).collect();
        Ok(Turn {
            message: message.to_string(),
            response,
            retrieved,
            score,
        })
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
    fn say(&mut self, line: &str, last: &mut Option<Turn>) -> Result<bool> {
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(false),
            "/why" => match last {
                Some(turn) if self.args.format == Format::Json => print_json(turn)?,
                Some(turn) => print(&why(turn))?,
                None => self.job.progress.note("Nothing was said yet."),
            },
            command if command.starts_with('/') => {
                self.job.progress.note("There are /why and /quit.");
            }
            message => {
                let stream = self.args.format == Format::Text;
                let turn = self.answer(message, stream)?;
                if !stream {
                    print_json(&turn)?;
                }
                *last = Some(turn);
            }
        }
        Ok(true)
    }
}

/// What a reply came from and how it scores.
fn why(turn: &Turn) -> String {
    let retrieved: Vec<String> = turn
        .retrieved
        .iter()
        .map(|statement| format!("  {statement}"))
        .collect();
    format!(
        "retrieved:\n{}\n{}",
        retrieved.join("\n"),
        score_table(&turn.score)
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
        assert_eq!(base_of(Some(folder.path())).unwrap(), base);
        assert_eq!(base_of(None).unwrap(), locate("models/tiny/gemma"));
    }
}
