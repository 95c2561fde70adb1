//! Starting, stopping, and starting again.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Api, Daemon, Setup, headend};

#[test]
fn a_second_daemon_on_the_same_data_directory_is_refused() {
    let first = Daemon::start();
    let second = first.setup.clone().try_start();
    let (status, log) = second.err().expect("the second daemon started");
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.contains(&format!("in use by another headend (process {})", first.pid())), "{log}");
}

#[test]
fn a_signal_stops_it_in_time_and_the_next_start_finds_nothing_left_over() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start();
        daemon.signal(signal);
        let status = daemon.wait(Duration::from_secs(10));
        assert!(status.success(), "{status}");
        daemon.again();
    }
}

#[test]
fn a_bad_configuration_is_refused_with_its_line() {
    let (status, log) = Setup::new("[server]\n\nlisten_on = 1\n").try_start().err().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("config.toml:3: unknown field `listen_on`"), "{log}");
}

#[test]
fn a_bad_site_file_is_refused_and_a_mended_one_is_applied() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let site = folder.path().join("site.toml");
    std::fs::write(&site, "[zones.one]\nnmae = \"One\"\n").unwrap();
    let mut setup = Setup::new("[site]\nfile = \"site.toml\"\n");
    setup.folder = Some(folder);
    let (status, log) = setup.clone().try_start().err().unwrap();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("site.toml:2: unknown field `nmae`"), "{log}");
    std::fs::write(&site, "[zones.one]\nname = \"One\"\n").unwrap();
    setup.start();
}

#[test]
fn the_port_of_another_program_is_refused_with_a_hint() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let done = headend()
        .args(["serve", "--listen", &other.local_addr().unwrap().to_string(), "--data"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen at") && said.contains("--listen ADDR"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_key_that_is_none_is_refused_before_anything_is_stored() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let site = folder.path().join("site.toml");
    std::fs::write(&site, "[zones.one]\nname = \"One\"\n").unwrap();
    let config = format!("[site]\nfile = {:?}\n", site.display().to_string());
    let mut setup = Setup::new(&config);
    (setup.folder, setup.key) = (Some(folder), Some("0123.tooshort"));
    let (status, said) = setup.clone().try_start().err().expect("it does not start");
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("preset admin key") && !said.contains("tooshort"), "{said}");
    // The store is as empty as it was: the site is applied at the next start.
    setup.key = None;
    let daemon = setup.start();
    assert_eq!(daemon.api.get("/zones").await[0]["name"], "One");
}

#[tokio::test]
async fn whoever_lost_the_admin_key_makes_another_while_the_daemon_is_stopped() {
    let mut daemon = Daemon::start();
    let make = || headend().args(["key", "--data"]).arg(daemon.data()).output().unwrap();
    let refused = make();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    daemon.kill();
    let made = headend().args(["key", "--data"]).arg(daemon.data()).output().unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    let key = said.trim().strip_prefix("admin API key (shown only now): ").unwrap().to_owned();
    let daemon = daemon.again();
    for key in [&key, &daemon.api.key] {
        Api::new(&daemon.url, key).get("/api_keys").await;
    }
}
