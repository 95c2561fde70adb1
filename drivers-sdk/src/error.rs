//! The error of a driver: a code that programs rely on and a sentence for a person.

use std::fmt;

use drivers_sdk_protocol::message::{Failure, code};

/// What functions and handlers of a driver return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a command, a call or a handler failed.
///
/// Any `std::error::Error` turns into one with `?` (code `driver`); [`Error::new`] makes one with a code of your own.
/// One pointer in size. It is not a `std::error::Error` itself, so that the conversion can exist.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

impl Error {
    /// An error with a code of the driver's own, such as `lamp_failure`.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Error {
        Error(Box::new(Failure { code: code.into(), message: message.into(), ..Failure::default() }))
    }

    /// The device refused, or answered something unexpected (code `device`).
    pub fn device(message: impl Into<String>) -> Error {
        Error::new(code::DEVICE, message)
    }

    /// Something the driver cannot do (code `driver`).
    pub fn driver(message: impl Into<String>) -> Error {
        Error::new(code::DRIVER, message)
    }

    /// The caller asked for something that makes no sense (code `bad_request`).
    pub fn bad_request(message: impl Into<String>) -> Error {
        Error::new(code::BAD_REQUEST, message)
    }

    /// No answer in time (code `timeout`).
    pub fn timeout(message: impl Into<String>) -> Error {
        Error::new(code::TIMEOUT, message)
    }

    /// The device cannot be reached (code `offline`).
    pub fn offline(message: impl Into<String>) -> Error {
        Error::new(code::OFFLINE, message)
    }

    pub(crate) fn replaced(message: impl Into<String>) -> Error {
        Error::new(code::REPLACED, message)
    }

    pub(crate) fn stopped() -> Error {
        Error::new(code::STOPPED, "the module stopped")
    }

    /// What the daemon says went wrong.
    pub(crate) fn from_failure(failure: Failure) -> Error {
        Error(Box::new(failure))
    }

    pub(crate) fn failure(&self) -> &Failure {
        &self.0
    }

    /// The number an HTTP caller sees in place of the code's own, such as 409.
    pub fn with_status(mut self, status: u16) -> Error {
        self.0.status = status;
        self
    }

    /// The word programs rely on.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The sentence for a person.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The device could not be reached, or went away while the command was in flight.
    pub fn is_offline(&self) -> bool {
        self.0.code == code::OFFLINE
    }

    /// The device refused, or answered something unexpected: asking again will not help.
    pub fn is_refused(&self) -> bool {
        self.0.code == code::DEVICE
    }

    /// No answer came in time.
    pub fn is_timeout(&self) -> bool {
        self.0.code == code::TIMEOUT
    }

    /// The caller asked for something that makes no sense, or with arguments that do not fit.
    pub fn is_bad_request(&self) -> bool {
        self.0.code == code::BAD_REQUEST
    }

    /// There is no such module.
    pub fn is_not_found(&self) -> bool {
        self.0.code == code::NOT_FOUND
    }

    /// The module has no such function.
    pub fn is_unknown_function(&self) -> bool {
        self.0.code == code::UNKNOWN_FUNCTION
    }

    /// The module stopped, this one or the one that was called, or is not running.
    pub fn is_stopped(&self) -> bool {
        self.0.code == code::STOPPED
    }

    /// A newer command of the same name took this one's place.
    pub fn is_replaced(&self) -> bool {
        self.0.code == code::REPLACED
    }
}

/// A result that may be a refusal of the device: see [`unless_refused`](Refusable::unless_refused).
pub trait Refusable<T> {
    /// `None` if the device refused, which some do that have not got what they are asked for:
    /// `cx.send("HOURS ?").reply(hours).await.unless_refused()?`. Other errors stay.
    fn unless_refused(self) -> Result<Option<T>>;
}

impl<T> Refusable<T> for Result<T> {
    fn unless_refused(self) -> Result<Option<T>> {
        match self {
            Err(error) if error.is_refused() => Ok(None),
            result => result.map(Some),
        }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Error::driver(message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}
