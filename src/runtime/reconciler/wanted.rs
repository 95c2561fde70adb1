//! What a module should be.

use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::manifest;
use drivers_sdk_protocol::message;

use super::Reconciler;
use super::lanes::{Company, LaneKey};
use super::slot::hash;
use crate::connections::{Mode, Target};
use crate::model::{Driver, Module};
use crate::runtime::directory::Id;
use crate::runtime::program::Program;

/// How long a make-break link stays connected after the last traffic.
pub(super) const MAKE_BREAK_HOLD: Duration = Duration::from_secs(5);

/// A module that should run, and can.
pub(super) struct Wanted {
    pub(super) program: Arc<Program>,
    pub(super) lane: LaneKey,
    pub(super) name: String,
    /// JSON text, or why the settings cannot be used.
    pub(super) settings: Result<String, String>,
    /// For a logic module.
    pub(super) system: Option<message::System>,
    pub(super) link: Way,
    /// Hash of all of this.
    pub(super) attempt: u64,
}

/// How a module reaches what it drives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Not at all: a logic module.
    None,
    Link(Target),
    /// The emulator of its driver's package.
    Emulator {
        makebreak: bool,
    },
}

impl Way {
    /// The driver may send while the link is down.
    pub(super) fn makebreak(&self) -> bool {
        match self {
            Way::None => false,
            Way::Link(target) => matches!(target.mode, Mode::MakeBreak { .. }),
            Way::Emulator { makebreak } => *makebreak,
        }
    }
}

/// What a module should be.
pub(super) enum Desired {
    /// It should not run.
    Rest,
    /// It should, and cannot: why.
    Blocked(String),
    Run(Box<Wanted>),
}

impl Reconciler {
    pub(super) fn desired(&self, id: &Id) -> Desired {
        let Some(module) = self.directory.modules.get(id) else { return Desired::Rest };
        if !module.running || self.ending.is_some() {
            return Desired::Rest;
        }
        let Some(driver) = self.directory.driver_of(module) else {
            return Desired::Blocked(format!("its driver {} does not exist", module.driver_id));
        };
        let shown = self.drivers.shown(&driver.id).unwrap_or_default();
        let Some(program) = shown.program else {
            return Desired::Blocked(match shown.view.output {
                Some(output) => {
                    let first = output.lines().next().unwrap_or_default().to_owned();
                    format!("its driver could not be built: {first}")
                }
                None if shown.view.building => "its driver is being built".into(),
                None => "its driver is not built yet".into(),
            });
        };
        let link = match way(module, driver, program.manifest.kind) {
            Ok(link) => link,
            Err(why) => return Desired::Blocked(why),
        };
        let system = module.control_system_id.as_deref().and_then(|system| self.system_message(system));
        let settings = self.directory.settings(module);
        let attempt = hash(&(program.id, &settings, &link));
        Desired::Run(Box::new(Wanted {
            lane: LaneKey { program: program.id, company: self.company(id, driver, &program) },
            name: module.resolved_name().to_owned(),
            program,
            settings,
            system,
            link,
            attempt,
        }))
    }

    fn company(&self, id: &Id, driver: &Driver, program: &Program) -> Company {
        if driver.isolation.as_deref() == Some("module") {
            return Company::Alone(id.clone());
        }
        match self.slots.get(id).and_then(|slot| slot.quarantine) {
            Some((group, of)) if of == program.id => Company::Suspects(group),
            _ => Company::Siblings,
        }
    }

    fn system_message(&self, system: &str) -> Option<message::System> {
        let document = self.directory.systems.get(system)?;
        let places = self.shared.names.places(system)?;
        let modules = places
            .iter()
            .map(|(name, modules)| (name.to_string(), u32::try_from(modules.len()).unwrap_or(u32::MAX)));
        Some(message::System {
            id: document.id.clone(),
            name: document.name.clone(),
            modules: modules.collect(),
        })
    }
}

fn way(module: &Module, driver: &Driver, kind: manifest::Kind) -> Result<Way, String> {
    if kind == manifest::Kind::Logic {
        return Ok(Way::None);
    }
    if module.emulated {
        return Ok(Way::Emulator { makebreak: module.makebreak });
    }
    let unsupported = |what: &str| Err(format!("this version cannot connect to {what} devices yet"));
    match kind {
        manifest::Kind::Ssh => return unsupported("SSH"),
        manifest::Kind::Service => return unsupported("HTTP"),
        manifest::Kind::Websocket => return unsupported("WebSocket"),
        _ if module.tls => return unsupported("TLS"),
        _ if module.udp => return unsupported("UDP"),
        _ => {}
    }
    let port = if module.port == 0 { driver.default_port.unwrap_or(0) } else { module.port };
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    let Some(port) = port else {
        return Err(format!("{} is not a port; set one from 1 to 65535", module.port));
    };
    if module.ip.trim().is_empty() {
        return Err("it has no address; set its ip".into());
    }
    let target = Target::tcp(module.ip.trim(), port);
    Ok(Way::Link(if module.makebreak { target.make_break(MAKE_BREAK_HOLD) } else { target }))
}
