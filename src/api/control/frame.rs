//! The messages of the control WebSocket. They are read once, with borrowed text, and written as text: values pass
//! through as the JSON they are.

use std::{borrow::Cow, fmt::Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::runtime::exec;

/// What a client asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request<'a> {
    /// A number or a string; comes back as it is.
    #[serde(borrow)]
    pub(super) id: &'a RawValue,
    #[serde(borrow)]
    pub(super) cmd: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) sys: Cow<'a, str>,
    #[serde(borrow, rename = "mod")]
    pub(super) module: Cow<'a, str>,
    #[serde(default = "first")]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) args: Option<&'a RawValue>,
}

fn first() -> u32 {
    1
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Bind,
    Unbind,
    Exec,
    Debug,
    Ignore,
}

/// Error codes, as clients know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Parse = 0,
    BadRequest = 1,
    Denied = 2,
    Failed = 3,
    UnknownCommand = 4,
    SystemNotFound = 5,
    ModuleNotFound = 6,
    Unexpected = 7,
}

/// A refusal: code, text, HTTP-like number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) text: String,
    pub(super) status: u16,
}

impl Refusal {
    pub(super) fn new(code: Code, text: impl Into<String>, status: u16) -> Self {
        Refusal { code, text: text.into(), status }
    }
}

impl From<&exec::Error> for Refusal {
    fn from(error: &exec::Error) -> Self {
        let code = match error {
            exec::Error::SystemNotFound(_) => Code::SystemNotFound,
            exec::Error::ModuleNotFound(_) => Code::ModuleNotFound,
            exec::Error::UnknownFunction { .. } | exec::Error::BadRequest(_) => Code::BadRequest,
            exec::Error::Denied { .. } => Code::Denied,
            exec::Error::Raised(_) => Code::Failed,
            exec::Error::NotRunning { .. }
            | exec::Error::Overloaded { .. }
            | exec::Error::Timeout { .. }
            | exec::Error::Stopped(_) => Code::Unexpected,
        };
        let text = match error {
            exec::Error::Raised(failure) => format!("module raised: {}", failure.message),
            other => other.to_string(),
        };
        Refusal { code, text, status: error.status() }
    }
}

impl<'a> Request<'a> {
    /// Reads a frame; a refusal comes with the id, if that can be read.
    pub(super) fn parse(text: &'a str) -> Result<Self, (Box<str>, Refusal)> {
        // An array would be read as the fields in order.
        if text.trim_start().starts_with('[') {
            return Err(("0".into(), Refusal::new(Code::BadRequest, "a frame must be a JSON object", 400)));
        }
        let refused = match serde_json::from_str::<Request<'a>>(text) {
            Ok(request) if is_id(request.id.get()) => return Ok(request),
            Ok(_) => Refusal::new(Code::BadRequest, "the id must be a whole number or a string", 400),
            Err(error) if error.is_data() => {
                Refusal::new(Code::BadRequest, format!("bad request: {error}"), 400)
            }
            Err(error) => Refusal::new(Code::Parse, format!("this is not valid JSON: {error}"), 400),
        };
        Err((readable_id(text), refused))
    }

    pub(super) fn command(&self) -> Option<Command> {
        let all = [
            ("exec", Command::Exec),
            ("bind", Command::Bind),
            ("unbind", Command::Unbind),
            ("debug", Command::Debug),
            ("ignore", Command::Ignore),
        ];
        all.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(&self.cmd)).map(|(_, command)| command)
    }

    /// `{"sys":…,"mod":…,"index":…,"name":…}`, which every reply repeats.
    pub(super) fn meta(&self) -> Box<str> {
        let length = self.sys.len() + self.module.len() + self.name.len() + 48;
        let mut text = String::with_capacity(length);
        text.push_str("{\"sys\":");
        quote(&mut text, &self.sys);
        text.push_str(",\"mod\":");
        quote(&mut text, &self.module);
        let _ = write!(text, ",\"index\":{},\"name\":", self.index);
        quote(&mut text, &self.name);
        text.push('}');
        text.into_boxed_str()
    }
}

fn is_id(text: &str) -> bool {
    match text.as_bytes() {
        [b'"', ..] => true,
        [b'-', digits @ ..] | digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
    }
}

/// The id of a frame that is otherwise wrong; 0 if it has none.
fn readable_id(text: &str) -> Box<str> {
    #[derive(Deserialize)]
    struct Id<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    match serde_json::from_str::<Id<'_>>(text) {
        Ok(Id { id }) if is_id(id.get()) => id.get().into(),
        _ => "0".into(),
    }
}

/// `{"id":…,"type":"success"…}`; `value` and `code` are of an exec.
pub(super) fn success(out: &mut String, id: &str, meta: Option<&str>, result: Option<(&str, u16)>) {
    out.push_str("{\"id\":");
    out.push_str(id);
    out.push_str(",\"type\":\"success\"");
    if let Some((value, status)) = result {
        out.push_str(",\"value\":");
        out.push_str(if value.is_empty() { "null" } else { value });
        let _ = write!(out, ",\"code\":{status}");
    }
    if let Some(meta) = meta {
        out.push_str(",\"meta\":");
        out.push_str(meta);
    }
    out.push('}');
}

/// A value of a binding.
pub(super) fn notify(out: &mut String, id: &str, meta: &str, value: &str) {
    out.push_str("{\"id\":");
    out.push_str(id);
    out.push_str(",\"type\":\"notify\",\"value\":");
    out.push_str(if value.is_empty() { "null" } else { value });
    out.push_str(",\"meta\":");
    out.push_str(meta);
    out.push('}');
}

/// A refusal.
pub(super) fn error(out: &mut String, id: &str, refusal: &Refusal) {
    out.push_str("{\"id\":");
    out.push_str(id);
    let _ = write!(out, ",\"type\":\"error\",\"error_code\":{},\"msg\":", refusal.code as u8);
    quote(out, &refusal.text);
    let _ = write!(out, ",\"code\":{}}}", refusal.status);
}

/// A log line of a module.
pub(super) fn debug(out: &mut String, id: &str, meta: &str, module: &str, level: &str, text: &str) {
    out.push_str("{\"id\":");
    out.push_str(id);
    out.push_str(",\"type\":\"debug\",\"mod\":");
    quote(out, module);
    out.push_str(",\"level\":\"");
    out.push_str(level);
    out.push_str("\",\"msg\":");
    quote(out, text);
    out.push_str(",\"meta\":");
    out.push_str(meta);
    out.push('}');
}

/// Appends a JSON string.
fn quote(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A string always serializes.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}
