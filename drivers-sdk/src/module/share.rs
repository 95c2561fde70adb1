//! A turn on a connection that several modules share: from when it is asked for until this is dropped.

use std::rc::Rc;

use drivers_sdk_protocol::Kind;

use super::Core;
use crate::channel::{Channel, Request};
use crate::error::Result;

pub(crate) struct Share {
    channel: Rc<Channel>,
    handle: u32,
}

impl Core {
    /// Asks for a turn; the request is answered when it has come.
    pub(crate) fn share(&self) -> Result<(Share, Request)> {
        let request = self.request_feature(Kind::Acquire, |_| {})?;
        Ok((Share { channel: self.channel.clone(), handle: self.handle }, request))
    }
}

impl Drop for Share {
    /// Also ends the waiting for a turn that has not come. After the link went down there is nothing to give back, and
    /// this is ignored.
    fn drop(&mut self) {
        let _ = self.channel.send(Kind::Release, self.handle, 0, |_| {});
    }
}
