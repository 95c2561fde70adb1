//! What each resource has beyond the common rules, and what follows from its changes.

use serde_json::{Value, json};

use super::{live::Live, server::Server, wire::device};

const LOGIC: i64 = 99;
const DEVICE: i64 = 1;

#[tokio::test]
async fn a_system_is_changed_only_at_its_version() {
    let server = Server::start().await;
    let id = server.create("/systems", json!({"name": " Room 1 ", "email": "Room@Example.COM"})).await;
    let path = format!("/systems/{id}");
    let system = server.get(&path).await.json();
    assert_eq!((system["name"].as_str(), system["version"].as_i64()), (Some("Room 1"), Some(0)));
    assert!(system.get("display_name").is_none(), "null fields are left out");
    assert!(system["created_at"].is_i64() && system["bookable"].is_boolean());

    let missing = server.ask("PATCH", &path, json!({"name": "x"})).await;
    assert_eq!((missing.status, missing.json()["parameter"].as_str()), (422, Some("version")));
    let changed =
        server.ask("PATCH", &format!("{path}?version=0"), json!({"capacity": 4, "version": 9})).await;
    assert_eq!((changed.status, changed.json()["version"].as_i64()), (200, Some(1)));
    let old = server.ask("PUT", &format!("{path}?version=0"), json!({"capacity": 5})).await;
    assert_eq!(
        (old.status, old.json()["error"].as_str()),
        (409, Some("Attempting to edit an old System version"))
    );
    let nulled = server.ask("PATCH", &format!("{path}?version=1"), json!({"email": null})).await;
    assert_eq!(nulled.status, 200);
    assert!(nulled.json().get("email").is_none());
    assert_eq!(nulled.json()["capacity"], 4, "what is not in the body stays");

    let twin = server.ask("POST", "/systems", json!({"name": "Room 1 "})).await;
    assert_eq!((twin.status, twin.failures()), (422, vec!["name: should be unique".to_owned()]));
    let nameless = server.ask("POST", "/systems", json!({})).await;
    assert_eq!((nameless.status, nameless.failures()), (422, vec!["name: should not be nil".to_owned()]));
    let nowhere = server.ask("POST", "/systems", json!({"name": "y", "zones": ["zone-none"]})).await;
    assert_eq!(nowhere.status, 422);
}

#[tokio::test]
async fn systems_are_found_by_what_they_are() {
    let server = Server::start().await;
    let zone = server.create("/zones", json!({"name": "org", "tags": ["org"]})).await;
    let a = json!({"name": "a", "zones": [zone], "capacity": 10, "bookable": true, "email": "a@b.c", "features": ["VC", "Mic"]});
    let a = server.create("/systems", a).await;
    server.create("/systems", json!({"name": "b", "public": true})).await;
    for (query, names) in [
        (format!("zone_id={zone}"), vec!["a"]),
        (format!("zone_id={zone},zone-other"), vec![]),
        ("capacity=5".into(), vec!["a"]),
        ("bookable=true".into(), vec!["a"]),
        ("bookable=false".into(), vec!["b"]),
        ("public=true".into(), vec!["b"]),
        ("public=false".into(), vec!["a", "b"]),
        ("features=VC,Mic".into(), vec!["a"]),
        ("features=VC,Lights".into(), vec![]),
        ("email=x@y.z,A@B.C".into(), vec!["a"]),
        ("q=vc".into(), vec!["a"]),
        ("module_id=mod-none".into(), vec![]),
    ] {
        let found = server.get(&format!("/systems?{query}")).await.json();
        let found: Vec<_> =
            found.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{query}");
    }
    assert_eq!(server.get("/systems/A@B.c").await.id(), a, "by e-mail");
    assert_eq!(server.get("/systems/with_emails?in=a@b.c,no@b.c").await.header("x-total-count"), "1");
    let zones = server.get(&format!("/systems/{a}/zones")).await;
    assert_eq!((zones.header("x-total-count"), zones.json()[0]["name"].as_str()), ("1", Some("org")));
    let complete = server.get(&format!("/systems/{a}?complete=true")).await.json();
    assert_eq!(complete["zone_data"][0]["id"], json!(zone));
    assert_eq!(complete["module_data"], json!([]));
}

