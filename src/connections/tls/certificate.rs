//! What people need to know of a certificate, and of what is wrong with it.

use super::Pin;
use rustls::{CertificateError, pki_types::ServerName};
use std::fmt;
use x509_parser::{
    certificate::X509Certificate,
    prelude::{ASN1Time, FromDer as _},
};

/// Why a certificate was not accepted: a sentence that goes on from the peer's address. Travels in rustls's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(String);

/// `subject "CN=a", issuer "CN=b", valid 2026-01-01 00:00 to 2027-01-01 00:00 UTC`.
struct Facts<'a>(&'a X509Certificate<'a>);

impl Refusal {
    pub(super) fn pin(pinned: Pin, certificate: &[u8]) -> Self {
        Self(format!(
            "presented another certificate than the pinned one: pinned is {pinned}, but it has {} ({}). If its certificate \
             was replaced, set connection.tls.pin to the new one; if not, somebody else answers at its address",
            Pin::of(certificate),
            facts(certificate)
        ))
    }

    /// `chain`: the peer's own certificate first.
    pub(super) fn verification(error: &CertificateError, chain: &[&[u8]], expected: &ServerName<'_>) -> Self {
        use CertificateError as E;
        let own = chain.first().copied().unwrap_or_default();
        let (culprit, what, remedy) = match error {
            E::Expired | E::ExpiredContext { .. } => {
                let culprit = first(chain, |c, now| c.validity.not_after < now);
                let until = read(culprit, |c| time(&c.validity.not_after));
                (culprit, format!("has expired on {until} UTC"), "Renew it in the device. ")
            }
            E::NotValidYet | E::NotValidYetContext { .. } => {
                let culprit = first(chain, |c, now| c.validity.not_before > now);
                let from = read(culprit, |c| time(&c.validity.not_before));
                (
                    culprit,
                    format!("is not valid before {from} UTC"),
                    "Check the clocks of the device and of this machine. ",
                )
            }
            E::UnknownIssuer if is_own_issuer(own) => {
                (own, "is self-signed, and not trusted here".into(), "Set connection.tls.ca to it. ")
            }
            E::UnknownIssuer => (
                own,
                "has an unknown issuer".into(),
                "Set connection.tls.ca to the issuer's certificate, or have the device send those in between. ",
            ),
            E::NotValidForName => (own, mismatch(&[], expected), NAME),
            E::NotValidForNameContext { presented, .. } => (own, mismatch(presented, expected), NAME),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
                (own, "is not made for servers".into(), "")
            }
            E::Revoked => (own, "has been revoked".into(), ""),
            // Of X.509 version 1, or an authority's own in a server's place: what `openssl req -x509` makes, and many devices.
            E::Other(error) if is_own_issuer(own) => {
                (own, format!("is self-signed, in a way that cannot be verified ({})", error.0), "")
            }
            E::Other(error) => (own, format!("cannot be verified ({})", error.0), ""),
            other => (own, format!("cannot be verified ({other})"), ""),
        };
        let whose =
            if std::ptr::eq(culprit, own) { "its certificate" } else { "the certificate of an issuer" };
        Self(format!(
            "was not believed: {whose} {what} ({}). {remedy}To accept the certificate that the device has now, and no other, \
             set connection.tls.pin to {}",
            facts(culprit),
            Pin::of(own)
        ))
    }
}

const NAME: &str =
    "If this is the right device, set connection.tls.server_name to a name in its certificate. ";

fn mismatch(presented: &[String], expected: &ServerName<'_>) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!("does not name {expected}: it has no subjectAltName at all");
    }
    let names = presented.iter().take(10).map(|name| bare(name)).collect::<Vec<_>>().join(", ");
    format!("is not for {expected} but for {}", clean(&names))
}

/// rustls says `DnsName("a.b")` and `IpAddress(10.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// The first one that is so, else the peer's own.
fn first<'a>(chain: &[&'a [u8]], wrong: impl Fn(&X509Certificate<'_>, ASN1Time) -> bool) -> &'a [u8] {
    let now = ASN1Time::now();
    let found = chain.iter().find(|der| X509Certificate::from_der(der).is_ok_and(|(_, c)| wrong(&c, now)));
    found.or(chain.first()).copied().unwrap_or_default()
}

fn is_own_issuer(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, c)| c.subject.as_raw() == c.issuer.as_raw())
}

fn facts(der: &[u8]) -> String {
    read(der, |certificate| Facts(certificate).to_string())
}

fn read(der: &[u8], of: impl FnOnce(&X509Certificate<'_>) -> String) -> String {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => of(&certificate),
        Err(_) => "which cannot be read".into(),
    }
}

fn time(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    let (year, month, day) = time.to_calendar_date();
    format!("{year}-{:02}-{day:02} {:02}:{:02}", u8::from(month), time.hour(), time.minute())
}

/// A stranger wrote it: no control characters, and not too much of it.
fn clean(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(certificate) = self;
        let (subject, issuer) =
            (clean(&certificate.subject.to_string()), clean(&certificate.issuer.to_string()));
        let (from, until) = (time(&certificate.validity.not_before), time(&certificate.validity.not_after));
        write!(f, "subject {subject:?}, issuer {issuer:?}, valid {from} to {until} UTC")
    }
}
