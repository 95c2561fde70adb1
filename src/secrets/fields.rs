//! Which fields are sealed at rest, and what each is sealed for: one place, so that who writes and who reads agree.
//!
//! A sealed text opens only for `<id of its document>/<name of its field>`. Sealing what is sealed does nothing, so
//! a document that was read sealed can be written back as it is.

use super::{Secret, Vault, is_sealed, vault::Error};
use crate::model::{Repository, Settings, settings::Level};

/// Seals settings from level support on.
pub fn seal_settings(vault: &Vault, settings: &mut Settings) {
    if settings.encryption_level > Level::None {
        seal(vault, &settings.id, "settings_string", &mut settings.settings_string);
    }
}

/// The text of settings in the clear.
pub fn reveal_settings(vault: &Vault, settings: &Settings) -> Result<String, Error> {
    vault.reveal(&settings.settings_string, &context(&settings.id, "settings_string"))
}

/// Seals the password and the key of a repository.
pub fn seal_repository(vault: &Vault, repository: &mut Repository) {
    for (field, value) in [("password", &mut repository.password), ("key", &mut repository.key)] {
        if let Some(value) = value {
            seal(vault, &repository.id, field, value);
        }
    }
}

/// The password of a repository in the clear.
pub fn reveal_password(vault: &Vault, repository: &Repository) -> Result<Option<Secret>, Error> {
    reveal(vault, &repository.id, "password", repository.password.as_deref())
}

/// The SSH key of a repository in the clear.
pub fn reveal_key(vault: &Vault, repository: &Repository) -> Result<Option<Secret>, Error> {
    reveal(vault, &repository.id, "key", repository.key.as_deref())
}

fn seal(vault: &Vault, id: &str, field: &str, value: &mut String) {
    if !is_sealed(value) {
        *value = vault.seal(value, &context(id, field));
    }
}

fn reveal(vault: &Vault, id: &str, field: &str, value: Option<&str>) -> Result<Option<Secret>, Error> {
    value.map(|value| vault.reveal(value, &context(id, field)).map(Secret::new)).transpose()
}

fn context(id: &str, field: &str) -> String {
    format!("{id}/{field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_revealed_and_settings_in_the_clear_stay_so() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();

        let mut settings = Settings {
            id: "sets-1".into(),
            encryption_level: Level::None,
            settings_string: "a: 1".into(),
            ..Settings::default()
        };
        seal_settings(&vault, &mut settings);
        assert_eq!(settings.settings_string, "a: 1");
        settings.encryption_level = Level::Support;
        seal_settings(&vault, &mut settings);
        assert!(is_sealed(&settings.settings_string));
        let once = settings.clone();
        seal_settings(&vault, &mut settings);
        assert_eq!(settings, once);
        assert_eq!(reveal_settings(&vault, &settings).unwrap(), "a: 1");

        let mut repository =
            Repository { id: "repo-1".into(), password: Some("hunter2".into()), ..Repository::default() };
        seal_repository(&vault, &mut repository);
        assert!(is_sealed(repository.password.as_deref().unwrap()));
        assert_eq!(reveal_password(&vault, &repository).unwrap().unwrap().expose(), "hunter2");
        assert!(reveal_key(&vault, &repository).unwrap().is_none());
    }
}