#[tokio::test]
async fn a_module_takes_name_and_role_from_its_driver() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let body =
        json!({"driver_id": basics.driver, "ip": "10.0.0.1", "port": 4352, "name": "Mine", "role": 99});
    let made = server.ask("POST", "/modules", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let module = made.json();
    assert_eq!((module["name"].as_str(), module["role"].as_i64()), (Some("Display"), Some(1)));
    assert_eq!(module["connected"], true, "a module that should not run counts as connected");
    let id = made.id();
    let driver = server
        .ask("PATCH", &format!("/drivers/{}", basics.driver), json!({"module_name": "Projector", "role": 1}))
        .await;
    assert_eq!(driver.status, 200, "{driver:?}");
    assert_eq!(server.get(&format!("/modules/{id}")).await.json()["name"], "Projector");
    let role = server.ask("PATCH", &format!("/drivers/{}", basics.driver), json!({"role": "logic"})).await;
    assert_eq!((role.status, role.failures()), (422, vec!["role: Driver role must not change".to_owned()]));

    for (body, failure) in [
        (json!({"driver_id": "driver-none", "ip": "10.0.0.1", "port": 1}), "driver_id: is invalid"),
        (json!({"driver_id": basics.driver, "port": 1}), "ip: cannot be blank"),
        (json!({"driver_id": basics.driver, "ip": "10.0.0.1", "port": 0}), "port: is invalid"),
    ] {
        let refused = server.ask("POST", "/modules", body).await;
        assert_eq!(refused.status, 422);
        assert!(refused.failures().contains(&failure.to_owned()), "{refused:?}");
    }
    let shown = server.get(&format!("/modules/{id}?complete=true")).await.json();
    assert_eq!(shown["driver"]["module_name"], "Projector");
}

#[tokio::test]
async fn a_logic_module_joins_its_system_and_leaves_when_deleted() {
    let server = Server::start().await;
    let basics = server.basics(LOGIC).await;
    let path = format!("/systems/{}", basics.system);
    let body = json!({"driver_id": basics.driver, "control_system_id": basics.system});
    let module = server.create("/modules", body).await;
    let system = server.get(&path).await.json();
    assert_eq!((&system["modules"], system["version"].as_i64()), (&json!([module]), Some(1)));
    let list = server.get(&format!("/modules?control_system_id={}", basics.system)).await;
    assert_eq!(list.json()[0]["driver"]["name"], "A driver");
    let orphan = server.ask("POST", "/modules", json!({"driver_id": basics.driver})).await;
    assert_eq!(orphan.failures(), ["control_system: must be associated for logic modules"]);
    let settings = server.create("/settings", json!({"parent_id": module, "settings_string": "a: 1"})).await;
    assert_eq!(server.ask("DELETE", &format!("/modules/{module}"), Value::Null).await.status, 202);
    let system = server.get(&path).await.json();
    assert_eq!((&system["modules"], system["version"].as_i64()), (&json!([]), Some(2)));
    assert_eq!(server.get(&format!("/settings/{settings}")).await.status, 404);
}

#[tokio::test]
async fn modules_are_put_into_systems_and_taken_out() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let other = server.create("/systems", json!({"name": "other"})).await;
    let (shared, own) = (server.module(&basics.driver).await, server.module(&basics.driver).await);
    server.put_in(&basics.system, &shared).await;
    server.put_in(&basics.system, &own).await;
    server.put_in(&other, &shared).await;
    server.put_in(&other, &shared).await;
    assert_eq!(
        server.get(&format!("/systems/{other}")).await.json()["version"],
        1,
        "the second time changes nothing"
    );
    assert_eq!(
        server.ask("PUT", &format!("/systems/{other}/module/mod-none"), Value::Null).await.status,
        404
    );
    let types = server.get(&format!("/systems/{}/types", basics.system)).await.json();
    assert_eq!(types, json!({"Display": 2}));
    let count = server.get(&format!("/systems/{}/count?module=Display", basics.system)).await.json();
    assert_eq!(count, json!({"count": 2}));

    let gone = server.ask("DELETE", &format!("/systems/{}/module/{own}", basics.system), Value::Null).await;
    assert_eq!((gone.status, gone.json()["modules"].clone()), (202, json!([shared])));
    assert_eq!(server.get(&format!("/modules/{own}")).await.status, 404, "it was in no other system");
    let gone =
        server.ask("DELETE", &format!("/systems/{}/module/{shared}", basics.system), Value::Null).await;
    assert_eq!(gone.status, 202);
    assert_eq!(server.get(&format!("/modules/{shared}")).await.status, 200, "it is in another");

    let unknown = server
        .ask(
            "PATCH",
            &format!("/systems/{other}?version=1"),
            json!({"modules": ["mod-none", shared, shared]}),
        )
        .await;
    assert_eq!(unknown.json()["modules"], json!([shared]), "unknown ids are dropped");
}

