//! Systems and modules by what people call them: `Boardroom`, `sys-…`, `Boardroom Display_1`, `mod-…`.

use serde_json::Value;

use super::{
    Error, Result,
    http::{Client, Route},
    names::suggest,
};

/// A module at its place in a system, or by itself.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Id and name.
    pub(super) system: Option<(String, String)>,
    /// `Display_1`; without a system, the module's name.
    pub(super) slot: String,
    /// As the API gave it.
    pub(super) module: Value,
}

/// What the first words of a command name.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The modules of a system, in its order.
    System(Vec<Place>),
    Module(Place),
}

impl Place {
    pub(super) fn id(&self) -> &str {
        text(&self.module, "id")
    }

    /// `Boardroom Display_1`.
    pub(super) fn title(&self) -> String {
        match &self.system {
            Some((_, name)) => format!("{name} {}", self.slot),
            None => format!("{} ({})", self.slot, self.id()),
        }
    }
}

/// Looks up the target that `words` start with; returns the words after it. A system's module is taken if the word
/// after the system names one, or if `module` says that it must be one.
pub(super) async fn target<'w>(
    http: &Client,
    words: &'w [String],
    module: bool,
) -> Result<(Target, &'w [String])> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Error::Usage("which one? Name a system and a module, or a module's id".into()));
    };
    if first.starts_with("mod-") {
        let found = http.find(&Route::new(&["modules", first])).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("there is no module {first}")))?;
        return Ok((Target::Module(at_home(http, found).await?), rest));
    }
    let system = system(http, first).await?;
    let places = places(http, &system).await?;
    match rest.split_first() {
        Some((word, rest)) => Ok((Target::Module(place(&system, &places, word)?.clone()), rest)),
        None if module => {
            let known = places.iter().map(|place| &*place.slot);
            let message = format!("which module of {first}?{}", suggest("", known).replacen(';', "", 1));
            Err(Error::Usage(message))
        }
        None => Ok((Target::System(places), rest)),
    }
}

/// A module at its place in the first system that has it, if any has.
async fn at_home(http: &Client, module: Value) -> Result<Place> {
    let id = text(&module, "id");
    let systems = http.list(&Route::new(&["systems"]), &[("module_id", id.into())]).await?;
    if let Some(system) = systems.first() {
        let places = places(http, system).await?;
        if let Some(place) = places.into_iter().find(|place| place.id() == id) {
            return Ok(Place { module, ..place });
        }
    }
    Ok(Place { system: None, slot: name(&module).into(), module })
}

/// A system by id or name.
async fn system(http: &Client, word: &str) -> Result<Value> {
    if word.starts_with("sys-") {
        let found = http.find(&Route::new(&["systems", word])).await?;
        return found.ok_or_else(|| Error::NotFound(format!("there is no system {word}")));
    }
    let mut systems = http.list(&Route::new(&["systems"]), &[]).await?;
    let exact = systems.iter().position(|system| text(system, "name") == word);
    let loose = || systems.iter().position(|system| text(system, "name").eq_ignore_ascii_case(word));
    match exact.or_else(loose) {
        Some(at) => Ok(systems.swap_remove(at)),
        None => {
            let known = systems.iter().map(|system| text(system, "name"));
            Err(Error::NotFound(format!("there is no system {word}{}", suggest(word, known))))
        }
    }
}

/// The modules of a system in its order, named as they are found in it.
async fn places(http: &Client, system: &Value) -> Result<Vec<Place>> {
    let id = text(system, "id");
    let rows = http.list(&Route::new(&["modules"]), &[("control_system_id", id.into())]).await?;
    Ok(arrange(system, &rows))
}

/// `rows` in the system's order, with their names in it.
pub(super) fn arrange(system: &Value, rows: &[Value]) -> Vec<Place> {
    let ids = system.get("modules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut places: Vec<Place> = Vec::new();
    let mut counts = std::collections::HashMap::new();
    for id in ids {
        let Some(module) = rows.iter().find(|row| row.get("id") == Some(id)) else { continue };
        let count = counts.entry(name(module)).or_insert(0);
        *count += 1;
        places.push(Place {
            system: Some((text(system, "id").into(), text(system, "name").into())),
            slot: format!("{}_{count}", name(module)),
            module: module.clone(),
        });
    }
    places
}

/// `Display_2`, or `Display` for the first.
fn place<'p>(system: &Value, places: &'p [Place], word: &str) -> Result<&'p Place> {
    let first = format!("{word}_1");
    let found = places
        .iter()
        .find(|place| place.slot == word || place.slot == first || place.id() == word)
        .or_else(|| places.iter().find(|place| place.slot.eq_ignore_ascii_case(word)));
    found.ok_or_else(|| {
        let known = places.iter().map(|place| &*place.slot);
        let message = format!("{} has no module {word}{}", text(system, "name"), suggest(word, known));
        Error::NotFound(message)
    })
}

/// The name a module is found by: its own, or its driver's.
pub(super) fn name(module: &Value) -> &str {
    match text(module, "custom_name").trim() {
        "" => text(module, "name"),
        custom => custom,
    }
}

/// A text field; empty if there is none.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
