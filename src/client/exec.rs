//! `headend exec`: calls a function and prints what it returns.

use serde_json::Value;

use super::{
    Error, Result,
    find::{self, Place, Target},
    http::{Client, Route},
    live,
    names::suggest,
    table::{print, print_json},
};

pub(super) async fn run(http: &Client, words: &[String], json: bool) -> Result<()> {
    let (Target::Module(place), rest) = find::target(http, words, true).await? else {
        return Err(Error::Usage("exec calls a function of a module: name one".into()));
    };
    let Some((function, arguments)) = rest.split_first() else {
        let known = functions(http, &place).await;
        let known = suggest("", known.iter().map(String::as_str));
        return Err(Error::Usage(format!(
            "which function of {}?{}",
            place.title(),
            known.replacen(';', "", 1)
        )));
    };
    let arguments = Value::Array(arguments.iter().map(|word| argument(word)).collect());
    let route = match &place.system {
        Some((system, _)) => Route::new(&["systems", system, &place.slot, function]),
        None => Route::new(&["modules", place.id(), "exec", function]),
    };
    match http.post(&route, &arguments).await {
        Ok(value) if json => print_json(&value),
        Ok(Value::Null) => {}
        Ok(Value::String(text)) => print(&format!("{text}\n")),
        Ok(value) => print(&format!("{value:#}\n")),
        Err(error) => return Err(explain(http, &place, function, error).await),
    }
    Ok(())
}

/// JSON if it is, else the word itself: `true`, `42`, `[1,2]`, `hdmi1`.
pub(super) fn argument(word: &str) -> Value {
    serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.into()))
}

/// Adds what the person needs to know: the functions there are, or why the module does not answer.
async fn explain(http: &Client, place: &Place, function: &str, error: Error) -> Error {
    let said = match &error {
        Error::Failed(said) | Error::NotFound(said) => said.clone(),
        _ => return error,
    };
    let known = functions(http, place).await;
    if !known.is_empty() && !known.iter().any(|name| name == function) {
        let hint = suggest(function, known.iter().map(String::as_str));
        return Error::NotFound(format!("{} has no function {function}{hint}", place.title()));
    }
    match http.get(&Route::new(&["modules", place.id()])).await {
        Ok(module) if live::word(&module) != "connected" => {
            let detail = live::detail(&module);
            let why = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            Error::Failed(format!("{said}. {} is {}{why}", place.title(), live::word(&module)))
        }
        _ => Error::Failed(said),
    }
}

/// The functions this key may call, as far as the API tells.
async fn functions(http: &Client, place: &Place) -> Vec<String> {
    let Some((system, _)) = &place.system else { return Vec::new() };
    let found = http.get(&Route::new(&["systems", system, "functions", &place.slot])).await;
    found.ok().and_then(|found| Some(found.as_object()?.keys().cloned().collect())).unwrap_or_default()
}