#[tokio::test]
async fn deleting_a_system_takes_what_is_only_its_own() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let other = server.create("/systems", json!({"name": "other"})).await;
    let (shared, own) = (server.module(&basics.driver).await, server.module(&basics.driver).await);
    for (system, module) in [(&basics.system, &shared), (&basics.system, &own), (&other, &shared)] {
        server.put_in(system, module).await;
    }
    let settings = server.create("/settings", json!({"parent_id": basics.system})).await;
    let metadata = json!({"name": "m", "description": "", "details": 1});
    server.ask("PUT", &format!("/metadata/{}", basics.system), metadata).await;
    assert_eq!(server.ask("DELETE", &format!("/systems/{}", basics.system), Value::Null).await.status, 202);
    for (path, status) in [
        (format!("/modules/{own}"), 404),
        (format!("/modules/{shared}"), 200),
        (format!("/settings/{settings}"), 404),
        (format!("/systems/{}", basics.system), 404),
    ] {
        assert_eq!(server.get(&path).await.status, status, "{path}");
    }
    assert_eq!(server.get(&format!("/metadata/{}", basics.system)).await.json(), json!({}));
}

#[tokio::test]
async fn deleting_a_repository_takes_drivers_and_modules_with_it() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let modules = [server.module(&basics.driver).await, server.module(&basics.driver).await];
    for module in &modules {
        server.put_in(&basics.system, module).await;
    }
    let settings = server.create("/settings", json!({"parent_id": basics.driver})).await;
    assert_eq!(
        server.ask("DELETE", &format!("/repositories/{}", basics.repository), Value::Null).await.status,
        202
    );
    for path in [
        format!("/drivers/{}", basics.driver),
        format!("/modules/{}", modules[0]),
        format!("/modules/{}", modules[1]),
        format!("/settings/{settings}"),
    ] {
        assert_eq!(server.get(&path).await.status, 404, "{path}");
    }
    let system = server.get(&format!("/systems/{}", basics.system)).await.json();
    assert_eq!((&system["modules"], system["version"].as_i64()), (&json!([]), Some(3)));
}

#[tokio::test]
async fn deleting_a_zone_takes_its_children_and_leaves_systems() {
    let server = Server::start().await;
    let org = server.create("/zones", json!({"name": "org"})).await;
    let level = server.create("/zones", json!({"name": "level", "parent_id": org})).await;
    let area = server.create("/zones", json!({"name": "area", "parent_id": level})).await;
    let system = server.create("/systems", json!({"name": "room", "zones": [org, level, area]})).await;
    let children = server.get(&format!("/zones?parent_id={org}&include_children_count=true")).await;
    assert_eq!(
        (children.header("x-total-count"), children.json()[0]["children_count"].as_i64()),
        ("1", Some(1))
    );
    assert_eq!(server.get("/zones?parent_id=root").await.header("x-total-count"), "1");
    let circle = server.ask("PATCH", &format!("/zones/{org}"), json!({"parent_id": area})).await;
    assert_eq!(circle.status, 422, "{circle:?}");
    assert_eq!(server.ask("DELETE", &format!("/zones/{level}"), Value::Null).await.status, 202);
    assert_eq!(server.get(&format!("/zones/{area}")).await.status, 404);
    let system = server.get(&format!("/systems/{system}")).await.json();
    assert_eq!((&system["zones"], system["version"].as_i64()), (&json!([org]), Some(1)));
}

