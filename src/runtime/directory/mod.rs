//! Desired state as typed values in memory: what the store says, indexed for the questions the reconciler asks.
//!
//! It is fed with the store's changes and answers with what each one affects, so that nothing else is looked at.
//! Only the reconciler holds it.

mod hidden;
mod index;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::connections;
use crate::model::merge::{self, Layer};
use crate::model::{Driver, Kind, Module, Repository, Resource, Role, Settings, System, Zone};
use crate::runtime::names::Places;
use crate::secrets::{Secret, Vault, fields};
use crate::store::{Change, Document, typed};

use index::Index;

/// An id.
pub(crate) type Id = Arc<str>;

pub(crate) struct Directory {
    vault: Arc<Vault>,
    pub(crate) modules: HashMap<Id, Arc<Module>>,
    pub(crate) drivers: HashMap<Id, Arc<Driver>>,
    pub(crate) systems: HashMap<Id, Arc<System>>,
    pub(crate) repositories: HashMap<Id, Arc<Repository>>,
    settings: HashMap<Id, Row>,
    /// Zone → its time zone, where it has one.
    timezones: HashMap<Id, Arc<String>>,
    /// Driver → modules.
    of_driver: Index,
    /// System → its logic modules.
    logic_of_system: Index,
    /// Module → systems that list it.
    listed_in: Index,
    /// Zone → systems.
    in_zone: Index,
    /// Parent → settings documents.
    settings_of: Index,
}

/// A settings document, read.
struct Row {
    settings: Settings,
    layer: Result<Layer, String>,
}

/// What a change affects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Affected {
    pub(crate) modules: BTreeSet<Id>,
    /// Systems of which the places of modules, or the name, may have changed.
    pub(crate) systems: BTreeSet<Id>,
    pub(crate) drivers: BTreeSet<Id>,
    pub(crate) repositories: BTreeSet<Id>,
}

/// The merged settings of a module.
pub(crate) struct Settled {
    /// JSON text, for its driver.
    pub(crate) values: String,
    /// What they say of its connection; or why that cannot be used.
    pub(crate) connection: Result<connections::Settings, String>,
    /// What must not be seen on its wire.
    pub(crate) secrets: Vec<Secret>,
}

impl Directory {
    pub(crate) fn new(vault: Arc<Vault>) -> Directory {
        Directory {
            vault,
            modules: HashMap::new(),
            drivers: HashMap::new(),
            systems: HashMap::new(),
            repositories: HashMap::new(),
            settings: HashMap::new(),
            timezones: HashMap::new(),
            of_driver: Index::default(),
            logic_of_system: Index::default(),
            listed_in: Index::default(),
            in_zone: Index::default(),
            settings_of: Index::default(),
        }
    }

    /// Takes a change in. A document that cannot be read is treated as deleted, and said to be so in the log.
    pub(crate) fn apply(&mut self, change: &Change, affected: &mut Affected) {
        let id: Id = change.id.as_str().into();
        match change.kind {
            Kind::Module => self.module(id, read(change.document.as_deref()), affected),
            Kind::Driver => self.driver(id, read(change.document.as_deref()), affected),
            Kind::System => self.system(id, read(change.document.as_deref()), affected),
            Kind::Repository => self.repository(id, read(change.document.as_deref()), affected),
            Kind::Settings => self.setting(id, read(change.document.as_deref()), affected),
            Kind::Zone => self.zone(id, read(change.document.as_deref()), affected),
            _ => {}
        }
    }

    /// Forgets what is not among the documents of a kind any more.
    pub(crate) fn retain(&mut self, kind: Kind, documents: &[Arc<Document>], affected: &mut Affected) {
        let there: BTreeSet<&str> = documents.iter().map(|document| document.id.as_str()).collect();
        let known: Vec<Id> = match kind {
            Kind::Module => self.modules.keys().cloned().collect(),
            Kind::Driver => self.drivers.keys().cloned().collect(),
            Kind::System => self.systems.keys().cloned().collect(),
            Kind::Repository => self.repositories.keys().cloned().collect(),
            Kind::Settings => self.settings.keys().cloned().collect(),
            Kind::Zone => self.timezones.keys().cloned().collect(),
            _ => Vec::new(),
        };
        for id in known.into_iter().filter(|id| !there.contains(&**id)) {
            let change = Change { sequence: 0, kind, id: id.to_string(), document: None };
            self.apply(&change, affected);
        }
    }

