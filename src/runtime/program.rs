//! A built driver, as modules run it: the executable and what it declares.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::{Function, Security};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::exec;
use crate::connections::recorder::commands;
use crate::repositories::Artifact;

/// One build of a driver. Two builds are never the same program, also of one commit.
#[derive(Debug)]
pub(crate) struct Program {
    /// Tells programs apart.
    pub(crate) id: u64,
    pub(crate) driver: Arc<str>,
    pub(crate) commit: Arc<str>,
    pub(crate) executable: PathBuf,
    pub(crate) built_at: SystemTime,
    pub(crate) manifest: Arc<Manifest>,
    /// Where in the manifest, and the number in records.
    functions: HashMap<String, (usize, u16)>,
}

impl Program {
    pub(crate) fn new(driver: Arc<str>, artifact: Artifact) -> Program {
        let Artifact { executable, manifest, commit, built_at } = artifact;
        static LAST: AtomicU64 = AtomicU64::new(0);
        let functions = manifest
            .functions
            .iter()
            .enumerate()
            .map(|(at, Function { name, .. })| (name.clone(), (at, commands::number(name))))
            .collect();
        Program {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            driver,
            commit: commit.into(),
            executable,
            built_at,
            manifest,
            functions,
        }
    }

    /// Whether this caller may call this function with these arguments; the function's number in records.
    pub(crate) fn admit(
        &self,
        module: &str,
        name: &str,
        args: &RawValue,
        clearance: Security,
    ) -> Result<u16, exec::Error> {
        let found = self.functions.get(name);
        let found = found.and_then(|(at, number)| Some((self.manifest.functions.get(*at)?, *number)));
        let Some((function, number)) = found else {
            return Err(exec::Error::UnknownFunction { module: module.into(), function: name.into() });
        };
        if function.security > clearance {
            let needed = if function.security == Security::Support { "support" } else { "administrator" };
            return Err(exec::Error::Denied { function: name.into(), needed });
        }
        fits(function, args).map_err(exec::Error::BadRequest)?;
        Ok(number)
    }
}

/// Checks how many arguments there are, or what they are called; their types are the driver's to check.
fn fits(function: &Function, args: &RawValue) -> Result<(), String> {
    let name = &function.name;
    let text = args.get();
    let required = function.params.iter().filter(|param| !param.optional);
    match text.as_bytes().first() {
        Some(b'[') => {
            let given = serde_json::from_str::<Vec<IgnoredAny>>(text).map_or(0, |args| args.len());
            let (least, most) = (required.count(), function.params.len());
            if (least..=most).contains(&given) {
                return Ok(());
            }
            let range = if least == most { most.to_string() } else { format!("{least} to {most}") };
            let plural = if most == 1 { "" } else { "s" };
            Err(format!("{name} takes {range} argument{plural} ({}), not {given}", names(function)))
        }
        Some(b'{') => {
            let given: BTreeMap<String, IgnoredAny> = serde_json::from_str(text).unwrap_or_default();
            if let Some(missing) = required.map(|param| &param.name).find(|name| !given.contains_key(*name)) {
                return Err(format!("{name} needs the argument {missing}"));
            }
            match given.keys().find(|key| !function.params.iter().any(|param| param.name == **key)) {
                Some(unknown) => Err(format!("{name} has no argument {unknown}, only {}", names(function))),
                None => Ok(()),
            }
        }
        _ => Err(format!("the arguments of {name} must be a JSON array or object")),
    }
}

fn names(function: &Function) -> String {
    if function.params.is_empty() {
        return "none".into();
    }
    function.params.iter().map(|param| param.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_sdk_protocol::manifest::Param;

    fn program() -> Program {
        let param = |name: &str, optional| Param { name: name.into(), optional, ..Param::default() };
        let functions = vec![
            Function {
                name: "input".into(),
                params: vec![param("source", false), param("output", true)],
                ..Function::default()
            },
            Function { name: "reset".into(), security: Security::Support, ..Function::default() },
        ];
        let manifest = Arc::new(Manifest { functions, ..Manifest::default() });
        let (executable, commit) = ("/bin/true".into(), "c0ffee".into());
        let artifact = Artifact { executable, manifest, commit, built_at: SystemTime::UNIX_EPOCH };
        Program::new("driver-1".into(), artifact)
    }

    fn admit(function: &str, args: &str, clearance: Security) -> Result<(), String> {
        let args = RawValue::from_string(args.into()).unwrap();
        program().admit("mod-1", function, &args, clearance).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_are_counted_and_named() {
        let public = Security::Public;
        for good in ["[1]", "[1,2]", r#"{"source":1}"#, r#"{"output":[1,2],"source":{}}"#] {
            assert_eq!(admit("input", good, public), Ok(()), "{good}");
        }
        for (bad, text) in [
            ("[]", "input takes 1 to 2 arguments (source, output), not 0"),
            ("[1,2,3]", "input takes 1 to 2 arguments (source, output), not 3"),
            (r#"{"output":1}"#, "input needs the argument source"),
            (r#"{"source":1,"volume":2}"#, "input has no argument volume, only source, output"),
            ("7", "the arguments of input must be a JSON array or object"),
        ] {
            assert_eq!(admit("input", bad, public), Err(text.into()), "{bad}");
        }
    }

    #[test]
    fn clearance_is_checked() {
        assert_eq!(admit("reset", "[]", Security::Public), Err("reset needs support clearance".into()));
        assert_eq!(admit("reset", "[]", Security::Support), Ok(()));
        assert_eq!(admit("reset", "[]", Security::Administrator), Ok(()));
        assert_eq!(admit("nothing", "[]", Security::Public), Err("mod-1 has no function nothing".into()));
    }
}
