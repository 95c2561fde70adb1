//! What a session does with a request: everything but calls is done at once.

use axum::extract::ws::Utf8Bytes;
use serde_json::value::RawValue;

use super::{
    frame::{self, Code, Command, Refusal, Request},
    session::{Call, Session},
};
use crate::runtime::{Exec, Target};

impl Session {
    /// Acts on a request; a call is returned, to be polled with the others.
    pub(super) fn request(&mut self, text: &str) -> Option<Call> {
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err((id, refusal)) => {
                self.refuse(&id, &refusal);
                return None;
            }
        };
        match self.act(&request) {
            Ok(call) => call,
            Err(refusal) => {
                self.refuse(request.id.get(), &refusal);
                None
            }
        }
    }

    fn act(&mut self, request: &Request<'_>) -> Result<Option<Call>, Refusal> {
        let unknown =
            || Refusal::new(Code::UnknownCommand, format!("unknown command '{}'", request.cmd), 400);
        match request.command().ok_or_else(unknown)? {
            Command::Exec => return self.call(request).map(Some),
            Command::Bind => self.bind(request)?,
            Command::Unbind => {
                self.bindings.unbind(request);
                self.succeed(request, false);
            }
            Command::Debug => self.debug(request)?,
            Command::Ignore => {
                self.debugs.ignore(&request.module);
                self.succeed(request, false);
            }
        }
        Ok(None)
    }

    fn call(&self, request: &Request<'_>) -> Result<Call, Refusal> {
        if request.module.starts_with('_') && !self.caller.is_support() {
            return Err(protected());
        }
        let args = match request.args.map(RawValue::get) {
            None => RawValue::from_string("[]".to_owned()).map_err(|_| protected())?,
            Some(text) if text.starts_with(['[', '{']) => {
                request.args.map(ToOwned::to_owned).ok_or_else(protected)?
            }
            Some(_) => {
                let text = "the arguments must be an array, or an object of named ones";
                return Err(Refusal::new(Code::BadRequest, text, 400));
            }
        };
        let exec = Exec {
            target: Target::Named {
                system: request.sys.clone().into_owned(),
                name: request.module.clone().into_owned(),
                index: request.index,
            },
            function: request.name.clone().into_owned(),
            args,
            user: Some(self.caller.user_id.clone()),
            clearance: self.caller.clearance(),
            deadline: Some(self.state.options().exec_timeout()),
        };
        Ok(Call { id: request.id.get().into(), meta: request.meta(), exec })
    }

    fn bind(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        if request.module.starts_with('_') && !self.caller.is_support() {
            return Err(protected());
        }
        let most = self.state.options().socket_bindings;
        if self.bindings.len() >= most {
            let text = format!("this session follows {most} variables already; unbind some");
            return Err(Refusal::new(Code::BadRequest, text, 429));
        }
        // The reply first; the value, which the runtime delivers at once, goes to the outbox.
        self.succeed(request, true);
        self.bindings.bind(self.state.runtime(), &self.outbox, request);
        Ok(())
    }

    fn debug(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        if !self.caller.is_support() {
            return Err(Refusal::new(Code::Denied, "watching a log needs support clearance", 403));
        }
        if !self.debugs.follows(&request.module) {
            let most = self.state.options().socket_debugs;
            if self.debugs.len() >= most {
                let text = format!("this session watches {most} logs already; ignore some");
                return Err(Refusal::new(Code::BadRequest, text, 429));
            }
            let missing =
                || Refusal::new(Code::ModuleNotFound, format!("there is no module {}", request.module), 404);
            let lines = self.state.runtime().debug(&request.module).ok_or_else(missing)?;
            self.debugs.follow(request, lines);
        }
        self.succeed(request, false);
        Ok(())
    }

    fn succeed(&mut self, request: &Request<'_>, with_meta: bool) {
        let meta = with_meta.then(|| request.meta());
        frame::success(&mut self.scratch, request.id.get(), meta.as_deref(), None);
        self.reply();
    }

    pub(super) fn refuse(&mut self, id: &str, refusal: &Refusal) {
        frame::error(&mut self.scratch, id, refusal);
        self.reply();
    }

    fn reply(&mut self) {
        let text = Utf8Bytes::from(self.scratch.as_str());
        self.scratch.clear();
        self.push(text);
    }

    /// Queues a reply.
    pub(super) fn push(&mut self, text: Utf8Bytes) {
        self.waiting += text.len();
        self.replies.push_back(text);
    }
}

fn protected() -> Refusal {
    Refusal::new(Code::Denied, "attempted to access protected module", 403)
}