#[tokio::test]
async fn zones_have_tags() {
    let server = Server::start().await;
    server.create("/zones", json!({"name": "one", "tags": ["building", "org"]})).await;
    server.create("/zones", json!({"name": "two", "tags": ["building"]})).await;
    assert_eq!(server.get("/zones/tags").await.json(), json!(["building", "org"]));
    assert_eq!(server.get("/zones?tags=building,org").await.header("x-total-count"), "1");
    assert_eq!(server.get("/zones?tags=building").await.header("x-total-count"), "2");
}

#[tokio::test]
async fn repository_credentials_are_never_in_the_clear() {
    let server = Server::start().await;
    let body = json!({
        "name": "private", "folder_name": "Private", "uri": "https://example.com/r.git", "username": "me",
        "password": "hunter2", "key": "-----BEGIN",
    });
    let made = server.ask("POST", "/repositories", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let repository = made.json();
    assert_eq!(repository["folder_name"], "private");
    assert_eq!((repository["branch"].is_string(), repository["repo_type"].as_str()), (true, Some("driver")));
    let path = format!("/repositories/{}", made.id());
    for text in [made.text.clone(), server.get(&path).await.text, server.get("/repositories").await.text] {
        assert!(!text.contains("hunter2") && !text.contains("BEGIN"), "{text}");
    }
    let sealed = repository["password"].as_str().unwrap().to_owned();
    let same = server.ask("PATCH", &path, json!({"password": sealed, "description": "d"})).await;
    assert_eq!(same.status, 200, "what was read may be sent back");
    let forged = server.ask("PATCH", &path, json!({"password": "\u{1b}1|a|b"})).await;
    assert_eq!(forged.status, 422);
    let twin = json!({"name": "x", "folder_name": "private", "uri": "https://example.com/s.git"});
    assert_eq!(server.ask("POST", "/repositories", twin).await.failures(), ["folder_name: should be unique"]);
    let cleared = server.ask("PATCH", &path, json!({"password": null, "key": ""})).await.json();
    assert!(cleared.get("password").is_none() && cleared.get("key").is_none());
}

#[tokio::test]
async fn start_and_stop_are_kept() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let other = server.create("/systems", json!({"name": "other"})).await;
    let (shared, own) = (server.module(&basics.driver).await, server.module(&basics.driver).await);
    for (system, module) in [(&basics.system, &shared), (&basics.system, &own), (&other, &shared)] {
        server.put_in(system, module).await;
    }
    let running =
        async |id: &str| server.get(&format!("/modules/{id}")).await.json()["running"].as_bool().unwrap();
    let started = server.ask("POST", &format!("/systems/{}/start", basics.system), json!({})).await;
    assert_eq!((started.status, started.text.as_str()), (200, ""));
    assert!(running(&own).await && !running(&shared).await, "what is in other systems is left alone");
    let module = server.get(&format!("/modules/{own}")).await.json();
    assert_eq!(module["connected"], false, "it should run, and cannot");
    assert!(module["runtime"]["state"].is_string(), "{module}");
    server.ask("POST", &format!("/systems/{}/start?single_occurrence=false", basics.system), json!({})).await;
    assert!(running(&shared).await);
    assert_eq!(server.ask("POST", &format!("/modules/{own}/stop"), json!({})).await.status, 200);
    assert!(!running(&own).await);
    assert_eq!(server.ask("POST", "/modules/mod-none/start", json!({})).await.status, 404);
}

