//! What clients send and get, as OpenAI's API writes it; the fields `apc` are ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::error::ApiError;
use crate::persona::{Score, StatementScore};
use crate::text::{GenerateConfig, Message, Sampling};

/// The most choices of one request, those of which the best are taken included.
pub(super) const MOST_CHOICES: usize = 32;
const MOST_LOGPROBS: usize = 20;

/// Texts that end a reply: none, one or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stops(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Stops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        let written = Option::<Written>::deserialize(deserializer)?;
        let stops = match written {
            None => Vec::new(),
            Some(Written::One(stop)) => vec![stop],
            Some(Written::Several(stops)) => stops,
        };
        Ok(Self(
            stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
        ))
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: Option<bool>,
}

/// What only this server knows.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Faithfulness {
    /// Sample so many replies and return the best.
    pub(super) best_of: Option<f64>,
    /// Sample again while the best reply's ΔAPC is below this.
    pub(super) min_delta_apc: Option<f64>,
    /// Whether to judge the reply at all.
    pub(super) score: Option<bool>,
}

/// The settings that chats and completions share.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Settings {
    pub(super) model: Option<String>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    n: Option<f64>,
    max_tokens: Option<f64>,
    max_completion_tokens: Option<f64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    logit_bias: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    pub(super) stop: Stops,
    pub(super) seed: Option<i64>,
    #[serde(default)]
    pub(super) apc: Option<Faithfulness>,
}

impl Settings {
    pub(super) fn includes_usage(&self) -> bool {
        self.stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }

    /// A count within a range.
    fn count(
        name: &'static str,
        value: Option<f64>,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, ApiError> {
        let Some(value) = value else { return Ok(None) };
        let is_whole = value.fract() == 0.0;
        match is_whole && value >= least as f64 && value <= most as f64 {
            true => Ok(Some(value as usize)),
            false => Err(ApiError::invalid(
                Some(name),
                format!("{name} is {value}, but must be a whole number from {least} to {most}"),
            )),
        }
    }

    fn number(
        name: &'static str,
        value: Option<f64>,
        least: f64,
        most: f64,
    ) -> Result<Option<f32>, ApiError> {
        match value {
            None => Ok(None),
            Some(value) if (least..=most).contains(&value) => Ok(Some(value as f32)),
            Some(value) => Err(ApiError::invalid(
                Some(name),
                format!("{name} is {value}, but must be from {least} to {most}"),
            )),
        }
    }

    /// How many choices are wanted, and how many to sample for them.
    pub(super) fn choices(&self, best_of: usize) -> Result<[usize; 2], ApiError> {
        let n = Self::count("n", self.n, 1, MOST_CHOICES)?.unwrap_or(1);
        let own = self.apc.and_then(|apc| apc.best_of);
        let best_of = Self::count("apc.best_of", own, 1, MOST_CHOICES)?.unwrap_or(best_of);
        Ok([n, best_of.max(n)])
    }

    /// How tokens are chosen; what is not said is that of `defaults`.
    pub(super) fn generate_config(
        &self,
        defaults: &GenerateConfig,
        most_tokens: usize,
    ) -> Result<GenerateConfig, ApiError> {
        /// More than any model takes.
        const MANY: usize = 1 << 31;
        let most = most_tokens.max(1);
        // With some servers -1 means as many as there is room for.
        let count = |name, value: Option<f64>| match value {
            Some(-1.0) => Ok(Some(most)),
            value => Self::count(name, value, 1, MANY),
        };
        let tokens = count("max_tokens", self.max_tokens)?;
        let newer = count("max_completion_tokens", self.max_completion_tokens)?;
        let tokens = newer.or(tokens).unwrap_or(defaults.max_new_tokens);
        let temperature = Self::number("temperature", self.temperature, 0.0, 10.0)?;
        let top_p = Self::number("top_p", self.top_p, 0.0, 1.0)?;
        // 0 and -1 mean all with some servers.
        let top_k = self.top_k.filter(|&k| k != 0.0 && k != -1.0);
        let top_k = Self::count("top_k", top_k, 1, MANY)?;
        let [own_temperature, own_top_k, own_top_p] = match defaults.sampling {
            Sampling::Greedy => [Some(0.0), None, None],
            Sampling::Random {
                temperature,
                top_k,
                top_p,
            } => [Some(temperature), top_k.map(|k| k as f32), top_p],
        };
        let temperature = temperature.or(own_temperature).unwrap_or(0.0);
        let sampling = match Sampling::at_temperature(temperature) {
            Sampling::Greedy => Sampling::Greedy,
            Sampling::Random { temperature, .. } => Sampling::Random {
                temperature,
                top_k: match self.top_k {
                    Some(_) => top_k,
                    None => own_top_k.map(|k| k as usize),
                },
                // The whole distribution, or the least share that there is.
                top_p: top_p.or(own_top_p).map(|p| p.max(1e-6)),
            },
        };
        let mut logit_bias = Vec::new();
        for (id, bias) in self.logit_bias.iter().flatten() {
            let id: i32 = id.parse().map_err(|_| {
                let message = format!("logit_bias has {id:?}, but its keys are token ids");
                ApiError::invalid(Some("logit_bias"), message)
            })?;
            let bias = Self::number("logit_bias", Some(*bias), -100.0, 100.0)?;
            logit_bias.extend(bias.map(|bias| (id, bias)));
        }
        let penalty =
            |name, value| Ok::<f32, ApiError>(Self::number(name, value, -2.0, 2.0)?.unwrap_or(0.0));
        Ok(GenerateConfig {
            max_new_tokens: tokens.min(most),
            sampling,
            presence_penalty: penalty("presence_penalty", self.presence_penalty)?,
            frequency_penalty: penalty("frequency_penalty", self.frequency_penalty)?,
            logit_bias,
            ..defaults.clone()
        })
    }
}

/// `POST /v1/chat/completions`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) messages: Vec<Message>,
    logprobs: Option<bool>,
    top_logprobs: Option<f64>,
    #[serde(flatten)]
    pub(super) settings: Settings,
}

