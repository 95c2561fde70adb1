//! The codec and the conversation, on whatever a gateway may send, in whatever pieces.

use super::{
    session::{Refusal, Session},
    telnet::{Decoder, Event, IAC, escape, write_sub},
};
use crate::model::serial::{Line, LineSettings, Parity};
use proptest::prelude::*;

fn line() -> Line {
    LineSettings { baud: Some(19200), parity: Some(Parity::Even), bits: Some(7), ..LineSettings::default() }
        .line()
        .unwrap()
}

/// A gateway that does what it is asked, but for what a test changes.
#[derive(Default)]
pub(in super::super) struct Gateway {
    decoder: Decoder,
    /// Answers to a setting, instead of agreeing.
    instead: Option<(u8, Vec<u8>)>,
    /// Options it refuses.
    refuses: Vec<u8>,
    pub(in super::super) data: Vec<u8>,
    pub(in super::super) settings: Vec<Vec<u8>>,
}

impl Gateway {
    pub(in super::super) fn answer(&mut self, input: &[u8]) -> Vec<u8> {
        let Self { decoder, instead, refuses, data, settings } = self;
        let mut out = Vec::new();
        decoder
            .decode(input, |event| {
                match event {
                    Event::Data(bytes) => data.extend(bytes),
                    Event::Option(verb, option) => {
                        use super::telnet::Verb::{Do, Dont, Will, Wont};
                        let refused = refuses.contains(&option);
                        match verb {
                            Will if refused => Dont.write(option, &mut out),
                            Will => Do.write(option, &mut out),
                            Do if refused => Wont.write(option, &mut out),
                            Do => Will.write(option, &mut out),
                            Wont | Dont => {}
                        }
                    }
                    Event::Sub(&[44, command, ref value @ ..]) => {
                        settings.push([&[command], value].concat());
                        let value = match instead {
                            Some((other, instead)) if *other == command => instead,
                            _ => value,
                        };
                        write_sub(&[&[44, command + 100], value].concat(), &mut out);
                    }
                    Event::Sub(_) => {}
                }
                Ok::<_, ()>(())
            })
            .unwrap();
        out
    }
}

/// Lets both talk until nobody has anything to say; `cuts` says in which pieces the gateway's bytes come.
fn converse(session: &mut Session, gateway: &mut Gateway, cuts: &[usize]) -> Result<Vec<u8>, Refusal> {
    let mut data = Vec::new();
    let mut cuts = cuts.iter().copied().cycle();
    loop {
        let said = std::mem::take(session.out());
        if said.is_empty() {
            return Ok(data);
        }
        let answer = gateway.answer(&said);
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len()));
            rest = after;
            session.receive(piece, &mut data)?;
        }
    }
}

fn ready() -> (Session, Gateway) {
    let (mut session, mut gateway) = (Session::new(line()), Gateway::default());
    converse(&mut session, &mut gateway, &[]).unwrap();
    assert!(session.is_ready());
    (session, gateway)
}

fn sub(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_sub(&[&[44], payload].concat(), &mut out);
    out
}

#[test]
fn settings_are_applied_before_it_is_ready() {
    let (mut session, mut gateway) = (Session::new(line()), Gateway::default());
    assert!(!session.is_ready());
    assert_eq!(session.missing(), "it did not agree to RFC 2217");
    // The opening of RFC 2217: WILL COM-PORT-OPTION, and both directions binary without go-aheads.
    assert_eq!(*session.out(), [255, 251, 44, 255, 251, 0, 255, 253, 0, 255, 251, 3, 255, 253, 3]);
    converse(&mut session, &mut gateway, &[]).unwrap();
    assert!(session.is_ready());
    assert_eq!(gateway.settings, [&[1, 0, 0, 75, 0][..], &[2, 7], &[3, 3], &[4, 1], &[5, 1]]);
}

#[test]
fn what_was_received_with_other_settings_is_dropped() {
    let (mut session, mut gateway) = (Session::new(line()), Gateway::default());
    let mut data = Vec::new();
    session.receive(b"login: ", &mut data).unwrap();
    converse(&mut session, &mut gateway, &[]).unwrap();
    session.receive(b"ready\xff\xff", &mut data).unwrap();
    assert_eq!(data, b"ready\xff");
}

#[test]
fn a_gateway_that_does_not_speak_it_is_refused() {
    for (option, why) in [(44, "does not speak RFC 2217"), (0, "BINARY")] {
        let mut gateway = Gateway { refuses: vec![option], ..Gateway::default() };
        let refusal = converse(&mut Session::new(line()), &mut gateway, &[]).unwrap_err();
        assert!(refusal.0.contains(why), "{}", refusal.0);
    }
    // Go-aheads are nothing to us.
    let mut gateway = Gateway { refuses: vec![3], ..Gateway::default() };
    let mut session = Session::new(line());
    converse(&mut session, &mut gateway, &[]).unwrap();
    assert!(session.is_ready());
}

