use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Feeds `wire` in pieces of these sizes, over and over.
fn cut(framing: Framing, mut wire: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<Fault>) {
    let mut framer = Framer::new(framing);
    let (mut frames, mut faults) = (Vec::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    while !wire.is_empty() {
        let (piece, rest) = wire.split_at((*sizes.next().unwrap()).min(wire.len()));
        wire = rest;
        if let Err(fault) = framer.push(piece, |frame| frames.push(frame.to_vec())) {
            faults.push(fault);
        }
    }
    (frames, faults)
}

fn encode(framing: Framing, messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| framing.encode(message.clone()).unwrap()).collect()
}

proptest! {
    #[test]
    fn frames_survive_any_chunking(messages in vec(vec(0u8..=9, 0..40), 0..20), sizes in vec(1usize..30, 1..10)) {
        // None of the messages holds a delimiter: they have bytes up to 9.
        for framing in [
            lines("\r"), lines("\r\n"), lines("END"), length_prefixed(1), length_prefixed(2),
            length_prefixed(4).little_endian(), length_prefixed(8),
        ] {
            let (frames, faults) = cut(framing, &encode(framing, &messages), &sizes);
            prop_assert_eq!(&frames, &messages, "{:?}", framing);
            prop_assert!(faults.is_empty());
        }
    }

    #[test]
    fn fixed_frames_have_their_length(wire in vec(any::<u8>(), 0..200), sizes in vec(1usize..30, 1..10), length in 1usize..20) {
        let (frames, _) = cut(fixed(length), &wire, &sizes);
        let whole = wire.len() / length * length;
        prop_assert_eq!(frames.concat(), &wire[..whole]);
        prop_assert!(frames.iter().all(|frame| frame.len() == length));
    }

    #[test]
    fn without_framing_nothing_is_lost_or_held_back(wire in vec(any::<u8>(), 0..200), sizes in vec(1usize..30, 1..10)) {
        let (frames, _) = cut(none(), &wire, &sizes);
        prop_assert_eq!(frames.concat(), wire);
    }

    #[test]
    fn garbage_never_holds_more_memory_than_the_limit(wire in vec(any::<u8>(), 0..3000), sizes in vec(1usize..300, 1..10)) {
        for framing in [lines("\r\n").limit(50), length_prefixed(2).limit(50), length_prefixed(8).limit(50), fixed(7)] {
            let mut framer = Framer::new(framing);
            let mut rest = &wire[..];
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                rest = after;
                let result = framer.push(piece, |frame| assert!(frame.len() <= 50));
                if matches!(result, Err(Fault::OutOfStep { .. })) {
                    framer.reset();
                }
                prop_assert!(framer.partial.len() <= 50 + 8, "{} bytes are held", framer.partial.len());
            }
        }
    }
}

#[test]
fn a_line_over_the_limit_is_skipped_and_the_next_one_comes() {
    let framing = lines("\r\n").limit(5);
    for sizes in [&[1][..], &[3], &[100]] {
        let (frames, faults) =
            cut(framing, b"12345\r\n123456\r\nok\r\n12345678901234567890\r\nstill\r\n", sizes);
        assert_eq!(frames, [b"12345".to_vec(), b"ok".to_vec(), b"still".to_vec()], "in pieces of {sizes:?}");
        assert!(!faults.is_empty() && faults.iter().all(|fault| *fault == Fault::Skipped { limit: 5 }));
    }
}

#[test]
fn a_length_over_the_limit_is_out_of_step() {
    let (frames, faults) = cut(length_prefixed(2).limit(5), b"\x00\x01a\x01\x00b", &[100]);
    assert_eq!(frames, [b"a".to_vec()]);
    assert_eq!(faults, [Fault::OutOfStep { length: 256, limit: 5 }]);
}

#[test]
fn what_is_sent_may_end_differently() {
    let framing = lines("\r\n").send("\r");
    assert_eq!(framing.encode(b"x".to_vec()).unwrap(), b"x\r");
    assert_eq!(length_prefixed(2).encode(b"abc".to_vec()).unwrap(), b"\0\x03abc");
    assert_eq!(length_prefixed(2).little_endian().encode(b"abc".to_vec()).unwrap(), b"\x03\0abc");
    assert!(length_prefixed(1).encode(vec![0; 256]).unwrap_err().message().contains("256 bytes"));
    assert_eq!(fixed(3).encode(b"abc".to_vec()).unwrap(), b"abc");
}

#[test]
fn nothing_is_held_between_frames() {
    let mut framer = Framer::new(lines("\n"));
    framer.push(&[b'x'; 5000], |_| {}).unwrap();
    framer.push(b"\n", |frame| assert_eq!(frame.len(), 5000)).unwrap();
    assert!(framer.partial.capacity() <= KEPT);
}

proptest! {
    #[test]
    fn what_a_message_holds_does_not_depend_on_the_one_before(first in vec(0u8..=20, 0..40), second in vec(0u8..=20, 0..40)) {
        for framing in [none(), lines("\r"), lines("\r\n").limit(8), length_prefixed(1).limit(10), fixed(3)] {
            let hear = |framer: &mut Framer, message: &[u8]| {
                let mut frames = Vec::new();
                let result = framer.push_message(message, |frame| frames.push(frame.to_vec()));
                (frames, result)
            };
            let mut used = Framer::new(framing);
            let _ = hear(&mut used, &first);
            prop_assert_eq!(hear(&mut used, &second), hear(&mut Framer::new(framing), &second), "{:?}", framing);
        }
    }
}

#[test]
fn a_message_ends_what_is_in_it() {
    let hear = |framing: Framing, message: &[u8]| {
        let mut frames = Vec::new();
        let result = Framer::new(framing).push_message(message, |frame| frames.push(frame.to_vec()));
        (frames, result)
    };
    assert_eq!(hear(none(), b""), (vec![vec![]], Ok(())));
    assert_eq!(hear(lines("\r"), b"a\rb"), (vec![b"a".to_vec(), b"b".to_vec()], Ok(())));
    assert_eq!(hear(lines("\r"), b"a\r"), (vec![b"a".to_vec()], Ok(())));
    assert_eq!(hear(lines("\r\n").limit(1), b"a\r\nbcd").1, Err(Fault::Skipped { limit: 1 }));
    assert_eq!(hear(lines("\r\n").limit(9), b"123456789ab").1, Err(Fault::Skipped { limit: 9 }));
    let unfinished = (vec![b"ab".to_vec()], Err(Fault::Unfinished { length: 2 }));
    assert_eq!(hear(length_prefixed(1), b"\x02ab\x05c"), unfinished);
}
