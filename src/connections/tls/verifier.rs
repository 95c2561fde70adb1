//! Whether the peer is the one it should be.

use super::{Pin, certificate::Refusal};
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
};
use std::sync::Arc;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    /// What the certificate has to say, whatever name was connected to: HTTP clients know only that of the URL.
    name: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
pub(super) enum Trust {
    /// Certificates that lead to one of these authorities and name the server; the next ones are asked if the issuer is
    /// none of the first.
    Issuers(Vec<Arc<WebPkiServerVerifier>>),
    /// Whoever has the key of this certificate. It need not satisfy anybody else: many devices' do not.
    Pinned(Pin),
    Anyone,
}

impl Verifier {
    pub(super) fn new(trust: Trust, name: Option<ServerName<'static>>, provider: &CryptoProvider) -> Self {
        Self { trust, name, algorithms: provider.signature_verification_algorithms }
    }

    /// As rustls does it, but without asking for more of the certificate than its key (it may be of X.509 version 1), and
    /// with RSA keys from 1024 bits and SHA-1, which are all that some old devices have.
    fn old_signature(
        &self,
        message: &[u8],
        certificate: &X509Certificate<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = &certificate.public_key().subject_public_key.data;
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let valid = known.is_some_and(|(_, algorithms)| {
            algorithms
                .iter()
                .any(|algorithm| algorithm.verify_signature(key, message, signed.signature()).is_ok())
        }) || old(signed.scheme).is_some_and(|algorithm| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signed.signature()).is_ok()
        });
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

fn old(scheme: SignatureScheme) -> Option<&'static RsaParameters> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA1 => Some(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PKCS1_SHA256 => Some(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RSA_PKCS1_SHA512 => Some(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| Error::from(CertificateError::BadEncoding))?;
    Ok(certificate)
}

fn refused(refusal: Refusal) -> Error {
    CertificateError::Other(OtherError(Arc::new(refusal))).into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.name.as_ref().unwrap_or(name);
        let issuers = match &self.trust {
            Trust::Anyone => return Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pin) if Pin::of(own) == *pin => return Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pin) => return Err(refused(Refusal::pin(*pin, own))),
            Trust::Issuers(issuers) => issuers,
        };
        let mut why = CertificateError::UnknownIssuer;
        for issuers in issuers {
            match issuers.verify_server_cert(own, between, name, ocsp, now) {
                Ok(verified) => return Ok(verified),
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(Error::InvalidCertificate(error)) => {
                    why = error;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let chain = std::iter::once(own).chain(between).map(|der| &**der).collect::<Vec<_>>();
        Err(refused(Refusal::verification(&why, &chain, name)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Trust::Issuers(_) => verify_tls12_signature(message, own, signed, &self.algorithms),
            Trust::Pinned(_) => self.old_signature(message, &parse(own)?, signed),
            Trust::Anyone => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Trust::Issuers(_) => verify_tls13_signature(message, own, signed, &self.algorithms),
            Trust::Pinned(_) => {
                let own = parse(own)?;
                let key = SubjectPublicKeyInfoDer::from(own.public_key().raw);
                verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
            }
            Trust::Anyone => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        if !matches!(self.trust, Trust::Issuers(_)) {
            schemes.push(SignatureScheme::RSA_PKCS1_SHA1);
        }
        schemes
    }
}
