//! A broker that keeps what is to be retained and passes on what is published, each time once.

use std::collections::BTreeMap;

use drivers_sdk::framing::codec;
use drivers_sdk::prelude::*;

use crate::Options;
use crate::packet::{PING, PONG, Packets, Publish, published, text};

/// The broker, which all its clients share.
pub struct Emulator {
    username: Option<String>,
    password: Option<Secret>,
    clients: RefCell<BTreeMap<u32, (DeviceWriter, Vec<String>)>>,
    retained: RefCell<BTreeMap<String, Vec<u8>>>,
    sessions: Cell<u32>,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        Ok(Emulator {
            username: settings.username,
            password: settings.password,
            clients: RefCell::default(),
            retained: RefCell::default(),
            sessions: Cell::new(0),
        })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(codec::<Packets>());
        let client = self.sessions.get();
        self.sessions.set(client + 1);
        let result = self.serve(client, &mut stream).await;
        self.clients.borrow_mut().remove(&client);
        result
    }
}

impl Emulator {
    async fn serve(&self, client: u32, stream: &mut DeviceStream) -> Result {
        let hello = stream.next().await?;
        let Some(code) = hello.as_deref().and_then(|hello| self.welcome(hello)) else { return Ok(()) };
        stream.send([0x20, 0, code]).await?;
        if code != 0 {
            return Ok(());
        }
        self.clients.borrow_mut().insert(client, (stream.writer(), Vec::new()));
        while let Some(packet) = stream.next().await? {
            match packet.split_first() {
                Some((0x82, [high, low, topics @ ..])) => {
                    let filters = filters(topics);
                    stream.send([&[0x90, *high, *low][..], &vec![0; filters.len()]].concat()).await?;
                    let retained = self.retained.borrow().clone();
                    for (topic, payload) in retained {
                        if filters.iter().any(|filter| fits(filter, &topic)) {
                            stream
                                .send(Publish { topic, payload, number: None, retain: true }.packet())
                                .await?;
                        }
                    }
                    self.clients.borrow_mut().entry(client).and_modify(|(_, all)| all.extend(filters));
                }
                Some((first @ 0x30..=0x3f, body)) => {
                    let Some(publish) = Publish::read(*first, body) else { return Ok(()) };
                    if let Some(number) = publish.number {
                        stream.send(published(number)).await?;
                    }
                    self.pass_on(publish).await;
                }
                _ if *packet == *PING => stream.send(PONG).await?,
                // It says goodbye, or what no client says.
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The code for whoever says hello; none if that is not what it says.
    fn welcome(&self, hello: &[u8]) -> Option<u8> {
        let rest = hello.strip_prefix(b"\x10\x00\x04MQTT")?;
        let ([level, flags, _, _], rest) = rest.split_first_chunk()?;
        let (_, mut rest) = text(rest)?;
        let mut next = |there: bool| {
            let (field, after) = if there { text(rest)? } else { return Some(None) };
            rest = after;
            Some(Some(field))
        };
        let (username, password) = (next(flags & 0x80 != 0)?, next(flags & 0x40 != 0)?);
        let wanted = (self.username.as_deref(), self.password.as_ref().map(Secret::reveal));
        let known = (username, password) == (wanted.0.map(str::as_bytes), wanted.1.map(str::as_bytes));
        Some(if *level != 4 {
            1
        } else if known {
            0
        } else {
            4
        })
    }

    async fn pass_on(&self, publish: Publish) {
        let Publish { topic, payload, retain, .. } = publish;
        match retain {
            true if payload.is_empty() => drop(self.retained.borrow_mut().remove(&topic)),
            true => drop(self.retained.borrow_mut().insert(topic.clone(), payload.clone())),
            false => {}
        }
        let clients = self.clients.borrow().clone();
        let packet = Publish { topic, payload, number: None, retain: false };
        for (writer, filters) in clients.values() {
            if filters.iter().any(|filter| fits(filter, &packet.topic)) {
                let _ = writer.send(packet.packet()).await;
            }
        }
    }
}

fn filters(mut topics: &[u8]) -> Vec<String> {
    let mut filters = Vec::new();
    while let Some((filter, [_, rest @ ..])) = text(topics) {
        filters.push(String::from_utf8_lossy(filter).into_owned());
        topics = rest;
    }
    filters
}

/// Whether a topic is one of those that a filter means (4.7).
fn fits(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_mean_what_the_specification_says() {
        for filter in ["a/b/c", "a/+/c", "a/#", "#", "+/+/+", "a/b/c/#"] {
            assert!(fits(filter, "a/b/c"), "{filter}");
        }
        for filter in ["a/b", "a/+", "+", "a/b/c/d", "b/#", ""] {
            assert!(!fits(filter, "a/b/c"), "{filter}");
        }
    }
}
