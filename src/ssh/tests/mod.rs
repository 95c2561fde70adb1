//! The pins: what OpenSSH's own tools write is read, and they read what is written here.

pub(crate) mod sshd;

use std::{fs, process::Command};

use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};

use super::known_hosts::{Error, HostKey, KnownHosts};

const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn fingerprint(text: &str) -> String {
    key(text).fingerprint(HashAlg::Sha256).to_string()
}

/// Pins in a file with this text.
fn pins(text: &str) -> (tempfile::TempDir, KnownHosts) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    fs::write(&file, text).unwrap();
    (folder, KnownHosts::new(file))
}

#[test]
fn the_first_key_is_pinned_and_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("below").join("known_hosts");
    let hosts = KnownHosts::new(&file);
    hosts.check("Device", 22, &key(ONE)).unwrap();
    hosts.check("device", 22, &key(ONE)).unwrap();
    // Another port is another host.
    hosts.check("device", 2022, &key(TWO)).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("device {ONE}\n[device]:2022 {TWO}\n"));

    let error = hosts.check("device", 2022, &key(ONE)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Changed { line: 2, .. }), "{text}");
    for part in [&fingerprint(ONE), &fingerprint(TWO), file.to_str().unwrap(), "line 2", "-R '[device]:2022'"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    // As the sentence says.
    let removed = Command::new("ssh-keygen").args(["-R", "[device]:2022", "-f"]).arg(&file).output();
    if removed.is_ok_and(|output| output.status.success()) {
        hosts.check("device", 2022, &key(ONE)).unwrap();
        hosts.check("device", 22, &key(ONE)).unwrap();
    }
}

#[test]
fn a_file_that_lacks_its_last_line_end_is_not_spoilt() {
    let (folder, hosts) = pins(&format!("other {ONE}"));
    hosts.check("device", 22, &key(TWO)).unwrap();
    let text = fs::read_to_string(folder.path().join("known_hosts")).unwrap();
    assert_eq!(text, format!("other {ONE}\ndevice {TWO}\n"));
}

#[test]
fn lines_are_read_as_openssh_does() {
    let knows = |text: &str, host: &str, port: u16| {
        let (_folder, hosts) = pins(text);
        // A stranger would be pinned: another key tells whether it is one.
        matches!(hosts.check(host, port, &key(TWO)), Err(Error::Changed { .. }))
    };
    assert!(knows(&format!("# comment\n\na,B,c {ONE} somebody@somewhere\n"), "b", 22));
    assert!(knows(&format!("*.example.com,!dev.example.com {ONE}"), "av.example.com", 22));
    assert!(!knows(&format!("*.example.com,!dev.example.com {ONE}"), "dev.example.com", 22));
    assert!(knows(&format!("10.0.0.? {ONE}"), "10.0.0.7", 22));
    assert!(!knows(&format!("10.0.0.? {ONE}"), "10.0.0.77", 22));
    assert!(knows(&format!("[10.0.0.7]:2022 {ONE}"), "10.0.0.7", 2022));
    assert!(!knows(&format!("10.0.0.7 {ONE}"), "10.0.0.7", 2022));
    assert!(!knows(&format!("@cert-authority * {ONE}"), "device", 22));
    assert!(!knows(&format!("#device {ONE}"), "device", 22));

    let (_folder, hosts) = pins(&format!("device {ONE}\n@revoked * {TWO}\n"));
    assert!(matches!(hosts.check("device", 22, &key(TWO)), Err(Error::Revoked { line: 2, .. })));
    assert!(matches!(hosts.check("stranger", 22, &key(TWO)), Err(Error::Revoked { line: 2, .. })));
    hosts.check("device", 22, &key(ONE)).unwrap();
}

#[test]
fn names_that_openssh_has_hashed_are_known() {
    let (folder, hosts) = pins(&format!("device {ONE}\n"));
    let file = folder.path().join("known_hosts");
    let hashed = Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file).output();
    if !hashed.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "ssh-keygen is missing: apt-get install openssh-client"
        );
        return;
    }
    assert!(fs::read_to_string(&file).unwrap().starts_with("|1|"));
    hosts.check("device", 22, &key(ONE)).unwrap();
    assert!(matches!(hosts.check("device", 22, &key(TWO)), Err(Error::Changed { .. })));
}

#[test]
fn a_file_that_cannot_be_read_lets_nobody_in() {
    let (_folder, hosts) = pins("device ssh-ed25519 AAAA\n");
    let error = hosts.check("device", 22, &key(ONE)).unwrap_err();
    assert!(matches!(&error, Error::Unreadable { why, .. } if why.contains("line 1")), "{error}");
    hosts.check("other", 22, &key(ONE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = KnownHosts::new(folder.path()).check("device", 22, &key(ONE)).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
}

#[test]
fn the_kind_of_key_that_is_known_comes_first() {
    let (_folder, hosts) = pins(&format!("device {ONE}\n"));
    let offered = [Algorithm::Rsa { hash: Some(HashAlg::Sha256) }, Algorithm::Ed25519];
    assert_eq!(hosts.prefer("device", 22, &offered)[0], Algorithm::Ed25519);
    assert_eq!(hosts.prefer("other", 22, &offered), offered);
}

#[test]
fn a_key_may_be_named_in_advance() {
    let read = |text: &str| serde_json::from_value::<HostKey>(text.into());
    for text in [ONE.to_owned(), format!(" {ONE} device\n"), fingerprint(ONE)] {
        let wanted = read(&text).unwrap();
        wanted.check(&key(ONE)).unwrap();
        let error = wanted.check(&key(TWO)).unwrap_err().to_string();
        assert!(error.contains(&fingerprint(ONE)) && error.contains(&fingerprint(TWO)), "{error}");
    }
    for text in ["", "SHA256:", "SHA256:short", "device", "ssh-ed25519"] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("ssh-keygen -l"), "{error}");
    }
}
