use super::*;

/// A recording of lines such as `< greeting`, `> sent by itself`, `! sent for a call`, `up`, and pauses in milliseconds.
fn recording(lines: &[&str]) -> Player {
    let mut text =
        "{\"recording\":1,\"module\":\"mod-1\",\"name\":\"Lamp\",\"driver\":\"Lamp\"}\n".to_owned();
    let (mut time, mut connection) = (1_000_000, 1);
    for line in lines {
        let (mark, bytes) = line.split_once(' ').unwrap_or((line, ""));
        time += 1000;
        let event = match mark {
            "up" => {
                connection += 1;
                continue;
            }
            "<" => serde_json::json!({"event": "received"}),
            ">" => serde_json::json!({"event": "sent"}),
            "!" => serde_json::json!({"event": "sent", "command": "power", "call": 3}),
            pause => {
                time += pause.parse::<u64>().unwrap() * 1000;
                continue;
            }
        };
        let mut object =
            serde_json::json!({"number": 1, "time": time, "connection": connection, "text": bytes});
        object.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        text.push_str(&format!("{object}\n"));
    }
    Player::read(&text).unwrap()
}

fn text(said: &[Said]) -> Vec<String> {
    said.iter().map(|said| String::from_utf8_lossy(&said.bytes).into_owned()).collect()
}

fn says(player: &mut Player, command: &str) -> Vec<String> {
    text(&player.answer(command.as_bytes()).unwrap_or_else(|| panic!("no answer to {command}")))
}

const LAMP: [&str; 9] =
    ["< HELLO\r", "> ?\r", "< OFF\r", "! ON\r", "< OK\r", "> ?\r", "< ON\r", "300", "< BULB OLD\r"];

#[test]
fn questions_are_answered_as_the_device_is_at_that_point_however_often_they_come() {
    let mut lamp = recording(&LAMP);
    assert_eq!(text(&lamp.connect()), ["HELLO\r"]);
    for _ in 0..3 {
        assert_eq!(says(&mut lamp, "?\r"), ["OFF\r"]);
    }
    assert_eq!(says(&mut lamp, "ON\r"), ["OK\r"]);
    // What it said by itself is said once.
    assert_eq!(says(&mut lamp, "?\r"), ["ON\r", "BULB OLD\r"]);
    for _ in 0..3 {
        assert_eq!(says(&mut lamp, "?\r"), ["ON\r"]);
    }
    assert_eq!(lamp.answer(b"EXPLODE\r"), None);
    // A question that is left out is passed over.
    let mut lamp = recording(&LAMP);
    assert_eq!(says(&mut lamp, "ON\r"), ["OK\r"]);
    assert_eq!(says(&mut lamp, "?\r").first().unwrap(), "ON\r");
}

#[test]
fn what_changed_twice_changes_twice_though_polls_are_left_out() {
    let mut lamp = recording(&[
        "! ON\r", "< OK\r", "> ?\r", "< ON\r", "! OFF\r", "< OK\r", "> ?\r", "< OFF\r", "> ?\r", "< OFF\r",
        "! ON\r", "< OK\r", "> ?\r", "< ON\r",
    ]);
    lamp.connect();
    for on in ["ON", "OFF", "ON"] {
        says(&mut lamp, &format!("{on}\r"));
        assert_eq!(says(&mut lamp, "?\r"), [format!("{on}\r")]);
    }
}

#[test]
fn pauses_are_as_they_were_up_to_a_second() {
    let mut lamp = recording(&["> ?\r", "19", "< A\r", "299", "< B\r", "60000", "< C\r"]);
    let pauses: Vec<_> = lamp.answer(b"?\r").unwrap().iter().map(|said| said.after.as_millis()).collect();
    assert_eq!(pauses, [21, 301, 1000]);
}

#[test]
fn a_connection_is_the_next_one_recorded_then_the_last_again() {
    let mut lamp = recording(&["< ONE\r", "> ?\r", "< 1\r", "up", "< TWO\r", "> ?\r", "< 2\r"]);
    for (greeting, answer) in [("ONE\r", "1\r"), ("TWO\r", "2\r"), ("TWO\r", "2\r")] {
        assert_eq!(text(&lamp.connect()), [greeting]);
        assert_eq!(says(&mut lamp, "?\r"), [answer]);
    }
}

