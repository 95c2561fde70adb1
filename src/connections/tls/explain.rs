//! What a failure of TLS is called: a sentence that names what is wrong and what to do.

use super::{Watched, certificate::Refusal};
use crate::connections::{Failure, Reason};
use rustls::{AlertDescription as Alert, CertificateError, Error, PeerIncompatible};
use std::{error::Error as StdError, io};

/// If TLS is what failed, at whatever depth of `error`. Also for what a peer says long after the handshake: with TLS 1.3 it
/// refuses a client's certificate only then.
pub(crate) fn explain(address: &str, error: &(dyn StdError + 'static)) -> Option<Failure> {
    find(error).map(|error| failure(address, &sentence(error)))
}

/// Why a handshake failed, also if TLS has nothing to say about it.
pub(crate) fn handshake_failure<S>(address: &str, error: &io::Error, peer: &Watched<S>) -> Failure {
    let tls = find(error);
    let first = peer.first();
    if tls.is_some() && !first.is_empty() && !speaks_tls(first) {
        let said = String::from_utf8_lossy(first).escape_debug().to_string();
        let what =
            format!("does not speak TLS there: it began with \"{said}\"; check the port, or switch TLS off");
        return failure(address, &what);
    }
    match tls {
        // It had chosen a version and suite, so it must be something else that it does not like.
        Some(Error::AlertReceived(Alert::HandshakeFailure)) if peer.past_hello() => {
            failure(address, WANTS_CERTIFICATE)
        }
        Some(error) => failure(address, &sentence(error)),
        None => ended(address, error),
    }
}

fn failure(address: &str, sentence: &str) -> Failure {
    Failure::new(Reason::Tls, format!("{address} {sentence}."))
}

/// The connection ended before the handshake did.
fn ended(address: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error.kind() {
        Kind::UnexpectedEof | Kind::BrokenPipe | Kind::ConnectionAborted => (Reason::Closed, "closed"),
        Kind::TimedOut => (Reason::Silent, "stopped answering on"),
        _ => (Reason::Reset, "cut off"),
    };
    let what = format!(
        "{address} {happened} the connection in the TLS handshake ({error}): it may be restarting, not speak TLS on this port, \
         or only versions before 1.2."
    );
    Failure::new(reason, what)
}

fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An io::Error's source is its contents' source.
        next = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|contents| contents as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// A record begins with its type and a major version of 3 (RFC 8446, 5.1).
fn speaks_tls(first: &[u8]) -> bool {
    matches!(first, [0x14..=0x18, 3, ..])
}

const WANTS_CERTIFICATE: &str = "broke the handshake off when it saw who we are: it most likely requires a client certificate; set \
                                 connection.tls.certificate and connection.tls.key, or others";

const NO_VERSION: &str = "has no version of TLS in common with us: here 1.2 and 1.3 are spoken (or what connection.tls.min_version \
                          leaves of them)";

/// Goes on from the peer's address.
fn sentence(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.to_string(),
            None => format!("presented a certificate that cannot be used ({})", other.0),
        },
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "presented a certificate but could not prove that it has the key to it, or has one that is too short (RSA with \
             less than 2048 bits is accepted with connection.tls.pin only)"
                .into()
        }
        Error::InvalidCertificate(error) => format!("presented a certificate that cannot be used ({error})"),
        Error::NoCertificatesPresented => "presented no certificate".into(),
        Error::AlertReceived(alert) => refusal(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => NO_VERSION.into(),
        Error::PeerIncompatible(what) => format!("speaks TLS in a way that is not spoken here ({what:?})"),
        other => format!("broke the rules of TLS ({other})"),
    }
}

/// What the peer means by its alert.
fn refusal(alert: Alert) -> String {
    match alert {
        Alert::CertificateRequired | Alert::NoCertificate => {
            "requires a client certificate: set connection.tls.certificate and connection.tls.key".into()
        }
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => format!(
            "refused our client certificate, or the lack of one ({alert:?}): check connection.tls.certificate and \
             connection.tls.key, and whom the device trusts"
        ),
        Alert::ProtocolVersion => NO_VERSION.into(),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => format!(
            "has no cipher suite in common with us ({alert:?}): here those of TLS 1.3, and ECDHE with AES-GCM or ChaCha20 of TLS \
             1.2, are spoken"
        ),
        Alert::UnrecognisedName => {
            "has no certificate for the name it was asked for: set connection.tls.server_name".into()
        }
        other => format!("broke TLS off ({other:?})"),
    }
}
