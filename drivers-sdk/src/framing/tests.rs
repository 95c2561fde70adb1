use proptest::collection::vec;
use proptest::prelude::*;

use super::framer::KEPT;
use super::*;
use crate::millis;

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
    let mut framer = Framer::new(framing);
    messages.iter().flat_map(|message| framer.encode(message).unwrap().into_owned()).collect()
}

proptest! {
    #[test]
    fn frames_survive_any_chunking(messages in vec(vec(0u8..=9, 0..40), 0..20), sizes in vec(1usize..30, 1..10)) {
        // None of the messages holds a delimiter: they have bytes up to 9.
        for framing in [
            lines("\r"), lines("\r\n"), lines("END"), delimited(b"\xff"), between(b"\x0a", b"\x0b"),
            between(b"\x0a\x0a\x0b", b"\x0b\x0a\x0b"), length_prefixed(1), length_prefixed(2),
            length_prefixed(3).adjust(-3), length_prefixed(4).little_endian(), length_prefixed(8), codec::<Counted>(),
        ] {
            let (frames, faults) = cut(framing, &encode(framing, &messages), &sizes);
            prop_assert_eq!(&frames, &messages, "{:?}", framing);
            prop_assert!(faults.is_empty());
        }
    }

    #[test]
    fn frames_with_a_header_survive_any_chunking_whole(
        bodies in vec(vec(any::<u8>(), 0..40), 0..20), sizes in vec(1usize..30, 1..10),
        offset in 0usize..6, width in 1usize..=8, adjust in -6i32..=3, little_endian in any::<bool>(),
    ) {
        let mut framing = length_field().offset(offset).width(width).adjust(adjust);
        if little_endian {
            framing = framing.little_endian();
        }
        // By hand, from the definition: what is before the length, the length, what is after it.
        let messages: Vec<Vec<u8>> = bodies.iter().filter_map(|body| {
            let length = u64::try_from(body.len() as i64 - i64::from(adjust)).ok()?;
            let mut field = length.to_le_bytes()[..width].to_vec();
            if !little_endian {
                field.reverse();
            }
            Some([&vec![0xaa; offset], &field, body].into_iter().flatten().copied().collect())
        }).collect();
        let (frames, faults) = cut(framing, &encode(framing, &messages), &sizes);
        prop_assert_eq!(frames, messages);
        prop_assert!(faults.is_empty());
    }

    #[test]
    fn prompts_are_frames_wherever_the_stream_is_torn(
        lines in "(Out[0-9] In[0-9]\r\n|Password:|login: |Pass\r\n|\r|\n){0,9}", sizes in vec(1usize..30, 1..10),
    ) {
        let framing = lines_with_prompts();
        let (torn, whole) = (cut(framing, lines.as_bytes(), &sizes), cut(framing, lines.as_bytes(), &[1000]));
        prop_assert_eq!(torn.0, whole.0);
        // Of several lines that come at once and are too long, one is told.
        prop_assert_eq!(torn.1.is_empty(), whole.1.is_empty());
    }

    #[test]
    fn what_is_outside_of_the_markers_is_dropped(
        messages in vec(vec(0u8..=9, 0..40), 0..20), noise in vec(20u8..40, 0..10), sizes in vec(1usize..30, 1..10),
    ) {
        let framing = between(b"\x0a\x0a\x0b", b"\x0b\x0b");
        let wire: Vec<u8> = messages.iter().flat_map(|message| {
            [&noise, &encode(framing, std::slice::from_ref(message))].into_iter().flatten().copied().collect::<Vec<_>>()
        }).collect();
        let (frames, faults) = cut(framing, &wire, &sizes);
        prop_assert_eq!(frames, messages);
        prop_assert!(faults.is_empty());
    }

    #[test]
    fn silence_ends_a_frame_however_it_came(messages in vec(vec(any::<u8>(), 1..40), 0..20), sizes in vec(1usize..30, 1..10)) {
        let mut framer = Framer::new(idle_gap(millis(20)).limit(30));
        let (mut frames, mut faults) = (Vec::new(), 0);
        let mut sizes = sizes.iter().cycle();
        for message in &messages {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                rest = after;
                faults += usize::from(framer.push(piece, |_| panic!("nothing says that it ends")).is_err());
                prop_assert_eq!(framer.gap(), Some(millis(20)));
            }
            framer.end(|frame| frames.push(frame.to_vec()));
            prop_assert_eq!(framer.gap(), None);
        }
        let (fit, skipped): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.len() <= 30);
        prop_assert_eq!(frames, fit);
        prop_assert_eq!(faults, skipped.len());
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
        for framing in [
            lines("\r\n").limit(50), between(b"ab", b"cde").limit(50), between(b"\x00", b"\xff").limit(50),
            length_prefixed(2).limit(50), length_prefixed(8).limit(50), fixed(7), idle_gap(millis(1)).limit(50),
            length_field().offset(2).width(1).adjust(-40).limit(50), length_field().little_endian().limit(50),
            codec::<Counted>().limit(50),
        ] {
            let mut framer = Framer::new(framing);
            let mut rest = &wire[..];
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                rest = after;
                let result = framer.push(piece, |frame| assert!(frame.len() <= 50));
                if matches!(result, Err(Fault::OutOfStep(_))) {
                    framer.reset();
                }
                if !wire.len().is_multiple_of(3) {
                    framer.end(|frame| assert!(frame.len() <= 50));
                }
                prop_assert!(framer.held() <= 50 + 8, "{} bytes are held by {framing:?}", framer.held());
            }
        }
    }
}

