//! What a logic module under test asks of the system around it.

use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{CallModule, Monitor, Publish, StatusOf, code};
use serde_json::Value;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::{Called, Function, MockSystem, tell};
use crate::error::Error;
use crate::testing::daemon::Daemon;

/// How long the daemon lets a call to another module take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

impl MockSystem {
    /// A request of the module under test.
    pub(in crate::testing) fn asked(
        &self,
        daemon: &Rc<Daemon>,
        kind: Kind,
        correlation: u32,
        payload: &[u8],
    ) {
        if kind == Kind::Unsubscribe {
            let mut system = self.0.borrow_mut();
            system.subscriptions.remove(&correlation);
            system.monitors.remove(&correlation);
            return;
        }
        if kind == Kind::Monitor {
            if let Ok(monitor) = serde_json::from_slice::<Monitor>(payload) {
                self.0.borrow_mut().monitors.insert(correlation, monitor.channel);
            }
            return daemon.done(correlation);
        }
        if kind == Kind::Publish {
            if let Ok(Publish { channel, value }) = serde_json::from_slice(payload) {
                let value: Value = serde_json::from_str(value.get()).unwrap_or_default();
                self.0.borrow_mut().published.push((channel.to_string(), value.clone()));
                // Its own monitors hear it as well.
                self.publish(&channel, value);
            }
            return;
        }
        if kind == Kind::CallModule {
            return match serde_json::from_slice::<CallModule<'_>>(payload) {
                Ok(call) => match self.named(call.system.as_deref()) {
                    Some(system) => system.call(daemon, correlation, &call),
                    None => {
                        let id = call.system.unwrap_or_default();
                        let why = format!("there is no system {id}: MockSystem::other makes one");
                        daemon.fail(correlation, code::NOT_FOUND, &why);
                    }
                },
                Err(error) => daemon.fail(correlation, code::BAD_REQUEST, &error.to_string()),
            };
        }
        let of: StatusOf = match serde_json::from_slice(payload) {
            Ok(of) => of,
            Err(error) => return daemon.fail(correlation, code::BAD_REQUEST, &error.to_string()),
        };
        let value = self.value(&of);
        if kind == Kind::ReadStatus {
            let text = value.map_or(String::new(), |value| value.to_string());
            return daemon.done_with(correlation, text.as_bytes());
        }
        daemon.done(correlation);
        tell(daemon, correlation, value.clone());
        self.0.borrow_mut().subscriptions.insert(correlation, (of, value));
    }

    fn call(&self, daemon: &Rc<Daemon>, correlation: u32, call: &CallModule<'_>) {
        let (module, function) = (format!("{}_{}", call.module, call.index), call.function.to_string());
        let args: Value = serde_json::from_str(call.args.get()).unwrap_or_default();
        let list = match &args {
            Value::Array(list) => list.clone(),
            Value::Object(named) => named.values().cloned().collect(),
            _ => Vec::new(),
        };
        daemon.note(format!("calls {module}.{function}({})", call.args.get()));
        let mut system = self.0.borrow_mut();
        system.calls.push(Called { module: module.clone(), function: function.clone(), args });
        let index = usize::try_from(call.index).unwrap_or(usize::MAX);
        let found = match system.fake(&call.module, index) {
            None => Err((code::NOT_FOUND, format!("there is no module {module} in this system"))),
            Some(fake) => fake.functions.get(&function).cloned().ok_or_else(|| {
                let why = format!("{module} has no function `{function}`: Fake::answer gives it one");
                (code::UNKNOWN_FUNCTION, why)
            }),
        };
        // An answer may change the system.
        drop(system);
        let result = match found {
            Err((code, why)) => Err(Error::new(code, why)),
            Ok(Function::Answer(answer)) => answer(&list),
            Ok(Function::Sets(key)) => {
                let value = list.first().cloned().unwrap_or_default();
                self.put(&call.module, index, &key, &value);
                Ok(value)
            }
            Ok(Function::Silent) => {
                let daemon = daemon.clone();
                spawn_local(async move {
                    sleep(CALL_LIMIT).await;
                    daemon.fail(correlation, code::TIMEOUT, &format!("{module} did not answer {function}"));
                });
                return;
            }
        };
        match result {
            Ok(value) => daemon.done_with(correlation, value.to_string().as_bytes()),
            Err(error) => daemon.fail(correlation, error.code(), error.message()),
        }
    }
}

/// What a logic module that no test has put in a system is told of what it asks for.
pub(in crate::testing) fn nowhere(daemon: &Daemon, kind: Kind, correlation: u32) {
    if !matches!(kind, Kind::Unsubscribe | Kind::Publish) {
        let why = "this module is in no system: Harness::in_system puts it in one";
        daemon.fail(correlation, code::NOT_FOUND, why);
    }
}
