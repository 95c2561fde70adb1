//! What a driver asks for beside its link: HTTP requests of a service, and commands on an SSH server. A script answers them,
//! or the device model.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::message::{Headed, HttpRequest, HttpResponse, SshExec, SshOutput, code};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::daemon::Daemon;
use super::device::{Far, RECONNECT};
use super::harness::Run;
use super::report::{compare, text};
use super::step::Step;

/// How long the daemon waits for a service that does not answer.
const HTTP_LIMIT: Duration = Duration::from_secs(10);

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) correlation: u32,
    pub(super) head: HttpRequest,
    pub(super) body: Vec<u8>,
}

/// A command that waits for its end.
#[derive(Debug)]
pub(super) struct Execed {
    pub(super) correlation: u32,
    pub(super) command: String,
}

/// The service that the driver makes requests of: [`Harness::http`](super::Harness::http).
#[derive(Clone)]
pub struct MockHttp(pub(super) Run);

/// A request that the driver makes next. It is answered with [`reply`](Self::reply) or one of its siblings.
#[must_use = "nothing is expected before it is replied to"]
pub struct HttpExpectation {
    run: Run,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    json: Option<Value>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSeen {
    /// `GET`, `POST`, ….
    pub method: String,
    /// As the driver gave it: a path with its query, or an absolute URL.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// A command that the driver runs next on its SSH server.
#[must_use = "nothing is expected before it is replied to"]
pub struct ExecExpectation {
    pub(super) run: Run,
    pub(super) command: String,
}

impl std::fmt::Debug for MockHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MockHttp")
    }
}

impl std::fmt::Debug for HttpExpectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

impl std::fmt::Debug for ExecExpectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.command)
    }
}

impl MockHttp {
    /// The driver makes this request next; the URL as it gives it, with its query: `/relay?id=0`.
    pub fn expect(&self, method: impl Into<String>, url: impl Into<String>) -> HttpExpectation {
        let (method, url) = (method.into(), url.into());
        HttpExpectation { run: self.0.clone(), method, url, headers: Vec::new(), body: None, json: None }
    }
}

impl HttpExpectation {
    /// And its body is this JSON.
    pub fn json(mut self, body: impl Serialize) -> Self {
        self.json = Some(serde_json::to_value(body).unwrap_or_default());
        self
    }

    /// And its body is exactly this.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// And it has this header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Answers it in JSON.
    pub fn reply(self, status: u16, body: impl Serialize) -> Step<HttpSeen> {
        let body = serde_json::to_vec(&body).unwrap_or_default();
        self.reply_with(status, &[("content-type", "application/json")], body)
    }

