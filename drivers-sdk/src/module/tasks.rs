//! The tasks of a module: its calls by correlation, everything else by number. All end with the module.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::task::AbortHandle;

/// How long a task may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// As long as the module.
    Module,
    /// As long as the connection.
    Connection,
    /// As long as the connection in whose `connected` it was made, or until that runs again.
    Meeting,
    /// Until `follow`, in whose course it was made, runs anew.
    Follow,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) scope: Scope,
    /// It is a schedule that ends when schedules are cleared.
    pub(crate) cleared: bool,
    handle: AbortHandle,
}

/// A call's task, and the user who calls.
type Call = (AbortHandle, Option<Rc<str>>);

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    calls: RefCell<HashMap<u32, Call>>,
    others: RefCell<HashMap<u32, Task>>,
    next: Cell<u32>,
    /// The scope of what the code that runs now makes.
    scope: Cell<Option<Scope>>,
    /// The call that the code that runs now works for, 0 for none.
    call: Cell<u32>,
}

impl Tasks {
    pub(crate) fn add_call(&self, correlation: u32, handle: AbortHandle, user: Option<Rc<str>>) {
        self.calls.borrow_mut().insert(correlation, (handle, user));
    }

    /// The call was answered, or nobody waits for it.
    pub(crate) fn remove_call(&self, correlation: u32) -> Option<AbortHandle> {
        self.calls.borrow_mut().remove(&correlation).map(|(handle, _)| handle)
    }

    /// The correlations of the calls under way, which are forgotten.
    pub(crate) fn take_calls(&self) -> Vec<u32> {
        self.calls.take().into_keys().collect()
    }

    /// A number for a task that is about to be spawned.
    pub(crate) fn number(&self) -> u32 {
        let number = self.next.get().wrapping_add(1);
        self.next.set(number);
        number
    }

    pub(crate) fn add(&self, number: u32, scope: Scope, handle: AbortHandle) {
        self.others.borrow_mut().insert(number, Task { scope, cleared: false, handle });
    }

    pub(crate) fn change(&self, number: u32, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.others.borrow_mut().get_mut(&number) {
            change(task);
        }
    }

    pub(crate) fn is_running(&self, number: u32) -> bool {
        self.others.borrow().contains_key(&number)
    }

    pub(crate) fn remove(&self, number: u32) {
        self.others.borrow_mut().remove(&number);
    }

    pub(crate) fn abort(&self, number: u32) {
        let task = self.others.borrow_mut().remove(&number);
        if let Some(task) = task {
            task.handle.abort();
        }
    }

    /// Ends what was made for so long.
    pub(crate) fn abort_scope(&self, scope: Scope) {
        self.abort_all_that(|task| task.scope == scope);
    }

    /// Ends the schedules that were made in `follow`, but for those that are to be kept.
    pub(crate) fn abort_follow(&self) {
        self.abort_all_that(|task| task.scope == Scope::Follow && task.cleared);
    }

    /// Ends the schedules that are not to be kept.
    pub(crate) fn clear(&self) {
        self.abort_all_that(|task| task.cleared);
    }

    fn abort_all_that(&self, ends: impl Fn(&Task) -> bool) {
        for (_, task) in self.others.borrow_mut().extract_if(|_, task| ends(task)) {
            task.handle.abort();
        }
    }

    /// Ends everything; the calls stay to be answered.
    pub(crate) fn abort_all(&self) {
        for task in self.others.take().into_values() {
            task.handle.abort();
        }
        for (handle, _) in self.calls.borrow().values() {
            handle.abort();
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope.get().unwrap_or(Scope::Module)
    }

    /// The correlation of the call that the code that runs now works for; 0 for none.
    pub(crate) fn call(&self) -> u32 {
        self.call.get()
    }

    /// The user for whom the code that runs now works.
    pub(crate) fn user(&self) -> Option<Rc<str>> {
        self.calls.borrow().get(&self.call.get()).and_then(|(_, user)| user.clone())
    }

    /// Runs code that works for a call.
    pub(crate) fn within_call<R>(&self, correlation: u32, code: impl FnOnce() -> R) -> R {
        self.call.set(correlation);
        let result = code();
        self.call.set(0);
        result
    }

    /// Runs code in whose course tasks of this scope are made.
    pub(crate) fn within<R>(&self, scope: Scope, code: impl FnOnce() -> R) -> R {
        let outer = self.scope.replace(Some(scope));
        let result = code();
        self.scope.set(outer);
        result
    }
}
