//! Services that call a driver, and what a system lacks.

use serde_json::{Value, json};

use super::{
    live::Live,
    server::{self, Server},
};

#[tokio::test]
async fn a_service_that_knows_the_secret_calls_the_driver_and_nobody_else_does() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let (server, [module, other]) = (&live.server, &live.modules);
    let listed = server.get(&format!("/modules/{module}/webhooks")).await.json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["function"]), (1, &json!("hook")));
    let (path, secret) = (listed[0]["path"].as_str().unwrap(), listed[0]["secret"].as_str().unwrap());
    let support = server.new_key("support", &["public"]).await;
    let answer = server.ask_as(&support, "GET", &format!("/modules/{module}/webhooks"), Value::Null).await;
    assert_eq!(answer.status, 403, "secrets are for admins");

    let post = |path: &str| server.client.post(server.url(path));
    let request =
        post(&format!("{path}&a=1&b=2")).header("X-Sign", "s").header("Cookie", "c=1").body("plain");
    let answer = server::answer(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (202, "application/json"));
    let told = answer.json();
    assert_eq!((&told["method"], &told["body"]), (&json!("POST"), &json!("plain")));
    assert_eq!(told["query"], json!({"a": "1", "b": "2"}), "without the secret");
    assert_eq!((&told["headers"]["x-sign"], &told["headers"]["cookie"]), (&json!("s"), &Value::Null));

    let bare = path.split('?').next().unwrap();
    let answer = server::answer(server.client.get(server.url(bare)).header("x-webhook-secret", secret)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["method"], "GET");
    assert!(!answer.text.contains(secret), "{}", answer.text);

    let answer = server::answer(post(path).body("fail")).await;
    assert_eq!(
        (answer.status, answer.json()),
        (500, json!({"error": "device"})),
        "and not the driver's words"
    );
    let answer = server::answer(post(path).body(vec![0xff_u8])).await;
    assert_eq!(answer.status, 415);
    let answer = server::answer(post(path).body(vec![b'x'; 256 * 1024 + 1])).await;
    assert_eq!(answer.status, 413);

    // One answer for all who do not know it, whatever there is.
    let mut refusals = Vec::new();
    for path in [
        bare.to_owned(),
        format!("{bare}?secret="),
        format!("{bare}?secret={}", &secret[1..]),
        format!("/modules/{other}/webhook/hook?secret={secret}"),
        format!("/modules/{module}/webhook/reset?secret={secret}"),
        format!("/modules/mod-none/webhook/hook?secret={secret}"),
    ] {
        let answer = server::answer(post(&path)).await;
        assert_eq!(answer.status, 404, "{path}");
        refusals.push(answer.text);
    }
    // What is no webhook has no secret that would make it one.
    let reset = server.state.vault().derive(&format!("webhook/{module}/reset"));
    let answer = server::answer(post(&format!("/modules/{module}/webhook/reset?secret={reset}"))).await;
    assert_eq!(answer.status, 404);
    refusals.push(answer.text);
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
}

#[tokio::test]
async fn a_system_says_what_its_logic_modules_lack() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let (server, [module, other]) = (&live.server, &live.modules);
    let path = format!("/systems/{}/lacks", live.system);
    let display = json!({"module": "Display"});
    // Each has the other as `Desk`, and as one with the interface.
    let lacking = |module: &str, index: u32, required: &[&Value], optional: &[Value]| {
        let name = format!("Desk_{index}");
        json!({"module_id": module, "module": name, "required": required, "optional": optional})
    };
    let camera = json!({"interface": "Camera"});
    let expected = json!([
        lacking(module, 1, &[&display], std::slice::from_ref(&camera)),
        lacking(other, 2, &[&display], std::slice::from_ref(&camera))
    ]);
    assert_eq!(server.get(&path).await.json(), expected);
    let shown = server.get(&format!("/modules/{module}")).await.json();
    assert_eq!(shown["runtime"]["lacks"], json!({"required": [display], "optional": [camera]}));

    let answer = server.ask("DELETE", &format!("/modules/{other}"), Value::Null).await;
    assert_eq!(answer.status, 202);
    server.settled().await;
    let powerable = json!({"interface": "Powerable"});
    let desk = json!({"module": "Desk"});
    let expected = json!([lacking(module, 1, &[&display, &powerable], &[camera, desk])]);
    assert_eq!(server.get(&path).await.json(), expected);
    assert_eq!(server.get("/systems/sys-none/lacks").await.status, 404);
}
