//! What the standard suite says of a bad driver.

use drivers_sdk::testing::suite::Suite;

/// The rules that this suite's driver breaks, with what the suite says.
pub(crate) fn broken<D: drivers_sdk::Driver>(suite: &Suite<D>) -> Vec<(&'static str, String)> {
    Suite::<D>::RULES.iter().filter_map(|rule| Some((rule.name, suite.look(rule.name).err()?))).collect()
}

/// What is broken by a driver with this flaw, and what the suite says of the first of it.
#[track_caller]
pub(crate) fn refuses<D: drivers_sdk::Driver>(suite: &Suite<D>, rules: &[&str], words: &str) {
    let broken = broken(suite);
    let names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, rules, "{broken:#?}");
    let first = broken.first().and_then(|(_, why)| why.lines().next()).unwrap();
    assert!(first.contains(words), "{words:?} is not in: {first}");
    let advice = Suite::<D>::RULES.iter().find(|rule| rule.name == rules[0]).unwrap().advice;
    assert!(first.ends_with(advice), "{first}");
}
