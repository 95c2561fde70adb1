//! The `q` of a list: words are OR-ed, match whole words of the searched fields whatever their case, and the last
//! one also matches the beginning of a word. E-mail addresses stay whole; `field:` prefixes and and/or/not go.

const LONGEST: usize = 512;
const MOST_TOKENS: usize = 16;

/// A parsed `q`. Without words it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    words: Vec<String>,
}

impl Search {
    /// Parses `q`; nothing, blank and `*` mean everything.
    pub(crate) fn parse(q: Option<&str>) -> Self {
        let text: String = q.unwrap_or_default().chars().take(LONGEST).collect();
        let mut words = Vec::new();
        for part in text.split_whitespace() {
            let part = part.rsplit_once(':').map_or(part, |(_, rest)| rest);
            for word in tokens(part) {
                if !matches!(word.as_str(), "and" | "or" | "not") && words.len() < MOST_TOKENS {
                    words.push(word);
                }
            }
        }
        Search { words }
    }

    /// Does any field hold any of the words?
    pub(crate) fn matches<'a>(&self, fields: impl IntoIterator<Item = &'a str>) -> bool {
        let Some((last, whole)) = self.words.split_last() else { return true };
        fields.into_iter().any(|field| {
            tokens(field).chain(pieces(field)).any(|word| word.starts_with(last) || whole.contains(&word))
        })
    }
}

/// Words of a text, lower case; an e-mail address is one word.
fn tokens(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !(c.is_alphanumeric() || "@._-+~".contains(c)))
        .flat_map(|part| if is_email(part) { vec![part.to_lowercase()] } else { pieces(part).collect() })
}

/// Runs of letters and digits, lower case.
fn pieces(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty()).map(str::to_lowercase)
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}
