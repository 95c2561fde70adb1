//! The first start: an empty store is filled with the site, all of it or nothing.

use crate::{
    config, secrets,
    site::{self, Site},
    store::{self, Expect, typed},
};

/// Why the site was not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}. Nothing was stored: mend the file and start again")]
    Site(#[from] site::Error),
    #[error("could not store the site: {0}")]
    Store(#[from] store::Error),
}

/// Applies the site file, if there is one and nothing was ever stored.
pub(super) async fn apply(
    options: &config::Site,
    store: &store::Handle,
    vault: &secrets::Vault,
    now: i64,
) -> Result<(), Error> {
    if options.file.as_os_str().is_empty() || *store.head().borrow() > 0 {
        return Ok(());
    }
    let site = Site::read(&options.file, now)?;
    let mut ops = Vec::new();
    for mut repository in site.repositories.iter().cloned() {
        secrets::fields::seal_repository(vault, &mut repository);
        ops.push(typed::put(&repository, Expect::Absent)?);
    }
    for mut settings in site.settings.iter().cloned() {
        secrets::fields::seal_settings(vault, &mut settings);
        ops.push(typed::put(&settings, Expect::Absent)?);
    }
    for zone in &site.zones {
        ops.push(typed::put(zone, Expect::Absent)?);
    }
    for driver in &site.drivers {
        ops.push(typed::put(driver, Expect::Absent)?);
    }
    for module in &site.modules {
        ops.push(typed::put(module, Expect::Absent)?);
    }
    for system in &site.systems {
        ops.push(typed::put(system, Expect::Absent)?);
    }
    store.commit(ops).await?;
    tracing::info!(file = %options.file.display(), "applied the site: {}", site.summary());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Kind, Module, Settings},
        secrets::Vault,
    };

    const SITE: &str = r#"
[repositories.examples]
uri = "https://example.com/drivers.git"
password = "hunter2"
[drivers.projector]
repository = "examples"
file_name = "pjlink/Cargo.toml"
module_name = "Display"
role = "device"
[systems.boardroom]
modules = ["projector"]
[modules.projector]
driver = "projector"
ip = "127.0.0.1"
port = 4352
settings = { name = "Front" }
settings_admin = { password = "secret" }
"#;

    #[tokio::test]
    async fn the_site_fills_an_empty_store_once_and_secrets_are_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, SITE).unwrap();
        let options = config::Site { file };
        let vault = Vault::open(folder.path()).unwrap();
        let store = store::sqlite::open_in_memory().unwrap();
        for _ in 0..2 {
            apply(&options, &store, &vault, 1_700_000_000).await.unwrap();
            assert_eq!(typed::all::<Module>(&*store).await.unwrap().len(), 1);
        }
        for kind in Kind::ALL {
            for document in store.list(kind).await.unwrap() {
                assert!(
                    !document.body.contains("hunter2") && !document.body.contains("secret\""),
                    "{document:?}"
                );
            }
        }
        let settings = typed::all::<Settings>(&*store).await.unwrap();
        let texts: Vec<String> = settings
            .iter()
            .map(|one| secrets::fields::reveal_settings(&vault, &one.value).unwrap())
            .collect();
        assert!(texts.iter().any(|text| text.contains("secret")), "{texts:?}");
    }

    #[tokio::test]
    async fn a_site_with_a_mistake_stores_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, SITE.replace("port = 4352", "port = 70000")).unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let store = store::sqlite::open_in_memory().unwrap();
        let error = apply(&config::Site { file }, &store, &vault, 0).await.unwrap_err().to_string();
        assert!(error.contains("site.toml:"), "{error}");
        assert_eq!(*store.head().borrow(), 0);
    }
}
