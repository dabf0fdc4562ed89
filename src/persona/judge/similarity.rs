//! Relevance by similarity: a statement and a query are embedded apart, and the nearer they are, the likelier it matters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reader::JudgeReader;
use super::{JudgeInput, JudgeSource, JudgeTemplate};
use crate::files::{self, Checkpoint};
use crate::nn::Pooling;
use crate::parallel::Devices;
use crate::persona::{Persona, RelevanceTable};
use crate::progress::Job;
use crate::text::SentenceEncoder;
use crate::{Error, Result};

/// The parts of a model of sentence-transformers.
const MODULES: &str = "modules.json";

/// How an encoder of sentences judges: P(relevant) is the sigmoid of `logit_scale · cosine + logit_bias`, with the names and
/// the formula of SigLIP (arXiv 2303.15343).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Similarity {
    /// How a text's tokens become one embedding; `None` is what the model's own files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// What the cosine is multiplied with.
    pub logit_scale: f64,
    /// What is added then.
    pub logit_bias: f64,
}

impl Eq for Similarity {}

impl Similarity {
    /// For an encoder that says nothing of it: even odds at a cosine of 0.3, which fits the family of all-MiniLM.
    const USUAL: Self = Self {
        pooling: None,
        logit_scale: 14.0,
        logit_bias: -4.2,
    };

    /// P(relevant) of two texts whose embeddings have this cosine.
    pub fn probability(&self, cosine: f64) -> f64 {
        1.0 / (1.0 + (-self.logit_scale * cosine - self.logit_bias).exp())
    }
}

/// An encoder of sentences that judges relevance.
#[derive(Clone, Debug)]
pub(super) struct SentenceJudge {
    encoder: SentenceEncoder,
    similarity: Similarity,
    /// Of the text that a query becomes, and of the one that a statement becomes.
    readers: [JudgeReader; 2],
    /// The persona that was asked last, with its statements' embeddings: in a chat it is asked again and again.
    last: Arc<Mutex<Option<Asked>>>,
}

type Embeddings = Vec<Vec<f32>>;
type Asked = (Persona, Arc<Embeddings>);

/// Whether a judge is an encoder of sentences: its `judge.json` says so, or its files are those of sentence-transformers.
pub(super) fn is_encoder(source: &JudgeSource) -> Result<bool> {
    Ok(source.format()?.similarity.is_some() || source.checkpoint.has(MODULES))
}

impl SentenceJudge {
    /// Reads an encoder; also returns what a user should know of how it is used.
    pub(super) fn load(
        source: &JudgeSource,
        template: &JudgeTemplate,
        max_tokens: usize,
        devices: &Devices,
    ) -> Result<(Self, Vec<String>)> {
        let checkpoint = &source.checkpoint;
        let mut remarks = Vec::new();
        let similarity = source.format()?.similarity.unwrap_or_else(|| {
            remarks.push(format!(
                "{} is an encoder of sentences and has no judge.json with \"similarity\": even odds are taken to be at a cosine \
                 of 0.3, which fits few encoders; measure yours with `apc benchmark`",
                checkpoint.name()
            ));
            Similarity::USUAL
        });
        let numbers = [similarity.logit_scale, similarity.logit_bias];
        if numbers.iter().any(|number| !number.is_finite()) || similarity.logit_scale <= 0.0 {
            let reason =
                "\"logit_scale\" of judge.json must be above zero, and \"logit_bias\" a number";
            return Err(Error::invalid(checkpoint.name(), reason));
        }
        let sides = sides(template).map_err(|reason| Error::invalid(checkpoint.name(), reason))?;
        let pooling = match similarity.pooling {
            Some(pooling) => pooling,
            None => pooling(checkpoint)?,
        };
        let encoder = SentenceEncoder::load(checkpoint, pooling, source.precision, devices)?;
        let max_tokens = encoder
            .max_tokens()
            .min(max_tokens)
            .min(max_seq_length(checkpoint)?);
        let reader = |side: &str| {
            let template = JudgeTemplate::Text(side.to_string());
            JudgeReader::new(encoder.tokenizer(), &template, max_tokens)
        };
        let readers = [reader(sides[0])?, reader(sides[1])?];
        let judge = Self {
            encoder,
            similarity,
            readers,
            last: Arc::default(),
        };
        Ok((judge, remarks))
    }

    /// P(relevant) of every statement for every query.
    pub(super) fn relevance(
        &self,
        persona: &Persona,
        queries: &[String],
        job: &Job,
    ) -> Result<RelevanceTable> {
        let inputs = queries.iter().map(|query| persona.input("", query, ""));
        let queries = self.embed(&inputs.collect::<Vec<_>>(), 0, job)?;
        let statements = self.statements(persona, job)?;
        let of = |query: &Vec<f32>| {
            let products = statements.iter().map(|statement| cosine(query, statement));
            products
                .map(|cosine| self.similarity.probability(cosine))
                .collect()
        };
        Ok(RelevanceTable {
            rows: queries.iter().map(of).collect(),
        })
    }