impl ChatRequest {
    /// How many of the likeliest tokens to tell of, if any.
    pub(super) fn top_logprobs(&self) -> Result<Option<usize>, ApiError> {
        let top = Settings::count("top_logprobs", self.top_logprobs, 0, MOST_LOGPROBS)?;
        Ok(self.logprobs.unwrap_or(false).then(|| top.unwrap_or(0)))
    }
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    pub(super) fn all(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// `POST /v1/completions`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CompletionRequest {
    pub(super) prompt: Texts,
    pub(super) echo: Option<bool>,
    logprobs: Option<f64>,
    #[serde(flatten)]
    pub(super) settings: Settings,
}

impl CompletionRequest {
    pub(super) fn top_logprobs(&self) -> Result<Option<usize>, ApiError> {
        Settings::count("logprobs", self.logprobs, 0, MOST_LOGPROBS)
    }
}

/// `POST /v1/score`
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScoreRequest {
    pub(super) model: Option<String>,
    /// What was asked, or the conversation before the reply.
    pub(super) query: Option<String>,
    #[serde(default)]
    pub(super) messages: Vec<Message>,
    pub(super) response: Texts,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ScoreResponse {
    pub(super) object: &'static str,
    pub(super) model: String,
    pub(super) scores: Vec<Score>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    pub(super) total_tokens: usize,
}

impl Usage {
    pub(super) fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
        }
    }
}

/// A token with its log-probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TokenLogprob {
    pub(super) token: String,
    pub(super) logprob: f32,
    pub(super) bytes: Vec<u8>,
}

/// A token of a reply, and what else was likely in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ContentLogprob {
    #[serde(flatten)]
    pub(super) token: TokenLogprob,
    pub(super) top_logprobs: Vec<TokenLogprob>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ChoiceLogprobs {
    pub(super) content: Vec<ContentLogprob>,
    pub(super) refusal: Option<()>,
}

/// A statement and how sure a judge is of what a reply does with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Touched {
    pub(super) statement: String,
    pub(super) relevance: f64,
    pub(super) probability: f64,
    /// The words of the reply that contradict it, from one character to before another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<[usize; 2]>,
}