const fn lines_with_prompts() -> Framing {
    lines("\r\n").send("\r").prompts(&["Password:", "login: "]).limit(20)
}

#[test]
fn a_prompt_needs_no_line_end_and_is_at_the_beginning_of_a_line() {
    let wire = b"(c) 2020\r\nlogin: \r\nPassword:\r\nLogin User\r\nOld Password: 1\r\n";
    let (frames, faults) = cut(lines_with_prompts(), wire, &[7]);
    let frames: Vec<_> = frames.iter().map(|frame| std::str::from_utf8(frame).unwrap()).collect();
    assert_eq!(frames, ["(c) 2020", "login: ", "", "Password:", "", "Login User", "Old Password: 1"]);
    assert!(faults.is_empty());
    let long = [&[b'x'; 60][..], b"Password:\r\nPassword:"].concat();
    let (frames, faults) = cut(lines_with_prompts(), &long, &[60]);
    assert_eq!((frames, faults), (vec![b"Password:".to_vec()], vec![Fault::Skipped { limit: 20 }]));
}

#[test]
fn a_message_that_holds_what_ends_one_is_more_than_one() {
    for (framing, message, splits) in [
        (lines("\r"), "POWER ON", false),
        (lines("\r"), "POWER ON\rPOWER OFF", true),
        (lines("\r"), "POWER ON\nPOWER OFF", true),
        (lines("\r\n"), "POWER ON\r", true),
        (lines("\r\n").send(""), "POWER ON\rPOWER OFF\r", false),
        (lines("\n").send(";"), "POWER ON\n", false),
        (lines("\n").send(";"), "POWER ON;POWER OFF", true),
        (lines("END"), "EDEN", false),
        (lines("END"), "THE ENDS", true),
        (lines("END"), "E", false),
        (none(), "POWER ON\rPOWER OFF\r", false),
    ] {
        assert_eq!(framing.splits(message.as_bytes()), splits, "{framing:?} {message:?}");
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
fn a_frame_between_markers_over_the_limit_is_skipped_and_the_next_one_comes() {
    let wire = b"<12345><123456>noise<ok><12345678901234567890><<<still>";
    for sizes in [&[1][..], &[3], &[100]] {
        let (frames, faults) = cut(between(b"<", b">").limit(5), wire, sizes);
        assert_eq!(frames, [b"12345".to_vec(), b"ok".to_vec()], "in pieces of {sizes:?}");
        assert!(!faults.is_empty() && faults.iter().all(|fault| *fault == Fault::Skipped { limit: 5 }));
        let (frames, _) = cut(between(b"<", b">").limit(7), wire, sizes);
        assert_eq!(frames, [&b"12345"[..], b"123456", b"ok", b"<<still"], "in pieces of {sizes:?}");
    }
}

#[test]
fn a_delimiter_may_be_a_setting() {
    let (delimiter, sent) = (String::from("\r\n"), String::from(""));
    let framing = lines(&delimiter).send(&sent);
    drop((delimiter, sent));
    assert_eq!(cut(framing, b"a\r\nb\r\n", &[2]).0, [b"a", b"b"]);
    assert_eq!(encode(framing, &[b"x".to_vec()]), b"x");
    let long = "x".repeat(32);
    assert_eq!(cut(between(long.as_bytes(), b"y"), format!("{long}ay").as_bytes(), &[7]).0, [b"a"]);
}

#[test]
fn a_length_over_the_limit_is_out_of_step() {
    let (frames, faults) = cut(length_prefixed(2).limit(5), b"\x00\x01a\x01\x00b", &[100]);
    assert_eq!(frames, [b"a".to_vec()]);
    assert_eq!(faults, [Fault::OutOfStep("a frame of 256 bytes is over the limit of 5".into())]);
    let (frames, faults) = cut(length_field().offset(1).adjust(-2), b"x\x03a\x02\x01b", &[100]);
    assert_eq!(frames, [b"x\x03a"]);
    assert_eq!(faults, [Fault::OutOfStep("a frame says that its length is 1".into())]);
}

#[test]
fn what_is_sent_may_end_differently() {
    let one = |framing, message: &[u8]| encode(framing, &[message.to_vec()]);
    assert_eq!(one(lines("\r\n").send("\r"), b"x"), b"x\r");
    assert_eq!(one(between(b"\x02", b"\x03"), b"x"), b"\x02x\x03");
    assert_eq!(one(length_prefixed(2), b"abc"), b"\0\x03abc");
    assert_eq!(one(length_prefixed(2).little_endian(), b"abc"), b"\x03\0abc");
    assert_eq!(one(length_prefixed(2).adjust(-2), b"abc"), b"\0\x05abc");
    assert_eq!(one(length_field(), b"\x01a"), b"\x01a");
    assert_eq!(one(fixed(3), b"abc"), b"abc");
    let too_long = Framer::new(length_prefixed(1)).encode(&[0; 256]).unwrap_err();
    assert!(too_long.message().contains("256 bytes"));
}

#[test]
fn headers_are_cut_as_their_manuals_say() {
    // Modbus TCP: transaction, protocol, length of what follows, unit, function, data.
    let modbus = b"\0\x01\0\0\0\x03\x11\x83\x02";
    // Samsung MDC: header, command, id, length of the data, data, checksum.
    let mdc = b"\xaa\xff\x01\x03A\x11\x01\x56";
    for (framing, frame) in
        [(length_field().offset(4).width(2), &modbus[..]), (length_field().offset(3).adjust(1), &mdc[..])]
    {
        let (frames, faults) = cut(framing, &[frame, frame].concat(), &[1]);
        assert_eq!((frames, faults), (vec![frame.to_vec(); 2], vec![]));
    }
}

/// A length in one byte; 255 makes no sense.
#[derive(Default)]
struct Counted {
    sent: u8,
}

impl Decoder for Counted {
    type Item = BytesMut;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
        match buffer.first() {
            Some(255) => Err(std::io::Error::other("255 is no length")),
            Some(length) if buffer.len() > usize::from(*length) => {
                let length = usize::from(*length);
                Ok(Some(buffer.split_to(length + 1).split_off(1)))
            }
            _ => Ok(None),
        }
    }
}

impl Encoder<Bytes> for Counted {
    type Error = std::io::Error;

    fn encode(&mut self, message: Bytes, out: &mut BytesMut) -> std::io::Result<()> {
        self.sent += 1;
        if message.len() > 254 {
            return Err(std::io::Error::other(format!("message {} is too long", self.sent)));
        }
        out.extend_from_slice(&[message.len() as u8]);
        out.extend_from_slice(&message);
        Ok(())
    }
}

#[test]
fn a_codec_lasts_for_a_connection_and_its_errors_are_told() {
    let mut framer = Framer::new(codec::<Counted>().limit(5));
    assert_eq!(*framer.encode(b"ab").unwrap(), *b"\x02ab");
    let error = framer.encode(&[0; 300]).unwrap_err();
    assert_eq!(error.message(), "the codec does not encode this: message 2 is too long");
    framer.reset();
    assert!(framer.encode(&[0; 300]).unwrap_err().message().contains("message 1"));

    let mut frames = Vec::new();
    let mut push =
        |framer: &mut Framer, bytes: &[u8]| framer.push(bytes, |frame| frames.push(frame.to_vec()));
    assert_eq!(push(&mut framer, b"\x01a\x06b").map_err(|fault| fault.to_string()), Ok(()));
    let told = push(&mut framer, b"bbbbbb").unwrap_err().to_string();
    assert_eq!(told, "a frame of 6 bytes is over the limit of 5: out of step");
    framer.reset();
    assert_eq!(push(&mut framer, b"\xff").unwrap_err().to_string(), "255 is no length: out of step");
    framer.reset();
    let told = push(&mut framer, b"\xfe123456").unwrap_err().to_string();
    assert_eq!(told, "a frame of 7 or more bytes is over the limit of 5: out of step");
    framer.reset();
    let mut message = |bytes: &[u8]| framer.push_message(bytes, |frame| frames.push(frame.to_vec()));
    assert_eq!(message(b"\x01b\x01c"), Ok(()));
    // What is left over is tokio-util's to complain of.
    assert!(message(b"\x01d\x05").unwrap_err().to_string().contains("bytes remaining"));
    assert_eq!(message(b"\x01e"), Ok(()));
    assert_eq!(frames, [b"a", b"b", b"c", b"d", b"e"]);
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
        for framing in [
            none(), lines("\r"), lines("\r\n").limit(8), length_prefixed(1).limit(10), fixed(3), idle_gap(millis(9)).limit(30),
            between(b"\x01", b"\x02\x03").limit(8), length_field().adjust(-1), codec::<Counted>(),
        ] {
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
    assert_eq!(hear(idle_gap(millis(9)), b"abc"), (vec![b"abc".to_vec()], Ok(())));
    assert_eq!(hear(between(b"<", b">"), b"a<b>c"), (vec![b"b".to_vec()], Ok(())));
    assert_eq!(hear(between(b"<", b">"), b"<b"), (vec![], Err(Fault::Unfinished { length: 2 })));
    let unfinished = (vec![b"ab".to_vec()], Err(Fault::Unfinished { length: 2 }));
    assert_eq!(hear(length_prefixed(1), b"\x02ab\x05c"), unfinished);
}

/// In a constant, as it is in an attribute, each is an error of the compiler.
#[test]
fn what_a_framing_has_not_got_is_told() {
    type Wrong = (fn() -> Framing, &'static str);
    let wrong: [Wrong; 5] = [
        (|| lines("\r").offset(2), "only length_field() has an offset"),
        (|| length_field().offset(4).width(9), "the width of a length is 1 to 8 bytes"),
        (|| length_prefixed(2).width(4), "that of length_prefixed(…) is its argument"),
        (|| fixed(16).limit(32), "fixed(…) has no limit"),
        (|| lines(""), "the delimiter is empty"),
    ];
    for (make, words) in wrong {
        let panic = std::panic::catch_unwind(make).expect_err(words);
        let said = panic.downcast_ref::<&str>().map(ToString::to_string);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).expect("words");
        assert!(said.contains(words), "{said}");
    }
}
