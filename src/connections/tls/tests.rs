//! Settings as people write them, what is said about wrong ones, and errors found wherever they are wrapped.
//! Handshakes with real peers are in `connections/tests/tls.rs`.

use super::*;
use crate::connections::Reason;
use serde_json::json;
use std::{error::Error as StdError, io, sync::Arc};

fn tls(settings: serde_json::Value) -> Result<Tls, serde_json::Error> {
    serde_json::from_value(settings)
}

#[test]
fn settings_may_be_left_out_and_unknown_ones_are_named() {
    assert_eq!(tls(json!({})).unwrap(), Tls::default());
    assert!(Tls::default().verify);
    let error = tls(json!({ "verfy": false })).unwrap_err().to_string();
    assert!(error.contains("verfy"), "{error}");
    for version in [json!("1.3"), json!(1.3)] {
        assert_eq!(tls(json!({ "min_version": version })).unwrap().min_version, Version::Tls13);
    }
    let error = tls(json!({ "min_version": 1.1 })).unwrap_err().to_string();
    assert!(error.contains("1.1"), "{error}");
}

#[test]
fn a_pin_is_written_as_openssl_prints_it_or_without_colons() {
    let plain = format!("sha256:{}", "0aBc".repeat(16));
    let colons = format!("sha256:{}", vec!["0A:BC"; 16].join(":"));
    let pin: Pin = plain.parse().unwrap();
    assert_eq!(colons.parse(), Ok(pin));
    assert_eq!(pin.to_string(), plain.to_lowercase());
    for wrong in [&plain[7..], &plain[..70], "sha1:00", &plain.replace('B', "g"), &plain.replace("0a", "+a")]
    {
        assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
    }
    let error = tls(json!({ "pin": "abcd" })).unwrap_err().to_string();
    assert!(error.contains("openssl x509 -noout -fingerprint -sha256"), "{error}");
}

#[test]
fn wrong_settings_are_told_without_the_key() {
    let own = rcgen::generate_simple_self_signed(vec!["device".into()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let pin = Pin::of(own.cert.der()).to_string();
    for (settings, said) in [
        (json!({ "verify": false, "pin": pin }), "contradict"),
        (json!({ "server_name": "my company" }), "my company"),
        (json!({ "ca": "my company" }), "ca holds no certificate"),
        (json!({ "ca": "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----" }), "ca is no valid PEM"),
        (json!({ "certificate": certificate }), "not its key"),
        (json!({ "key": key }), "not the certificate"),
        (json!({ "certificate": certificate, "key": certificate }), "no private key"),
        (json!({ "certificate": certificate, "key": other }), "does not belong"),
    ] {
        let wrong = tls(settings).unwrap();
        let why = wrong.check().expect_err(said);
        assert!(why.contains(said) && !why.contains(&key[30..60]), "{why}");
        let failure = client_config(&wrong).expect_err(said);
        assert_eq!((failure.reason, failure.detail.contains(&why)), (Reason::Tls, true), "{failure}");
    }
    let right = tls(json!({ "pin": pin, "certificate": certificate, "key": key })).unwrap();
    assert_eq!(right.check(), Ok(()));
    assert!(!format!("{right:?}").contains(&key[30..60]));
}

#[test]
fn equal_settings_share_a_configuration() {
    let unverified = Tls { verify: false, ..Tls::default() };
    let first = client_config(&unverified).unwrap();
    assert!(Arc::ptr_eq(&first, &client_config(&unverified.clone()).unwrap()));
    let other = Tls { min_version: Version::Tls13, ..unverified };
    assert!(!Arc::ptr_eq(&first, &client_config(&other).unwrap()));
}

#[test]
fn what_tls_said_is_found_wherever_it_is_wrapped() {
    #[derive(Debug, thiserror::Error)]
    #[error("exchange failed")]
    struct Exchange(#[source] io::Error);

    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
    let wrapped = Exchange(io::Error::other(io::Error::new(io::ErrorKind::InvalidData, alert)));
    let failure = explain("10.0.0.1:443", &wrapped as &(dyn StdError + 'static)).expect("found");
    assert_eq!(failure.reason, Reason::Tls);
    assert!(failure.detail.starts_with("10.0.0.1:443 requires a client certificate"), "{failure}");
    assert_eq!(explain("10.0.0.1:443", &io::Error::other("something else")), None);
}
