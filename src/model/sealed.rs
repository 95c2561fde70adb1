//! Which fields are sealed at rest, and the context each is sealed for: whoever writes and whoever reads must name
//! the same one, and a sealed text copied to another document does not open there.

/// Of the `settings_string` of the settings document `id`, at every level but `none`.
pub fn settings(id: &str) -> String {
    format!("{id} settings_string")
}

/// Of the `password` of the repository `id`.
pub fn repository_password(id: &str) -> String {
    format!("{id} password")
}

/// Of the `key` of the repository `id`.
pub fn repository_key(id: &str) -> String {
    format!("{id} key")
}
