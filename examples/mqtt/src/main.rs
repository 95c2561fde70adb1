//! A client of an MQTT 3.1.1 broker: what is said about the topics of its settings is its status, and it publishes.
//!
//! By TCP port 1883, or by TLS on 8883, which is the module's affair. The session leaves nothing behind at the broker: it is made
//! anew with each connection, and so are its subscriptions.

mod emulator;
mod packet;

use drivers_sdk::prelude::*;
use packet::{DISCONNECT, PING, PONG, Packet, Packets, Publish, connect, published, refusal, subscribe};

#[derive(Settings)]
pub struct Options {
    /// Name of this client at the broker; left out, the broker makes one.
    #[setting(default)]
    client_id: String,
    /// User of the broker; left out if it lets everybody in.
    username: Option<String>,
    /// That user's password.
    password: Option<Secret>,
    /// Topics to hear about, `+` for any level and `#` for all below: `building/+/temperature`.
    #[setting(default)]
    topics: Vec<String>,
    /// Seconds after which the broker may give up a client that says nothing.
    #[setting(default = 60)]
    keep_alive: u16,
}

#[derive(Default)]
struct Client;

/// An MQTT broker: each topic it tells of is a key of the status.
#[driver(
    name = "MQTT broker", module = "Mqtt", tcp = 1883, framing = codec::<Packets>().limit(1024 * 1024),
    settings = Options,
)]
impl Client {
    #[login]
    async fn enter(&self, cx: &Cx<Self>) -> Result {
        let Options { client_id, username, password, keep_alive, .. } = &*cx.settings();
        let hello =
            connect(client_id, username.as_deref(), password.as_ref().map(Secret::reveal), *keep_alive);
        let welcome = parse_bytes(|packet| match Packet::read(packet)? {
            Packet::Connected { code: 0 } => Some(Ok(())),
            Packet::Connected { code } => Some(Err(refusal(code))),
            _ => None,
        });
        cx.send(hello).reply(welcome).await
    }

    #[connected]
    async fn listen(&self, cx: &Cx<Self>) -> Result {
        let settings = cx.settings();
        if settings.keep_alive > 0 {
            cx.every(secs(settings.keep_alive.into()) / 2, Self::ping);
        }
        if settings.topics.is_empty() {
            return Ok(());
        }
        let id = number(cx);
        let granted = parse_bytes(move |packet| match Packet::read(packet)? {
            Packet::Subscribed { number, codes } if number == id => Some(Ok(codes)),
            _ => None,
        });
        let codes = cx.send(subscribe(id, &settings.topics)).reply(granted).await?;
        let refused: Vec<_> = settings.topics.iter().zip(codes).filter(|(_, code)| *code > 2).collect();
        match refused[..] {
            [] => Ok(()),
            _ => Err(Error::device(format!("the broker refused to tell of {refused:?}"))),
        }
    }

    /// Other topics, another user: the connection is made anew.
    #[settings_changed]
    fn begin_again(&self, cx: &Cx<Self>) {
        cx.status.clear_keys();
        if cx.is_connected() {
            cx.disconnect("the settings have changed");
        }
    }

    #[stopped]
    async fn leave(&self, cx: &Cx<Self>) -> Result {
        if cx.is_connected() { cx.send(DISCONNECT).await } else { Ok(()) }
    }

    async fn ping(&self, cx: &Cx<Self>) -> Result {
        let answer = cx.send(PING).reply(exact(PONG)).await;
        if answer.as_ref().is_err_and(Error::is_timeout) {
            cx.disconnect("the broker does not answer any more");
        }
        answer
    }

    /// Shows what JSON says as it is, and anything else as text; nothing at all takes the key away.
    #[received]
    async fn told(&self, cx: &Cx<Self>, packet: &[u8]) -> Result {
        let Some(Packet::Publish(Publish { topic, payload, number, .. })) = Packet::read(packet) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&payload);
        let value = match &*text {
            "" => Value::Null,
            text => text.parse().unwrap_or_else(|_| text.into()),
        };
        cx.status.set_key(&topic, &value)?;
        match number {
            Some(number) => cx.send(published(number)).priority(1).await,
            None => Ok(()),
        }
    }

    /// Publishes a text as it is, and anything else as JSON. It is done when the broker has it; with `qos` 0, when it is sent.
    /// What is to be retained is told to whoever asks for the topic later.
    #[function]
    async fn publish(
        &self,
        cx: &Cx<Self>,
        topic: String,
        payload: Value,
        retain: Option<bool>,
        qos: Option<u8>,
    ) -> Result {
        if topic.is_empty() || topic.len() > 0xffff || topic.contains(['+', '#', '\0']) {
            return Err(Error::bad_request(format!("{topic:?} is no topic that can be published to")));
        }
        let id = match qos.unwrap_or(1) {
            0 => None,
            1 => Some(number(cx)),
            _ => return Err(Error::bad_request("qos is 0 or 1")),
        };
        let payload = payload.as_str().map_or_else(|| payload.to_string(), Into::into).into();
        let message = Publish { topic, payload, number: id, retain: retain.unwrap_or(false) };
        let command = cx.send(message.packet());
        match id {
            None => command.await,
            Some(id) => command.reply(exact(published(id))).await,
        }
    }
}

/// Of a packet that is answered: never 0.
fn number(cx: &Cx<Client>) -> u16 {
    cx.number(1..=0xffff) as u16
}

#[cfg(test)]
mod tests;

drivers_sdk::main!(Client, emulator = emulator::Emulator);
