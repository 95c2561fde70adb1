//! Modules whose devices are on one bus: they share its connection, take turns, and hear nobody else's replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use headend::model::{Driver, Module};
use headend::runtime::exec;
use rustix::process::{Pid, Signal};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{World, device, settings, until};

/// A gateway with slaves behind it that answer `=TEXT` to each text, late and in pieces. It garbles what two of them are
/// asked at once, as a bus does. `silent` is not answered.
struct Slaves {
    port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Slaves {
    async fn new() -> Slaves {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, asked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let slaves = Slaves { port, connections: connections.clone(), asked: asked.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, asked.clone()));
            }
        });
        slaves
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, asked: Arc<AtomicUsize>) {
    let mut chunk = vec![0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        let count = asked.fetch_add(1, Ordering::SeqCst) as u64;
        if &chunk[..read] == b"silent" {
            continue;
        }
        tokio::time::sleep(Duration::from_millis(count * 7 % 23)).await;
        // Whatever has come meanwhile is garbled into it.
        let mut more = vec![0; 1024];
        let more = match stream.try_read(&mut more) {
            Ok(read) => more[..read].to_vec(),
            Err(_) => Vec::new(),
        };
        let answer = [b"=", &chunk[..read], &more].concat();
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Three running modules on one bus.
async fn bus(world: &World, slaves: &Slaves) -> [&'static str; 3] {
    world.save(settings("driver-line", "connection: {bus: true}")).await;
    let modules = ["mod-1", "mod-2", "mod-3"];
    for id in modules {
        let module = device(id, slaves.port);
        world.save(Module { driver_id: "driver-line".into(), name: "Line".into(), ..module }).await;
        world.connected(id).await;
    }
    modules
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_on_one_bus_take_turns() {
    let world = World::new().await;
    let slaves = Slaves::new().await;
    let modules = bus(&world, &slaves).await;
    let world = &world;
    let asking = modules.iter().flat_map(|id| {
        (0..20).map(move |round| async move {
            let text = format!("{id}/{round}");
            world.exec(id, "ask", &json!([text]).to_string()).await.map(|_| ())
        })
    });
    for outcome in join_all(asking).await {
        outcome.unwrap();
    }
    assert_eq!((slaves.asked(), slaves.connections.load(Ordering::SeqCst)), (60, 1));
    for id in modules {
        let heard = world.runtime.status_value(id, "heard");
        assert!(heard.as_deref().is_none_or(|heard| heard == "[]"), "{id} has heard others: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_stops_gives_its_turn_back() {
    let world = World::new().await;
    let slaves = Slaves::new().await;
    let [first, second, _] = bus(&world, &slaves).await;
    let silent = world.exec(first, "ask", r#"["silent"]"#);
    let others = async {
        until("it has its turn", || slaves.asked() == 1).await;
        let begun = std::time::Instant::now();
        let asked = async {
            world.exec(second, "ask", r#"["after"]"#).await.unwrap();
            begun.elapsed()
        };
        let stopped = world.update::<Module>(first, |module| module.running = false);
        let (elapsed, ()) = futures_util::future::join(asked, stopped).await;
        // Its command would have kept it for ten seconds.
        assert!(elapsed < Duration::from_secs(9), "{elapsed:?}");
    };
    let (silent, ()) = futures_util::future::join(silent, others).await;
    silent.unwrap_err();
    // The others' connection has stayed.
    assert_eq!(slaves.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_with_the_turn_gives_it_back_and_no_caller_is_left_waiting() {
    let world = World::new().await;
    let slaves = Slaves::new().await;
    world.update::<Driver>("driver-line", |driver| driver.isolation = Some("module".into())).await;
    let [first, second, third] = bus(&world, &slaves).await;
    let process = async |id| world.running(id).await.process.unwrap();
    let (pid, others) = (process(first).await, [process(second).await, process(third).await]);
    assert!(!others.contains(&pid) && others[0] != others[1], "each module has its own process");

    // It asks what is not answered, has more to ask, and the others wait for it.
    let silent = world.exec(first, "ask", r#"["silent"]"#);
    let behind = async {
        until("it has its turn", || slaves.asked() >= 1).await;
        world.exec(first, "ask", r#"["behind it"]"#).await
    };
    let waiting = join_all([second, third, second, third].into_iter().enumerate().map(|(n, id)| {
        let (world, slaves) = (&world, &slaves);
        async move {
            until("the first has its turn", || slaves.asked() >= 1).await;
            world.exec(id, "ask", &json!([format!("after {n}")]).to_string()).await
        }
    }));
    let killed = async {
        until("it has its turn", || slaves.asked() >= 1).await;
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    };
    let (silent, behind, waiting, ()) = tokio::join!(silent, behind, waiting, killed);
    // The connection's own limit of a turn is longer than any of them had waited.
    for outcome in waiting {
        outcome.unwrap();
    }
    let error = silent.unwrap_err();
    assert!(matches!(&error, exec::Error::Stopped(why) if why.contains("signal 9")), "{error:?}");
    // Depending on whether it came before the end, after it, or after the next beginning.
    let told = matches!(behind, Ok(_) | Err(exec::Error::Stopped(_) | exec::Error::NotRunning { .. }));
    assert!(told, "{behind:?}");

    world.connected(first).await;
    assert_eq!(world.exec(first, "ask", r#"["again"]"#).await, Ok(json!("")));
    assert_eq!(slaves.connections.load(Ordering::SeqCst), 1, "the others' connection has stayed");
}
