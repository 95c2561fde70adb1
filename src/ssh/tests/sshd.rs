//! OpenSSH's own server on the loopback interface, for the tests of everything that speaks ssh.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = "/usr/sbin/sshd";

/// Somebody who signs in with the password `hunter2`, whose hash this is (`openssl passwd -6`).
pub(crate) const ADA: &str = "ada";
const HASH: &str =
    "$6$headend$130IVM4WALbVrhnyiLe25oYfU1nCrMW11aD.nVMzC8Yd8EkW2JrGu8NvwgD0putsultRwykbFVPldYqru.f5c.";

pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is such a server; if not, the test is skipped, except under CI.
pub(crate) fn installed() -> bool {
    there(Path::new(PROGRAM), "openssh-server")
}

/// The library by which a server finds users that are the test's own, if it is installed.
fn wrapper() -> Option<PathBuf> {
    let library = format!("/usr/lib/{}-linux-gnu/libnss_wrapper.so", std::env::consts::ARCH);
    let library = PathBuf::from(library);
    there(&library, "libnss-wrapper").then_some(library)
}

fn there(file: &Path, package: &str) -> bool {
    if file.exists() {
        return true;
    }
    let file = file.display();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{file} is missing: apt-get install {package}");
    eprintln!("SKIPPED: {file} is missing: apt-get install {package}");
    false
}

/// Whoever runs the test: signs in with a key.
pub(crate) fn user() -> String {
    id("-un")
}

fn id(what: &str) -> String {
    let output = Command::new("id").arg(what).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a key pair, the public one beside the private; returns the private one.
pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) -> String {
    let _ = fs::remove_file(path);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-f"])
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read_to_string(path).unwrap()
}

/// A port of the loopback interface that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Sshd {
    /// A server that lets the holders of these keys in. `keys`: paths of private keys. `more`: lines of configuration.
    pub(crate) async fn with_keys(host_key: &str, keys: &[&Path], port: u16, more: &str) -> Self {
        let more = format!("PasswordAuthentication no\n{more}");
        Self::start(tempfile::tempdir().unwrap(), host_key, keys, port, &more, &[]).await
    }

    /// A server that lets [`ADA`] in with her password, and nobody with a key. None: what it needs is not installed.
    ///
    /// Passwords are the system's business, and the system is not the test's: the server finds its users in files of the
    /// test's own, by way of cwrap's nss_wrapper (<https://cwrap.org/nss_wrapper.html>), with which Samba's servers are
    /// tested too. Ada is another name for whoever runs the test.
    pub(crate) async fn with_passwords(host_key: &str, more: &str) -> Option<Self> {
        let wrapper = wrapper()?;
        let folder = tempfile::tempdir().unwrap();
        let files = [
            (
                "NSS_WRAPPER_PASSWD",
                format!("{ADA}:x:{}:{}::/:/bin/sh\nsshd:x:65534:65534::/:/bin/false\n", id("-u"), id("-g")),
            ),
            ("NSS_WRAPPER_SHADOW", format!("{ADA}:{HASH}:20000::::::\nsshd:*:20000::::::\n")),
            ("NSS_WRAPPER_GROUP", format!("{ADA}:x:{}:\nnogroup:x:65534:\n", id("-g"))),
        ];
        let mut environment = vec![("LD_PRELOAD", wrapper)];
        for (variable, text) in files {
            let path = folder.path().join(variable);
            fs::write(&path, text).unwrap();
            environment.push((variable, path));
        }
        let more = format!("PasswordAuthentication yes\n{more}");
        Some(Self::start(folder, host_key, &[], free_port(), &more, &environment).await)
    }

    async fn start(
        folder: tempfile::TempDir,
        host_key: &str,
        keys: &[&Path],
        port: u16,
        more: &str,
        environment: &[(&str, PathBuf)],
    ) -> Self {
        let path = |name: &str| folder.path().join(name);
        fs::write(path("host_key"), host_key).unwrap();
        fs::set_permissions(path("host_key"), fs::Permissions::from_mode(0o600)).unwrap();
        let public = |key: &&Path| fs::read_to_string(key.with_extension("pub")).unwrap();
        fs::write(path("authorized"), keys.iter().map(public).collect::<String>()).unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPermitRootLogin yes\nAcceptEnv none\n{more}\n",
            path("host_key").display(),
            path("authorized").display(),
        );
        fs::write(path("config"), config).unwrap();
        // The server insists on its folder for privilege separation when it runs as root.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(path("log")).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(path("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "sshd ended: {}", log());
            assert!(Instant::now() < deadline, "sshd does not listen: {}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { folder, port, child }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
