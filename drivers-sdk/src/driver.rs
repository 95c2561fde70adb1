//! What `#[driver]` makes of an `impl` block: the [`Driver`] trait, and the [`Declaration`] behind its manifest.

use std::future::ready;
use std::time::Duration;

use drivers_sdk_protocol::manifest::{Kind, Security};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Cx;
use crate::error::Result;
use crate::frame::Frame;
use crate::framing::Framing;
use crate::interfaces::Interface;
use crate::module::Core;
use crate::settings::Settings;
use crate::status::Status;

/// A driver. Write `#[driver(…)]` on an `impl` block instead of implementing this.
pub trait Driver: Sized + 'static {
    /// What people configure.
    type Settings: Settings;
    /// What the module publishes.
    type Status: Status;
    /// What the attribute says.
    const DECLARATION: &'static Declaration;

    /// Makes a module's state.
    #[doc(hidden)]
    fn create(settings: &Self::Settings) -> Result<Self>;

    /// The schemas of its own functions, in their order.
    #[doc(hidden)]
    fn schemas(schemas: &mut Schemas) -> Vec<FunctionSchemas>;

    /// Runs the function with this number.
    #[doc(hidden)]
    fn call(
        &self,
        cx: &Cx<Self>,
        function: usize,
        args: String,
        reply: Reply<'_>,
    ) -> impl Future<Output = Result>;

    #[doc(hidden)]
    fn started(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn stopped(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn login(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn connected(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn disconnected(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn settings_changed(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn system_changed(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    #[doc(hidden)]
    fn follow(&self, _: &Cx<Self>) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    /// Runs the poll with this number.
    #[doc(hidden)]
    fn poll(&self, _: &Cx<Self>, _: usize) -> impl Future<Output = Result> {
        ready(Ok(()))
    }

    /// How often it runs; `None`: only once.
    #[doc(hidden)]
    fn period(_: &Self::Settings, _: usize) -> Option<Duration> {
        None
    }

    #[doc(hidden)]
    fn received(&self, _: &Cx<Self>, _: &Frame) -> impl Future<Output = Result> {
        ready(Ok(()))
    }
}

/// What a driver says about itself, as far as it is known without schemas.
#[derive(Debug)]
pub struct Declaration {
    /// What people call it.
    pub name: &'static str,
    /// The name its modules are found by.
    pub module: &'static str,
    /// Markdown, from the doc comment.
    pub description: &'static str,
    /// How it reaches its device.
    pub kind: Kind,
    /// Default port.
    pub port: Option<u16>,
    /// The device speaks UDP.
    pub udp: bool,
    /// Default base URI of a service.
    pub uri: Option<&'static str>,
    /// Connect to send, then disconnect.
    pub makebreak: bool,
    /// How long a make-break connection stays, in milliseconds.
    pub hold_ms: Option<u64>,
    /// How frames are told apart.
    pub framing: Framing,
    /// How long a command waits for its reply, in milliseconds.
    pub timeout_ms: u64,
    /// How often a command without a reply is sent again.
    pub retries: u32,
    /// Least time between the end of a command and the next, in milliseconds.
    pub delay_ms: u64,
    /// How the device refuses a command, whatever that is.
    pub refusal: Option<Refusal>,
    /// Which handlers it has.
    pub handlers: Handlers,
    /// The names of its polls.
    pub polls: &'static [&'static str],
    /// Its own functions, in the order of the source. Those of its interfaces are numbered after them.
    pub functions: &'static [Function],
    /// The interfaces it implements.
    pub interfaces: &'static [Interface],
    /// What its system must have.
    pub requires: &'static [Need],
    /// What it makes use of where its system has it.
    pub optional: &'static [Need],
}

/// Why the device refuses, in a sentence, if that is what a frame says.
pub(crate) type Refusal = fn(&str) -> Option<String>;

/// A module that a logic driver works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// One of this name.
    Module(&'static str),
    /// One with this interface.
    Interface(&'static str),
}

/// Which handlers a driver has, so that nothing is run for those that it has not.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Handlers {
    pub started: bool,
    pub stopped: bool,
    pub login: bool,
    pub connected: bool,
    pub disconnected: bool,
    pub settings_changed: bool,
    pub system_changed: bool,
    pub follow: bool,
    pub received: bool,
}

impl Declaration {
    /// Says nothing.
    pub const NONE: Declaration = Declaration {
        name: "",
        module: "",
        description: "",
        kind: Kind::Device,
        port: None,
        udp: false,
        uri: None,
        makebreak: false,
        hold_ms: None,
        framing: crate::framing::none(),
        timeout_ms: 0,
        retries: 0,
        delay_ms: 0,
        refusal: None,
        handlers: Handlers::NONE,
        polls: &[],
        functions: &[],
        interfaces: &[],
        requires: &[],
        optional: &[],
    };

    /// Every function, by its number.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &'static Function> {
        self.functions.iter().chain(self.interfaces.iter().flat_map(|interface| interface.functions))
    }
}

impl Handlers {
    /// None of them.
    pub const NONE: Handlers = Handlers {
        started: false,
        stopped: false,
        login: false,
        connected: false,
        disconnected: false,
        settings_changed: false,
        system_changed: false,
        follow: false,
        received: false,
    };
}

/// A function that callers may use.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Markdown, from its doc comment.
    pub description: &'static str,
    /// Who may call it.
    pub security: Security,
    /// Services on the Internet may call it.
    pub webhook: bool,
    /// Its parameters.
    pub params: &'static [Param],
}

/// A parameter of a function.
#[derive(Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// May be left out.
    pub optional: bool,
}

/// Makes schemas of what callers send and of what they get: those may differ.
#[derive(Debug)]
pub struct Schemas {
    /// For arguments and settings.
    pub(crate) input: SchemaGenerator,
    /// For results and status.
    pub(crate) output: SchemaGenerator,
}

impl Schemas {
    /// The schema of an argument or setting.
    pub fn input<T: Input>(&mut self) -> Schema {
        self.input.subschema_for::<T>()
    }

    /// The schema of a result or status value.
    pub fn output<T: Output>(&mut self) -> Schema {
        self.output.subschema_for::<T>()
    }
}

/// The schemas of one function.
#[derive(Debug)]
pub struct FunctionSchemas {
    /// Of its parameters, in order.
    pub params: Vec<Schema>,
    /// Of its result.
    pub returns: Schema,
}

/// Where the result of a call goes.
#[derive(Debug)]
pub struct Reply<'a> {
    pub(crate) core: &'a Core,
    pub(crate) correlation: u32,
}

impl Reply<'_> {
    /// Answers the call.
    pub fn done<T: Output>(self, value: &T) -> Result {
        self.core.answer(self.correlation, value)
    }
}