#[tokio::test]
async fn calls_that_cannot_be_made_say_why() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let module = server.module(&basics.driver).await;
    server.put_in(&basics.system, &module).await;
    server.settled().await;
    let call = async |path: String| server.ask("POST", &path, json!([])).await;
    let missing = call("/systems/sys-none/Display_1/power".into()).await;
    assert_eq!(missing.status, 404);
    let missing = call(format!("/systems/{}/Lights_1/power", basics.system)).await;
    assert_eq!((missing.status, missing.json()["module_name"].as_str()), (404, Some("Lights")));
    assert_eq!(missing.json()["index"], 1);
    let stopped = call(format!("/systems/{}/Display_1/power", basics.system)).await;
    assert_eq!(stopped.status, 503, "{stopped:?}");
    assert!(stopped.json()["error"].as_str().unwrap().contains("not running"), "{stopped:?}");
    assert_eq!(call(format!("/modules/{module}/exec/power")).await.status, 503);
    let zone = server.create("/zones", json!({"name": "z"})).await;
    let body = json!({"zones": [zone]});
    server.ask("PATCH", &format!("/systems/{}?version=1", basics.system), body).await;
    let outcome = call(format!("/zones/{zone}/exec/Display_1/power")).await.json();
    assert_eq!(outcome, json!({"success": [], "failure": [basics.system], "module_missing": []}));
    let outcome = call(format!("/zones/{zone}/exec/Lights_1/power")).await.json();
    assert_eq!(outcome["module_missing"], json!([basics.system]));
    let state = server.get(&format!("/systems/{}/Nothing_1", basics.system)).await;
    assert_eq!((state.status, state.json()), (200, json!({})));
    let value = server.get(&format!("/systems/{}/Nothing_1/power", basics.system)).await;
    assert_eq!((value.status, value.json()), (200, Value::Null));
    assert_eq!(server.get(&format!("/modules/{module}/state/none")).await.status, 404);
    let compiled = server.get(&format!("/drivers/{}/compiled", basics.driver)).await.status;
    assert!(matches!(compiled, 404 | 503), "{compiled}");
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_says_so() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let pulled = server.ask("POST", &format!("/repositories/{}/pull", basics.repository), json!({})).await;
    assert_eq!(pulled.status, 422, "{pulled:?}");
    for path in ["default_branch", "drivers", "commits", "branches", "tags"] {
        let answer = server.get(&format!("/repositories/{}/{path}", basics.repository)).await;
        assert!(matches!(answer.status, 404 | 422), "{path}: {answer:?}");
        assert!(answer.json()["error"].as_str().is_some_and(|text| text.len() > 20), "{path}: {answer:?}");
    }
    let missing = server.get("/repositories/remote_branches").await;
    assert_eq!((missing.status, missing.json()["parameter"].as_str()), (422, Some("repository_url")));
    let remote = server.get("/repositories/remote_branches?repository_url=file:///nowhere").await;
    assert_eq!(remote.status, 422, "{remote:?}");
}

#[tokio::test]
async fn writes_at_the_same_time_lose_nothing() {
    let server = std::sync::Arc::new(Server::start().await);
    let basics = server.basics(LOGIC).await;
    let mut tasks = Vec::new();
    for number in 0..24 {
        let server = server.clone();
        let (driver, system) = (basics.driver.clone(), basics.system.clone());
        tasks.push(tokio::spawn(async move {
            let body = json!({"driver_id": driver, "control_system_id": system, "custom_name": format!("n{number}")});
            let module = server.create("/modules", body).await;
            server.ask("POST", "/systems", json!({"name": "only one"})).await.status == 201 && !module.is_empty()
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1, "a unique name is given once");
    let system = server.get(&format!("/systems/{}", basics.system)).await.json();
    assert_eq!(system["modules"].as_array().unwrap().len(), 24);
    assert_eq!(system["version"], 24);
}

#[tokio::test]
async fn a_module_shows_what_its_driver_says_of_the_device() {
    let Some(live) = Live::device(Server::start().await, device().await).await else { return };
    let [module, other] = &live.modules;
    let say = async |connected: Value| {
        let body = json!([connected, "the lamp is unplugged"]);
        let answer = live.server.ask("POST", &format!("/modules/{module}/exec/online"), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    say(json!(false)).await;
    live.until(module, "connected", json!(false)).await;
    let shown = live.server.get(&format!("/modules/{module}")).await.json();
    let runtime = &shown["runtime"];
    assert_eq!((&runtime["reason"], &runtime["detail"]), (&json!("device"), &json!("the lamp is unplugged")));
    assert_eq!((&shown["connected"], &runtime["state"]), (&json!(false), &json!("running")));
    assert_eq!(live.server.get(&format!("/modules/{other}")).await.json()["runtime"]["connected"], true);
    say(Value::Null).await;
    live.until(module, "connected", json!(true)).await;
}
