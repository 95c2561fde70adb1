//! What is typed at the prompt: `FUNCTION ARGUMENT…`, by position, or by name as `NAME=VALUE`. An argument is JSON, or a bare
//! word; one with spaces stands in quotes or brackets, as JSON has it.

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::{Function, Param};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What is no function.
const OWN: [(&str, &str); 6] = [
    ("status", "the module's state and status"),
    ("wire", "the last of what went over the wire"),
    ("wire off", "shows no more of it"),
    ("wire on", "shows it again"),
    ("help", "this"),
    ("quit", "ends it"),
];

/// The words of a line.
pub(super) fn words(line: &str) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let (mut begin, mut depth, mut quoted, mut escaped) = (None, 0u32, false, false);
    for (at, char) in line.char_indices() {
        if char.is_whitespace() && depth == 0 && !quoted {
            words.extend(begin.take().and_then(|begin: usize| line.get(begin..at)));
            continue;
        }
        begin.get_or_insert(at);
        match char {
            _ if std::mem::take(&mut escaped) => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if quoted || depth > 0 {
        return Err(format!("a {} is open at the end", if quoted { "quote" } else { "bracket" }));
    }
    words.extend(begin.and_then(|begin| line.get(begin..)));
    Ok(words)
}

/// Arguments as a call has them: by name if all of them have the name of a parameter.
pub(super) fn arguments(function: Option<&Function>, words: &[&str]) -> Box<RawValue> {
    let params = function.map(|function| function.params.as_slice()).unwrap_or_default();
    let named = |word: &&str| {
        let (name, text) = word.split_once('=')?;
        params.iter().any(|param| param.name == name).then(|| (name.to_owned(), value(text)))
    };
    let by_name: Option<Map<String, Value>> = words.iter().map(named).collect();
    let args = match by_name.filter(|args| !args.is_empty()) {
        Some(args) => Value::Object(args),
        None => Value::Array(words.iter().map(|word| value(word)).collect()),
    };
    RawValue::from_string(args.to_string()).unwrap_or_default()
}

/// JSON if it is, else the word itself.
fn value(word: &str) -> Value {
    serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.into()))
}

/// What the word at the end of `typed` may become, and where it begins.
pub(super) fn complete(manifest: &Manifest, typed: &str) -> (usize, Vec<String>) {
    let begin = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let word = typed.get(begin..).unwrap_or_default();
    let fits = |name: &String| name.starts_with(word);
    let Some(function) = called(manifest, typed) else {
        let own = OWN.iter().map(|(name, _)| *name);
        let functions = manifest.functions.iter().map(|function| function.name.as_str());
        let all = functions.chain(own).map(|name| format!("{name} "));
        return (
            begin,
            if typed.trim_start().contains(' ') { Vec::new() } else { all.filter(fits).collect() },
        );
    };
    let used = |param: &&Param| !typed.contains(&format!(" {}=", param.name));
    let names = function.params.iter().filter(used).map(|param| format!("{}=", param.name));
    let values = match word.split_once('=') {
        Some((name, _)) => {
            let param = function.params.iter().find(|param| param.name == name);
            param
                .map(values)
                .unwrap_or_default()
                .into_iter()
                .map(|value| format!("{name}={value} "))
                .collect()
        }
        None => {
            let place = words(typed.get(..begin).unwrap_or_default()).map_or(0, |words| words.len());
            let param = function.params.get(place.saturating_sub(1));
            param.map(values).unwrap_or_default()
        }
    };
    (begin, values.into_iter().chain(names).filter(fits).collect())
}

/// The arguments that the function takes, behind what is typed of its name.
pub(super) fn hint(manifest: &Manifest, typed: &str) -> Option<String> {
    let function = manifest.functions.iter().find(|function| function.name == typed.trim())?;
    let space = if typed.ends_with(' ') { "" } else { " " };
    let params: Vec<String> = function.params.iter().map(signature).collect();
    (!params.is_empty()).then(|| format!("{space}{}", params.join(" ")))
}

/// What can be typed.
pub(super) fn help(manifest: &Manifest) -> String {
    let mut rows = Vec::new();
    for function in &manifest.functions {
        let params: Vec<String> = function.params.iter().map(signature).collect();
        let what = sentence(&function.description);
        rows.push((format!("{} {}", function.name, params.join(" ")), what));
    }
    rows.extend(OWN.map(|(name, what)| (name.to_owned(), what.to_owned())));
    let width = rows.iter().map(|(call, _)| call.chars().count()).max().unwrap_or_default();
    let rows: Vec<String> =
        rows.iter().map(|(call, what)| format!("  {call:width$}  {what}").trim_end().to_owned()).collect();
    rows.join("\n")
}

/// The first of a description.
fn sentence(description: &str) -> String {
    let lines: Vec<_> =
        description.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let text = lines.join(" ");
    text.split_once(". ").map_or(text.clone(), |(first, _)| format!("{first}."))
}

/// The function whose arguments are being typed.
fn called<'a>(manifest: &'a Manifest, typed: &str) -> Option<&'a Function> {
    let (first, _) = typed.trim_start().split_once(char::is_whitespace)?;
    manifest.functions.iter().find(|function| function.name == first)
}

/// `level:integer`, in brackets if it may be left out.
fn signature(param: &Param) -> String {
    let kind = match param.schema.get("type").and_then(Value::as_str) {
        Some(kind) => format!("{}:{kind}", param.name),
        None => param.name.clone(),
    };
    if param.optional { format!("[{kind}]") } else { kind }
}

/// The values of a parameter that has few.
fn values(param: &Param) -> Vec<String> {
    let words = param.schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut values: Vec<String> =
        words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
    if param.schema.get("type").and_then(Value::as_str) == Some("boolean") {
        values.extend(["true".into(), "false".into()]);
    }
    values
}
