//! A character with its model and judges, as training left it.

use std::path::Path;

use crate::cli::args::device::{DeviceArgs, PrecisionArgs};
use crate::cli::args::hub;
use crate::cli::args::judges::{ChosenJudges, JudgeArgs};
use crate::cli::args::persona::{has_statements, own_page, own_statements};
use crate::cli::args::prompt::{HistoryArgs, PromptArgs};
use crate::cli::args::sampling::SamplingArgs;
use crate::files::{AdapterConfig, Checkpoint};
use crate::parallel::Devices;
use crate::persona::{AnswerConfig, Character, Opening, Persona};
use crate::pipeline::{MadeWith, TrainedWith, opening_of, trained_with};
use crate::progress::Job;
use crate::text::{Engine, EngineConfig, Work};
use crate::{Error, Result};

/// Where a character and what answers for it are.
pub(crate) struct CharacterSource<'a> {
    pub(crate) name: &'a str,
    /// Where data/NAME and models/NAME are.
    pub(crate) output: &'a Path,
    /// An adapter, or "none" for the base model; the character's own if nothing is said.
    pub(crate) adapter: Option<&'a str>,
    /// The base model; if nothing is said, the one that the adapter or the character was trained on.
    pub(crate) model: Option<&'a Path>,
    /// Which statements a prompt has; if nothing is said, as it was trained, or what suits the base model and the judge.
    pub(crate) prompt: PromptArgs,
    /// How much of a conversation the model sees.
    pub(crate) history: HistoryArgs,
    /// How tokens are drawn, if not as the settings say.
    pub(crate) sampling: Option<SamplingArgs>,
    /// What was asked for; as it was trained, if nothing is said.
    pub(crate) precision: Option<PrecisionArgs>,
    pub(crate) judges: &'a JudgeArgs,
    pub(crate) device: &'a DeviceArgs,
}

/// What a character is made of.
pub(crate) struct Found {
    pub(crate) persona: Persona,
    pub(crate) config: AnswerConfig,
    /// The base model with the adapter.
    pub(crate) engine: EngineConfig,
    pub(crate) judges: ChosenJudges,
}

impl CharacterSource<'_> {
    /// Loads the character, ready to be sent `messages`.
    pub(crate) fn load(
        &self,
        config: AnswerConfig,
        messages: &[String],
        job: &Job,
    ) -> Result<Character> {
        let devices = self.device.devices(job)?;
        let found = self.find(config, job)?;
        let work = Work::reply(found.config.max_new_tokens);
        let engine = EngineConfig {
            work,
            ..found.engine
        };
        engine.announce("to chat", found.judges.bytes()?, devices.first(), job)?;
        let engine = Engine::open(engine, &Devices::from(devices.first().clone()))?;
        engine.load()?;
        let known = found.persona.statements.join("\n");
        let texts = messages.iter().chain([&known]);
        found.judges.tell_language(texts.map(String::as_str), job);
        let scorer = self.judges.load_chosen(&found.judges, &devices, job)?;
        Character::new(found.persona, engine, scorer, found.config)
    }

    /// How a conversation with the character begins, by its card.
    pub(crate) fn opening(&self) -> Result<Opening> {
        if has_statements(self.output, self.name) {
            return Ok(opening_of(self.output, self.name)?.unwrap_or_default());
        }
        Ok(own_page(self.output, self.name)?.opening().clone())
    }

    /// Finds everything that the character is made of, and loads nothing of it.
    pub(crate) fn find(&self, config: AnswerConfig, job: &Job) -> Result<Found> {
        let statements = own_statements(self.output, self.name, job)?;
        let persona = Persona::new(self.name, statements);
        let own = self.output.join("models").join(self.name);
        let own = own.join("adapter");
        let with = trained_with(self.output, self.name)?;
        let adapter = match self.adapter {
            Some("none") => None,
            Some(name) => Some(hub::folder(Path::new(name), job)?),
            None => own.join("adapter_config.json").is_file().then_some(own),
        };
        let base = match self.model {
            Some(name) => hub::checkpoint(name, job)?,
            None => base_of(adapter.as_deref(), self.output, with.as_ref(), job)?,
        };
        let judges = self.judges.choose(self.output, &persona, job)?;
        let is_embedded = base.name() == hub::EMBEDDED;
        let is_calibrated = is_embedded && judges.relevance.is_embedded();
        // What was recorded holds for the base that it was recorded of.
        let is_own = self.model.is_none() && self.adapter.is_none();
        let with = with.filter(|with| is_own || base.reference(self.output) == with.base);
        let turns = with.as_ref().map_or(1, |with| with.turns);
        let rag_top_k = with.as_ref().and_then(|with| with.rag_top_k);
        // Another judge's probabilities mean something else.
        let min_relevance = with
            .as_ref()
            .filter(|_| !self.judges.names_relevance())
            .and_then(|with| with.min_relevance);
        let config = config
            .with_rag_top_k(self.prompt.rag_top_k(rag_top_k, is_embedded))
            .with_min_relevance(self.prompt.min_relevance(min_relevance, is_calibrated))
            .with_history(self.history.history(is_embedded && turns < 2));
        let config = match self.sampling {
            Some(sampling) => sampling.choose(config, &base, job)?,
            None => config,
        };
        config.check()?;
        let precision = match (&self.model, adapter.as_deref()) {
            (Some(_), _) => None,
            (None, Some(adapter)) => MadeWith::of(adapter)?.map(|made| made.precision),
            (None, None) => None,
        };
        let recorded = with
            .filter(|_| self.model.is_none())
            .map(|with| with.precision);
        let precision = precision.or(recorded).unwrap_or_default();
        let engine = EngineConfig::new(base, Work::reply(config.max_new_tokens))
            .with_adapter(adapter.as_deref())
            .with_precision(
                self.precision
                    .map_or(precision, |given| given.precision(precision)),
            );
        Ok(Found {
            persona,
            config,
            engine,
            judges,
        })
    }
}

