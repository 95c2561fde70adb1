//! A standby: of several modules of one kind one is in charge, and another takes over when it goes offline.
//!
//! ```text
//!             the one in charge is offline for `grace_seconds`
//!   master ───────────────────────────────────────────────────▶ backup
//!          ◀───────────────────────────────────────────────────
//!             `fail_back`, and the master is online for `settle_seconds`
//! ```
//!
//! The first module of the system is the master, those after it stand by in their order. Whoever takes over is told so with the
//! functions that the settings name, and the one before, if it can be reached, is told to stand by, before that. While
//! nobody is online nothing changes. After a restart the master is in charge until it is seen to be offline.

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Options {
    /// Name of the modules: `Encoder` for Encoder_1, Encoder_2, ….
    module: String,
    /// Seconds that the one in charge may be away before another takes over.
    #[setting(default = 5)]
    grace_seconds: u64,
    /// Whether the master takes over again when it is back. Otherwise that is for people to do.
    #[setting(default = true)]
    fail_back: bool,
    /// Seconds that it must have been back by then.
    #[setting(default = 30)]
    settle_seconds: u64,
    /// What is called, in order, of the module that takes over.
    #[setting(default)]
    on_take_over: Vec<Order>,
    /// What is called, in order, of the module that stands by from then on.
    #[setting(default)]
    on_stand_by: Vec<Order>,
    /// Functions that anybody may call of the one in charge.
    #[setting(default)]
    functions: Vec<String>,
}

/// A call.
#[data]
struct Order {
    function: String,
    #[serde(default)]
    args: Vec<Value>,
}

#[derive(Default, Status)]
struct State {
    /// The number of the module in charge; absent if the system has none.
    in_charge: Option<u32>,
    /// Whether that is another than the master.
    failed_over: bool,
    /// Whether another could take over.
    redundant: bool,
    /// Which modules are online.
    online: BTreeMap<u32, bool>,
    /// What failed when somebody took over last.
    failed: Vec<String>,
}

#[derive(Default)]
struct Standby {
    /// Who is to take over, after how long.
    next: RefCell<Option<(u32, Duration, Schedule)>>,
}

/// Keeps one of several modules in charge, and another ready.
#[driver(name = "Standby", module = "Standby", logic, settings = Options, status = State)]
impl Standby {
    #[follow]
    fn follow(&self, cx: &Cx<Self>) {
        let (settings, system) = (cx.settings(), cx.system());
        let count = system.count(&settings.module);
        cx.status.set(|status| {
            status.online.clear();
            status.in_charge = status.in_charge.filter(|index| *index <= count).or((count > 0).then_some(1));
        });
        for index in 1..=count {
            let module = system.module(&settings.module, index);
            module.subscribe("connected", async move |standby, cx, online: Option<bool>| {
                standby.seen(cx, index, online == Some(true));
            });
        }
        self.consider(cx);
    }

    fn seen(&self, cx: &Cx<Self>, index: u32, online: bool) {
        cx.status.set(|status| status.online.insert(index, online));
        self.consider(cx);
    }

    /// Somebody is to take over, or nobody any more: what was to happen is forgotten, unless it is the same.
    fn consider(&self, cx: &Cx<Self>) {
        let next = cx.status.set(|status| {
            let ready =
                status.online.iter().filter(|(index, online)| **online && Some(**index) != status.in_charge);
            (status.redundant, status.failed_over) = (ready.count() > 0, status.in_charge > Some(1));
            next(&cx.settings(), &status.online, status.in_charge?)
        });
        let mut planned = self.next.borrow_mut();
        if planned.as_ref().map(|(index, wait, _)| (*index, *wait)) == next {
            return;
        }
        planned.take().inspect(|(_, _, schedule)| schedule.cancel());
        *planned = next.map(|(index, wait)| {
            let work =
                async move |standby: &Standby, cx: &Cx<Standby>| standby.put_in_charge(cx, index).await;
            (index, wait, cx.after(wait, work).keep())
        });
    }

    async fn put_in_charge(&self, cx: &Cx<Self>, index: u32) {
        self.next.take();
        let (settings, before) = (cx.settings(), cx.status.get(|status| status.in_charge));
        cx.warn(format!("{}_{index} takes over", settings.module));
        cx.status.set(|status| status.in_charge = Some(index));
        let mut failed = Vec::new();
        for (who, orders) in [(before, &settings.on_stand_by), (Some(index), &settings.on_take_over)] {
            let who = who.filter(|who| cx.status.get(|status| status.online.get(who) == Some(&true)));
            for (who, order) in who.iter().flat_map(|who| orders.iter().map(move |order| (*who, order))) {
                let module = cx.system().module(&settings.module, who);
                if let Err(error) = module.call(&order.function, &order.args).await {
                    failed.push(format!("{}_{who}.{}: {error}", settings.module, order.function));
                }
            }
        }
        cx.status.set(|status| status.failed = failed);
        self.consider(cx);
    }

    /// Puts a module in charge. If that is not the master, and `fail_back` is on, the master takes over again.
    #[function(security = "support")]
    async fn take_over(&self, cx: &Cx<Self>, index: u32) -> Result {
        if cx.status.get(|status| status.online.get(&index) != Some(&true)) {
            return Err(Error::bad_request(format!("{}_{index} is not online", cx.settings().module)));
        }
        self.put_in_charge(cx, index).await;
        Ok(())
    }

    /// Calls a function of the module in charge, if the settings allow it.
    #[function]
    async fn forward(&self, cx: &Cx<Self>, function: String, args: Option<Vec<Value>>) -> Result<Value> {
        let settings = cx.settings();
        if !settings.functions.contains(&function) {
            return Err(Error::bad_request(format!("setting `functions` does not have {function:?}")));
        }
        let index = cx.status.get(|status| status.in_charge);
        let index = index.ok_or_else(|| Error::offline(format!("there is no module {}", settings.module)))?;
        cx.system().module(&settings.module, index).call(function, args.unwrap_or_default()).await
    }
}

/// Who should take over from the one in charge, and how long that must be so. Of a module that has not been heard of yet nothing
/// is concluded.
fn next(settings: &Options, online: &BTreeMap<u32, bool>, in_charge: u32) -> Option<(u32, Duration)> {
    let best = online.iter().find(|(_, online)| **online).map(|(index, _)| *index)?;
    match online.get(&in_charge)? {
        false => Some((best, secs(settings.grace_seconds))),
        true if settings.fail_back && best < in_charge => Some((best, secs(settings.settle_seconds))),
        true => None,
    }
}

#[cfg(test)]
mod tests;

drivers_sdk::main!(Standby);
