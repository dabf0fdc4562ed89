//! `apc serve`.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::judges::{ChosenJudges, JudgeArgs};
use crate::cli::args::persona::has_statements;
use crate::cli::args::prompt::{HistoryArgs, PromptArgs};
use crate::cli::args::sampling::SamplingArgs;
use crate::cli::commands::character::{CharacterSource, Found};
use crate::cli::commands::lint;
use crate::cli::commands::train::TrainArgs;
use crate::cli::output::print;
use crate::parallel::Devices;
use crate::persona::{AnswerConfig, Opening, Role, Scorer};
use crate::pipeline::{Report, check_name, report, state_of, trained_characters, write_statements};
use crate::progress::Job;
use crate::serve::{Cast, ServeConfig, Server, Workshop};
use crate::text::Work;
use crate::tiny::Offline;
use crate::{Error, Result};

/// The environment variable with the key that clients have to send.
const KEY: &str = "APC_API_KEY";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ServeArgs {
    /// Who answers; may be given several times [default: every trained character under --output].
    #[arg(long, value_name = "NAME")]
    character: Vec<String>,
    /// Address to listen on. Other addresses than this machine's own need a key in APC_API_KEY.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen on; 0 takes one that is free.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// Answer anyone who reaches --host, without a key.
    #[arg(long)]
    allow_anyone: bool,
    /// A web page that may call the server from a browser, such as https://example.org, or * for all; may be given several
    /// times.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Sample so many replies to each message and return the most faithful one.
    #[arg(long, value_name = "K", default_value_t = 1)]
    best_of: usize,
    /// Sample again, up to three times, while the best reply's ΔAPC is below this.
    #[arg(long, value_name = "X")]
    min_delta_apc: Option<f64>,
    /// The base model, a folder or a name on the hub [default: the one that each character was trained on, else the embedded
    /// one].
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    #[command(flatten)]
    judges: JudgeArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Longest reply where a request does not say, in tokens.
    #[arg(long, value_name = "N", default_value_t = AnswerConfig::new().max_new_tokens)]
    max_new_tokens: usize,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    history: HistoryArgs,
    /// Most requests that are answered or wait at once.
    #[arg(long, value_name = "N", default_value_t = ServeConfig::default().max_requests as u32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_clients: u32,
    /// Longest time for one request, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = ServeConfig::default().timeout.as_secs(), value_parser = clap::value_parser!(u64).range(1..=86_400))]
    reply_timeout: u64,
    /// Where data/NAME and models/NAME are.
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
}

impl ServeArgs {
    pub(crate) fn run(self, job: &Job) -> Result<()> {
        let config = self.config()?;
        let characters = self.characters()?;
        // Whether the port is free is told before models are loaded.
        let address = SocketAddr::new(self.host, self.port);
        let listener = TcpListener::bind(address).map_err(|error| {
            Error::Usage(format!(
                "cannot listen on {address}: {error}; choose another --host or --port"
            ))
        })?;
        let address = listener.local_addr().unwrap_or(address);
        let kept = Kept {
            devices: self.device.devices(job)?,
            args: self,
            scorers: Mutex::default(),
        };
        let casts = characters.iter().map(|name| kept.cast(name, job));
        let casts = casts.collect::<Result<Vec<Cast>>>()?;
        let devices = kept.devices.clone();
        let server = Server::load(casts, Some(Arc::new(kept)), config, &devices, job)?;
        let names = server.models().join(", ");
        job.progress.note(&format!(
            "models: {names}\npage: http://{address}/ · API: http://{address}/v1 · Ctrl-C ends it"
        ));
        print(&format!("listening on http://{address}"))?;
        server.run(listener)
    }

