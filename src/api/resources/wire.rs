//! What went over a module's wire, as its flight recorder has it: read at once, or followed.
//!
//! A follower is a response that goes on. It is given what it can take; what the recorder has lost meanwhile is counted and
//! said. It ends with the module, with the daemon, and when its key is no longer good.

use std::{str::FromStr, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State as Extract},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use utoipa::{ToSchema, openapi::schema::Type};

use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud,
        endpoint::{Endpoint, get},
        error::{Error, Result},
        http::query::Query,
    },
    connections::recorder::{
        Batch, Event, Follower, Record,
        format::{About, Format, Writer},
    },
    model::{Driver, Module, Role},
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/engine/v2/modules/{id}/wire", wire)
            .takes(Access::Support, &["modules"])
            .says("What went over the module's wire, without secrets.")
            .query("format", Type::String, "`json` (if not given), `text`, `hex`, `pcapng` or `recording`.")
            .query("follow", Type::Boolean, "Goes on with what comes; JSON is one object a line then.")
            .query("limit", Type::Integer, "The newest so many of what there is.")
            .query("since", Type::Integer, "Not before this time, Unix microseconds.")
            .query("after", Type::Integer, "Not up to the record with this number.")
            .query("direction", Type::String, "`sent` or `received`; connects and disconnects remain.")
            .lists::<Recorded>(StatusCode::OK, "Records, oldest first")
            .also("text/plain", "`text`, `hex`: for people")
            .also("application/x-pcapng", "`pcapng`: for Wireshark")
            .also("application/jsonl", "`recording`: a head, and an object a line; see docs/recording.md"),
    ]
}

/// Something that happened on a wire.
#[derive(ToSchema)]
#[allow(dead_code, reason = "a description of what connections::recorder::format writes")]
struct Recorded {
    /// Counted from 1; what is missing at the beginning has made room.
    number: u64,
    /// Unix microseconds.
    time: u64,
    /// Connections of the module are counted from 1.
    connection: u32,
    /// `up`, `down`, `sent`, `received`.
    event: String,
    /// The function of the module that it was sent for, or is an answer to.
    command: Option<String>,
    /// Tells calls of functions apart.
    call: Option<u16>,
    /// `text` if it was a message of text.
    form: Option<String>,
    /// What was sent or received, if it is readable text …
    text: Option<String>,
    /// … and if it is not.
    base64: Option<String>,
    /// It goes on in the next record.
    more: Option<bool>,
    /// Of `up`: as it is configured.
    address: Option<String>,
    /// Of `up`: the address that answered. Of `received`: who sent the datagram, if it was another.
    peer: Option<String>,
    /// Of `up`: what is sent and received are datagrams.
    datagrams: Option<bool>,
    /// Of `down`: as in the module's `runtime`.
    reason: Option<String>,
    /// Of `down`: a sentence.
    detail: Option<String>,
}

/// What somebody wants to see.
struct Filter {
    since: u64,
    after: u64,
    direction: Option<Direction>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Sent,
    Received,
}

async fn wire(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    let module: Module = crud::show(&state, &id).await?;
    let format = match query.text("format") {
        None => Format::Json,
        Some(word) => Format::from_str(word)
            .map_err(|()| wrong("format", "one of json, text, hex, pcapng, recording"))?,
    };
    let filter = Filter::read(&query)?;
    let limit = query.bounded("limit", usize::MAX, usize::MAX)?;
    let follow = query.flag("follow");
    if module.role == Role::Logic {
        return Err(Error::invalid("role", "a logic module has no device, and so nothing goes over a wire"));
    }
    let driver = crud::show::<Driver>(&state, &module.driver_id).await.map(|driver| driver.name);
    let about = About {
        name: module.resolved_name().to_owned(),
        driver: driver.unwrap_or_default(),
        module: module.id,
    };
    let Some(recorder) = state.runtime().recorder(&about.module) else {
        let why = "nothing is recorded: connections.recorder_bytes is 0, or the module was made this moment";
        return Err(Error::Unavailable(why.into()));
    };

    let mut writer = Writer::new(format, &about, follow);
    if let Some(up) = recorder.connection() {
        writer.context(&up);
    }
    let mut follower = recorder.follow();
    let there = follower.there();
    filter.write(&mut writer, &there.records, limit);
    let body =
        if follow { following(state, caller, follower, filter, writer) } else { writer.finish().into() };
    Ok(respond(format, follow, &about.module, body))
}

fn wrong(parameter: &str, restriction: &'static str) -> Error {
    Error::Parameter { parameter: parameter.to_owned(), restriction }
}

impl Filter {
    fn read(query: &Query) -> Result<Self> {
        let number = |name: &str| {
            let number = query.integer(name)?.unwrap_or(0);
            u64::try_from(number).map_err(|_| wrong(name, "a number from 0 on"))
        };
        let direction = match query.text("direction") {
            None => None,
            Some("sent") => Some(Direction::Sent),
            Some("received") => Some(Direction::Received),
            Some(_) => return Err(wrong("direction", "sent or received")),
        };
        Ok(Self { since: number("since")?, after: number("after")?, direction })
    }

    fn admits(&self, record: &Record) -> bool {
        record.time >= self.since
            && record.number > self.after
            && match record.event {
                Event::Sent(_) => self.direction != Some(Direction::Received),
                Event::Received(_) => self.direction != Some(Direction::Sent),
                Event::Up { .. } | Event::Down { .. } => true,
            }
    }

    /// The newest `limit` of the records that are wanted.
    fn write(&self, writer: &mut Writer, records: &[Record], limit: usize) {
        let wanted = records.iter().filter(|record| self.admits(record)).count();
        let mut skip = wanted.saturating_sub(limit);
        for record in records {
            if !self.admits(record) || skip > 0 {
                skip -= usize::from(self.admits(record));
                writer.context(record);
            } else {
                writer.record(record);
            }
        }
    }
}

/// A body that goes on.
fn following(state: State, caller: Caller, follower: Follower, filter: Filter, mut writer: Writer) -> Body {
    let begin = writer.take();
    let every = Duration::from_millis(state.options().socket_recheck_ms.max(1));
    let recheck = tokio::time::interval(every);
    let going = (state, caller, follower, filter, writer, recheck, Some(begin));
    let pieces = stream::unfold(going, |mut going| async move {
        let (state, caller, follower, filter, writer, recheck, begin) = &mut going;
        // What stands before all records comes at once, even if nothing has been recorded.
        let mut piece = begin.take().unwrap_or_default();
        while piece.is_empty() {
            tokio::select! {
                () = state.shutdown().cancelled() => return None,
                batch = follower.next() => {
                    let Batch { missed, records } = batch?;
                    if missed > 0 {
                        writer.missed(missed);
                    }
                    filter.write(writer, &records, usize::MAX);
                    piece = writer.take();
                }
                _ = recheck.tick() => {
                    if !state.verifier().still(caller).await {
                        return None;
                    }
                }
            }
        }
        Some((Ok::<_, std::convert::Infallible>(piece), going))
    });
    Body::from_stream(pieces)
}

fn respond(format: Format, follow: bool, module: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type(follow)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let extension = match format {
        Format::Pcapng => "pcapng",
        Format::Recording => "recording",
        Format::Json | Format::Text | Format::Hex => return response,
    };
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{module}.{extension}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}