#[test]
fn values_may_be_others_and_words_may_not() {
    let mut device = recording(&[
        "> VOL 12\r",
        "< VOL=12 OK\r",
        "> VOL?\r",
        "< VOL=12\r",
        "> SET 5 5\r",
        "< 5 IS 5, 7 IS NOT\r",
        "> {\"id\":7,\"method\":\"get\"}\r",
        "< {\"id\":7,\"result\":7.5}\r",
        "> KEY 550e8400-e29b-41d4-a716-446655440000 1\r",
        "< KEY 550e8400-e29b-41d4-a716-446655440000\r",
        "> GAIN -3\r",
        "< GAIN -3\r",
    ]);
    for (command, answer) in [
        ("VOL 30\r", "VOL=30 OK\r"),
        ("VOL 5.5\r", "VOL=5.5 OK\r"),
        ("SET 5 6\r", "5 IS 6, 7 IS NOT\r"),
        ("{\"id\":12,\"method\":\"get\"}\r", "{\"id\":12,\"result\":7.5}\r"),
        ("KEY 0b53ca5f-1111-4a4b-beef-0123456789ab 1\r", "KEY 0b53ca5f-1111-4a4b-beef-0123456789ab\r"),
        ("GAIN 12\r", "GAIN 12\r"),
    ] {
        assert_eq!(says(&mut device, command), [answer], "{command}");
    }
    for command in ["VOL OFF\r", "MUTE 12\r", "VOL 1 2\r", "{\"id\":7,\"method\":\"set\"}\r"] {
        assert_eq!(device.answer(command.as_bytes()), None, "{command}");
    }
}

#[test]
fn what_is_hidden_may_be_anything() {
    let mut projector =
        recording(&["> ***%1INPT 31\r", "< %1INPT=OK\r", "> LOGIN admin ***\r", "< WELCOME\r"]);
    assert_eq!(says(&mut projector, "5d8409bc1c3fa39749434aa3a5c38682%1INPT 31\r"), ["%1INPT=OK\r"]);
    assert_eq!(says(&mut projector, "5d8409bc1c3fa39749434aa3a5c38682%1INPT 32\r"), ["%1INPT=OK\r"]);
    assert_eq!(says(&mut projector, "LOGIN admin open sesame\r"), ["WELCOME\r"]);
    assert_eq!(projector.answer(b"LOGIN root open sesame\r"), None);
}

#[test]
fn bytes_may_be_others_where_the_answer_repeats_them() {
    let exchange = |sent: &[u8], received: &[u8]| Exchange {
        sent: sent.to_owned(),
        received: vec![Said { after: Duration::ZERO, form: Form::Bytes, bytes: received.to_owned() }],
        ..Exchange::default()
    };
    // Modbus TCP: a transaction, and the register's address, which the answer has not.
    let read = exchange(&[0, 7, 0, 0, 0, 6, 1, 3, 0, 16, 0, 1], &[0, 7, 0, 0, 0, 5, 1, 3, 2, 0xab, 0xcd]);
    let again = [1, 44, 0, 0, 0, 6, 1, 3, 0, 16, 0, 1];
    assert_eq!(likeness::differences(&read, &again), Some(2));
    assert_eq!(
        likeness::answer(&read, &again).first().unwrap().bytes,
        [1, 44, 0, 0, 0, 5, 1, 3, 2, 0xab, 0xcd]
    );
    assert_eq!(likeness::differences(&read, &[1, 44, 0, 0, 0, 6, 1, 3, 0, 17, 0, 1]), None);
    assert_eq!(likeness::differences(&read, &again[..11]), None);
}

#[test]
fn commands_are_told_apart_by_the_end_they_have_in_common() {
    let commands = |player: &Player, pieces: &[&str]| -> Vec<Vec<String>> {
        let mut commands = player.commands();
        let text = |command: Vec<u8>| String::from_utf8(command).unwrap();
        pieces
            .iter()
            .map(|piece| commands.arrived(piece.as_bytes()).into_iter().map(text).collect())
            .collect()
    };
    let lines = recording(&["> A 1\r\n", "< 1\r\n", "> B 1\r\nC 1\r\n", "< 2\r\n"]);
    assert_eq!(commands(&lines, &["A 5", "\r\nB 1\r", "\n"]), [vec![], vec!["A 5\r\n"], vec!["B 1\r\n"]]);
    assert_eq!(lines.exchanges.len(), 3, "what was sent at once is three commands in two records");
    let bare = recording(&["> ABC", "< 1", "> ABCDE", "< 2", "> X", "< 3"]);
    assert_eq!(
        commands(&bare, &["ABCX", "AB", "CDE", "what"]),
        [vec!["ABC", "X"], vec![], vec!["ABCDE"], vec!["what"]]
    );
    let get = "GET /state HTTP/1.1\r\nhost: lamp\r\n\r\n";
    let post = "POST /state HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    let http = recording(&[&format!("> {get}"), "< 1", &format!("> {post}"), "< 2"]);
    assert_eq!(commands(&http, &[get, &post[..30], &post[30..]]), [vec![get], vec![], vec![post]]);
}

