//! What the flight recorder has of commands.

use super::*;
use crate::connections::{
    Form,
    recorder::{Call, Record, commands},
    tests::recorded::messages,
};

#[tokio::test]
async fn commands_are_recorded_for_their_call_and_without_secrets() {
    let folder = Folder::new();
    let Some((server, user)) = folder.server(BARE).await else { return };
    let (recorder, connections) = (Recorder::new(), folder.connections(quick()));
    let tape = recorder.tape();
    tape.hide(vec![Secret::new("opensesame")]);
    let settings = Settings { channel: Channel::None, ..user };
    let link = recorder.open(&connections, target(&server, settings));
    recorder.up_after(0).await;
    let call = Call::new(&tape, commands::number("restart"), 1).expect("a call");
    let line = "echo opensesame; echo err >&2; exit 3".to_owned();
    let ran = link.ssh_exec(Exec { line, command: call.tag(), ..Exec::default() }).await;
    assert_eq!(ran, Ok(output(Some(3), "opensesame\n", "err\n")), "{}", server.log());
    let message = |word, text: &str| (word, Form::Bytes, text.as_bytes().to_vec());
    let expected = [
        message("sent", "echo ***; echo err >&2; exit 3"),
        message("received", "***\n"),
        message("received", "err\n"),
        message("received", "(status 3)\n"),
    ];
    assert_eq!(messages(&recorder), expected);
    let records = tape.records();
    let named: Vec<_> = records.iter().filter_map(Record::command).collect();
    assert_eq!(named, ["restart"; 4]);

    // What came of one that is given up, as much as there is room for, and then why.
    let too_much = link.ssh_exec("cat /dev/zero").await.expect_err("too much");
    let messages = messages(&recorder);
    let [(_, _, zeros), (_, _, cut), (_, _, why)] = &messages[messages.len() - 3..] else { unreachable!() };
    assert!(zeros.len() < 1 << 20 && zeros.iter().all(|byte| *byte == 0), "{}", zeros.len());
    let cut = String::from_utf8_lossy(cut);
    assert!(cut.starts_with(&format!("({} bytes of 4", zeros.len())), "{cut}");
    assert_eq!(String::from_utf8_lossy(why), format!("({too_much})\n"));
}
