//! The way of a call: find the module, check the call against what its driver declares, hand it to the driver's
//! process, and wait for the answer or the deadline.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::MAX_PAYLOAD;
use drivers_sdk_protocol::manifest::Security;
use drivers_sdk_protocol::message::{Call, Failure, code};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::exec::{Error, Exec, Reply, Target};
use super::host::inbound::Answer;
use super::host::pending::{Outcome, Recorded, Waiter};
use super::modules::{Entry, Place};
use super::view::State;
use super::{Shared, view};

/// Arguments may be this much shorter than a frame.
const MAX_ARGS: usize = MAX_PAYLOAD - 64 * 1024;

/// A call for somebody outside.
pub(crate) async fn exec(shared: &Shared, request: Exec) -> Result<Reply, Error> {
    let begun = Instant::now();
    let longest = Duration::from_millis(shared.options.exec_timeout_max_ms);
    let usual = Duration::from_millis(shared.options.exec_timeout_ms);
    let limit = request.deadline.unwrap_or(usual).min(longest);
    let entry = shared.find(&request.target)?;
    let place = match entry.wire.running() {
        Some(place) => place,
        None => {
            entry.settled(limit).await;
            entry.wire.running().ok_or_else(|| not_running(&entry))?
        }
    };
    let number = check(&entry, &place, &request.function, &request.args, request.clearance)?;
    crowded(shared, &entry, &place)?;
    entry.wire.wake();
    let call = Call {
        function: Cow::Borrowed(&request.function),
        args: &request.args,
        user: request.user.as_deref().map(Cow::Borrowed),
    };
    let mut calling = place.channel.call(place.handle, &call, recorded(&entry, number), begun + limit);
    let outcome = calling.outcome().await;
    drop(calling);
    shared.metrics.exec(begun.elapsed(), &outcome);
    match outcome {
        Outcome::Done(value) => Ok(Reply { value, status: 200 }),
        other => Err(failed(other, &entry.id, &request.function, limit)),
    }
}

/// A call for another driver, which ends by `until` (none: after the usual time). What can be refused or handed on at
/// once is; only a module that is about to run costs a task.
pub(crate) fn relay(
    shared: &Arc<Shared>,
    target: Target,
    call: Call<'_>,
    until: Option<Instant>,
    answer: Answer,
) {
    let begun = Instant::now();
    let limit = match until {
        Some(until) => until.saturating_duration_since(begun),
        None => Duration::from_millis(shared.options.exec_timeout_ms),
    };
    let entry = match shared.find(&target) {
        Ok(entry) => entry,
        Err(error) => return answer.error(&error),
    };
    if let Some(place) = entry.wire.running() {
        let ready = check(&entry, &place, &call.function, call.args, Security::Administrator)
            .and_then(|number| crowded(shared, &entry, &place).map(|()| number));
        let number = match ready {
            Ok(number) => number,
            Err(error) => return answer.error(&error),
        };
        entry.wire.wake();
        let (shared, id, name) = (shared.clone(), entry.id.clone(), call.function.clone().into_owned());
        let then = move |outcome: Outcome| {
            shared.metrics.exec(begun.elapsed(), &outcome);
            match outcome {
                Outcome::Done(value) => answer.done(&value),
                Outcome::Failed(failure) => answer.failed(&failure),
                other => answer.error(&failed(other, &id, &name, limit)),
            }
        };
        let (recorded, waiter) = (recorded(&entry, number), Waiter::Then(Box::new(then)));
        place.channel.begin_call(place.handle, &call, recorded, begun + limit, waiter);
    } else if entry.life().coming {
        let request = Exec {
            target,
            function: call.function.into_owned(),
            args: call.args.to_owned(),
            user: call.user.map(Cow::into_owned),
            clearance: Security::Administrator,
            deadline: Some(limit),
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            match exec(&shared, request).await {
                Ok(reply) => answer.done(&reply.value),
                Err(error) => answer.error(&error),
            }
        });
    } else {
        answer.error(&not_running(&entry));
    }
}

fn recorded(entry: &Entry, number: u16) -> Recorded<'_> {
    entry.recorder.as_ref().map(|recorder| (recorder, number))
}

/// The number of the function, for the record.
fn check(
    entry: &Entry,
    place: &Place,
    function: &str,
    args: &RawValue,
    clearance: Security,
) -> Result<u16, Error> {
    if args.get().len() > MAX_ARGS {
        return Err(Error::BadRequest(format!(
            "the arguments of {function} are {} bytes, over the limit of {MAX_ARGS}",
            args.get().len()
        )));
    }
    place.program.admit(&entry.id, function, args, clearance)
}

/// Calls are refused long before a process counts as one that does not read, and when it is working on too many: modules
/// that call each other in a circle end there.
fn crowded(shared: &Shared, entry: &Entry, place: &Place) -> Result<(), Error> {
    let (bytes, calls) = (place.channel.out.waiting(), place.channel.pending.len());
    let (most_bytes, most_calls) = (shared.options.channel_bytes / 4, shared.options.calls_in_flight);
    let waiting = if bytes > most_bytes {
        format!(
            "{bytes} bytes of calls wait for it, and {most_bytes} may (a quarter of drivers.channel_bytes)"
        )
    } else if calls >= most_calls {
        format!("it is working on {calls} calls, and that is as many as may be (drivers.calls_in_flight)")
    } else {
        return Ok(());
    };
    Err(Error::Overloaded { module: entry.id.to_string(), waiting })
}

fn failed(outcome: Outcome, module: &str, function: &str, after: Duration) -> Error {
    match outcome {
        Outcome::Failed(failure) if failure.code == code::UNKNOWN_FUNCTION => {
            Error::UnknownFunction { module: module.into(), function: function.into() }
        }
        Outcome::Failed(failure) if failure.code == code::BAD_REQUEST => Error::BadRequest(failure.message),
        Outcome::Failed(failure) => Error::Raised(failure),
        Outcome::Gone(why) => Error::Stopped(why.to_string()),
        Outcome::Late | Outcome::Done(_) => {
            Error::Timeout { module: module.into(), function: function.into(), after }
        }
    }
}

fn not_running(entry: &Entry) -> Error {
    let life = entry.life();
    let mut why = match (life.state, &life.detail, &life.last_error) {
        (State::Stopped, None, _) => "it is stopped; start it first".into(),
        (_, Some(detail), _) => detail.to_string(),
        (_, None, Some(error)) => error.message.clone(),
        (state, None, None) => state.as_str().to_owned(),
    };
    if let Some(at) = life.next_attempt {
        let wait = at.saturating_sub(view::now()).max(0) as f64 / 1000.0;
        why.push_str(&format!("; next attempt in {wait:.1} s"));
    }
    Error::NotRunning { module: entry.id.to_string(), why }
}

impl Error {
    /// As another driver is told of it.
    pub(crate) fn to_failure(&self) -> Failure {
        let code = match self {
            Error::Raised(failure) => return failure.clone(),
            Error::SystemNotFound(_) | Error::ModuleNotFound(_) => code::NOT_FOUND,
            Error::UnknownFunction { .. } => code::UNKNOWN_FUNCTION,
            Error::BadRequest(_) | Error::Denied { .. } => code::BAD_REQUEST,
            Error::Timeout { .. } => code::TIMEOUT,
            Error::NotRunning { .. } | Error::Overloaded { .. } | Error::Stopped(_) => code::STOPPED,
        };
        Failure { code: code.into(), message: self.to_string(), status: self.status(), ..Failure::default() }
    }
}
