//! What a harness does when it is awaited; a failure panics at the line of the test that awaits it.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Something that a harness does when it is awaited. If it cannot be done, the test fails at that line.
#[must_use = "nothing happens before it is awaited"]
pub struct Step<T>(Pin<Box<dyn Future<Output = Result<T, String>>>>);

impl<T> std::fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Step")
    }
}

impl<T> Step<T> {
    /// The error is what the test fails with.
    pub(crate) fn new(work: impl Future<Output = Result<T, String>> + 'static) -> Step<T> {
        Step(Box::pin(work))
    }

    /// As a result: for those that look at why it failed.
    pub(crate) async fn outcome(self) -> Result<T, String> {
        self.0.await
    }
}

impl<T> Future for Step<T> {
    type Output = T;

    // The caller of `poll` is the author's `.await`.
    #[track_caller]
    #[allow(clippy::panic, reason = "a test fails by panicking")]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.0.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            Poll::Ready(Err(why)) => panic!("{why}"),
        }
    }
}
