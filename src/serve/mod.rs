//! An OpenAI-compatible server that speaks for characters, and judges what it says.
//!
//! Programs in which people talk to characters send whole conversations to `/v1/chat/completions`; the model's name is the
//! character's. Replies of all clients run in one batch for each adapter, the adapters share the weights of their base, and
//! several choices come ordered by ΔAPC, with what each honours, misses and contradicts under `apc`.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use axum::extract::Request;
use tower::Layer;
use tower::util::MapRequestLayer;

use crate::parallel::Devices;
use crate::progress::Job;
use crate::{Error, Result};

mod characters;
mod chat;
mod completions;
mod connections;
mod error;
mod live;
mod metrics;
mod page;
mod replies;
mod requests;
mod responses;
mod routes;
mod score;
mod settings;
mod speech;
mod state;
mod turnstile;
mod worker;
mod workshop;

pub use state::{Cast, ServeConfig};
pub use workshop::Workshop;

/// A server that has loaded its models.
#[derive(Debug)]
pub struct Server {
    state: Arc<state::State>,
}

impl Server {
    /// Loads every base model once, and beside it the adapters of its characters; a workshop is for those that may be changed.
    ///
    /// # Errors
    ///
    /// Names that clients cannot tell apart, and models that cannot be loaded.
    pub fn load(
        casts: Vec<Cast>,
        workshop: Option<Arc<dyn Workshop>>,
        config: ServeConfig,
        devices: &Devices,
        job: &Job,
    ) -> Result<Self> {
        let state = state::State::load(casts, workshop, config, devices, job)?;
        Ok(Self {
            state: Arc::new(state),
        })
    }

    /// The names that clients may ask for.
    pub fn models(&self) -> Vec<String> {
        self.state.names()
    }

    /// Answers until the job is stopped; what is under way then has half a minute to come to its end, and a training is stopped.
    ///
    /// # Errors
    ///
    /// A socket that cannot be used.
    pub fn run(self, listener: TcpListener) -> Result<()> {
        let failed = |error| Error::io("listen on", Path::new("the socket"))(error);
        listener.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("serve")
            .enable_all()
            .build()
            .map_err(|error| Error::Threads(error.to_string()))?;
        let (job, state) = (self.state.job.clone(), self.state.clone());
        let served = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let routes = routes::router(self.state);
            let plain = MapRequestLayer::new(|mut request: Request| {
                if let Some(uri) = routes::plain_path(request.uri()) {
                    *request.uri_mut() = uri;
                }
                request
            });
            connections::serve(listener, plain.layer(routes), &job).await;
            Ok(())
        });
        state.bench.close();
        served
    }
}
