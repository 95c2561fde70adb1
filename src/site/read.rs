//! From the file's text to resources: ids given, references resolved, rules applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::{
    Site,
    entry::{Entry, File, Shape},
    local,
};
use crate::{
    config::Located,
    model::{self, Driver, Module, Repository, Resource, Role, Settings, System, Zone},
};

const REPOSITORY: Shape = Shape { own: &[], hidden: &[], settings: false };
const DRIVER: Shape =
    Shape { own: &["repository", "role"], hidden: &["repository_id", "json_schema"], settings: true };
const ZONE: Shape = Shape { own: &["parent"], hidden: &["parent_id", "triggers"], settings: true };
const SYSTEM: Shape = Shape { own: &["zones", "modules"], hidden: &[], settings: true };
const MODULE: Shape =
    Shape { own: &["driver"], hidden: &["driver_id", "control_system_id", "edge_id"], settings: true };

/// The entries of one section, by name, each with the id it will have.
struct Section<'a> {
    title: &'static str,
    entries: Vec<(Entry<'a>, String)>,
}

pub(super) fn read(path: &Path, text: &str, now: i64) -> Result<Site, Located> {
    let name = path.display().to_string();
    let file = File { name: &name, text };
    let table = DeTable::parse(text).map_err(|error| Located::toml(&name, text, &error))?;
    let titles = ["repositories", "drivers", "zones", "systems", "modules"];
    for key in table.get_ref().keys() {
        if !titles.contains(&key.get_ref().as_ref()) {
            let message =
                format!("unknown section `{}`, expected one of {}", key.get_ref(), titles.join(", "));
            return Err(file.refuse(&key.span(), message));
        }
    }
    let section = |title, prefix| Section::new(&file, table.get_ref(), title, prefix);
    let [repositories, drivers, zones, systems, modules] = [
        section("repositories", Repository::PREFIX)?,
        section("drivers", Driver::PREFIX)?,
        section("zones", Zone::PREFIX)?,
        section("systems", System::PREFIX)?,
        section("modules", Module::PREFIX)?,
    ];

    let folder = path.parent().unwrap_or(Path::new("."));
    let mut site = Site {
        repositories: repositories.build(|entry, id| repository(entry, id, folder, now))?,
        drivers: drivers.build(|entry, id| driver(entry, id, &repositories, now))?,
        zones: zones.build(|entry, id| zone(entry, id, &zones, now))?,
        systems: systems.build(|entry, id| system(entry, id, &zones, &modules, now))?,
        ..Site::default()
    };
    let by_id: BTreeMap<&str, &Driver> = site.drivers.iter().map(|driver| (&*driver.id, driver)).collect();
    site.modules = modules.build(|entry, id| module(entry, id, &drivers, &by_id, &site.systems, now))?;
    for section in [&drivers, &zones, &systems, &modules] {
        for (entry, id) in &section.entries {
            settings(entry, id, now, &mut site.settings)?;
        }
    }

    repositories.unique("folder_name", site.repositories.iter().map(|one| &one.folder_name))?;
    zones.unique("name", site.zones.iter().map(|one| &one.name))?;
    zones.rooted(&site.zones)?;
    systems.unique("name", site.systems.iter().map(|one| &one.name))?;
    Ok(site)
}

fn repository(entry: &Entry<'_>, id: &str, folder: &Path, now: i64) -> Result<Repository, Located> {
    let mut presets = object(json!({
        "name": entry.name, "folder_name": entry.name, "repo_type": "driver", "branch": "master", "commit_hash": "HEAD",
    }));
    let mut found = None;
    if let Some((uri, _)) = entry.text("uri")?
        && local::is_path(uri)
    {
        let local = local::open(folder, uri).map_err(|message| entry.refuse("uri", message))?;
        match &local.branch {
            Some(branch) => presets.insert("branch".into(), branch.as_str().into()),
            None => presets.insert("commit_hash".into(), local.commit.as_str().into()),
        };
        found = Some(local.uri);
    }
    entry.resource(&REPOSITORY, presets, |repository: &mut Repository| {
        if let Some(uri) = found {
            repository.uri = uri;
        }
        repository.stamp(id.into(), now, now);
    })
}

fn driver(entry: &Entry<'_>, id: &str, repositories: &Section<'_>, now: i64) -> Result<Driver, Located> {
    const ROLES: &[(&str, Role)] = &[
        ("ssh", Role::Ssh),
        ("device", Role::Device),
        ("service", Role::Service),
        ("websocket", Role::Websocket),
        ("logic", Role::Logic),
    ];
    let repository = repositories.reference(entry, "repository")?;
    let role = match entry.text("role")? {
        None => return Err(entry.refuse("", missing(entry, "role"))),
        Some((word, span)) => {
            ROLES.iter().find(|(name, _)| *name == word).map(|(_, role)| *role).ok_or_else(|| {
                let message =
                    format!("`{word}` is not a role: expected ssh, device, service, websocket or logic");
                entry.file.refuse(&span, message)
            })?
        }
    };
    let presets = object(json!({
        "name": entry.name, "commit": "HEAD", "repository_id": repository, "role": role,
    }));
    entry.resource(&DRIVER, presets, |driver: &mut Driver| driver.stamp(id.into(), now, now))
}

fn zone(entry: &Entry<'_>, id: &str, zones: &Section<'_>, now: i64) -> Result<Zone, Located> {
    let parent = match entry.has("parent") {
        true => Some(zones.reference(entry, "parent")?),
        false => None,
    };
    let presets = object(json!({ "name": entry.name, "parent_id": parent }));
    entry.resource(&ZONE, presets, |zone: &mut Zone| zone.stamp(id.into(), now, now))
}

