//! `--api-base` and the other flags of a chat model: where it is and what it may cost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use crate::progress::Job;
use crate::teacher::chat::{OpenAi, OpenAiConfig};
use crate::{Error, Result};

const HEADING: &str = "The chat model";

#[derive(Args, Debug)]
pub(crate) struct ChatModelArgs {
    /// A server that speaks OpenAI's chat API, up to and with /v1 [default: OpenAI's own]. A user and password in it are
    /// sent in place of the key.
    #[arg(long, help_heading = HEADING, value_name = "URL", env = "OPENAI_BASE_URL", hide_env_values = true)]
    api_base: Option<String>,
    /// Requests at once.
    #[arg(long, help_heading = HEADING, value_name = "N", default_value_t = OpenAiConfig::default().concurrency)]
    concurrency: usize,
    /// Seconds that an answer may take.
    #[arg(long, help_heading = HEADING, value_name = "X", default_value_t = OpenAiConfig::default().timeout.as_secs_f64())]
    timeout: f64,
    /// Stop before more requests than these are sent, retries included.
    #[arg(long, help_heading = HEADING, value_name = "N")]
    max_requests: Option<u64>,
    /// Stop before more tokens than these are used, those of prompts and answers together.
    #[arg(long, help_heading = HEADING, value_name = "N")]
    max_tokens: Option<u64>,
    /// The clients that were made.
    #[arg(skip)]
    clients: Mutex<HashMap<String, Arc<OpenAi>>>,
}

impl ChatModelArgs {
    /// Returns the client for a model that judges: one for each model, and all share the server's limits and what is known
    /// of it.
    ///
    /// # Errors
    ///
    /// Settings that cannot be used; a key that is missing is told as a judge's.
    pub(crate) fn judge(&self, model: &str, job: &Job) -> Result<Arc<OpenAi>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(model) {
            return Ok(client.clone());
        }
        let client = match clients.values().next() {
            Some(other) => Arc::new(other.sibling(model)),
            None => {
                let config = self.config();
                let has_key = config.api_key.is_some();
                let client = OpenAi::new(model, config, job).map_err(|error| match error {
                    Error::Setting { name, .. } if name == "api_key" && !has_key => {
                        let reason = format!(
                            "is not set, but the judge {model} needs it: set it to your key, name another server with \
                             `api_base`, or choose another judge"
                        );
                        Error::Setting { name, reason }
                    }
                    other => other,
                });
                Arc::new(client?)
            }
        };
        clients.insert(model.to_string(), client.clone());
        Ok(client)
    }

    /// Returns the settings, with the key from the environment.
    pub(crate) fn config(&self) -> OpenAiConfig {
        OpenAiConfig {
            api_base: self.api_base.clone(),
            api_key: std::env::var("OPENAI_API_KEY").ok().map(Into::into),
            concurrency: self.concurrency,
            // What no clock can hold is refused as too long.
            timeout: Duration::try_from_secs_f64(self.timeout).unwrap_or(if self.timeout > 0.0 {
                Duration::MAX
            } else {
                Duration::ZERO
            }),
            max_requests: self.max_requests,
            max_tokens: self.max_tokens,
        }
    }
}
