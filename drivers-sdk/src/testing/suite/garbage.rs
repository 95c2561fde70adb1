//! Anything at all may come from a device: property-tested.

use std::time::Duration;

use drivers_sdk_protocol::manifest::Kind;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::super::daemon::Tamper;
use super::super::report::text;
use super::{Suite, Verdict, block_on};
use crate::driver::Driver;

/// Conversations that are tried; `PROPTEST_CASES` says another number.
const CASES: u32 = 96;

impl<D: Driver> Suite<D> {
    /// No panic, whatever the device says: property-tested.
    pub fn anything(&self) -> Verdict {
        if self.manifest.kind == Kind::Logic {
            return Ok(Some("a logic driver has no device".into()));
        }
        let said = match self.device {
            None => Vec::new(),
            Some(_) => block_on(async { Ok(self.healthy().await?.said) })?,
        };
        let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
        let config = Config { cases: cases.unwrap_or(CASES), failure_persistence: None, ..Config::default() };
        let pieces = prop::collection::vec(piece(said), 1..6);
        let result = TestRunner::new(config)
            .run(&pieces, |pieces| block_on(self.hears(&pieces)).map_err(TestCaseError::fail));
        match result {
            Ok(()) => Ok(None),
            Err(TestError::Fail(why, pieces)) => {
                let pieces: Vec<String> = pieces.iter().map(|piece| text(piece)).collect();
                Err(format!("when the device says {}: {}", pieces.join(", then "), why.message()))
            }
            Err(TestError::Abort(why)) => Err(why.message().to_owned()),
        }
    }

    /// A connection on which the device says these things, with calls in flight.
    async fn hears(&self, pieces: &[Vec<u8>]) -> Result<(), String> {
        let run = self.connected(Tamper::default()).await?;
        let _calls = run.call_all(&self.manifest);
        for piece in pieces {
            if self.manifest.kind == Kind::Service {
                run.daemon.state().tamper.garbage = Some(piece.clone());
                run.probe(&self.manifest).await?;
                continue;
            }
            run.says(piece).await?;
        }
        // A connection that the driver dropped is made again; time-outs end.
        run.pass(Duration::from_secs(15)).await
    }
}

/// Bytes: any; what the device really says, whole, cut off, or with something else in it; ends of lines.
fn piece(said: Vec<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..80);
    let ends = prop::sample::select(vec![
        &b"\r\n"[..],
        b"\r",
        b"\n",
        b"\0",
        b"\x03",
        b" ",
        b"=\r\n",
        b"-1\r\n",
        b"99999999999999999999\r\n",
    ]);
    let ends = ends.prop_map(<[u8]>::to_vec);
    let said: Vec<Vec<u8>> = said.into_iter().filter(|piece| !piece.is_empty()).take(100).collect();
    if said.is_empty() {
        return prop_oneof![noise, ends].boxed();
    }
    let real = prop::sample::select(said).prop_flat_map(|piece| {
        let length = piece.len();
        let whole = Just(piece.clone());
        let cut = (0..=length).prop_map({
            let piece = piece.clone();
            move |at| piece.get(..at).unwrap_or_default().to_vec()
        });
        let tail = (0..=length).prop_map({
            let piece = piece.clone();
            move |at| piece.get(at..).unwrap_or_default().to_vec()
        });
        let changed = (0..length, prop::collection::vec(any::<u8>(), 0..4)).prop_map(move |(at, new)| {
            let mut piece = piece.clone();
            piece.splice(at..=at, new);
            piece
        });
        prop_oneof![whole, cut, tail, changed]
    });
    prop_oneof![3 => real, 1 => noise, 1 => ends].boxed()
}
