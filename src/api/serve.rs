//! The listener: connections with time limits, and a stop that lets open requests end.

use std::{convert::Infallible, io, time::Duration};

use axum::{Router, extract::Request, http::Method, response::Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;

use super::{State, error::Error, http::outer, resources};

/// A pause after the listener failed, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The routes of the API, ready to be served.
pub fn router(state: State) -> Router {
    let mut routes = Router::new();
    for endpoint in resources::endpoints() {
        routes = endpoint.mount(routes, &state);
    }
    let routes = routes
        .fallback(async |request: Request| Error::NotFound(format!("there is no {}", request.uri().path())))
        .method_not_allowed_fallback(async |method: Method| Error::Method(method.to_string()))
        .with_state(state.clone());
    let service = tower::service_fn(move |request: Request| {
        let (state, routes) = (state.clone(), routes.clone());
        async move { Ok::<Response, Infallible>(outer::answer(state, routes, request).await) }
    });
    Router::new().fallback_service(service)
}

/// Serves a router made by [`router`] until the state's shutdown token is cancelled, then waits for open requests
/// for as long as the options say.
pub async fn serve(listener: TcpListener, router: Router, state: State) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let mut http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(state.options().header_timeout_ms));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = state.shutdown().cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection to the control API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Replies are small and wait for nobody.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            tower::ServiceExt::oneshot(router.clone(), request)
        });
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection to the control API ended");
            }
        });
    }
    drop(listener);
    let patience = Duration::from_millis(state.options().shutdown_ms);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still open after {patience:?} were cut off");
    }
    Ok(())
}
