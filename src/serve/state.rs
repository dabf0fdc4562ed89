//! What the server has: characters, the models that speak for them, and its limits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use burn::module::Module;
use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::error::ApiError;
use super::metrics::Metrics;
use super::turnstile::Turnstile;
use super::worker::Worker;
use super::workshop::{Bench, Workshop};
use crate::files;
use crate::nn::Decoder;
use crate::parallel::Devices;
use crate::persona::{Opening, Role};
use crate::progress::Job;
use crate::text::{Engine, EngineConfig, GenerateConfig};
use crate::{Error, Result};

/// How a server answers.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Sample so many replies for each choice that is asked for alone, and return the best.
    pub best_of: usize,
    /// Sample again, a few times, while the best reply's ΔAPC is below this.
    pub min_delta_apc: Option<f64>,
    /// The key that clients have to send, if any.
    pub api_key: Option<SecretString>,
    /// Web pages that may call the server from a browser, by their origins, such as `https://example.org`.
    pub origins: Vec<String>,
    /// Whether the server may be called by any name without a key.
    pub allow_any_host: bool,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Most messages of a conversation.
    pub max_messages: usize,
    /// Whether clients may change characters and have them trained.
    pub may_change: bool,
    /// Most requests that are answered or wait at once.
    pub max_requests: usize,
    /// Longest time for one request.
    pub timeout: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            best_of: 1,
            min_delta_apc: None,
            api_key: None,
            origins: Vec::new(),
            allow_any_host: false,
            max_body: 2 << 20,
            max_messages: 2000,
            may_change: false,
            max_requests: 128,
            timeout: Duration::from_secs(600),
        }
    }
}

impl ServeConfig {
    /// # Errors
    ///
    /// A setting that makes no sense, by name.
    pub fn check(&self) -> Result<()> {
        if !(1..=super::settings::MOST_CHOICES).contains(&self.best_of) {
            let most = super::settings::MOST_CHOICES;
            let reason = format!("is {}, but must be from 1 to {most}", self.best_of);
            return Err(Error::setting("best_of", reason));
        }
        if self.min_delta_apc.is_some_and(|least| !least.is_finite()) {
            return Err(Error::setting("min_delta_apc", "must be a number"));
        }
        if let Some(key) = &self.api_key
            && key.expose_secret().trim().is_empty()
        {
            return Err(Error::setting(
                "api_key",
                "is empty; unset it, or set a key",
            ));
        }
        Ok(())
    }
}

/// A character to speak for: who it is, and the base model and adapter that speak.
#[derive(Debug)]
pub struct Cast {
    /// Who it is.
    pub role: Role,
    /// How a conversation with it begins.
    pub opening: Opening,
    /// The base model with the character's adapter, if it has one.
    pub engine: EngineConfig,
}

/// A base model with a thread that runs it.
#[derive(Debug)]
pub(super) struct Stage {
    /// The model without an adapter.
    base: EngineConfig,
    pub(super) engine: Engine,
    pub(super) worker: Worker,
}

/// A character that is loaded.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) role: Arc<Role>,
    pub(super) opening: Opening,
    pub(super) stage: usize,
    /// Its model in the stage's thread; 0 is the base.
    pub(super) voice: usize,
}

/// Who answers a request.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    /// The name that the client is told.
    pub(super) id: String,
    pub(super) stage: Arc<Stage>,
    pub(super) voice: usize,
    /// No one for the plain model.
    pub(super) role: Option<Arc<Role>>,
    pub(super) opening: Opening,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: ServeConfig,
    characters: RwLock<Vec<Loaded>>,
    stages: Vec<Arc<Stage>>,
    /// Digest of the key, so that keys of any length are compared in the same time.
    key: Option<[u8; 32]>,
    pub(super) metrics: Metrics,
    /// Requests that are under way.
    pub(super) room: Arc<Semaphore>,
    /// Requests whose bodies are read.
    pub(super) reading: Arc<Semaphore>,
    /// Work of judges, which uses every core by itself.
    pub(super) judging: Arc<Turnstile>,
    pub(super) created: i64,
    pub(super) fingerprint: String,
    n_requests: AtomicU64,
    pub(super) job: Job,
    /// Where the characters are kept, if they can be changed.
    pub(super) workshop: Option<Arc<dyn Workshop>>,
    pub(super) bench: Bench,
    /// Held while what is on disk and what is spoken for become the same.
    changes: Mutex<()>,
}

/// The name of the plain model.
pub(super) const BASE: &str = "base";
/// What stands behind a character's name for the model without its adapter.
const AT_BASE: &str = "@base";