fn system(
    entry: &Entry<'_>,
    id: &str,
    zones: &Section<'_>,
    modules: &Section<'_>,
    now: i64,
) -> Result<System, Located> {
    let (zones, modules) = (zones.references(entry, "zones")?, modules.references(entry, "modules")?);
    let presets = object(json!({ "name": entry.name, "zones": zones, "modules": modules }));
    entry.resource(&SYSTEM, presets, |system: &mut System| system.stamp(id.into(), now, now))
}

fn module(
    entry: &Entry<'_>,
    id: &str,
    drivers: &Section<'_>,
    by_id: &BTreeMap<&str, &Driver>,
    systems: &[System],
    now: i64,
) -> Result<Module, Located> {
    let driver_id = drivers.reference(entry, "driver")?;
    let (name, role) =
        by_id.get(&*driver_id).map(|driver| (driver.module_name.clone(), driver.role)).unwrap_or_default();
    let mut homes = systems.iter().filter(|system| system.modules.iter().any(|module| module == id));
    let home = match (role, homes.next(), homes.next()) {
        (Role::Logic, Some(system), None) => Some(system.id.clone()),
        (Role::Logic, ..) => {
            return Err(entry
                .refuse("", format!("logic module `{}` must be listed in exactly one system", entry.name)));
        }
        _ => None,
    };
    let presets = object(json!({ "running": true, "driver_id": driver_id, "control_system_id": home }));
    entry.resource(&MODULE, presets, |module: &mut Module| {
        module.name = name;
        module.role = role;
        module.stamp(id.into(), now, now);
    })
}

fn settings(entry: &Entry<'_>, parent: &str, now: i64, into: &mut Vec<Settings>) -> Result<(), Located> {
    for (level, map) in entry.settings()? {
        let keys = map.keys().cloned().collect();
        let text = serde_json::to_string_pretty(&map)
            .map_err(|cause| entry.refuse("settings", cause.to_string()))?;
        let mut settings = Settings {
            parent_id: parent.into(),
            encryption_level: level,
            settings_string: text,
            keys,
            ..Settings::default()
        };
        settings.stamp(model::id::new(Settings::PREFIX), now, now);
        settings.normalize();
        if let Some(failure) = settings.validate().first() {
            return Err(entry.refuse("settings", format!("`{}` {}", failure.field, failure.reason)));
        }
        into.push(settings);
    }
    Ok(())
}

impl<'a> Section<'a> {
    fn new(
        file: &'a File<'a>,
        table: &'a DeTable<'a>,
        title: &'static str,
        prefix: &str,
    ) -> Result<Self, Located> {
        let Some(value) = table.get(title) else { return Ok(Section { title, entries: Vec::new() }) };
        let DeValue::Table(rows) = value.get_ref() else {
            return Err(file.refuse(&value.span(), format!("`{title}` must be a table")));
        };
        let entries = rows
            .iter()
            .map(|(name, value)| Ok((Entry::new(file, title, name, value)?, model::id::new(prefix))))
            .collect::<Result<_, Located>>()?;
        Ok(Section { title, entries })
    }

    fn build<R>(
        &self,
        mut make: impl FnMut(&Entry<'a>, &str) -> Result<R, Located>,
    ) -> Result<Vec<R>, Located> {
        self.entries.iter().map(|(entry, id)| make(entry, id)).collect()
    }

    /// The id of the entry of this section that `field` of another entry names.
    fn reference(&self, from: &Entry<'_>, field: &str) -> Result<String, Located> {
        let Some((name, span)) = from.text(field)? else { return Err(from.refuse("", missing(from, field))) };
        self.find(from, name, &span)
    }

    fn references(&self, from: &Entry<'_>, field: &str) -> Result<Vec<String>, Located> {
        let mut seen = BTreeSet::new();
        from.texts(field)?
            .into_iter()
            .map(|(name, span)| match seen.insert(name) {
                true => self.find(from, name, &span),
                false => Err(from.file.refuse(&span, format!("`{name}` is listed twice"))),
            })
            .collect()
    }

    fn find(&self, from: &Entry<'_>, name: &str, span: &std::ops::Range<usize>) -> Result<String, Located> {
        self.entries.iter().find(|(entry, _)| entry.name == name).map(|(_, id)| id.clone()).ok_or_else(|| {
            let known: Vec<&str> = self.entries.iter().map(|(entry, _)| entry.name).collect();
            let known = if known.is_empty() { "it has none".into() } else { known.join(", ") };
            from.file.refuse(span, format!("there is no `{name}` in [{}]: {known}", self.title))
        })
    }

    fn unique<'v>(&self, field: &str, values: impl Iterator<Item = &'v String>) -> Result<(), Located> {
        let mut seen = BTreeSet::new();
        for ((entry, _), value) in self.entries.iter().zip(values) {
            if !seen.insert(value.trim()) {
                return Err(entry.refuse(field, format!("`{field}` \"{value}\" should be unique")));
            }
        }
        Ok(())
    }

    /// Refuses zones that are their own ancestors.
    fn rooted(&self, zones: &[Zone]) -> Result<(), Located> {
        let parents: BTreeMap<&str, &str> =
            zones.iter().filter_map(|zone| Some((&*zone.id, zone.parent_id.as_deref()?))).collect();
        for (entry, id) in &self.entries {
            let ancestors = std::iter::successors(Some(&**id), |id| parents.get(id).copied());
            if ancestors.skip(1).take(parents.len()).any(|ancestor| ancestor == id) {
                return Err(entry.refuse("parent", format!("zone `{}` is its own ancestor", entry.name)));
            }
        }
        Ok(())
    }
}

fn missing(entry: &Entry<'_>, field: &str) -> String {
    format!("`{}` lacks `{field}`", entry.name)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
