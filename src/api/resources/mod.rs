//! The routes, by resource, and what each resource has beyond the common rules.

mod api_keys;
mod authority;
mod builds;
mod cluster;
mod drivers;
mod exec;
mod metadata;
mod module_actions;
mod modules;
mod plain;
mod repositories;
mod repository_git;
mod root;
mod settings;
mod settings_reads;
mod system_actions;
mod systems;
mod users;
mod webhooks;
mod wire;
mod zones;

use super::{control, endpoint::Endpoint};

/// Every route of the API.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    [
        root::endpoints(),
        authority::endpoints(),
        users::endpoints(),
        repositories::endpoints(),
        repository_git::endpoints(),
        drivers::endpoints(),
        builds::endpoints(),
        zones::endpoints(),
        control::endpoints(),
        systems::endpoints(),
        system_actions::endpoints(),
        modules::endpoints(),
        module_actions::endpoints(),
        wire::endpoints(),
        webhooks::endpoints(),
        settings::endpoints(),
        settings_reads::endpoints(),
        metadata::endpoints(),
        api_keys::endpoints(),
        cluster::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
