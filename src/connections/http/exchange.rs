//! The exchanges of a link: on tasks of their own, cancelled and answered when the link is closed or leads elsewhere.

use super::{
    error::Error,
    request::{Request, Response},
};
use crate::connections::Link;
use parking_lot::Mutex;
use std::sync::OnceLock;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Told once what became of an exchange. Must not block.
pub type Answer = Box<dyn FnOnce(Result<Response, Error>) + Send>;

/// Those under way; nothing for a link that has had none.
#[derive(Default)]
pub(in crate::connections) struct Exchanges(OnceLock<Running>);

#[derive(Default)]
struct Running {
    tasks: TaskTracker,
    cancel: Mutex<CancellationToken>,
}

/// What an exchange needs to begin with.
pub(in crate::connections) struct Start {
    cancel: CancellationToken,
    /// While there is one, the exchange is not over.
    token: TaskTrackerToken,
}

/// Answers, also when it is dropped.
struct Promise {
    what: String,
    answer: Option<Answer>,
}

impl Link {
    /// Makes a request of the service, or of the device's web server, whatever the state of the link, which follows from
    /// what the service does. Returns at once; the answer comes within the request's time-out.
    pub fn exchange(&self, request: Request, answer: Answer) {
        let path = request.url.split(['?', '#']).next().unwrap_or_default();
        let promise = Promise { what: format!("{} {path}", request.method), answer: Some(answer) };
        let shared = self.shared().clone();
        let (client, Start { cancel, token }) = match shared.exchange() {
            Ok(Some(found)) => found,
            // The promise says that it was stopped.
            Ok(None) => return,
            Err(error) => return promise.keep(Err(error)),
        };
        tokio::spawn(async move {
            let exchange = client.exchange(&shared.hub, shared.recorder.as_deref(), request);
            if let Some(outcome) = cancel.run_until_cancelled(exchange).await {
                shared.exchanged(&client);
                promise.keep(outcome);
            }
            drop(token);
        });
    }
}

impl Exchanges {
    pub(in crate::connections) fn start(&self) -> Start {
        let running = self.0.get_or_init(Running::default);
        Start { cancel: running.cancel.lock().clone(), token: running.tasks.token() }
    }

    /// Those that have started.
    pub(in crate::connections) fn cancel(&self) {
        if let Some(running) = self.0.get() {
            std::mem::take(&mut *running.cancel.lock()).cancel();
        }
    }

    /// All that were cancelled have been answered.
    pub(in crate::connections) async fn ended(&self) {
        if let Some(running) = self.0.get() {
            running.tasks.close();
            running.tasks.wait().await;
        }
    }
}

impl Promise {
    fn keep(mut self, outcome: Result<Response, Error>) {
        if let Some(answer) = self.answer.take() {
            answer(outcome);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer(Err(Error::Stopped { what: std::mem::take(&mut self.what) }));
        }
    }
}