    fn module(&mut self, id: Id, after: Option<Module>, affected: &mut Affected) {
        let before = self.modules.get(&id).cloned();
        if let Some(before) = &before {
            self.of_driver.remove(&before.driver_id, &id);
            if let Some(system) = &before.control_system_id {
                self.logic_of_system.remove(system, &id);
            }
        }
        if let Some(after) = &after {
            self.of_driver.add(&after.driver_id, &id);
            if let Some(system) = &after.control_system_id {
                self.logic_of_system.add(system, &id);
            }
        }
        let name = |module: Option<&Module>| module.map(|module| module.resolved_name().to_owned());
        if name(before.as_deref()) != name(after.as_ref()) {
            affected.systems.extend(self.listed_in.of(&id).cloned());
        }
        let driver = |module: Option<&Module>| module.map(|module| module.driver_id.clone());
        if driver(before.as_deref()) != driver(after.as_ref()) {
            affected.modules.extend(self.logic_beside(&id));
        }
        affected.modules.insert(id.clone());
        store(&mut self.modules, id, after);
    }

    fn driver(&mut self, id: Id, after: Option<Driver>, affected: &mut Affected) {
        affected.modules.extend(self.of_driver.of(&id).cloned());
        affected.drivers.insert(id.clone());
        store(&mut self.drivers, id, after);
    }

    fn system(&mut self, id: Id, after: Option<System>, affected: &mut Affected) {
        if let Some(before) = self.systems.get(&id) {
            before.modules.iter().for_each(|module| self.listed_in.remove(module, &id));
            before.zones.iter().for_each(|zone| self.in_zone.remove(zone, &id));
        }
        if let Some(after) = &after {
            after.modules.iter().for_each(|module| self.listed_in.add(module, &id));
            after.zones.iter().for_each(|zone| self.in_zone.add(zone, &id));
        }
        affected.modules.extend(self.logic_of_system.of(&id).cloned());
        affected.systems.insert(id.clone());
        store(&mut self.systems, id, after);
    }

    fn zone(&mut self, id: Id, after: Option<Zone>, affected: &mut Affected) {
        let timezone = after.and_then(|zone| zone.timezone);
        if self.timezones.get(&id).map(Arc::as_ref) != timezone.as_ref() {
            let systems = self.in_zone.of(&id);
            affected.modules.extend(systems.flat_map(|system| self.logic_of_system.of(system)).cloned());
            store(&mut self.timezones, id, timezone);
        }
    }

    fn repository(&mut self, id: Id, after: Option<Repository>, affected: &mut Affected) {
        affected.repositories.insert(id.clone());
        store(&mut self.repositories, id, after);
    }

    fn setting(&mut self, id: Id, after: Option<Settings>, affected: &mut Affected) {
        if let Some(before) = self.settings.remove(&id) {
            self.settings_of.remove(&before.settings.parent_id, &id);
            self.inherit(&before.settings.parent_id, affected);
        }
        if let Some(mut settings) = after {
            let layer = fields::reveal_settings(&self.vault, &settings)
                .map_err(|error| error.to_string())
                .and_then(|text| Layer::new(&settings, &text).map_err(|error| error.to_string()));
            settings.settings_string = String::new();
            self.settings_of.add(&settings.parent_id, &id);
            self.inherit(&settings.parent_id, affected);
            self.settings.insert(id, Row { settings, layer });
        }
    }

    /// Whoever gets settings from `parent` is affected.
    fn inherit(&self, parent: &str, affected: &mut Affected) {
        if self.modules.contains_key(parent) {
            affected.modules.insert(parent.into());
        }
        affected.modules.extend(self.of_driver.of(parent).cloned());
        affected.modules.extend(self.logic_of_system.of(parent).cloned());
        for system in self.in_zone.of(parent) {
            affected.modules.extend(self.logic_of_system.of(system).cloned());
        }
    }

