//! What the standard suite says of a bad driver.

use drivers_sdk::testing::suite::Suite;

/// The rules that this suite's driver breaks, with what the suite says.
pub(crate) fn broken<D: drivers_sdk::Driver>(suite: &Suite<D>) -> Vec<(&'static str, String)> {
    Suite::<D>::RULES.iter().filter_map(|rule| Some((rule.name, suite.look(rule.name).err()?))).collect()
}
