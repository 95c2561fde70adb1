//! A web server of repositories for tests: git's own `http-backend` behind a small CGI server. The black-box tests use it too.
#![allow(unreachable_pub, reason = "it is part of two test programs")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use parking_lot::Mutex;

pub const BACKEND: &str = "/usr/lib/git-core/git-http-backend";

/// A web server of repositories: `/open/…` for everyone, `/closed/…` for bob with password hunter2, `/moved/…`
/// redirects to open, `/away/…` redirects to another host's name, `/silent/…` never answers, `/html/…` is a web
/// page, `/broken/…` fails.
pub struct Server {
    pub address: SocketAddr,
    root: PathBuf,
    /// Authorization headers that arrived, with the path they came for.
    pub signed: Mutex<Vec<(String, String)>>,
}

pub async fn serve(root: &Path) -> Arc<Server> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Server { address, root: root.to_owned(), signed: Mutex::default() });
    let router = Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    server
}

impl Server {
    pub fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (_, area, path) = {
        let mut parts = uri.path().splitn(3, '/');
        (
            parts.next(),
            parts.next().unwrap_or_default().to_owned(),
            parts.next().unwrap_or_default().to_owned(),
        )
    };
    let query = uri.query().unwrap_or_default().to_owned();
    if let Some(signed) = headers.get(header::AUTHORIZATION) {
        server.signed.lock().push((uri.path().to_owned(), signed.to_str().unwrap().to_owned()));
    }
    match area.as_str() {
        "moved" => return Redirect::temporary(&format!("/open/{path}?{query}")).into_response(),
        "away" => {
            let port = server.address.port();
            return Redirect::temporary(&format!("http://localhost:{port}/open/{path}?{query}"))
                .into_response();
        }
        "silent" => std::future::pending().await,
        "html" => return axum::response::Html("<p>Hello</p>").into_response(),
        "broken" => return StatusCode::BAD_GATEWAY.into_response(),
        "closed" => {
            let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("bob:hunter2"));
            if headers.get(header::AUTHORIZATION).is_none_or(|given| given != &wanted) {
                return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")])
                    .into_response();
            }
        }
        _ => {}
    }
    let root = server.root.clone();
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    tokio::task::spawn_blocking(move || cgi(&root, &method, &path, &query, content_type.as_deref(), &body))
        .await
        .unwrap()
}

fn cgi(
    root: &Path,
    method: &Method,
    path: &str,
    query: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Response {
    let mut child = Command::new(BACKEND)
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", content_type.unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    child.wait().unwrap();
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[end + 4..].to_vec())).unwrap()
}
