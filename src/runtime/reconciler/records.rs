//! What the runtime writes on modules and their settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::model::settings::{self, Level};
use crate::model::{self, Module, Resource, Settings};
use crate::runtime::directory::Id;
use crate::runtime::view;
use crate::secrets::{Vault, fields};
use crate::store::{self, Expect, typed};

/// Errors are gathered this long and written together.
const GATHER: Duration = Duration::from_millis(200);

/// Notes on module documents whether the module has an error. Only what differs is written.
pub(super) struct Recorder(mpsc::UnboundedSender<(Id, Option<i64>)>);

impl Recorder {
    pub(super) fn start(store: store::Handle) -> Recorder {
        let (sender, mut notes) = mpsc::unbounded_channel::<(Id, Option<i64>)>();
        tokio::spawn(async move {
            while let Some((id, at)) = notes.recv().await {
                let mut latest = BTreeMap::from([(id, at)]);
                tokio::time::sleep(GATHER).await;
                while let Ok((id, at)) = notes.try_recv() {
                    latest.insert(id, at);
                }
                note(&store, latest).await;
            }
        });
        Recorder(sender)
    }

    /// A module failed then: Unix milliseconds.
    pub(super) fn failed(&self, id: &Id, at: i64) {
        let _ = self.0.send((id.clone(), Some(at / 1000)));
    }

    pub(super) fn mended(&self, id: &Id) {
        let _ = self.0.send((id.clone(), None));
    }
}

/// All in one commit; if somebody changed one of the modules meanwhile, each by itself.
async fn note(store: &store::Handle, latest: BTreeMap<Id, Option<i64>>) {
    let change = |module: &mut Module, at: Option<i64>| {
        let before = (module.has_runtime_error, module.error_timestamp);
        module.has_runtime_error = at.is_some();
        module.error_timestamp = at.or(module.error_timestamp);
        before != (module.has_runtime_error, module.error_timestamp)
    };
    let mut steps = Vec::new();
    for (id, at) in &latest {
        if let Ok(Some(mut stored)) = typed::find::<Module>(&**store, id).await
            && change(&mut stored.value, *at)
            && let Ok(step) = typed::put(&stored.value, Expect::Revision(stored.revision))
        {
            steps.push(step);
        }
    }
    if steps.is_empty() || store.commit(steps).await.is_ok() {
        return;
    }
    for (id, at) in latest {
        if let Err(error) = typed::update::<Module>(&**store, &id, |module| change(module, at)).await {
            tracing::warn!(module = %id, %error, "the module's error was not recorded");
        }
    }
}

/// Changes one of a module's own settings: in the document that has the key, the strongest if several have; otherwise
/// in the one that everyone may read, which is made if need be: then its id. `documents`: the ids of the module's settings.
pub(super) async fn save_setting(
    store: store::Handle,
    vault: Arc<Vault>,
    module: Id,
    documents: Vec<Id>,
    key: String,
    value: String,
) -> Result<Option<Id>, String> {
    let fail = |error: &dyn std::fmt::Display| format!("the setting {key} was not saved: {error}");
    let new: Value = serde_json::from_str(&value).map_err(|error| fail(&error))?;
    let mut found: Option<Settings> = None;
    for id in documents {
        let Some(stored) = typed::find::<Settings>(&*store, &id).await.map_err(|error| fail(&error))? else {
            continue;
        };
        let rank = |settings: &Settings| {
            (
                settings.keys.contains(&key),
                settings.encryption_level == Level::None,
                settings.encryption_level,
            )
        };
        let usable = stored.value.keys.contains(&key) || stored.value.encryption_level == Level::None;
        if usable && found.as_ref().is_none_or(|found| rank(found) < rank(&stored.value)) {
            found = Some(stored.value);
        }
    }
    let now = view::now() / 1000;
    let Some(found) = found else {
        let mut settings = Settings { parent_id: module.to_string(), ..Settings::default() };
        settings.stamp(model::id::new(Settings::PREFIX), now, now);
        settings.settings_string = Value::Object(Map::from_iter([(key.clone(), new)])).to_string();
        settings.normalize();
        typed::save(&*store, &settings, Expect::Absent).await.map_err(|error| fail(&error))?;
        return Ok(Some(settings.id.as_str().into()));
    };
    let mut problem = None;
    let change = |settings: &mut Settings| {
        let edited = fields::reveal_settings(&vault, settings)
            .map_err(|error| error.to_string())
            .and_then(|text| edit(&text, &key, &new).map_err(|error| error.to_string()));
        match edited {
            Ok(None) => false,
            Ok(Some(text)) => {
                settings.settings_string = text;
                settings.normalize();
                fields::seal_settings(&vault, settings);
                settings.updated_at = now;
                true
            }
            Err(error) => {
                problem = Some(error);
                false
            }
        }
    };
    typed::update::<Settings>(&*store, &found.id, change).await.map_err(|error| fail(&error))?;
    problem.map_or(Ok(None), |problem| Err(fail(&problem)))
}

/// Sets a top-level key of a settings text; `None`: it has that value already. The rest of the text, comments too, is
/// left alone where that is possible.
fn edit(text: &str, key: &str, value: &Value) -> Result<Option<String>, settings::Error> {
    let mut values = settings::parse(text)?;
    if values.get(key) == Some(value) {
        return Ok(None);
    }
    values.insert(key.to_owned(), value.clone());
    let entry = format!("{key}: {value}\n");
    let mut edited = String::new();
    let mut inside = false;
    let mut replaced = false;
    for line in text.lines() {
        let continues = line.is_empty() || line.starts_with([' ', '\t', '-', '#']);
        inside = inside && continues;
        if !inside && !replaced && line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')) {
            inside = true;
            replaced = true;
            edited.push_str(&entry);
        }
        if !inside {
            edited.push_str(line);
            edited.push('\n');
        }
    }
    if !replaced {
        edited.push_str(&entry);
    }
    match settings::parse(&edited) {
        Ok(parsed) if parsed == values => Ok(Some(edited)),
        // JSON, or YAML in a form that lines do not tell.
        _ => Ok(Some(serde_json::to_string_pretty(&values).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edited(text: &str, key: &str, value: Value) -> String {
        edit(text, key, &value).unwrap().unwrap_or_else(|| "unchanged".into())
    }

    #[test]
    fn a_setting_is_changed_in_place_and_the_rest_of_the_text_stays() {
        let text = "# the room\nvolume: 10\ninputs:\n  - hdmi\n  - dp\nname: Hall # main\n";
        assert_eq!(edited(text, "volume", json!(20)), text.replace("10", "20"));
        assert_eq!(
            edited(text, "inputs", json!(["usb"])),
            "# the room\nvolume: 10\ninputs: [\"usb\"]\nname: Hall # main\n"
        );
        assert_eq!(edited(text, "level", json!({"a": 1})), format!("{text}level: {{\"a\":1}}\n"));
        assert_eq!(edited(text, "volume", json!(10)), "unchanged");
    }

    #[test]
    fn json_stays_json() {
        let text = edited(r#"{"volume": 10}"#, "mute", json!(true));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"volume": 10, "mute": true}));
        assert_eq!(
            settings::parse(&edited("{}", "a", json!(1))).unwrap(),
            *json!({"a": 1}).as_object().unwrap()
        );
    }
}
