//! Connections of clients, from the first to the end of the last.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tower::Service;

use crate::progress::Job;

/// How long a client may take for the head of a request: who sends none, or half of one, does not keep a connection.
const HEAD: Duration = Duration::from_secs(30);

/// How long replies that are under way may take once the server is stopped.
const DRAIN: Duration = Duration::from_secs(30);

/// Answers until the job is stopped, and brings what is under way then to its end.
pub(super) async fn serve<S>(listener: TcpListener, service: S, job: &Job)
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connections = GracefulShutdown::new();
    let stopped = async {
        while !job.stopped() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let Ok((stream, _)) = accepted else {
            // Too many files are open, or the client is gone already.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = service.clone();
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            service.clone().call(request.map(Body::new))
        });
        let connection = builder.serve_connection(TokioIo::new(stream), answer);
        let connection = connections.watch(connection);
        // A connection that breaks is its client's affair.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    // A connection that says nothing must not keep the server for ever.
    let _ = tokio::time::timeout(DRAIN, connections.shutdown()).await;
}