    /// The settings that a module gets; `schema` is what its driver says of them.
    pub(crate) fn settings(&self, module: &Module, schema: &Value) -> Result<Settled, String> {
        let system = module.control_system_id.as_deref().and_then(|id| self.systems.get(id));
        let parents = merge::parents(module, system.map(Arc::as_ref));
        let rows = parents.iter().flat_map(|parent| self.settings_of.of(parent));
        let settings = rows.filter_map(|id| self.settings.get(id)).map(|row| &row.settings);
        let mut layers = Vec::new();
        for settings in merge::order(&parents, settings) {
            match self.settings.get(settings.id.as_str()).map(|row| &row.layer) {
                Some(Ok(layer)) => layers.push(layer.clone()),
                Some(Err(problem)) => {
                    return Err(format!(
                        "settings {} of {} cannot be used: {problem}",
                        settings.id, settings.parent_id
                    ));
                }
                None => {}
            }
        }
        let mut values = merge::merge(&layers).values;
        let mut secrets = Vec::new();
        hidden::sealed(&layers, &mut secrets);
        hidden::declared(schema, &values, &mut secrets);
        hidden::of_uri(&module.uri, &mut secrets);
        let connection = if module.role == Role::Logic {
            Ok(connections::Settings::default())
        } else {
            let connection = values.remove(connections::SETTINGS_KEY);
            connection.iter().for_each(|connection| hidden::telling(connection, &mut secrets));
            connections::Settings::read(connection)
        };
        let values = serde_json::to_string(&values).map_err(|error| error.to_string())?;
        Ok(Settled { values, connection, secrets })
    }

    /// The ids of the settings documents of a parent.
    pub(crate) fn settings_documents(&self, parent: &str) -> Vec<Id> {
        self.settings_of.of(parent).cloned().collect()
    }

    pub(crate) fn driver_of(&self, module: &Module) -> Option<&Arc<Driver>> {
        self.drivers.get(module.driver_id.as_str())
    }

    pub(crate) fn modules_of(&self, driver: &str) -> Vec<Id> {
        self.of_driver.of(driver).cloned().collect()
    }

    /// The logic modules of the systems that list a module: what it can do is their affair.
    pub(crate) fn logic_beside(&self, module: &str) -> BTreeSet<Id> {
        let systems = self.listed_in.of(module);
        systems.flat_map(|system| self.logic_of_system.of(system)).cloned().collect()
    }

    pub(crate) fn logic_modules_of(&self, system: &str) -> Vec<Id> {
        self.logic_of_system.of(system).cloned().collect()
    }

    /// The time zone of a system: its own, or else that of the last of its zones that has one.
    pub(crate) fn timezone<'a>(&'a self, system: &'a System) -> Option<&'a str> {
        let of_zone = |zone: &String| self.timezones.get(zone.as_str()).map(|timezone| timezone.as_str());
        system.timezone.as_deref().or_else(|| system.zones.iter().rev().find_map(of_zone))
    }

    /// The places of a system's modules; `None`: no such system.
    pub(crate) fn places(&self, system: &str) -> Option<Places> {
        let mut places = Places::new();
        for id in &self.systems.get(system)?.modules {
            if let Some((id, module)) = self.modules.get_key_value(id.as_str()) {
                places.entry(module.resolved_name().into()).or_default().push(id.clone());
            }
        }
        Some(places)
    }
}

fn read<R: Resource>(document: Option<&Document>) -> Option<R> {
    match typed::decode(document?) {
        Ok(resource) => Some(resource),
        Err(error) => {
            tracing::error!(%error, "document ignored");
            None
        }
    }
}

fn store<R>(all: &mut HashMap<Id, Arc<R>>, id: Id, after: Option<R>) {
    match after {
        Some(after) => drop(all.insert(id, Arc::new(after))),
        None => drop(all.remove(&id)),
    }
}

#[cfg(test)]
mod tests;
