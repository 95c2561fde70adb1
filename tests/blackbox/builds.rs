//! Drivers that do not compile, and then do.

use reqwest::Method;
use serde_json::json;

use crate::support::{Daemon, Setup, device::Device, drivers, until, web, within};

const BUILD: std::time::Duration = std::time::Duration::from_secs(420);

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_does_not_compile_leaves_what_runs_and_the_next_that_does_replaces_it() {
    let probe = drivers::probe();
    probe.built().await;
    let daemon = Setup::default().building().start();
    let device = Device::start().await;
    let loaded = probe.load(&daemon).await;
    let driver = &loaded.drivers[0];
    let module = daemon.module(driver, device.address, json!({})).await;
    daemon.api.reaches(&module, "running", true).await;

    let source = include_str!("drivers/probe/src/main.rs");
    probe.work.write("probe/src/main.rs", &source.replace("cx.info(\"started\");", "cx.info(started_typo);"));
    let broken = probe.work.commit("Break the probe");
    let pull = format!("/repositories/{}/pull", loaded.repository);
    assert_eq!(daemon.api.post(&pull, json!({})).await["commit_hash"], json!(broken));
    let said = within(BUILD, "the build fails", async || {
        let answer = daemon.api.send(Method::GET, &format!("/drivers/{driver}/compiled"), None).await;
        (answer.status == 503).then(|| answer.json()["compilation_output"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(said.contains("started_typo") && said.contains("main.rs"), "{said}");
    let path = format!("/drivers/{driver}");
    until("the driver shows what the compiler said", async || {
        let shown = daemon.api.get(&path).await;
        shown["compilation_output"].as_str()?.contains("started_typo").then_some(())
    })
    .await;
    assert_eq!(daemon.api.exec(&module, "echo", json!(["still here"])).await.json(), json!("still here"));

    let mended = source.replace("/// Never gives the thread back.", "/// Says what it is.\n    #[function]\n    fn version(&self) -> u32 {\n        2\n    }\n\n    /// Never gives the thread back.");
    probe.work.write("probe/src/main.rs", &mended);
    let mended = probe.work.commit("Mend the probe");
    assert_eq!(daemon.api.post(&pull, json!({})).await["commit_hash"], json!(mended));
    within(BUILD, "the new version answers", async || {
        let built = daemon.api.send(Method::GET, &format!("/drivers/{driver}/compiled"), None).await;
        assert!(built.status != 503 || built.text.contains("started_typo"), "{}", built.text);
        let answer = daemon.api.exec(&module, "version", json!([])).await;
        (answer.status == 200 && answer.json() == json!(2)).then_some(())
    })
    .await;
    until("the driver shows no complaint", async || {
        daemon.api.get(&path).await["compilation_output"].is_null().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_over_http_for_everyone_and_for_a_user_with_a_password() {
    if !std::path::Path::new(web::BACKEND).exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "git http-backend is missing");
        eprintln!("not tested: git http-backend is missing; scripts/test installs it");
        return;
    }
    let mut probe = drivers::probe();
    probe.packages.truncate(1);
    let server = web::serve(probe.work.path()).await;
    let daemon = Setup::default().building().start();
    let repository = async |name: &str, uri: String, password: Option<&str>| {
        let mut body = json!({ "name": name, "folder_name": name, "uri": uri, "branch": "main" });
        if let Some(password) = password {
            body["username"] = json!("bob");
            body["password"] = json!(password);
        }
        daemon.api.create("repositories", body).await
    };
    let open = repository("open", server.uri("/open/.git"), None).await;
    let closed = repository("closed", server.uri("/closed/.git"), Some("a wrong one")).await;
    until("the closed repository says that it is not let in", async || {
        let shown = daemon.api.get(&format!("/repositories/{closed}")).await;
        let text = shown["error_message"].as_str()?.to_owned();
        assert!(!text.contains("a wrong one"), "{text}");
        text.contains("refused the credentials").then_some(())
    })
    .await;
    daemon.api.patch(&format!("/repositories/{closed}"), json!({ "password": "hunter2" })).await;
    until("the closed repository is cloned", async || {
        let shown = daemon.api.get(&format!("/repositories/{closed}")).await;
        (shown["error_message"].is_null() && shown["deployed_commit_hash"] == json!(probe.commit))
            .then_some(())
    })
    .await;
    for repository in [open, closed] {
        let found = until("its drivers are found", async || {
            let path = format!("/repositories/{repository}/drivers");
            let answer = daemon.api.send(Method::GET, &path, None).await;
            answer.status.is_success().then(|| answer.json())
        })
        .await;
        assert_eq!(found, json!(["other/Cargo.toml", "probe/Cargo.toml"]));
        let driver = drivers::create_driver(&daemon, &repository, &probe.packages[0]).await;
        drivers::compiled(&daemon, &driver).await;
        let device = Device::start().await;
        let module = daemon.module(&driver, device.address, json!({})).await;
        daemon.api.reaches(&module, "running", true).await;
        assert_eq!(daemon.api.exec(&module, "echo", json!(["cloned"])).await.json(), json!("cloned"));
    }
    assert!(
        server.signed.lock().iter().any(|(path, _)| path.ends_with("/git-upload-pack")),
        "the closed repository was read without its password"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_reached_says_so_and_runs_on() {
    let daemon = Daemon::start();
    let nowhere = drivers::create_repository(&daemon, "file:///nowhere/at/all").await;
    let pull = format!("/repositories/{nowhere}/pull");
    let answer = daemon.api.send(Method::POST, &pull, Some(json!({}))).await;
    assert!(!answer.status.is_success(), "{answer:?}");
    within(BUILD, "the repository shows its error", async || {
        let shown = daemon.api.get(&format!("/repositories/{nowhere}")).await;
        (shown["has_runtime_error"] == json!(true) && shown["error_message"].is_string()).then_some(())
    })
    .await;
}
