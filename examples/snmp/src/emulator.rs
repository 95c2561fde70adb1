//! An agent with the system group and two network interfaces (RFC 3418, RFC 2863). Who is not in its community hears
//! nothing from it; contact, name and location can be set by who is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;

use drivers_sdk::prelude::*;

use crate::message::{Data, GET, GET_BULK, GET_NEXT, Message, Oid, RESPONSE, SET};
use crate::{Options, SYSTEM};

/// Values in one answer at most.
const MOST: usize = 64;

pub struct Emulator(RefCell<Agent>);

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let reads = settings.community.as_ref().map_or("public", Secret::reveal);
        let writes = settings.write_community.as_ref().map_or(reads, Secret::reveal);
        Ok(Emulator(RefCell::new(Agent::new(reads, writes)?)))
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        while let Some(datagram) = stream.next().await? {
            let answer = Message::decode(&datagram).and_then(|request| self.0.borrow_mut().answer(request));
            if let Some(answer) = answer {
                stream.send(answer.encode()).await?;
            }
        }
        Ok(())
    }
}

/// The agent and what it holds.
pub struct Agent {
    reads: Vec<u8>,
    writes: Vec<u8>,
    objects: BTreeMap<Oid, Data>,
    writable: [Oid; 3],
    started: Instant,
    uptime: Oid,
}

impl Agent {
    pub fn new(reads: &str, writes: &str) -> Result<Agent> {
        let text = |text: &str| Data::Octets(text.into());
        let mut objects = vec![
            (format!("{SYSTEM}.1.0"), text("Emulated agent")),
            (format!("{SYSTEM}.2.0"), Data::Oid("1.3.6.1.4.1.8072.3.2.255".parse()?)),
            (format!("{SYSTEM}.3.0"), Data::Ticks(0)),
            (format!("{SYSTEM}.4.0"), text("nobody@example.com")),
            (format!("{SYSTEM}.5.0"), text("emulated")),
            (format!("{SYSTEM}.6.0"), text("nowhere")),
            (format!("{SYSTEM}.7.0"), Data::Integer(72)),
            ("1.3.6.1.2.1.2.1.0".into(), Data::Integer(2)),
        ];
        for (index, (name, up)) in [("lo", 1), ("eth0", 2)].into_iter().enumerate() {
            let number = index as i32 + 1;
            for (column, data) in [
                (1, Data::Integer(number)),
                (2, text(name)),
                (5, Data::Gauge(1_000_000_000)),
                (6, Data::Octets(vec![0, 0x1b, 0x44, 0, 0, number as u8])),
                (8, Data::Integer(up)),
                (10, Data::Counter(4096)),
            ] {
                objects.push((format!("1.3.6.1.2.1.2.2.1.{column}.{number}"), data));
            }
        }
        let read = |(oid, data): (String, Data)| Ok((oid.parse()?, data));
        let system = |object| format!("{SYSTEM}.{object}.0").parse();
        Ok(Agent {
            reads: reads.into(),
            writes: writes.into(),
            objects: objects.into_iter().map(read).collect::<Result<_>>()?,
            writable: [system(4)?, system(5)?, system(6)?],
            started: Instant::now(),
            uptime: system(3)?,
        })
    }

    /// Answers a request, or not.
    pub fn answer(&mut self, request: Message) -> Option<Message> {
        let allowed = [&self.writes, &self.reads].into_iter().take(if request.kind == SET { 1 } else { 2 });
        if !allowed.into_iter().any(|community| *community == request.community) {
            return None;
        }
        let hundredths = self.started.elapsed().as_millis() / 10;
        self.objects.insert(self.uptime.clone(), Data::Ticks(hundredths as u32));
        let (names, mut status, mut index) = (request.bindings, 0, 0);
        let bindings = match request.kind {
            GET => names.into_iter().map(|(oid, _)| self.get(oid)).collect(),
            GET_NEXT => names.iter().map(|(oid, _)| self.next(oid)).collect(),
            GET_BULK => self.bulk(&names, request.status.max(0) as usize, request.index.max(0) as usize),
            SET => {
                (status, index) = self.refuse(&names).unwrap_or_default();
                if status == 0 {
                    self.objects.extend(names.clone());
                }
                names
            }
            _ => return None,
        };
        Some(Message { kind: RESPONSE, status, index, bindings, ..request })
    }

    fn get(&self, oid: Oid) -> (Oid, Data) {
        let data = self.objects.get(&oid).cloned().unwrap_or_else(|| {
            // It has the object, but not this one of it.
            let known = self.objects.keys().any(|known| oid.is_below(&known.parent()));
            if known { Data::NoSuchInstance } else { Data::NoSuchObject }
        });
        (oid, data)
    }

