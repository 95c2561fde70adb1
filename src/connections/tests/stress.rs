//! Whatever happens in whatever order: every receipt is answered once, nothing is sent out of order or continued on another
//! connection, connections are numbered upwards, and the link ends clean.

use super::{
    super::{Connections, Link, Mode, Options, Reason, State},
    harness::{DEADLINE, Receipts, Recorder},
    kinds::{Kind, Tcp, Unix},
    simulated,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// This many frames of this length.
    Transmit(u8, u32),
    Attempt,
    Disconnect,
    /// To the other device, or back.
    Retarget,
    Mode,
    PeerSends(u32),
    PeerCloses,
    PeerResets,
    /// The device the link is meant for stops or starts to listen.
    Listen(bool),
    Wait(u8),
    /// So many milliseconds without any packet: only in simulations.
    Cut(u16),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..20_u8, prop_oneof![8..200_u32, 8..200_000_u32]).prop_map(|(n, size)| Step::Transmit(n, size)),
        2 => Just(Step::Attempt),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Retarget),
        1 => Just(Step::Mode),
        2 => (1..100_000_u32).prop_map(Step::PeerSends),
        2 => Just(Step::PeerCloses),
        2 => Just(Step::PeerResets),
        1 => any::<bool>().prop_map(Step::Listen),
        4 => (0..15_u8).prop_map(Step::Wait),
        1 => prop_oneof![15 => 1..100_u16, 1 => 1..8000_u16].prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a device does with its connections: reads frames and checks that each connection's are in order.
struct Device<K> {
    kind: K,
    orders: tokio::sync::broadcast::Sender<Step>,
    violations: Arc<Mutex<Vec<String>>>,
    /// The last frame.
    heard: Arc<watch::Sender<u32>>,
}

impl<K: Kind> Device<K> {
    fn new(violations: &Arc<Mutex<Vec<String>>>) -> Self {
        Self {
            kind: K::make(),
            orders: tokio::sync::broadcast::channel(64).0,
            violations: violations.clone(),
            heard: Arc::new(watch::Sender::new(0)),
        }
    }

    fn serve(&self, mut stream: super::kinds::Stream) {
        let mut orders = self.orders.subscribe();
        let (violations, heard) = (self.violations.clone(), self.heard.clone());
        tokio::spawn(async move {
            let mut pending = Vec::new();
            let mut last = 0;
            loop {
                tokio::select! {
                    order = orders.recv() => match order {
                        Ok(Step::PeerSends(count)) => {
                            let _ = stream.write_all(&vec![0; count as usize]).await;
                        }
                        Ok(Step::PeerResets) if K::RESETS_AT_WILL => return stream.reset().await,
                        Ok(_) | Err(_) => return,
                    },
                    read = stream.read_buf(&mut pending) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {
                            if let Err(violation) = check(&mut pending, &mut last) {
                                violations.lock().push(violation);
                                return;
                            }
                            heard.send_if_modified(|heard| std::mem::replace(heard, last.max(*heard)) < last);
                        }
                    },
                }
            }
        });
    }
}

