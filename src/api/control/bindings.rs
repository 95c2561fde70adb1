//! The status variables that one session follows.

use std::{collections::HashMap, sync::Arc};

use super::{
    frame::{self, Request},
    outbox::Outbox,
};
use crate::runtime::{Runtime, Subscription, Target};

/// What a session follows, by variable and by token.
#[derive(Default)]
pub(super) struct Bindings {
    tokens: HashMap<Variable, u64>,
    bound: HashMap<u64, Binding>,
    next: u64,
}

type Variable = (Box<str>, Box<str>, u32, Box<str>);

struct Binding {
    /// The id of the first bind, which its values come with.
    id: Box<str>,
    meta: Box<str>,
    /// The client has seen a value.
    told: bool,
    _subscription: Subscription,
}

fn variable(request: &Request<'_>) -> Variable {
    (request.sys.as_ref().into(), request.module.as_ref().into(), request.index, request.name.as_ref().into())
}

impl Bindings {
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Follows a variable, if it is not followed yet.
    pub(super) fn bind(&mut self, runtime: &Runtime, outbox: &Arc<Outbox>, request: &Request<'_>) {
        let variable = variable(request);
        if self.tokens.contains_key(&variable) {
            return;
        }
        self.next += 1;
        let token = self.next;
        let target = Target::Named {
            system: request.sys.clone().into_owned(),
            name: request.module.clone().into_owned(),
            index: request.index,
        };
        let subscription = runtime.subscribe(target, &request.name, outbox.clone(), token);
        let (id, meta) = (request.id.get().into(), request.meta());
        self.bound.insert(token, Binding { id, meta, told: false, _subscription: subscription });
        self.tokens.insert(variable, token);
    }

    /// Follows it no longer.
    pub(super) fn unbind(&mut self, request: &Request<'_>) {
        if let Some(token) = self.tokens.remove(&variable(request)) {
            self.bound.remove(&token);
        }
    }

    /// Writes a changed value; false if there is nothing to tell: it is not followed any more, or there is no value
    /// and never was.
    pub(super) fn notify(&mut self, token: u64, value: Option<&str>, out: &mut String) -> bool {
        let Some(binding) = self.bound.get_mut(&token) else { return false };
        if value.is_none() && !binding.told {
            return false;
        }
        binding.told = true;
        frame::notify(out, &binding.id, &binding.meta, value.unwrap_or("null"));
        true
    }
}
