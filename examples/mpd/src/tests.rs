//! The driver with a server of paper, with its emulator, and with a recording of MPD itself.

use drivers_sdk::testing::*;

use crate::Player;
use crate::emulator::Emulator;

drivers_sdk::testing::standard_suite!(Player, emulator = Emulator);

/// A request of the driver.
fn request(command: &str) -> String {
    format!("noidle\ncommand_list_ok_begin\n{command}\ncommand_list_end\nidle\n")
}

#[tokio::test]
async fn what_another_client_changes_is_learnt_once_for_a_swarm_of_changes() {
    let player = Harness::<Player>::new().await;
    player.connect().await;
    player.push("OK MPD 0.24.0\n").await;
    player.expect(request("status\ncurrentsong")).await;
    player.reply("volume: 40\nstate: stop\nlist_OK\nlist_OK\nOK\n").await;
    player.status("volume", 40).await;
    player.status("version", "0.24.0").await;
    player.status("song", None::<Value>).await;

    player.push("changed: mixer\nchanged: player\nOK\n").await;
    player.expect(request("status\ncurrentsong")).await;
    player
        .reply("OK\nvolume: 50\nstate: play\nerror: a: b\nlist_OK\nfile: a.ogg\nTitle: A\nlist_OK\nOK\n")
        .await;
    player.status("state", "play").await;
    player.status("error", "a: b").await;
    player.status("song", json!({"file": "a.ogg", "title": "A", "artist": null, "album": null})).await;
    player.expect_nothing(secs(60)).await;
}

#[tokio::test]
async fn changes_in_the_midst_of_an_answer_are_not_lost_and_a_refusal_ends_it() {
    let player = Harness::<Player>::new().await;
    player.connect().await;
    player.push("OK MPD 0.24.0\n").await;
    player.expect(request("status\ncurrentsong")).await;
    // It waited no more when it was asked, for something had just changed.
    player.reply("changed: mixer\nOK\nstate: stop\nlist_OK\nlist_OK\nOK\n").await;
    player.expect(request("status\ncurrentsong")).await;
    player.reply("OK\nvolume: 40\nACK [2@1] {status} Integer expected: x\n").await;
    player.logged("MPD refused: Integer expected: x").await;

    let call = player.call("add", (r#"a "b" \c"#,));
    player.expect(request(r#"add "a \"b\" \\c""#)).await;
    player.reply("OK\nlist_OK\nOK\n").await;
    call.await.unwrap();
    let call = player.call("add", ("x\nkill",));
    player.expect(request(r#"add "x""#)).await;
    player.reply("OK\nlist_OK\nOK\n").await;
    call.await.unwrap();
}

#[tokio::test]
async fn the_queue_is_filled_and_played() {
    let player = Harness::<Player>::emulated::<Emulator>(json!({})).await;
    player.call("clear", ()).await.unwrap();
    player.call("add", ("rooms",)).await.unwrap();
    player.call("play", ()).await.unwrap();
    player.status("state", "play").await;
    player.status("queue_length", 2).await;
    let refused = player.call("play", (9,)).await.unwrap_err();
    assert!(refused.message().contains("Bad song index"), "{refused}");
}

/// Recorded with `headend record` of MPD 0.23.12, with a password: the queue is filled and played, somebody else changes the volume,
/// and the player is restarted.
#[tokio::test]
async fn it_works_as_with_the_player_that_was_recorded() {
    let player =
        Harness::<Player>::replaying_with("tests/session.recording", json!({"password": "another"})).await;
    player.status("version", "0.23.5").await;
    player.status("queue_length", 0).await;
    player.call("volume", (40,)).await.unwrap();
    player.call("add", ("lobby",)).await.unwrap();
    player.status("queue_length", 2).await;
    let song = |file: &str, title: &str| json!({"file": file, "title": title, "artist": "The Quiet Ones", "album": null});
    let (morning, noon) = (song("lobby/morning.wav", "Morning"), song("lobby/noon.wav", "Noon"));
    assert_eq!(player.call("queue", ()).await, Ok(json!([morning, noon])));

    player.call("play", (0,)).await.unwrap();
    player.status("song", &morning).await;
    player.call("next", ()).await.unwrap();
    player.status("song", &noon).await;
    // Somebody else has turned it up.
    player.advance(secs(1)).await;
    player.status("volume", 77).await;
    player.call("pause", (true,)).await.unwrap();
    player.status("state", "pause").await;
    let refused = player.call("play", (9,)).await.unwrap_err();
    assert!(refused.message().contains("Bad song index"), "{refused}");

    player.disconnect("it is restarted").await;
    player.connect().await;
    player.status("position", 1).await;
    player.call("volume", (12,)).await.unwrap();
    player.status("volume", 12).await;
}
