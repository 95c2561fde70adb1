//! `headend watch`: status values as they change, until it is interrupted.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Error, Result,
    find::{self, Place, Target, text},
    http::Client,
    socket::Socket,
    status,
    table::{print, print_json},
};

/// After the daemon went away it is looked for this often.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a module is asked whether it has new keys.
const LOOK: Duration = Duration::from_secs(2);

/// What is followed: every key of these modules, or those that are named.
struct Watch<'w> {
    places: Vec<Place>,
    keys: &'w [String],
    json: bool,
    /// The last value shown, by module id and key, so that a new connection repeats nothing.
    shown: HashMap<(String, String), Value>,
}

pub(super) async fn run(http: &Client, words: &[String], json: bool) -> Result<()> {
    let (target, keys) = find::target(http, words, false).await?;
    let places = match target {
        Target::System(places) => places,
        Target::Module(place) => vec![place],
    };
    if let Some(place) = places.iter().find(|place| place.system.is_none()) {
        let message = format!(
            "{} is in no system, and status is followed through one; add it to a system",
            place.title()
        );
        return Err(Error::Usage(message));
    }
    if places.is_empty() {
        return Err(Error::NotFound("the system has no modules".into()));
    }
    let mut watch = Watch { places, keys, json, shown: HashMap::new() };
    loop {
        let lost = match watch.follow(http).await {
            Ok(never) => match never {},
            Err(lost @ Error::Unreachable { .. }) if !watch.shown.is_empty() => lost,
            Err(error) => return Err(error),
        };
        eprintln!("headend: {lost}; trying again");
        while let Err(Error::Unreachable { .. }) = Socket::open(http).await {
            sleep(AGAIN).await;
        }
    }
}

impl Watch<'_> {
    async fn follow(&mut self, http: &Client) -> Result<std::convert::Infallible> {
        let mut socket = Socket::open(http).await?;
        let mut bound: HashMap<i64, (usize, String)> = HashMap::new();
        self.bind(http, &mut socket, &mut bound).await?;
        let mut look = Instant::now() + LOOK;
        loop {
            tokio::select! {
                message = socket.next() => self.show(&message?, &bound),
                () = sleep_until(look) => {
                    if self.keys.is_empty() {
                        self.bind(http, &mut socket, &mut bound).await?;
                    }
                    look = Instant::now() + LOOK;
                }
            }
        }
    }

    /// Binds the keys that are named, or those there are by now.
    async fn bind(
        &self,
        http: &Client,
        socket: &mut Socket<'_>,
        bound: &mut HashMap<i64, (usize, String)>,
    ) -> Result<()> {
        for (at, place) in self.places.iter().enumerate() {
            let keys = match self.keys {
                [] => status::values(http, place.id()).await?.into_iter().map(|(key, _)| key).collect(),
                keys => keys.to_vec(),
            };
            for key in keys {
                if !bound.values().any(|(other, name)| *other == at && *name == key) {
                    let id = socket.send("bind", place, &key).await?;
                    bound.insert(id, (at, key));
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, message: &Value, bound: &HashMap<i64, (usize, String)>) {
        let id = message.get("id").and_then(Value::as_i64);
        let Some((at, key)) = id.and_then(|id| bound.get(&id)) else { return };
        let Some(place) = self.places.get(*at).filter(|_| text(message, "type") == "notify") else { return };
        let value = message.get("value").cloned().unwrap_or_default();
        let previous = self.shown.insert((place.id().into(), key.clone()), value.clone());
        if previous.as_ref() == Some(&value) {
            return;
        }
        if self.json {
            let (system_id, system) = place.system.clone().unzip();
            return print_json(&json!({
                "system_id": system_id, "system": system, "module": place.slot, "module_id": place.id(),
                "key": key, "value": value,
            }));
        }
        print(&format!("{}  {key} = {value}\n", place.title()));
    }
}
