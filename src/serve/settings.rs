//! The settings that chats and completions share.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::error::ApiError;
use crate::text::{GenerateConfig, Sampling};

/// The most choices of one request, those of which the best are taken included.
pub(super) const MOST_CHOICES: usize = 32;

/// Texts that end a reply: none, one or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stops(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Stops {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "stop must be a text or a list of texts")]
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

/// How a reply is made, and how it is told.
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
    seed: Option<f64>,
    #[serde(default)]
    pub(super) apc: Option<Faithfulness>,
}

impl Settings {
    /// What all random numbers come from, if it is said.
    pub(super) fn seed(&self) -> Option<u64> {
        self.seed.map(|seed| seed as i64 as u64)
    }

    pub(super) fn includes_usage(&self) -> bool {
        self.stream_options
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }

    /// A count within a range.
    pub(super) fn count(
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
            let id = id.parse().ok().filter(|id: &i32| *id >= 0).ok_or_else(|| {
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
