//! From [`Tls`] to what rustls works with. A configuration is a pure function of its settings and of the system's roots,
//! both of which outlive every link: so they are kept for the process.

use super::{
    Tls, Version,
    verifier::{Trust, Verifier},
};
use crate::connections::{Failure, Reason};
use parking_lot::Mutex;
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// Configurations kept though nobody uses them at the moment: their sessions can be resumed.
const KEPT: usize = 64;
/// Servers whose sessions one configuration remembers. rustls allocates room for all of them.
const SESSIONS: usize = 16;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(default_provider()));

/// The same for equal settings. Fails if the settings are no good, or for lack of the system's roots.
pub(crate) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, Failure> {
    static MADE: LazyLock<Mutex<HashMap<Tls, Arc<ClientConfig>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock();
    if let Some(config) = made.get(tls) {
        return Ok(config.clone());
    }
    let config = make(tls).map_err(|why| Failure::new(Reason::Tls, format!("TLS cannot be used: {why}")))?;
    if made.len() >= KEPT {
        made.retain(|_, config| Arc::strong_count(config) > 1);
    }
    Ok(made.entry(tls.clone()).or_insert(Arc::new(config)).clone())
}

fn make(tls: &Tls) -> Result<ClientConfig, String> {
    let Parts { authorities, identity, name } = Parts::of(tls)?;
    let trust = match tls.pin {
        Some(pin) => Trust::Pinned(pin),
        None if !tls.verify => Trust::Anyone,
        None => {
            let own = if authorities.is_empty() { None } else { Some(verifier(authorities)?) };
            match system() {
                Ok(system) => Trust::Issuers(own.into_iter().chain([system]).collect()),
                Err(why) => Trust::Issuers(vec![own.ok_or(why)?]),
            }
        }
    };
    let versions = match tls.min_version {
        Version::Tls12 => &[&TLS13, &TLS12][..],
        Version::Tls13 => &[&TLS13][..],
    };
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(trust, name, &PROVIDER)));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// What the settings say, read.
pub(super) struct Parts {
    name: Option<ServerName<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<CertifiedKey>,
}

impl Parts {
    pub(super) fn of(tls: &Tls) -> Result<Self, String> {
        if tls.pin.is_some() && !tls.verify {
            return Err("verify: false and a pin contradict each other; leave one of them out".into());
        }
        let authorities = tls.ca.as_deref().map(|pem| certificates("ca", pem)).transpose()?;
        let identity = match (&tls.certificate, &tls.key) {
            (Some(pem), Some(key)) => Some(identity(certificates("certificate", pem)?, key.expose())?),
            (None, None) => None,
            (Some(_), None) => return Err("certificate is set but not its key".into()),
            (None, Some(_)) => return Err("key is set but not the certificate it belongs to".into()),
        };
        let named = |name: &String| {
            ServerName::try_from(name.clone())
                .map_err(|_| format!("server_name is no name that a certificate can have: {name:?}"))
        };
        let name = tls.server_name.as_ref().map(named).transpose()?;
        Ok(Self { name, authorities: authorities.unwrap_or_default(), identity })
    }
}

fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{field} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        Err(error) => Err(format!("{field} is no valid PEM: {error}")),
    }
}

fn identity(chain: Vec<CertificateDer<'static>>, key: &str) -> Result<CertifiedKey, String> {
    // What exactly is wrong with it is left out: it might quote the key.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "key holds no private key in PEM; one that is encrypted has to be decrypted first")?;
    let key = PROVIDER.key_provider.load_private_key(key).map_err(|_| {
        "key is of a kind that cannot be used: RSA with at least 2048 bits, ECDSA (P-256, P-384) or Ed25519 can"
    })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err("key does not belong to the certificate".into())
        }
        _ => Ok(identity),
    }
}

fn verifier(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|error| format!("ca holds a certificate that cannot be used: {error}"))?;
    }
    built(roots)
}

fn built(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
        .build()
        .map_err(|error| error.to_string())
}

/// The system's certificate authorities, read once; if there are none, again for the next who asks.
fn system() -> Result<Arc<WebPkiServerVerifier>, String> {
    static SYSTEM: Mutex<Option<Arc<WebPkiServerVerifier>>> = Mutex::new(None);
    let mut system = SYSTEM.lock();
    if let Some(verifier) = &*system {
        return Ok(verifier.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    let errors = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if roots.is_empty() {
        return Err(format!(
            "this machine has no certificate authorities ({}): install its ca-certificates package, or set \
             connection.tls.ca or connection.tls.pin",
            if errors.is_empty() { "none were found" } else { &errors }
        ));
    }
    if !errors.is_empty() || unusable > 0 {
        tracing::warn!(unusable, errors, "some of the system's certificate authorities cannot be used");
    }
    Ok(system.insert(built(roots)?).clone())
}