    fn config(&self) -> Result<ServeConfig> {
        let key = std::env::var(KEY).ok().map(SecretString::from);
        if !self.host.is_loopback() && key.is_none() && !self.allow_anyone {
            return Err(Error::Usage(format!(
                "--host {} is reached from other machines: set a key in {KEY}, or give --allow-anyone",
                self.host
            )));
        }
        let config = ServeConfig {
            best_of: self.best_of,
            min_delta_apc: self.min_delta_apc,
            may_change: key.is_some() || self.is_private(),
            api_key: key,
            origins: self.allow_origin.clone(),
            allow_any_host: self.allow_anyone,
            max_requests: self.max_clients as usize,
            timeout: Duration::from_secs(self.reply_timeout),
            ..ServeConfig::default()
        };
        config.check()?;
        Ok(config)
    }

    /// Whether only programs and the page of this machine reach the server.
    fn is_private(&self) -> bool {
        let for_all = self.allow_anyone || self.allow_origin.iter().any(|origin| origin == "*");
        self.host.is_loopback() && !for_all
    }

    fn characters(&self) -> Result<Vec<String>> {
        for name in &self.character {
            check_name(name)?;
        }
        if !self.character.is_empty() {
            return Ok(self.character.clone());
        }
        let trained = trained_characters(&self.output)?;
        if trained.is_empty() {
            return Err(Error::Usage(format!(
                "no character is trained in {}; name one with --character, or train one first",
                self.output.display()
            )));
        }
        Ok(trained)
    }
}

/// Where the characters are kept.
#[derive(Debug)]
struct Kept {
    args: ServeArgs,
    devices: Devices,
    /// Judges that are loaded: characters share them.
    scorers: Mutex<Vec<(ChosenJudges, Arc<Scorer>)>>,
}

impl Workshop for Kept {
    fn cast(&self, character: &str, job: &Job) -> Result<Cast> {
        let args = &self.args;
        let answers = AnswerConfig::new().with_max_new_tokens(args.max_new_tokens);
        args.sampling.over(answers.clone()).check()?;
        let source = CharacterSource {
            name: character,
            output: &args.output,
            adapter: None,
            model: args.model.as_deref(),
            prompt: args.prompt,
            history: args.history,
            sampling: Some(args.sampling),
            precision: Some(args.precision),
            judges: &args.judges,
            device: &args.device,
        };
        let opening = source.opening()?;
        let Found {
            persona,
            config,
            mut engine,
            judges,
        } = source.find(answers, job)?;
        engine.work = Work::sample(1, config.max_new_tokens);
        let mut scorers = self.scorers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = scorers.iter().find(|(other, _)| *other == judges);
        let scorer = match known {
            Some((_, scorer)) => scorer.clone(),
            None => {
                let scorer = Arc::new(args.judges.load_chosen(&judges, &self.devices, job)?);
                scorers.push((judges, scorer.clone()));
                scorer
            }
        };
        Ok(Cast {
            role: Role::new(persona, scorer, config)?
                .with_listener(Arc::new(Offline), Opening::USER),
            opening,
            engine,
        })
    }

    fn locked(&self, character: &str) -> Option<String> {
        let is_there = has_statements(&self.args.output, character);
        let reason =
            "no training has made its statements yet; train it once, then they can be changed here";
        (!is_there).then(|| reason.to_string())
    }

    fn is_stale(&self, character: &str) -> Result<bool> {
        let state = state_of(&self.args.output, character, None)?;
        Ok(state.adapter_matches == Some(false))
    }

    fn fault(&self, character: &str, statement: &str) -> Option<String> {
        lint::fault(character, statement)
    }

    fn write_statements(&self, character: &str, statements: &[String]) -> Result<()> {
        write_statements(&self.args.output, character, statements)
    }

    fn train(&self, character: &str, job: &Job) -> Result<()> {
        TrainArgs::again(&self.args.output, character, job)?;
        // Its judges may have been fine-tuned.
        let mut scorers = self.scorers.lock().unwrap_or_else(PoisonError::into_inner);
        scorers.retain(|(judges, _)| judges.relevance.is_embedded() && judges.nli.is_embedded());
        Ok(())
    }

    fn report(&self, character: &str) -> Result<Report> {
        report(&self.args.output, character)
    }
}
