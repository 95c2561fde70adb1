//! Which secrets are hidden, and the forms in which they go over a wire.

use super::redact::LEAST;
use crate::secrets::Secret;
use base64::engine::general_purpose;

/// Secrets of the driver's own making that are hidden at the same time.
const ALSO: usize = 16;

/// What is hidden of a module.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// As its settings are.
    settings: Vec<Secret>,
    /// As they were before they were changed last: for a while the old password may still go over the wire.
    before: Vec<Secret>,
    /// What the driver made of them, for this connection.
    also: Vec<Secret>,
}

impl Hidden {
    /// Whether that changes anything.
    pub(super) fn set(&mut self, mut secrets: Vec<Secret>) -> bool {
        secrets.retain(|secret| secret.expose().len() >= LEAST);
        secrets.sort_unstable_by(|one, other| one.expose().cmp(other.expose()));
        secrets.dedup();
        if secrets == self.settings {
            return false;
        }
        self.before = std::mem::replace(&mut self.settings, secrets);
        true
    }

    /// Whether that changes anything.
    pub(super) fn add(&mut self, secret: Secret) -> bool {
        if secret.expose().len() < LEAST || self.also.contains(&secret) {
            return false;
        }
        if self.also.len() >= ALSO {
            self.also.remove(0);
        }
        self.also.push(secret);
        true
    }

    /// The connection has ended. Whether that changes anything.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::take(&mut self.also).is_empty()
    }

    /// Everything to look for.
    pub(super) fn forms(&self) -> impl Iterator<Item = Vec<u8>> {
        let settings = self.settings.iter().chain(&self.before).flat_map(|secret| forms(secret.expose()));
        settings.chain(self.also.iter().map(|secret| secret.expose().as_bytes().to_vec()))
    }
}

/// As it is, in Base64 wherever it may stand in what is encoded, in a URL, in a form, in JSON and in XML.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    for before in 0..3 {
        forms.push(base64(secret, before, &general_purpose::STANDARD_NO_PAD));
        forms.push(base64(secret, before, &general_purpose::URL_SAFE_NO_PAD));
    }
    // RFC 3986; JavaScript's encodeURIComponent; forms, with either way to write a blank.
    for (kept, blank) in [("-._~", "%20"), ("-._~!*'()", "%20"), ("-._*", "%20"), ("-._*", "+")] {
        for hex in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            forms.push(percent(secret, kept, blank, hex));
        }
    }
    let json = serde_json::to_string(secret).unwrap_or_default();
    forms.push(json.trim_matches('"').as_bytes().to_vec());
    let xml = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    forms.push(xml.replace('"', "&quot;").into_bytes());
    forms.push(xml.into_bytes());
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// What `before` bytes and then the secret have in Base64 whatever those and the bytes behind it are.
fn base64(secret: &str, before: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret.as_bytes());
    let text = engine.encode(&bytes).into_bytes();
    // Six bits each: the first that is all the secret's own, and behind the last.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.get(first..end).unwrap_or_default().to_vec()
}

/// In a URL, where letters, digits and what is `kept` stand for themselves.
fn percent(secret: &str, kept: &str, blank: &str, hex: &[u8; 16]) -> Vec<u8> {
    let mut text = Vec::with_capacity(secret.len());
    for byte in secret.bytes() {
        let digit = |value: u8| hex.get(usize::from(value)).copied().unwrap_or_default();
        match byte {
            b' ' => text.extend(blank.as_bytes()),
            _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => text.push(byte),
            _ => text.extend([b'%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_with_other_things_has_one_of_the_forms(
            before in "[ -~]{0,7}", secret in "[ -~äß]{4,20}", behind in "[ -~]{0,7}"
        ) {
            let whole = format!("{before}{secret}{behind}");
            let all = forms(&secret);
            let has = |text: &str| all.iter().any(|form| text.as_bytes().windows(form.len()).any(|at| at == form));
            for engine in [general_purpose::STANDARD, general_purpose::URL_SAFE] {
                prop_assert!(has(&engine.encode(&whole)));
            }
            let form: String = url::form_urlencoded::byte_serialize(whole.as_bytes()).collect();
            prop_assert!(has(&form) && has(&form.replace('+', "%20")));
            prop_assert!(has(&serde_json::to_string(&whole).unwrap()));
        }
    }

    #[test]
    fn old_settings_stay_hidden_until_they_change_again_and_short_ones_are_not() {
        let mut hidden = Hidden::default();
        let has = |hidden: &Hidden, text: &str| hidden.forms().any(|form| form == text.as_bytes());
        assert!(hidden.set(vec!["first".into(), "abc".into()]));
        assert!(!hidden.set(vec!["first".into()]));
        assert!(hidden.set(vec!["second".into()]));
        assert!(has(&hidden, "first") && has(&hidden, "second") && !has(&hidden, "abc"));
        assert!(hidden.set(vec![]));
        assert!(!has(&hidden, "first") && has(&hidden, "second"));
        assert!(hidden.add("made of it".into()) && !hidden.add("made of it".into()));
        assert!(has(&hidden, "made of it") && hidden.end() && !hidden.end());
    }
}