    fn next(&self, oid: &Oid) -> (Oid, Data) {
        let after = (Bound::Excluded(oid), Bound::Unbounded);
        let found = self.objects.range(after).next();
        found.map_or((oid.clone(), Data::EndOfView), |(oid, data)| (oid.clone(), data.clone()))
    }

    fn bulk(&self, names: &[(Oid, Data)], once: usize, repetitions: usize) -> Vec<(Oid, Data)> {
        let (once, many) = names.split_at(once.min(names.len()));
        let mut answer: Vec<_> = once.iter().map(|(oid, _)| self.next(oid)).collect();
        let mut row: Vec<_> = many.to_vec();
        for _ in 0..repetitions {
            if row.is_empty() || answer.len() + row.len() > MOST {
                break;
            }
            row = row.iter().map(|(oid, _)| self.next(oid)).collect();
            answer.extend(row.iter().cloned());
            if row.iter().all(|(_, data)| *data == Data::EndOfView) {
                break;
            }
        }
        answer
    }

    /// Error and index of the first binding that cannot be set.
    fn refuse(&self, bindings: &[(Oid, Data)]) -> Option<(i32, i32)> {
        bindings.iter().zip(1..).find_map(|((oid, data), index)| match (self.writable.contains(oid), data) {
            (false, _) => Some((17, index)),
            (true, Data::Octets(octets)) if octets.len() > 255 => Some((8, index)),
            (true, Data::Octets(_)) => None,
            (true, _) => Some((7, index)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(agent: &mut Agent, kind: u8, bindings: &[(&str, Data)]) -> Option<Message> {
        let bindings =
            bindings.iter().map(|(oid, data)| (oid.parse().expect("a name"), data.clone())).collect();
        let community = b"secret".to_vec();
        agent.answer(Message { community, kind, number: 7, status: 0, index: 5, bindings })
    }

    fn shown(message: Option<Message>) -> Vec<(String, Data)> {
        let bindings = message.expect("an answer").bindings;
        bindings.into_iter().map(|(oid, data)| (oid.to_string(), data)).collect()
    }

    #[test]
    fn it_is_read_one_by_one_and_in_order() {
        let mut agent = Agent::new("secret", "secret").expect("an agent");
        let names =
            [("1.3.6.1.2.1.1.5.0", Data::Null), ("1.3.6.1.2.1.1.5.1", Data::Null), ("1.3.6.9", Data::Null)];
        let answer = shown(ask(&mut agent, GET, &names));
        let data: Vec<_> = answer.into_iter().map(|(_, data)| data).collect();
        assert_eq!(data, [Data::Octets(b"emulated".to_vec()), Data::NoSuchInstance, Data::NoSuchObject]);
        let next = shown(ask(&mut agent, GET_NEXT, &[("1.3.6.1.2.1.2.2.1.2", Data::Null)]));
        assert_eq!(next, [("1.3.6.1.2.1.2.2.1.2.1".into(), Data::Octets(b"lo".to_vec()))]);
        let bulk = shown(ask(&mut agent, GET_BULK, &[("1.3.6.1.2.1.2.2.1.8", Data::Null)]));
        let [up, down, .., last] = &bulk[..] else { panic!("{bulk:?}") };
        assert_eq!((&up.1, &down.1), (&Data::Integer(1), &Data::Integer(2)));
        assert_eq!(last.1, Data::EndOfView);
    }

    #[test]
    fn it_is_set_by_those_who_may() {
        let mut agent = Agent::new("public", "secret").expect("an agent");
        let set = |agent: &mut Agent, oid, data| {
            let answer = ask(agent, SET, &[(oid, data)]).expect("an answer");
            (answer.status, answer.index)
        };
        assert_eq!(set(&mut agent, "1.3.6.1.2.1.1.6.0", Data::Octets(b"Rack 7".to_vec())), (0, 0));
        assert_eq!(set(&mut agent, "1.3.6.1.2.1.1.6.0", Data::Integer(7)), (7, 1));
        assert_eq!(set(&mut agent, "1.3.6.1.2.1.1.6.0", Data::Octets(vec![b'x'; 256])), (8, 1));
        assert_eq!(set(&mut agent, "1.3.6.1.2.1.1.1.0", Data::Octets(vec![])), (17, 1));
        let location = shown(ask(&mut agent, GET, &[("1.3.6.1.2.1.1.6.0", Data::Null)]));
        assert_eq!(location[0].1, Data::Octets(b"Rack 7".to_vec()));
        let mut agent = Agent::new("secret", "other").expect("an agent");
        assert_eq!(ask(&mut agent, SET, &[("1.3.6.1.2.1.1.6.0", Data::Octets(vec![]))]), None);
        let mut agent = Agent::new("other", "other").expect("an agent");
        assert_eq!(ask(&mut agent, GET, &[]), None);
    }
}
