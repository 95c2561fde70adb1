//! `headend logs`: the last lines of a module's log, and those that follow.

use serde_json::{Value, json};

use super::{
    Error, Result,
    find::{self, Target, text},
    http::{Client, Route},
    socket::Socket,
    table::{print, print_json},
};

pub(super) async fn run(http: &Client, words: &[String], follow: bool, json: bool) -> Result<()> {
    let (Target::Module(place), _) = find::target(http, words, true).await? else {
        return Err(Error::Usage("logs shows one module's log: name a module".into()));
    };
    // The socket first, so that no line falls between the two.
    let mut socket = None;
    if follow {
        let mut opened = Socket::open(http).await?;
        opened.send("debug", &place, "debug").await?;
        while text(&opened.next().await?, "type") != "success" {}
        socket = Some(opened);
    }
    let recent = http.get(&Route::new(&["modules", place.id(), "log"])).await?;
    for line in recent.as_array().into_iter().flatten() {
        show(&place.slot, line, json);
    }
    let Some(mut socket) = socket else { return Ok(()) };
    loop {
        let message = socket.next().await?;
        if text(&message, "type") == "debug" {
            show(&place.slot, &json!({ "level": message.get("level"), "text": message.get("msg") }), json);
        }
    }
}

fn show(slot: &str, line: &Value, json: bool) {
    if json {
        return print_json(line);
    }
    let time = line.get("time").and_then(Value::as_i64).map(clock).unwrap_or_default();
    print(&format!("{time}{slot}  {:<6} {}\n", text(line, "level"), text(line, "text")));
}

/// Unix milliseconds as the time of day, UTC.
fn clock(time: i64) -> String {
    let seconds = time.div_euclid(1000).rem_euclid(86_400);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z  ", seconds % 60, time.rem_euclid(1000))
}