fn frame(number: u32, length: u32) -> Vec<u8> {
    let mut frame = vec![0xa5; length as usize];
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame[4..8].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Takes whole frames off the front.
fn check(pending: &mut Vec<u8>, last: &mut u32) -> Result<(), String> {
    while pending.len() >= 8 {
        let number = u32::from_be_bytes(pending[..4].try_into().unwrap());
        let length = u32::from_be_bytes(pending[4..8].try_into().unwrap()) as usize;
        if number <= *last || !(8..200_000).contains(&length) {
            return Err(format!("frame {number} of {length} bytes after frame {last}"));
        }
        if pending.len() < length {
            break;
        }
        if pending[8..length].iter().any(|byte| *byte != 0xa5) {
            return Err(format!("frame {number} is torn"));
        }
        pending.drain(..length);
        *last = number;
    }
    Ok(())
}

/// Whoever comes.
async fn serve<K: Kind>([one, two]: &[Device<K>; 2], listening: [bool; 2]) {
    loop {
        tokio::select! {
            stream = one.kind.accept(), if listening[0] => one.serve(stream),
            stream = two.kind.accept(), if listening[1] => two.serve(stream),
            else => std::future::pending().await,
        }
    }
}

/// The device is there again, and hears what is sent: a link that is kept open has connected by itself.
async fn recovers<K: Kind>(
    link: &Link,
    device: &Device<K>,
    mode: Mode,
    number: &mut u32,
    receipts: &Receipts,
    recorder: &Recorder,
) {
    let mut heard = device.heard.subscribe();
    let before = *number;
    let heard = heard.wait_for(|heard| *heard > before);
    let sends = async {
        loop {
            if link.state().reachable() || matches!(mode, Mode::MakeBreak { .. }) {
                *number += 1;
                link.transmit(frame(*number, 100), receipts.make());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        outcome = tokio::time::timeout(DEADLINE, heard) => match outcome {
            Ok(heard) => drop(heard.expect("somebody tells")),
            Err(_) => recorder.look(|record| panic!("no recovery: {:?}", record.states)),
        },
        () = sends => {}
    }
}

pub(super) async fn story<K: Kind>(steps: Vec<Step>) {
    let violations = Arc::new(Mutex::new(Vec::new()));
    let mut devices = [Device::<K>::new(&violations), Device::<K>::new(&violations)];
    for device in &mut devices {
        device.kind.appear().await;
    }
    let options = Options {
        queue_bytes: 500_000,
        retry_min_ms: 2,
        retry_jitter_ms: 2,
        retry_cap_ms: 10,
        stable_ms: 5,
        ..super::harness::quick()
    };
    let connections = Connections::new(options);
    let recorder = Recorder::new();
    let mut mode = Mode::KeepOpen;
    let (mut at, mut listening) = (0, [true, true]);
    let link = recorder.open(&connections, devices[at].kind.target());
    let receipts = Receipts::default();
    let mut number = 0;
    for step in steps {
        match step {
            Step::Transmit(count, length) => {
                for _ in 0..count {
                    number += 1;
                    link.transmit(frame(number, length), receipts.make());
                }
            }
            Step::Attempt => link.attempt(),
            Step::Disconnect => link.disconnect(Reason::Protocol, "as the story has it"),
            Step::Retarget | Step::Mode => {
                if matches!(step, Step::Mode) {
                    mode = match mode {
                        Mode::KeepOpen => Mode::MakeBreak { hold: Duration::from_millis(3) },
                        Mode::MakeBreak { .. } => Mode::KeepOpen,
                    };
                } else {
                    at = 1 - at;
                }
                let mut target = devices[at].kind.target();
                target.mode = mode;
                link.retarget(target);
            }
            Step::Cut(milliseconds) => {
                if let Some(network) = simulated::current() {
                    network.cut(Duration::from_millis(milliseconds.into()));
                }
            }
            Step::PeerSends(_) | Step::PeerCloses | Step::PeerResets => drop(devices[at].orders.send(step)),
            Step::Listen(true) if !listening[at] => {
                devices[at].kind.appear().await;
                listening[at] = true;
            }
            Step::Listen(false) if listening[at] => {
                devices[at].kind.disappear();
                listening[at] = false;
            }
            Step::Listen(_) => {}
            Step::Wait(milliseconds) => {
                let until = tokio::time::sleep(Duration::from_millis(u64::from(milliseconds)));
                tokio::select! {
                    () = serve(&devices, listening) => {}
                    () = until => {}
                }
            }
        }
    }
    if !listening[at] {
        devices[at].kind.appear().await;
        listening[at] = true;
    }
    let recovered = recovers(&link, &devices[at], mode, &mut number, &receipts, &recorder);
    tokio::select! {
        () = serve(&devices, listening) => {}
        () = recovered => {}
    }
    tokio::time::timeout(super::harness::DEADLINE, link.close()).await.expect("closes");
    receipts.look(|answers| {
        assert_eq!(answers.unanswered, 0);
        assert_eq!(answers.ok + answers.errors.len(), answers.given_out, "{answers:?}");
    });
    recorder.look(|record| {
        for reason in record.states.iter().filter_map(State::reason) {
            assert!(may_end::<K>(reason), "{reason}: {:?}", record.states);
        }
        assert!(record.dropped, "the sink is gone");
        let ups = record.states.iter().filter_map(|state| match state {
            State::Up { connection, .. } => Some(*connection),
            _ => None,
        });
        assert!(ups.is_sorted_by(|a, b| a < b), "{:?}", record.states);
        assert!(
            !record.states.windows(2).any(|pair| !pair[0].news(&pair[1])),
            "no news: {:?}",
            record.states
        );
    });
    let metrics = connections.metrics();
    assert_eq!(metrics.idle + metrics.connecting + metrics.up + metrics.down, 0, "{metrics:?}");
    let violations = violations.lock();
    assert!(violations.is_empty(), "{violations:?}");
}

/// What a story can be the reason of.
fn may_end<K: Kind>(reason: Reason) -> bool {
    // The driver gives connections up.
    [K::REFUSED, K::CLOSED, Reason::Protocol].contains(&reason)
        || [K::RESET, K::CLOSED_AT_ONCE].iter().any(|reasons| reasons.contains(&reason))
        || (reason == Reason::Timeout && simulated::current().is_some())
}

fn tell<K: Kind>(steps: Vec<Step>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(story::<K>(steps));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_story_ends_well_over_tcp(steps in steps()) {
        tell::<Tcp>(steps);
    }

    #[test]
    fn any_story_ends_well_over_unix(steps in steps()) {
        tell::<Unix>(steps);
    }
}
