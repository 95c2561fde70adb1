//! Real programs as peers, and certificates for them.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A program that a test needs; `None` (the test is skipped, and says what to install) if it is missing, except under CI.
pub(super) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/usr/sbin"]
        .iter()
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{name} is missing: apt-get install {package}"
        );
        eprintln!("skipped: {name} is missing: apt-get install {package}");
    }
    found
}

/// A process that ends with the test.
pub(super) struct Peer(Child);

impl Peer {
    /// Its standard input stays open and empty.
    pub(super) fn start(command: &mut Command) -> Self {
        Self(
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start"),
        )
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who issues certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(super) pem: String,
}

/// A certificate and its key, in PEM, and the certificate's fingerprint.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) pin: String,
}

impl Identity {
    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self { pin: pin(certificate.der()), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

pub(super) fn pin(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let bytes = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
    format!("sha256:{}", bytes.join(":"))
}

/// For a server or client with these names (or addresses), and `CN=device`.
pub(super) fn params(names: &[&str]) -> CertificateParams {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, "device");
    params
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let pem = params.self_signed(&key).expect("certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Somebody else's certificate, in PEM.
    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.issuer).expect("certificate").pem()
    }

    pub(super) fn issue(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("key");
        Identity::new(&params.signed_by(&key, &self.issuer).expect("certificate"), &key)
    }
}

pub(super) fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().expect("key");
    Identity::new(&params.self_signed(&key).expect("certificate"), &key)
}
