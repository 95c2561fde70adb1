//! What is done again and again, and may fail each time: the log says so when it begins to fail, and when it works again.

use drivers_sdk_protocol::message::Level;

use super::Core;
use crate::error::{Error, Result};

/// How something fares that is done again and again.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    last: Option<Error>,
    /// The log has it that it fails. That the device was away, which fails everything, is no news.
    told: bool,
}

impl Trouble {
    /// Logs how it went if that is news. What else goes wrong while it fails is for those who debug.
    pub(crate) fn report(&mut self, core: &Core, what: &str, result: Result) {
        match result {
            Ok(()) => {
                if std::mem::take(self).told {
                    core.log(Level::Info, &format!("{what}: works again"));
                }
            }
            Err(error) => {
                if self.last.as_ref() != Some(&error) {
                    if self.told {
                        core.log(Level::Debug, &format!("{what}: {error}"));
                    } else {
                        core.failed(what, &error);
                        self.told = !error.is_offline();
                    }
                }
                self.last = Some(error);
            }
        }
    }
}