#[test]
fn a_setting_that_is_not_applied_is_refused() {
    for (command, value, why) in [
        (1, vec![0, 0, 37, 128], Some("has 9600 baud where 19200 was asked for")),
        (1, 19_300u32.to_be_bytes().to_vec(), None),
        (2, vec![8], Some("has 8 data bits where 7 was asked for")),
        (3, vec![1], Some("has 1 for parity")),
        (4, vec![2], Some("has 2 stop bits where 1 was asked for")),
        (5, vec![3], Some("has 3 for flow control")),
    ] {
        let mut gateway = Gateway { instead: Some((command, value)), ..Gateway::default() };
        let mut session = Session::new(line());
        let outcome = converse(&mut session, &mut gateway, &[]);
        match (why, outcome) {
            (None, Ok(_)) => assert!(session.is_ready()),
            (Some(why), Err(refusal)) => assert!(refusal.0.contains(why), "{}", refusal.0),
            (why, outcome) => panic!("{why:?}: {outcome:?}"),
        }
    }
    // One that never confirms is never ready.
    let mut gateway = Gateway { instead: Some((4, vec![])), ..Gateway::default() };
    let mut session = Session::new(line());
    converse(&mut session, &mut gateway, &[]).unwrap();
    assert!(!session.is_ready());
    assert_eq!(session.missing(), "it did not confirm the line settings");
}

#[test]
fn settings_changed_by_somebody_else_end_the_connection() {
    let (mut session, _) = ready();
    let mut data = Vec::new();
    session.receive(&sub(&[102, 7]), &mut data).unwrap();
    let refusal = session.receive(&sub(&[102, 8]), &mut data).unwrap_err();
    assert!(refusal.0.contains("8 data bits"), "{}", refusal.0);
}

#[test]
fn notifications_are_ignored_and_flow_control_is_honoured() {
    let (mut session, _) = ready();
    let mut data = Vec::new();
    for notification in [&[106, 0x60][..], &[107, 0xb0], &[100, b's', b'e', b'r'], &[105, 8], &[112, 3]] {
        session.receive(&sub(notification), &mut data).unwrap();
    }
    assert!(!session.is_suspended() && data.is_empty() && session.out().is_empty());
    session.receive(&sub(&[108]), &mut data).unwrap();
    assert!(session.is_suspended());
    session.receive(&sub(&[109]), &mut data).unwrap();
    assert!(!session.is_suspended());
}

#[test]
fn other_options_are_declined_and_nothing_is_answered_twice() {
    let (mut session, _) = ready();
    let mut data = Vec::new();
    // WILL ECHO, DO TERMINAL-TYPE; then what is agreed already.
    session.receive(&[255, 251, 1, 255, 253, 24, 255, 251, 0, 255, 253, 44, 255, 252, 1], &mut data).unwrap();
    assert_eq!(*session.out(), [255, 254, 1, 255, 252, 24]);
}

/// Bytes that look like telnet more often than chance would have it.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => any::<u8>(), 4 => Just(IAC), 2 => 240u8..=254, 2 => Just(44u8), 1 => 100u8..=112, 1 => 0u8..=5
    ];
    prop::collection::vec(byte, 0..600)
}

proptest! {
    #[test]
    fn data_goes_through_unchanged(data in prop::collection::vec(prop_oneof![any::<u8>(), Just(IAC)], 0..400)) {
        let (mut session, mut gateway) = ready();
        session.send(&data);
        let out = std::mem::take(session.out());
        gateway.answer(&out);
        prop_assert_eq!(&gateway.data, &data);
        let (mut wire, mut back) = (Vec::new(), Vec::new());
        escape(&data, &mut wire);
        session.receive(&wire, &mut back).unwrap();
        prop_assert_eq!(back, data);
    }

    #[test]
    fn how_it_is_cut_makes_no_difference(
        input in noise(), cuts in prop::collection::vec(1usize..9, 1..20), begun in any::<bool>()
    ) {
        let make = || if begun { ready().0 } else { Session::new(line()) };
        let (mut whole, mut cut) = (make(), make());
        let (mut whole_data, mut cut_data) = (Vec::new(), Vec::new());
        let whole_outcome = whole.receive(&input, &mut whole_data);
        let mut cut_outcome = Ok(());
        let (mut rest, mut cuts) = (&input[..], cuts.iter().cycle());
        while !rest.is_empty() && cut_outcome.is_ok() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            rest = after;
            cut_outcome = cut.receive(piece, &mut cut_data);
        }
        prop_assert_eq!(whole_outcome, cut_outcome);
        prop_assert_eq!(&whole_data, &cut_data);
        prop_assert_eq!(whole.out(), cut.out());
        prop_assert_eq!(whole.is_ready(), cut.is_ready());
        // Every answer is as long as the request that it answers; settings are asked for once.
        prop_assert!(whole.out().len() <= input.len() + 64);
        prop_assert!(whole_data.len() <= input.len());
    }

    #[test]
    fn it_gets_ready_in_whatever_pieces(cuts in prop::collection::vec(1usize..7, 1..20)) {
        let (mut session, mut gateway) = (Session::new(line()), Gateway::default());
        converse(&mut session, &mut gateway, &cuts).unwrap();
        prop_assert!(session.is_ready());
    }
}
