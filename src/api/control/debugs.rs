//! The module logs that one session follows. Lines that it does not take in time are dropped by the log itself,
//! which says how many.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    StreamExt,
    stream::{self, AbortHandle, BoxStream, SelectAll},
};

use super::frame::{self, Request};
use crate::runtime::debug::{Item, Stream};

/// The logs that one session follows, by module id.
#[derive(Default)]
pub(super) struct Debugs {
    streams: SelectAll<BoxStream<'static, (Arc<Followed>, Item)>>,
    handles: HashMap<Box<str>, AbortHandle>,
}

struct Followed {
    id: Box<str>,
    meta: Box<str>,
    module: Box<str>,
}

impl Debugs {
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn follows(&self, module: &str) -> bool {
        self.handles.contains_key(module)
    }

    pub(super) fn follow(&mut self, request: &Request<'_>, lines: Stream) {
        let module: Box<str> = request.module.as_ref().into();
        let followed =
            Arc::new(Followed { id: request.id.get().into(), meta: request.meta(), module: module.clone() });
        let items = stream::unfold((lines, followed), |(mut lines, followed)| async move {
            let item = lines.next().await?;
            Some(((followed.clone(), item), (lines, followed)))
        });
        let (items, handle) = stream::abortable(items);
        self.streams.push(items.boxed());
        self.handles.insert(module, handle);
    }

    pub(super) fn ignore(&mut self, module: &str) {
        if let Some(handle) = self.handles.remove(module) {
            handle.abort();
        }
    }

    /// Writes the next line.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut String) -> Poll<()> {
        if self.handles.is_empty() && self.streams.is_empty() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.streams).poll_next_unpin(cx) {
            Poll::Ready(Some((followed, item))) => {
                let (id, meta, module) = (&followed.id, &followed.meta, &followed.module);
                match item {
                    Item::Line(line) => frame::debug(out, id, meta, module, line.level.as_str(), &line.text),
                    Item::Dropped(lost) => {
                        let text = format!("{lost} lines were lost: this client did not keep up");
                        frame::debug(out, id, meta, module, "warn", &text);
                    }
                }
                Poll::Ready(())
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
