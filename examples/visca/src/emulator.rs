//! A camera whose motors take no time: what moves it goes to the end of its way at once. In standby it only takes power.

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;

use crate::Options;
use crate::wire::{Kind, Transport, nibbles, number};

/// The ends of pan, tilt up, tilt down, and zoom.
const ENDS: (i16, i16, i16, i16) = (2448, 1296, -432, 0x4000);

/// The camera as a device that connections share.
pub struct Emulator {
    transport: Transport,
    number: u8,
    camera: RefCell<Model>,
}

#[derive(Default)]
struct Model {
    on: bool,
    /// Pan, tilt, zoom.
    place: [i16; 3],
    presets: BTreeMap<u8, [i16; 3]>,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        Ok(Emulator { transport: settings.transport, number: settings.camera, camera: RefCell::default() })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(self.transport.framing());
        while let Some(frame) = stream.next().await? {
            for answer in self.answers(&frame) {
                stream.send(answer).await?;
            }
        }
        Ok(())
    }
}

impl Emulator {
    fn answers(&self, frame: &[u8]) -> Vec<Vec<u8>> {
        let Some((kind, sent, message)) = self.transport.unwrap(Kind::Command, frame) else {
            return Vec::new();
        };
        if kind == Kind::Control {
            return vec![self.transport.wrap(Kind::ControlReply, sent, message)];
        }
        let Some((to, message)) = message.split_first() else { return Vec::new() };
        if *to != 0x80 | self.number {
            return Vec::new();
        }
        let answers = self.camera.borrow_mut().obey(message);
        let whole = |answer: Vec<u8>| [&[(self.number + 8) << 4], &answer[..]].concat();
        answers.into_iter().map(|answer| self.transport.wrap(Kind::Reply, sent, &whole(answer))).collect()
    }
}

impl Model {
    fn obey(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        let value = |value: &[u8]| vec![[&[0x50], value].concat()];
        let [pan, tilt, zoom] = self.place;
        match message {
            [0x09, 0x00, 0x02] => return value(&[0x00, 0x20, 0x05, 0x11, 0x01, 0x00, 0x02]),
            [0x09, 0x04, 0x00] => return value(&[if self.on { 0x02 } else { 0x03 }]),
            [0x01, 0x04, 0x00, power @ (0x02 | 0x03)] => self.on = *power == 0x02,
            [0x01 | 0x09, 0x04 | 0x06, ..] if !self.on => return vec![vec![0x61, 0x41]],
            [0x09, 0x06, 0x12] => return value(&[nibbles(pan), nibbles(tilt)].concat()),
            [0x09, 0x04, 0x47] => return value(&nibbles(zoom)),
            [0x01, 0x06, 0x04] => self.place = [0, 0, zoom],
            [0x01, 0x06, 0x01, 1..=24, 1..=24, to_side @ 1..=3, to_height @ 1..=3] => {
                let pan = [-ENDS.0, ENDS.0, pan][usize::from(to_side - 1)];
                let tilt = [ENDS.1, ENDS.2, tilt][usize::from(to_height - 1)];
                self.place = [pan, tilt, zoom];
            }
            [0x01, 0x06, 0x02, 1..=24, 1..=24, place @ ..] if place.len() == 8 => {
                match (number(&place[..4]), number(&place[4..])) {
                    (Some(pan), Some(tilt)) => {
                        self.place = [pan.clamp(-ENDS.0, ENDS.0), tilt.clamp(ENDS.2, ENDS.1), zoom];
                    }
                    _ => return vec![vec![0x60, 0x02]],
                }
            }
            [0x01, 0x04, 0x07, way] => {
                self.place[2] = match way {
                    0x20..=0x27 => ENDS.3,
                    0x30..=0x37 => 0,
                    _ => zoom,
                }
            }
            [0x01, 0x04, 0x47, zoom @ ..]
                if number(zoom).is_some_and(|zoom| (0..=ENDS.3).contains(&zoom)) =>
            {
                self.place[2] = number(zoom).unwrap_or_default();
            }
            [0x01, 0x04, 0x3f, 0x00, preset] => drop(self.presets.remove(preset)),
            [0x01, 0x04, 0x3f, 0x01, preset] => drop(self.presets.insert(*preset, self.place)),
            [0x01, 0x04, 0x3f, 0x02, preset] => match self.presets.get(preset) {
                Some(place) => self.place = *place,
                None => return vec![vec![0x61, 0x41]],
            },
            _ => return vec![vec![0x60, 0x02]],
        }
        vec![vec![0x41], vec![0x51]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_and_remembers() {
        let mut camera = Model::default();
        let done = vec![vec![0x41], vec![0x51]];
        assert_eq!(camera.obey(&[0x01, 0x06, 0x04]), [[0x61, 0x41]], "it is in standby");
        assert_eq!(camera.obey(&[0x01, 0x04, 0x00, 0x02]), done);
        assert_eq!(camera.obey(&[0x01, 0x06, 0x01, 5, 5, 0x01, 0x03]), done);
        assert_eq!(camera.obey(&[0x01, 0x04, 0x3f, 0x01, 7]), done);
        assert_eq!(camera.obey(&[0x01, 0x06, 0x04]), done);
        assert_eq!(camera.obey(&[0x09, 0x06, 0x12]), [[0x50, 0, 0, 0, 0, 0, 0, 0, 0]]);
        assert_eq!(camera.obey(&[0x01, 0x04, 0x3f, 0x02, 7]), done);
        assert_eq!(camera.obey(&[0x09, 0x06, 0x12]), [[0x50, 0xf, 6, 7, 0, 0, 0, 0, 0]]);
        assert_eq!(camera.obey(&[0x01, 0x04, 0x3f, 0x02, 8]), [[0x61, 0x41]]);
        assert_eq!(camera.obey(&[0x01, 0x04, 0x47, 0x5, 0, 0, 0]), [[0x60, 0x02]]);
        assert_eq!(camera.obey(&[]), [[0x60, 0x02]]);
    }
}
