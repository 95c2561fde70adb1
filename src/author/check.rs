//! The standard suite of a driver package, as a table: `headend driver check`.
//!
//! The suite is tests of the package (`standard_suite!`), one for each rule, which say on standard output what they found:
//! `check: RULE: ok`, `check: RULE: failed: WHY`, `check: RULE: not applicable: WHY`.

#[cfg(test)]
mod tests;

use std::fmt;
use std::process::Stdio;

use super::cargo::cargo;
use super::{Error, Package, Result, sdk};

/// The tests of the suite are in a module of this name.
const SUITE: &str = "standard_suite";
/// What a line about a rule begins with, behind whatever else a test said on it.
const MARK: &str = "check: ";

/// What became of a driver's suite.
#[derive(Debug)]
pub struct Report {
    /// Name of the package.
    pub package: String,
    /// Sorted by name.
    pub rules: Vec<Rule>,
}

/// A rule of the suite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `recovers from garbage`.
    pub name: String,
    /// What was found.
    pub verdict: Verdict,
}

/// What was found of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The driver keeps it.
    Ok,
    /// It does not; why.
    Failed(String),
    /// It says nothing of this driver; why.
    NotApplicable(String),
}

/// Runs the suite of a package.
pub fn check(package: &Package) -> Result<Report> {
    sdk::refresh(&package.workspace)?;
    let mut command = cargo(&package.folder);
    command.args(["test", "--package", &package.name, SUITE, "--", "--nocapture"]);
    // The verdict says what went wrong; where in the suite is of no use.
    command.env("RUST_BACKTRACE", "0");
    let output = command.stderr(Stdio::inherit()).output().map_err(Error::NoCargo)?;
    let rules = read(&String::from_utf8_lossy(&output.stdout));
    let failed = rules.iter().any(Rule::failed);
    match (rules.is_empty(), output.status.success()) {
        (true, true) => Err(Error::place(
            &package.folder,
            "this driver has no standard suite. Add to its tests: \
             drivers_sdk::testing::standard_suite!(DRIVER, emulator = EMULATOR); and to its Cargo.toml: [dev-dependencies] \
             drivers-sdk = { version = \"0.1\", features = [\"testing\"] }",
        )),
        // It does not compile, or a test ended without a verdict.
        (_, false) if !failed => {
            Err(Error::Cargo { what: format!("the standard suite of {}", package.name) })
        }
        _ => Ok(Report { package: package.name.clone(), rules }),
    }
}

/// The verdicts in what the tests said.
fn read(text: &str) -> Vec<Rule> {
    let read = |line: &str| {
        let (_, said) = line.split_once(MARK)?;
        let (name, verdict) = said.split_once(": ")?;
        let verdict = match verdict.split_once(": ") {
            None if verdict == "ok" => Verdict::Ok,
            Some(("failed", why)) => Verdict::Failed(why.to_owned()),
            Some(("not applicable", why)) => Verdict::NotApplicable(why.to_owned()),
            _ => return None,
        };
        Some(Rule { name: name.to_owned(), verdict })
    };
    let mut rules: Vec<Rule> = text.lines().filter_map(read).collect();
    rules.sort();
    rules
}

impl Rule {
    fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }
}

impl Report {
    /// Whether the driver keeps every rule that applies.
    pub fn is_good(&self) -> bool {
        !self.rules.iter().any(Rule::failed)
    }
}

/// A table, and the sum of it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.package)?;
        let width = self.rules.iter().map(|rule| rule.name.chars().count()).max().unwrap_or(0);
        let (mut good, mut bad, mut other) = (0, 0, 0);
        for Rule { name, verdict } in &self.rules {
            write!(f, "  {name:<width$}  ")?;
            match verdict {
                Verdict::Ok => {
                    good += 1;
                    writeln!(f, "ok")?;
                }
                Verdict::Failed(why) => {
                    bad += 1;
                    writeln!(f, "FAILED: {why}")?;
                }
                Verdict::NotApplicable(why) => {
                    other += 1;
                    writeln!(f, "-  {why}")?;
                }
            }
        }
        write!(f, "  {good} ok, {bad} failed, {other} not applicable")
    }
}