    /// Answers it with any headers, and text or bytes.
    pub fn reply_with(
        self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Step<HttpSeen> {
        // As the daemon gives them.
        let headers =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).into())).collect();
        let (response, body) = (HttpResponse { status, headers }, body.into());
        self.answer(move |daemon, correlation| respond(daemon, correlation, &response, &body))
    }

    /// There is no answer: the request fails, with `offline` say, and this sentence.
    pub fn fail(self, code: &str, message: &str) -> Step<HttpSeen> {
        let (code, message) = (code.to_owned(), message.to_owned());
        self.answer(move |daemon, correlation| daemon.fail(correlation, &code, &message))
    }

    fn answer(self, answer: impl FnOnce(&Daemon, u32) + 'static) -> Step<HttpSeen> {
        let run = self.run.clone();
        run.step(async move |daemon| {
            let asked = daemon.until(daemon.patience(), |state| state.http.pop_front()).await;
            let Some(asked) = asked else {
                return Err(format!(
                    "the request {self:?} was expected, and did not come within {:?}",
                    daemon.patience()
                ));
            };
            let correlation = asked.correlation;
            let seen = HttpSeen::from(asked);
            self.check(&seen)?;
            answer(daemon, correlation);
            Ok(seen)
        })
    }

    fn check(&self, seen: &HttpSeen) -> Result<(), String> {
        let (expected, asked) = (format!("{self:?}"), format!("{} {}", seen.method, seen.url));
        if expected != asked {
            return Err(format!("another request\n{}", compare(expected.as_bytes(), asked.as_bytes())));
        }
        for (name, value) in &self.headers {
            match seen.header(name) {
                None => return Err(format!("{asked} has no header `{name}`: {:?}", seen.headers)),
                Some(other) if other != value => {
                    return Err(format!(
                        "{asked}\n  header `{name}`\n  expected {value}\n  seen     {other}"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(json) = &self.json {
            let other: Value = serde_json::from_slice(&seen.body)
                .map_err(|_| format!("the body of {asked} is not JSON: {}", text(&seen.body)))?;
            if other != *json {
                return Err(format!("the body of {asked}\n  expected {json}\n  seen     {other}"));
            }
        }
        match &self.body {
            Some(body) if *body != seen.body => {
                Err(format!("the body of {asked}\n{}", compare(body, &seen.body)))
            }
            _ => Ok(()),
        }
    }
}

impl HttpSeen {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

impl From<Asked> for HttpSeen {
    fn from(Asked { head, body, .. }: Asked) -> HttpSeen {
        HttpSeen { method: head.method, url: head.url, headers: head.headers, body }
    }
}

impl ExecExpectation {
    /// It ends with this status, and has written this.
    pub fn reply(self, status: u32, stdout: impl Into<Vec<u8>>) -> Step<()> {
        self.reply_with(status, stdout, "")
    }

    /// As [`reply`](Self::reply), with what it complains of.
    pub fn reply_with(self, status: u32, out: impl Into<Vec<u8>>, err: impl Into<Vec<u8>>) -> Step<()> {
        let (mut written, err) = (out.into(), err.into());
        let head = SshOutput { status: Some(status), signal: None, stdout: written.len() as u64 };
        written.extend(err);
        self.answer(move |daemon, correlation| headed(daemon, correlation, &head, &written))
    }

    /// It cannot be run, or does not end: the code, such as `timeout`, and a sentence.
    pub fn fail(self, code: &str, message: &str) -> Step<()> {
        let (code, message) = (code.to_owned(), message.to_owned());
        self.answer(move |daemon, correlation| daemon.fail(correlation, &code, &message))
    }

    fn answer(self, answer: impl FnOnce(&Daemon, u32) + 'static) -> Step<()> {
        let ExecExpectation { run, command } = self;
        run.step(async move |daemon| {
            let execed = daemon.until(daemon.patience(), |state| state.exec.pop_front()).await;
            let Some(execed) = execed else {
                let patience = daemon.patience();
                return Err(format!("the command {command:?} was expected, and not run within {patience:?}"));
            };
            if execed.command != command {
                let comparison = compare(command.as_bytes(), execed.command.as_bytes());
                return Err(format!("another command was run\n{comparison}"));
            }
            answer(daemon, execed.correlation);
            Ok(())
        })
    }
}

// === What the driver asks ===

impl Daemon {
    pub(super) fn asked_http(self: &Rc<Self>, correlation: u32, payload: &[u8]) {
        let read = Headed::read(payload).and_then(|Headed { head, body }| {
            Some((serde_json::from_slice::<HttpRequest>(head).ok()?, body))
        });
        let Some((head, body)) = read else {
            return self.fail(correlation, code::BAD_REQUEST, "a request that cannot be read");
        };
        self.note(format!("> {} {} {}", head.method, head.url, text(body)));
        let asked = Asked { correlation, head, body: body.to_vec() };
        match self.device.clone() {
            None => self.state().http.push_back(asked),
            Some(device) => {
                let this = self.clone();
                spawn_local(async move {
                    let tamper = this.look().tamper.clone();
                    if !this.look().link.up {
                        return this.fail(correlation, code::OFFLINE, "the service cannot be reached");
                    }
                    if tamper.silent {
                        sleep(HTTP_LIMIT).await;
                        return this.fail(correlation, code::TIMEOUT, "the service did not answer");
                    }
                    if let Some(left) = tamper.cut {
                        this.state().tamper.cut = left.checked_sub(1);
                        if left == 0 {
                            this.connection_lost("the connection broke");
                            this.link_up_after(RECONNECT);
                            return this.fail(correlation, code::OFFLINE, "the connection broke");
                        }
                    }
                    if let Some(garbage) = tamper.garbage {
                        let response = HttpResponse { status: 200, headers: Vec::new() };
                        return respond(&this, correlation, &response, &garbage);
                    }
                    match ask(&this, device, &asked).await {
                        Some((response, body)) => {
                            this.remember(&body);
                            respond(&this, correlation, &response, &body);
                        }
                        None => this.fail(correlation, code::OFFLINE, "the device model did not answer"),
                    }
                });
            }
        }
    }

    pub(super) fn asked_exec(&self, correlation: u32, payload: &[u8]) {
        let Ok(SshExec { command, .. }) = serde_json::from_slice(payload) else {
            return self.fail(correlation, code::BAD_REQUEST, "a command that cannot be read");
        };
        if self.device.is_some() {
            let why = "an emulated device runs no commands";
            return self.fail(correlation, code::OFFLINE, why);
        }
        self.note(format!("> runs {command:?}"));
        self.state().exec.push_back(Execed { correlation, command });
    }
}

fn headed(daemon: &Daemon, correlation: u32, head: &impl Serialize, body: &[u8]) {
    let (head, mut out) = (serde_json::to_vec(head).unwrap_or_default(), BytesMut::new());
    Headed { head: &head, body }.write(&mut out);
    daemon.done_with(correlation, &out);
}

fn respond(daemon: &Daemon, correlation: u32, response: &HttpResponse, body: &[u8]) {
    daemon.note(format!("< {} {}", response.status, text(body)));
    headed(daemon, correlation, response, body);
}

/// Makes a request of the device model, as much of HTTP/1.1 as [`HttpServer`](crate::emulator::HttpServer) speaks.
async fn ask(daemon: &Daemon, device: Rc<dyn Far>, asked: &Asked) -> Option<(HttpResponse, Vec<u8>)> {
    let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
    spawn_local(device.serve(theirs, false));
    let Asked { head, body, .. } = asked;
    let path = match head.url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or("/")).to_owned(),
        None => {
            let base = daemon.declaration.uri.and_then(|uri| uri.split_once("://"));
            let base = base.and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
            let slash = if base.is_empty() { "" } else { "/" };
            format!("{slash}{}/{}", base.trim_end_matches('/'), head.url.trim_start_matches('/'))
        }
    };
    let mut request = format!("{} {path} HTTP/1.1\r\ncontent-length: {}\r\n", head.method, body.len());
    for (name, value) in &head.headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    ours.write_all(request.as_bytes()).await.ok()?;
    ours.write_all(body).await.ok()?;
    let mut answer = Vec::new();
    loop {
        if let Some(response) = response(&answer, head.method == "HEAD") {
            return Some(response);
        }
        if ours.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads a response, perhaps without a body; `None` while it is not whole.
fn response(answer: &[u8], head_only: bool) -> Option<(HttpResponse, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(answer.get(..end)?).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.filter(|_| !head_only).and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let body = answer.get(end + 4..end + 4 + length)?.to_vec();
    Some((HttpResponse { status, headers }, body))
}