/// What callers and settings may give: what is read from JSON and has a schema.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument or a setting: it is not read from JSON",
    label = "not read from JSON",
    note = "if the type is yours, put `#[data]` before it"
)]
pub trait Input: DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + JsonSchema> Input for T {}

/// What functions may return and a status may hold: what becomes JSON and has a schema.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a result, a status or a default: it does not become JSON",
    label = "does not become JSON",
    note = "if the type is yours, put `#[data]` before it; a `Secret` never becomes JSON"
)]
pub trait Output: Serialize + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + JsonSchema + ?Sized> Output for T {}

/// A result whose value has a schema: tells the `T` of a `Result<T>` under whatever alias it is written.
pub trait Fallible {
    /// The value of success.
    type Value;
}

impl<T, E> Fallible for std::result::Result<T, E> {
    type Value = T;
}

/// What handlers, schedules and subscriptions may return: nothing, or a result that is logged if it is an error.
pub trait Outcome {
    /// As a result.
    fn outcome(self) -> Result;
}

impl Outcome for () {
    fn outcome(self) -> Result {
        Ok(())
    }
}

impl<T, E: Into<crate::error::Error>> Outcome for std::result::Result<T, E> {
    fn outcome(self) -> Result {
        self.map(drop).map_err(Into::into)
    }
}

/// Stands where the code of a driver that does not compile would stand.
pub fn never<T>() -> Result<T> {
    Err(crate::error::Error::driver("this driver did not compile"))
}
