//! What a module should be.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use drivers_sdk_protocol::message;

use super::Reconciler;
use super::lanes::{Company, LaneKey};
use super::slot::hash;
use super::way::{Way, way};
use crate::connections;
use crate::model::{Driver, System};
use crate::runtime::directory::Id;
use crate::runtime::program::Program;
use crate::secrets::Secret;

/// A module that should run, and can.
pub(super) struct Wanted {
    pub(super) program: Arc<Program>,
    pub(super) lane: LaneKey,
    pub(super) name: String,
    /// JSON text, or why the settings cannot be used.
    pub(super) settings: Result<String, String>,
    /// What must not be seen on its wire; none: as before.
    pub(super) secrets: Option<Vec<Secret>>,
    /// For a logic module.
    pub(super) system: Option<message::System>,
    pub(super) link: Way,
    /// Hash of all of this.
    pub(super) attempt: u64,
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
        let (settings, connection, secrets) =
            match self.directory.settings(module, &program.manifest.settings) {
                Ok(settings) => (Ok(settings.values), settings.connection, Some(settings.secrets)),
                Err(why) => (Err(why), Ok(connections::Settings::default()), None),
            };
        let link = match connection.and_then(|connection| way(module, driver, &program.manifest, &connection))
        {
            Ok(link) => link,
            Err(why) => return Desired::Blocked(why),
        };
        let system = module.control_system_id.as_deref().and_then(|system| self.system_message(id, system));
        let attempt = hash(&(program.id, &settings, &link));
        Desired::Run(Box::new(Wanted {
            lane: LaneKey { program: program.id, company: self.company(id, driver, &program) },
            name: module.resolved_name().to_owned(),
            program,
            settings,
            secrets,
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

    /// What a logic module is told of its system.
    fn system_message(&self, id: &Id, system: &str) -> Option<message::System> {
        let document = self.directory.systems.get(system)?;
        let places = self.shared.names.places(system)?;
        let modules = places
            .iter()
            .map(|(name, modules)| (name.to_string(), u32::try_from(modules.len()).unwrap_or(u32::MAX)));
        Some(message::System {
            id: document.id.clone(),
            name: document.name.clone(),
            modules: modules.collect(),
            interfaces: self.interfaces_beside(id, document),
            timezone: self.directory.timezone(document).map(Into::into),
        })
    }

    /// Which of the other modules of a system implement an interface, in the system's order.
    fn interfaces_beside(&self, id: &Id, system: &System) -> BTreeMap<String, Vec<(String, u32)>> {
        let mut indices: HashMap<&str, u32> = HashMap::new();
        let mut interfaces: BTreeMap<String, Vec<(String, u32)>> = BTreeMap::new();
        for other in &system.modules {
            let Some(module) = self.directory.modules.get(other.as_str()) else { continue };
            let name = module.resolved_name();
            let index = indices.entry(name).or_default();
            *index += 1;
            let program = self.drivers.shown(&module.driver_id).and_then(|driver| driver.program);
            for interface in program.iter().flat_map(|program| &program.manifest.interfaces) {
                if **other != **id {
                    interfaces.entry(interface.clone()).or_default().push((name.to_owned(), *index));
                }
            }
        }
        interfaces
    }
}
