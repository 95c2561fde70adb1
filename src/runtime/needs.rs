//! What a system lacks of what its logic modules work with.

use drivers_sdk_protocol::manifest::Need;
use serde::Serialize;

use super::Runtime;

/// What a system has not. Both are empty if it has everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lacks {
    /// The driver does not work without these.
    pub required: Vec<Need>,
    /// The driver would make use of these.
    pub optional: Vec<Need>,
}

impl Runtime {
    /// What `system` lacks for one of its logic modules. `None`: the driver needs nothing, or is not built yet.
    pub fn lacks(&self, module: &str, system: &str) -> Option<Lacks> {
        let manifest = self.manifest(module)?;
        if manifest.requires.is_empty() && manifest.optional.is_empty() {
            return None;
        }
        let places = self.0.shared.names.places(system).unwrap_or_default();
        let others = |ids: &[std::sync::Arc<str>]| ids.iter().any(|id| **id != *module);
        let implements = |id: &str, interface: &String| {
            self.manifest(id).is_some_and(|manifest| manifest.interfaces.contains(interface))
        };
        let lacked = |need: &&Need| match need {
            Need::Module(name) => !places.get(name.as_str()).is_some_and(|ids| others(ids)),
            Need::Interface(name) => {
                !places.values().flatten().any(|id| **id != *module && implements(id, name))
            }
        };
        let of = |needs: &[Need]| needs.iter().filter(lacked).cloned().collect();
        Some(Lacks { required: of(&manifest.requires), optional: of(&manifest.optional) })
    }
}