/// How faithful a choice is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) apc: f64,
    pub(super) delta_apc: f64,
    /// How many replies were sampled for the choices.
    pub(super) sampled: usize,
    /// The statements that the last turn brought into the prompt.
    pub(super) retrieved: Vec<String>,
    /// Relevant statements that the reply follows from.
    pub(super) honoured: Vec<Touched>,
    /// Relevant statements that the reply leaves open.
    pub(super) missed: Vec<Touched>,
    /// Statements that the reply contradicts, relevant or not.
    pub(super) contradicted: Vec<Touched>,
    /// How many of the oldest exchanges had no room in the prompt.
    pub(super) dropped: usize,
}

impl Verdict {
    pub(super) fn new(score: &Score, retrieved: &[String], dropped: usize, sampled: usize) -> Self {
        let touched = |is: &dyn Fn(&StatementScore) -> Option<f64>| {
            let found = score.statements.iter().filter_map(|part| {
                Some(Touched {
                    statement: part.statement.clone(),
                    relevance: part.relevance,
                    probability: is(part)?,
                    words: None,
                })
            });
            let mut found: Vec<Touched> = found.collect();
            found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            found
        };
        let likely = |probability: f64| (probability >= 0.5).then_some(probability);
        let relevant = |part: &StatementScore| part.relevance >= 0.5;
        Self {
            apc: score.apc,
            delta_apc: score.delta_apc,
            sampled,
            retrieved: retrieved.to_vec(),
            honoured: touched(&|part| likely(part.entailed).filter(|_| relevant(part))),
            missed: touched(&|part| {
                let is_open = part.entailed < 0.5 && part.contradicted < 0.5;
                (relevant(part) && is_open).then_some(part.neutral)
            }),
            contradicted: touched(&|part| likely(part.contradicted)),
            dropped,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ReplyMessage {
    pub(super) role: &'static str,
    pub(super) content: String,
    pub(super) refusal: Option<()>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Choice {
    pub(super) index: usize,
    pub(super) message: ReplyMessage,
    pub(super) logprobs: Option<ChoiceLogprobs>,
    pub(super) finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apc: Option<Verdict>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChatResponse {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Usage,
    pub(super) system_fingerprint: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChunkChoice {
    pub(super) index: usize,
    pub(super) delta: Delta,
    pub(super) logprobs: Option<ChoiceLogprobs>,
    pub(super) finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apc: Option<Verdict>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ChatChunk<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<Usage>>,
    pub(super) system_fingerprint: &'a str,
}

/// Log-probabilities as completions have them.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct FlatLogprobs {
    pub(super) tokens: Vec<String>,
    pub(super) token_logprobs: Vec<f32>,
    pub(super) top_logprobs: Vec<BTreeMap<String, f32>>,
    pub(super) text_offset: Vec<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct TextChoice {
    pub(super) index: usize,
    pub(super) text: String,
    pub(super) logprobs: Option<FlatLogprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CompletionResponse {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) choices: Vec<TextChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
    pub(super) system_fingerprint: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Model {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) owned_by: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) object: &'static str,
    pub(super) data: Vec<T>,
}

impl<T> List<T> {
    pub(super) fn new(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
        }
    }
}

/// A character that the server speaks for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CharacterInfo {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) statements: Vec<String>,
    /// Whether an adapter was trained for it.
    pub(super) trained: bool,
}

/// Reads a chat. What a model thought in earlier turns is left out, as clients send it back.
pub(super) fn parse_chat(bytes: &[u8]) -> Result<ChatRequest, ApiError> {
    const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];
    let mut value = json_of(bytes)?;
    let messages = value.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        message.retain(|key, _| !THOUGHTS.contains(&key.as_str()));
    }
    read(value)
}

fn json_of(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(None, format!("the body is no JSON: {error}")))
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value)
        .map_err(|error| ApiError::invalid(None, format!("the body cannot be used: {error}")))
}

/// Reads a body; what is wrong with it is told with its place.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, ApiError> {
    read(json_of(bytes)?)
}
