//! What Prometheus is told.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) kind: &'static str,
}

/// Counters of everything that a server does.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) requests: Family<Route, Counter<u64, AtomicU64>>,
    pub(super) running: Gauge<i64, AtomicI64>,
    pub(super) tokens: Family<Kind, Counter<u64, AtomicU64>>,
    pub(super) first_token: Histogram,
    pub(super) reply: Histogram,
    pub(super) delta_apc: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds =
            || Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]);
        let metrics = Self {
            registry: Registry::with_prefix("apc"),
            requests: Family::default(),
            running: Gauge::default(),
            tokens: Family::default(),
            first_token: seconds(),
            reply: seconds(),
            delta_apc: Histogram::new([-2.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 2.0, 5.0]),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("requests", "Answered requests", self.requests.clone());
        registry.register(
            "requests_running",
            "Requests under way",
            self.running.clone(),
        );
        registry.register(
            "tokens",
            "Tokens of prompts and of replies",
            self.tokens.clone(),
        );
        registry.register_with_unit(
            "time_to_first_token",
            "Time until a reply's first token",
            Unit::Seconds,
            self.first_token.clone(),
        );
        registry.register_with_unit(
            "time_to_reply",
            "Time until the last reply of a request",
            Unit::Seconds,
            self.reply.clone(),
        );
        registry.register(
            "delta_apc",
            "Faithfulness of replies",
            self.delta_apc.clone(),
        );
        self
    }

    /// Counts the tokens of a request.
    pub(super) fn count_tokens(&self, prompt: usize, completion: usize) {
        for (kind, tokens) in [("prompt", prompt), ("completion", completion)] {
            self.tokens
                .get_or_create(&Kind { kind })
                .inc_by(tokens as u64);
        }
    }

    /// All of them, as Prometheus reads them.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