    /// The embeddings of a persona's statements.
    fn statements(&self, persona: &Persona, job: &Job) -> Result<Arc<Embeddings>> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, embeddings)) = &*last()
            && asked == persona
        {
            return Ok(embeddings.clone());
        }
        let inputs = persona
            .statements
            .iter()
            .map(|text| persona.input(text, "", ""));
        let embeddings = Arc::new(self.embed(&inputs.collect::<Vec<_>>(), 1, job)?);
        *last() = Some((persona.clone(), embeddings.clone()));
        Ok(embeddings)
    }

    fn embed(&self, inputs: &[JudgeInput<'_>], side: usize, job: &Job) -> Result<Embeddings> {
        let reader = &self.readers[side];
        let texts = reader.encode_noting(inputs, job)?;
        let task = job.progress.task("relevance", texts.len(), "texts");
        self.encoder.embed(&texts, &*task, job)
    }
}

/// The cosine of two embeddings of length 1.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// The text that a query becomes and the one that a statement becomes.
fn sides(template: &JudgeTemplate) -> std::result::Result<[&str; 2], String> {
    let (query, statement) = ("{query}", "{statement}");
    let [first, second] = template.texts() else {
        return Err(format!(
            "is an encoder of sentences, which reads query and statement apart: its template is a pair such as [\"{query}\", \"{statement}\"]"
        ));
    };
    let has_only = |text: &str, one: &str, other: &str| text.contains(one) && !text.contains(other);
    if has_only(first, query, statement) && has_only(second, statement, query) {
        Ok([first, second])
    } else if has_only(first, statement, query) && has_only(second, query, statement) {
        Ok([second, first])
    } else {
        Err(format!(
            "is an encoder of sentences: one text of its template has {query} and the other has {statement}"
        ))
    }
}

/// The most tokens that a model of sentence-transformers was trained to read; no limit if it says nothing.
fn max_seq_length(checkpoint: &Checkpoint) -> Result<usize> {
    #[derive(Default, Deserialize)]
    struct Settings {
        max_seq_length: Option<usize>,
    }
    let settings: Option<Settings> = checkpoint.read_json_if_any("sentence_bert_config.json")?;
    let length = settings.unwrap_or_default().max_seq_length;
    Ok(length.filter(|length| *length > 2).unwrap_or(usize::MAX))
}

/// How a model of sentence-transformers makes one embedding of a text.
fn pooling(checkpoint: &Checkpoint) -> Result<Pooling> {
    #[derive(Deserialize)]
    struct Module {
        path: String,
        #[serde(rename = "type")]
        kind: String,
    }
    if !checkpoint.has(MODULES) {
        let reason = "is an encoder of sentences, but neither judge.json nor modules.json says how it pools tokens; add \
             \"pooling\": \"mean\" or \"cls\" to \"similarity\" in judge.json";
        return Err(Error::invalid(checkpoint.name(), reason));
    }
    let mut found = None;
    for Module { path, kind } in checkpoint.read_json::<Vec<Module>>(MODULES)? {
        match kind.rsplit('.').next() {
            Some("Transformer" | "Normalize") => {}
            Some("Pooling") => found = Some(path),
            _ => {
                let reason = format!("has a module {kind}, which is not supported");
                return Err(Error::invalid(checkpoint.path(MODULES), reason));
            }
        }
    }
    let Some(folder) = found else {
        let reason = "has no module that pools tokens, as an encoder of sentences needs";
        return Err(Error::invalid(checkpoint.path(MODULES), reason));
    };
    let file = match folder.is_empty() {
        true => "config.json".to_string(),
        false => format!("{folder}/config.json"),
    };
    if !files::stays_inside(&file) {
        let reason = format!("names the folder {folder:?}, which is not one of its own");
        return Err(Error::invalid(checkpoint.path(MODULES), reason));
    }
    let config: BTreeMap<String, Value> = checkpoint.read_json(&file)?;
    // Newer files name one mode, older ones have a switch for each.
    let named = config.get("pooling_mode").and_then(Value::as_str);
    let switched = config.iter().filter_map(|(key, value)| {
        let mode = key.strip_prefix("pooling_mode_")?;
        value.as_bool()?.then_some(mode)
    });
    let modes = named.into_iter().chain(switched);
    let modes: BTreeSet<&str> = modes
        .map(|mode| {
            mode.strip_suffix("_tokens")
                .or(mode.strip_suffix("_token"))
                .unwrap_or(mode)
        })
        .collect();
    let modes = Vec::from_iter(modes);
    match modes[..] {
        ["mean"] => Ok(Pooling::Mean),
        ["cls"] => Ok(Pooling::Cls),
        _ => {
            let modes = modes.join(", ");
            let reason =
                format!("pools by {modes:?}; only the mean or the first token is supported");
            Err(Error::invalid(checkpoint.path(&file), reason))
        }
    }
}