impl State {
    /// Loads every base model once and every adapter beside it.
    pub(super) fn load(
        casts: Vec<Cast>,
        workshop: Option<Arc<dyn Workshop>>,
        config: ServeConfig,
        devices: &Devices,
        job: &Job,
    ) -> Result<Self> {
        config.check()?;
        if casts.is_empty() {
            return Err(Error::setting("character", "names nobody to speak for"));
        }
        let mut groups: Vec<(EngineConfig, Vec<PathBuf>)> = Vec::new();
        let mut characters = Vec::with_capacity(casts.len());
        let mut names = HashMap::new();
        for cast in casts {
            let name = cast.role.persona().name.clone();
            if let Some(other) = names.insert(name.to_lowercase(), name.clone()) {
                let reason = format!("names {other} and {name}, which clients cannot tell apart");
                return Err(Error::setting("character", reason));
            }
            if name.eq_ignore_ascii_case(BASE) {
                let reason = format!("is {name}, which is the plain model's name here");
                return Err(Error::setting("character", reason));
            }
            let mut base = cast.engine.clone();
            let adapter = base.adapter.take();
            let same = |(other, _): &(EngineConfig, _)| is_same_base(other, &base);
            let stage = match groups.iter().position(same) {
                Some(stage) => stage,
                None => {
                    groups.push((base, Vec::new()));
                    groups.len() - 1
                }
            };
            let voice = match adapter {
                None => 0,
                Some(adapter) => {
                    groups[stage].1.push(adapter);
                    groups[stage].1.len()
                }
            };
            characters.push(Loaded {
                role: Arc::new(cast.role),
                opening: cast.opening.with_user(Opening::USER),
                stage,
                voice,
            });
        }
        let mut stages = Vec::with_capacity(groups.len());
        for (base, adapters) in groups {
            let engine = Engine::open(base.clone(), &Devices::from(devices.first().clone()))?;
            let model = engine.load()?.model().clone();
            engine.release();
            let mut voices = Vec::with_capacity(1 + adapters.len());
            voices.push(model.clone());
            for adapter in adapters {
                voices.push(voice_of(&model, &adapter)?);
            }
            stages.push(Arc::new(Stage {
                base,
                engine,
                worker: Worker::start(voices)?,
            }));
        }
        let key = config
            .api_key
            .as_ref()
            .map(|key| digest(key.expose_secret().trim()));
        Ok(Self {
            characters: RwLock::new(characters),
            stages,
            key,
            metrics: Metrics::default(),
            room: Arc::new(Semaphore::new(config.max_requests)),
            reading: Arc::new(Semaphore::new(4 * config.max_requests)),
            judging: Arc::default(),
            created: Utc::now().timestamp(),
            fingerprint: format!("apc-{}", env!("CARGO_PKG_VERSION")),
            n_requests: AtomicU64::new(0),
            job: job.clone(),
            workshop,
            bench: Bench::default(),
            changes: Mutex::default(),
            config,
        })
    }

