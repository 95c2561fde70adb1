//! A panic in a module's code ends that module: caught here, with its place and backtrace.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::task::Poll;

use drivers_sdk_protocol::message::{Failure, code};

/// Most lines of a backtrace that are kept.
const BACKTRACE_LINES: usize = 64;

thread_local! {
    /// Whether a module's code runs on this thread.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// What the hook saw of the last panic in a module's code.
    static SEEN: RefCell<Option<(Option<String>, Vec<String>)>> = const { RefCell::new(None) };
}

/// Makes panics in modules' code leave their place and backtrace here; others go to the hook there was before.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| if GUARDED.get() { see(info) } else { previous(info) }));
    });
}

fn see(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| place.to_string());
    let backtrace = trim(&Backtrace::force_capture().to_string());
    SEEN.set(Some((place, backtrace)));
}

/// The frames between the panic and the SDK, a line each: `function at file:line`.
fn trim(backtrace: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in backtrace.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(last) = lines.last_mut() {
                *last = format!("{last} at {place}");
            }
        } else if let Some((number, function)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            lines.push(function.to_owned());
        }
    }
    // Above is the machinery of panicking, below that of the runtime: neither says anything about the driver.
    let machinery = |line: &String| {
        [
            "std::",
            "core::",
            "<core::",
            "<std::",
            "rust_begin_unwind",
            "__rust",
            "drivers_sdk::panics",
            "tokio::",
        ]
        .iter()
        .any(|prefix| line.starts_with(prefix))
            || line.contains("drivers_sdk::panics")
    };
    let start = lines
        .iter()
        .position(|line| line.contains("rust_begin_unwind") || line.contains("begin_panic_handler"));
    let mut lines = lines.split_off(start.map_or(0, |at| at + 1));
    if let Some(end) = lines.iter().position(|line| line.contains("drivers_sdk::panics")) {
        lines.truncate(end);
    }
    lines.retain(|line| !machinery(line));
    lines.truncate(BACKTRACE_LINES);
    lines
}

/// Runs a module's code; a panic becomes a failure that says where.
pub(crate) fn guard<R>(code: impl FnOnce() -> R) -> Result<R, Failure> {
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(outer);
    result.map_err(failure)
}

fn failure(payload: Box<dyn Any + Send>) -> Failure {
    let (place, backtrace) = SEEN.take().unwrap_or_default();
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    Failure { code: code::PANIC.into(), message, status: 0, place, backtrace }
}

/// Polls a module's future under [`guard`]; it must not be polled again after a failure.
pub(crate) async fn guarded<F: Future>(future: F) -> Result<F::Output, Failure> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match guard(|| future.as_mut().poll(context)) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(failure) => Poll::Ready(Err(failure)),
    })
    .await
}

#[cfg(test)]
mod tests;