/// The model that an adapter was trained on or, without one, the character's own; the embedded one, if neither tells.
fn base_of(
    adapter: Option<&Path>,
    output: &Path,
    with: Option<&TrainedWith>,
    job: &Job,
) -> Result<Checkpoint> {
    let config = adapter.map(AdapterConfig::load).transpose()?;
    let named = match (adapter, &config) {
        (Some(adapter), Some(config)) => config.base().map(|base| (adapter, base)),
        _ => with.map(|with| (output, with.base.clone())),
    };
    let Some((folder, base)) = named else {
        return hub::checkpoint(Path::new(hub::EMBEDDED), job);
    };
    // A folder is named from the one that names it.
    let beside = folder.join(&base);
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
            let who = match (adapter, with) {
                (None, Some(_)) => "the character's adapter ",
                _ => "",
            };
            let reason = format!(
                "{who}was trained on {base}, which is not there{why}; name it with --model"
            );
            Err(Error::invalid(folder, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Precision;
    use crate::persona::JudgeFormat;
    use crate::pipeline::UsedJudge;
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
        let base_of = |adapter| base_of(adapter, folder.path(), None, &Job::default());
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

    #[test]
    fn without_an_adapter_the_base_is_the_one_that_the_record_names() {
        let folder = tempfile::tempdir().unwrap();
        let [base, output] = ["base", "out"].map(|name| folder.path().join(name));
        std::fs::create_dir(&output).unwrap();
        let judge = UsedJudge {
            name: "embedded/nli".into(),
            format: JudgeFormat::default(),
            precision: Precision::default(),
        };
        let mut with = TrainedWith {
            base: "../base".into(),
            relevance: judge.clone(),
            nli: judge,
            precision: Precision::default(),
            rag_top_k: None,
            min_relevance: None,
            turns: 1,
        };
        let found = |with: &TrainedWith| base_of(None, &output, Some(with), &Job::default());
        let error = found(&with).unwrap_err().to_string();
        assert!(
            error.contains("../base") && error.contains("--model"),
            "{error}"
        );
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("config.json"), "{}").unwrap();
        let base = found(&with).unwrap();
        assert_eq!(base.reference(&output), with.base, "so its precision holds");
        with.base = hub::EMBEDDED.into();
        assert_eq!(found(&with).unwrap().name(), hub::EMBEDDED);
    }
}