    /// The characters.
    pub(super) fn characters(&self) -> Vec<Loaded> {
        let characters = self.characters.read();
        characters.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds a character by its name, without regard to case.
    pub(super) fn character(&self, name: &str) -> Result<Loaded, ApiError> {
        let of_name = |character: &Loaded| same(&character.role.persona().name, name);
        let found = self.characters().into_iter().find(of_name);
        found.ok_or_else(|| ApiError::no_model(name, &self.names()))
    }

    /// One change of a character at a time.
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a character as it is now.
    fn change(&self, name: &str, change: impl FnOnce(&mut Loaded)) {
        let characters = self.characters.write();
        let mut characters = characters.unwrap_or_else(PoisonError::into_inner);
        let mut own = characters.iter_mut();
        if let Some(own) = own.find(|character| character.role.persona().name == name) {
            change(own);
        }
    }

    /// Gives a character other statements, on disk and here.
    pub(super) fn restate(
        &self,
        workshop: &dyn Workshop,
        character: &Loaded,
        statements: Vec<String>,
    ) -> Result<()> {
        let _changing = self.changing();
        let name = &character.role.persona().name;
        workshop.write_statements(name, &statements)?;
        let role = Arc::new(character.role.with_statements(statements)?);
        self.change(name, |own| own.role = role);
        Ok(())
    }

    /// Takes a character as it was trained anew; replies that are under way are brought to their end by what it was.
    pub(super) fn recast(&self, workshop: &dyn Workshop, name: &str, job: &Job) -> Result<()> {
        let mut base = workshop.cast(name, job)?.engine;
        let adapter = base.adapter.take();
        let mut stages = self.stages.iter();
        let stage = stages.position(|stage| is_same_base(&stage.base, &base));
        let Some(stage) = stage else {
            let reason =
                format!("{name} was trained on a model that is not loaded; start the server again");
            return Err(Error::Usage(reason));
        };
        let old = self.characters().into_iter();
        let mut old = old.filter(|old| old.role.persona().name == name);
        let known = old.next().filter(|old| old.stage == stage && old.voice > 0);
        let voice = match adapter {
            None => 0,
            Some(adapter) => {
                let voice = known.map(|old| old.voice);
                self.stages[stage].worker.learn(voice, adapter)?
            }
        };
        // Its statements may have been changed in the meantime.
        let _changing = self.changing();
        let cast = workshop.cast(name, job)?;
        let new = Loaded {
            role: Arc::new(cast.role),
            opening: cast.opening.with_user(Opening::USER),
            stage,
            voice,
        };
        self.change(name, |own| *own = new);
        Ok(())
    }

    /// The names of all models: the characters', the same without their adapters, and the plain model.
    pub(super) fn names(&self) -> Vec<String> {
        let characters = self.characters();
        let own = characters.iter().flat_map(|character| {
            let name = &character.role.persona().name;
            let at_base = (character.voice > 0).then(|| format!("{name}{AT_BASE}"));
            [Some(name.clone()), at_base].into_iter().flatten()
        });
        own.chain([BASE.to_string()]).collect()
    }

    /// Finds who a request is for; names are compared without case, and with none the first character answers.
    pub(super) fn speaker(&self, name: Option<&str>) -> Result<Speaker, ApiError> {
        let name = name.unwrap_or_default().trim();
        let missing = || ApiError::no_model(name, &self.names());
        if same(name, BASE) {
            let stage = self.stages.first().ok_or_else(missing)?;
            return Ok(Speaker {
                id: BASE.to_string(),
                stage: stage.clone(),
                voice: 0,
                role: None,
                opening: Opening::default(),
            });
        }
        let (who, at_base) = match name.len().checked_sub(AT_BASE.len()) {
            Some(start) if name.get(start..).is_some_and(|end| same(end, AT_BASE)) => {
                (&name[..start], true)
            }
            _ => (name, false),
        };
        let character = match name.is_empty() {
            true => self.characters().into_iter().next().ok_or_else(missing)?,
            false => self.character(who).map_err(|_| missing())?,
        };
        let own = character.role.persona().name.clone();
        Ok(Speaker {
            id: match at_base {
                true => format!("{own}{AT_BASE}"),
                false => own,
            },
            stage: self.stages[character.stage].clone(),
            voice: if at_base { 0 } else { character.voice },
            role: Some(character.role),
            opening: character.opening,
        })
    }

    /// Whether a request may be answered.
    pub(super) fn admits(&self, authorization: Option<&str>) -> bool {
        let Some(key) = &self.key else { return true };
        let sent = authorization.unwrap_or_default();
        let sent = sent
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, sent)| sent.trim());
        digest(sent).ct_eq(key).into()
    }

    /// A number that no other request has.
    pub(super) fn next_request(&self) -> u64 {
        self.n_requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells of what went wrong here, for whoever runs the server.
    pub(super) fn log(&self, error: &Error) {
        self.job
            .progress
            .note(&format!("a request failed: {error}"));
    }
}

impl Speaker {
    /// How tokens are chosen where a request does not say.
    pub(super) fn defaults(&self) -> GenerateConfig {
        let engine = &self.stage.engine;
        let stop_ids = engine.format().stop_ids().to_vec();
        match &self.role {
            Some(role) => GenerateConfig {
                sampling: role.config().sampling(),
                stop_ids,
                ..GenerateConfig::new(role.config().max_new_tokens)
            },
            None => GenerateConfig {
                sampling: crate::text::Sampling::at_temperature(0.7),
                stop_ids,
                ..GenerateConfig::new(512)
            },
        }
    }
}

/// Whether two models are one but for their adapters.
fn is_same_base(one: &EngineConfig, other: &EngineConfig) -> bool {
    one.checkpoint.name() == other.checkpoint.name() && one.precision == other.precision
}

/// A model with an adapter: the base's weights are shared, the adapter's factors are its own.
pub(super) fn voice_of(base: &Decoder, adapter: &Path) -> Result<Decoder> {
    let mut own = base.clone();
    files::load_adapter(&mut own, adapter, &base.device())?;
    Ok(own.valid())
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
