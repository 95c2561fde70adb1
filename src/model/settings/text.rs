//! The text of settings: YAML, of which JSON is a part.
//!
//! Spellings are read as people mean them in settings: `yes` and `on` are booleans, `0042` keeps its zeros (it is a
//! PIN or an extension, hardly a number), a key given twice is an error rather than a surprise.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options::NonFiniteFloatPolicy;

/// How many values aliases (`*name`) may add up to: a bound for documents made to explode.
const ALIASED_VALUES: usize = 100_000;

/// Why a text is no settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// What is wrong, with the place.
    pub detail: String,
    /// Where, counted from 1, if it is known.
    pub line: Option<u64>,
}

/// The values of a settings text, in its order. A blank one has none.
pub fn parse(text: &str) -> Result<Map<String, Value>, Error> {
    if text.trim_start().starts_with('{')
        && let Ok(Strict(Value::Object(values))) = serde_json::from_str(text)
    {
        return Ok(values);
    }
    let options = serde_saphyr::options! {
        emit_comments: false,
        with_snippet: false,
        leading_zero_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_VALUES },
    };
    let found = match serde_saphyr::from_str_with_options(text, options) {
        Ok(Value::Object(values)) => return Ok(values),
        Ok(Value::Null) if !text.lines().any(is_content) => return Ok(Map::new()),
        Ok(Value::Array(_)) => "a list",
        Ok(Value::Null) => "null",
        Ok(Value::String(_)) => "text",
        Ok(Value::Bool(_) | Value::Number(_)) => "a single value",
        Err(error) => {
            let line = error.location().map(|location| location.line());
            return Err(Error { detail: sentence(&error), line });
        }
    };
    Err(Error { detail: format!("expected `key: value` lines or a JSON object, found {found}"), line: None })
}

/// JSON in which no key is given twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Strict)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, _>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key: {key}")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Is there more in this line than a comment or the mark of a document?
fn is_content(line: &str) -> bool {
    let line = line.trim();
    !(line.is_empty() || line.starts_with('#') || line.starts_with("---") || line.starts_with("..."))
}

fn sentence(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    if let (Some(_), Some((_, place))) = (text.strip_prefix("budget breached"), text.split_once(" at line "))
    {
        return format!("it is nested too deeply or grows too large at line {place}");
    }
    // The parser's advice to the programmer is none to the person who wrote the settings.
    match text.split_once(", set DuplicateKeyPolicy in Options if acceptable") {
        Some((before, after)) => format!("{before}{after}"),
        None => text.replace("; use from_str_multiple or from_str_multiple_with_options", ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        serde_json::to_string(&parse(text).unwrap()).unwrap()
    }

    #[test]
    fn yaml_and_json_give_the_same() {
        let yaml = "# the projector\nhost: 10.0.0.1\npin: 0042\non: yes\nlist:\n  - 1.5\n  - null\n";
        let same = r#"{"host":"10.0.0.1","pin":"0042","on":true,"list":[1.5,null]}"#;
        assert_eq!(json(yaml), same);
        assert_eq!(json(same), same);
        assert_eq!(json("{\n\t\"z\": 1,\n\t\"a\": 2\n}"), r#"{"z":1,"a":2}"#, "the order is the text's");
        assert_eq!(json("1: x"), r#"{"1":"x"}"#, "keys are texts");
        assert_eq!(
            json("base: &b {a: 1}\ncopy: {<<: *b, c: .inf}"),
            r#"{"base":{"a":1},"copy":{"c":".inf","a":1}}"#
        );
    }

    #[test]
    fn json_keeps_its_numbers() {
        let text = r#"{"a":-1,"b":18446744073709551615,"c":1.25,"d":[true,null,"x"],"e":{"f":{}}}"#;
        assert_eq!(json(text), text);
    }

    #[test]
    fn blank_is_empty() {
        for text in ["", " \n\t\n", "# only a comment\n", "---\n", "{}", "---\n# nothing\n...\n"] {
            assert_eq!(json(text), "{}", "{text:?}");
        }
    }

    #[test]
    fn comments_may_be_many() {
        let comments = "  # about this\n".repeat(500);
        assert_eq!(
            json(&format!("a: 1\n{comments}b:\n{comments}  - c: 2\n{comments}")),
            r#"{"a":1,"b":[{"c":2}]}"#
        );
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_line() {
        for (text, line, part) in [
            ("- a\n- b", None, "found a list"),
            ("just text", None, "found text"),
            ("null", None, "found null"),
            ("5", None, "found a single value"),
            ("a: 1\nb: [1,", Some(2), "line 2"),
            ("a: 1\na: 2", Some(2), "duplicate mapping key: a at line 2, column 1"),
            ("a: 1\n---\nb: 2", Some(3), "multiple YAML documents detected at line 3"),
            ("{\"a\": 1,\n\"b\": @}", Some(2), "line 2"),
            ("{\"a\": 1,\n\"a\": 2}", Some(2), "duplicate mapping key: a"),
            ("{\"a\": [\n{\"b\": 1, \"b\": 1}]}", Some(2), "duplicate mapping key: b"),
            ("a: 1\n b: 2", Some(2), "line 2"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.to_string().contains(part), "{text:?}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_document_made_to_explode_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
        }
        assert!(parse(&text).is_err());
        assert!(parse(&format!("a: {}", "[".repeat(100_000))).is_err());
        let blocks: String = (0..1_000).map(|level| " ".repeat(level) + "a:\n").collect();
        let error = parse(&blocks).unwrap_err().to_string();
        assert_eq!(error, "it is nested too deeply or grows too large at line 65, column 65");
        assert!(parse(&format!("{{\"a\": {}", "[".repeat(100_000))).is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            (-80_000..80_000_i32).prop_map(|n| Value::from(f64::from(n) / 8.0))
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            "\\PC{0,8}".prop_map(Value::from),
            "(yes|no|on|0x1F|007|~|null|1e5|- a|a: b|#|)".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "(\\PC|[\n\t :#{}\\[\\],&*!|>-]){0,60}") {
            let _ = parse(&text);
        }

        /// As JSON, and as the YAML of a JSON that is not taken for JSON at first sight.
        #[test]
        fn json_is_taken_as_it_is(values in prop::collection::btree_map("[a-z]{1,6}", any_value(), 0..5)) {
            let values: Map<String, Value> = values.into_iter().collect();
            for text in [serde_json::to_string(&values).unwrap(), serde_json::to_string_pretty(&values).unwrap()] {
                prop_assert_eq!(&parse(&text).unwrap(), &values);
                prop_assert_eq!(&parse(&format!("# comment\n{text}")).unwrap(), &values);
            }
        }
    }
}