#[test]
fn a_response_says_how_long_its_body_is() {
    let mut http = recording(&[
        "> GET /level/5 HTTP/1.1\r\nhost: lamp\r\n\r\n",
        "< HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nserver: lamp\r\n\r\n{\"level\":5}",
    ]);
    let said = says(&mut http, "GET /level/100 HTTP/1.1\r\nhost: lamp\r\n\r\n");
    assert_eq!(said, ["HTTP/1.1 200\r\nserver: lamp\r\ncontent-length: 13\r\n\r\n{\"level\":100}"]);
}

#[test]
fn of_a_request_its_headers_and_its_connection_do_not_count() {
    let post = |header: &str, body: &str| {
        format!("POST /set HTTP/1.1\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let mut http = recording(&[
        &format!("> {}", post("host: lamp", "{\"on\":true}")),
        "< HTTP/1.1 200\r\n\r\n1",
        "> GET /state HTTP/1.1\r\nhost: lamp\r\n\r\n",
        "< HTTP/1.1 200\r\n\r\n2",
        "> GET /state HTTP/1.1\r\nhost: lamp\r\n\r\n",
        "< HTTP/1.1 200\r\n\r\n3",
    ]);
    let body = |said: Vec<String>| said.concat().rsplit('\n').next().unwrap().to_owned();
    let get = "GET /state HTTP/1.1\r\naccept: */*\r\n\r\n";
    assert_eq!(body(says(&mut http, &post("user-agent: other", "{\"on\":true}"))), "1");
    for expected in ["2", "3", "3"] {
        // Each on a connection of its own.
        assert_eq!(http.connect(), []);
        assert_eq!(body(says(&mut http, get)), expected);
    }
    assert_eq!(http.answer(post("host: lamp", "{\"on\":false}").as_bytes()), None);
}

#[test]
fn what_goes_on_is_one_and_datagrams_keep_their_boundaries() {
    let head = "{\"recording\":1}\n";
    let line = |event: &str| format!("{{\"number\":1,\"time\":1,\"connection\":1,{event}}}\n");
    let text = [
        head.to_owned(),
        line(r#""event":"up","address":"a","datagrams":true"#),
        line(r#""event":"sent","base64":"AP8=","more":true"#),
        line(r#""event":"sent","text":"A\r","new":[]"#),
        line(r#""event":"received","text":"B","more":true"#),
        line(r#""event":"received","text":"C\r""#),
        "{\"missed\":12}\n".to_owned(),
        "{\"cut off".to_owned(),
    ];
    let mut player = Player::read(&text.concat()).unwrap();
    assert_eq!(player.transport(), Transport::Datagrams);
    assert_eq!(player.commands().arrived(b"X\rY\r"), [b"X\rY\r"]);
    let said = player.answer(b"\x00\xffA\r").unwrap();
    assert_eq!(said.iter().map(|said| &*said.bytes).collect::<Vec<_>>(), [b"BC\r"]);
}

#[test]
fn what_cannot_be_played_is_named() {
    let head = "{\"recording\":1}\n";
    for (text, said) in [
        ("", "this is no recording"),
        ("%1POWR 1\r\n", "this is no recording"),
        ("{\"recording\":2}\n", "of version 2"),
        (head, "nothing in the recording"),
        (
            &format!("{head}{{\"event\":\"sent\"}}\n"),
            "line 2 of the recording: it has neither text nor base64",
        ),
        (
            &format!("{head}\n{{\"event\":\"sent\",\"base64\":\"?\"}}\n"),
            "line 3 of the recording: its base64",
        ),
        (&format!("{head}{{\n"), "line 2 of the recording: EOF"),
    ] {
        let error = Player::read(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}
