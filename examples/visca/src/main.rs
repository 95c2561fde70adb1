//! Cameras that speak VISCA: over IP with Sony's header (UDP port 52381), or plain over TCP or a serial port, which is a
//! setting here and the port and protocol of the module.
//!
//! A camera says that it begins to obey a command, and later that it has; a command is done here when it has begun, so that
//! a long movement can be stopped. What comes later is only of interest if it failed.

mod emulator;
mod wire;

use std::collections::BTreeMap;

use drivers_sdk::interfaces::{Camera, CameraPosition, CameraPresets, Position, Powerable};
use drivers_sdk::prelude::*;
use wire::{Answer, Kind, Transport, nibbles, number};

#[derive(Settings)]
pub struct Options {
    /// `ip` with Sony's header, `plain` without.
    #[setting(default = Transport::Ip)]
    transport: Transport,
    /// Number of the camera on its serial line, 1 to 7.
    #[setting(default = 1)]
    camera: u8,
    /// Names of presets, and their numbers in the camera.
    #[setting(default)]
    presets: BTreeMap<String, u8>,
    /// How many of the camera's steps are a degree: 14.4 for most; its manual has the range of both.
    #[setting(default = 14.4)]
    steps_per_degree: f64,
    /// Seconds between two polls.
    #[setting(default = 10)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// Whether it is on.
    power: Option<bool>,
    /// Where it looks; absent in standby.
    position: Option<Position>,
    /// Vendor and model, as numbers: `0020.0511`.
    model: Option<String>,
}

#[derive(Default)]
struct Ptz {
    sent: Cell<u32>,
}

/// Fastest that all cameras know.
const PAN: f64 = 24.0;
const TILT: f64 = 20.0;
const ZOOM: f64 = 7.0;
/// The end of the optical zoom.
const TELE: f64 = 16384.0;

/// A camera that speaks VISCA.
#[driver(
    name = "VISCA camera", module = "Camera", udp = 52381, timeout_ms = 1000, retries = 2, settings = Options,
    status = State, implements(Powerable, Camera, CameraPosition, CameraPresets),
)]
impl Ptz {
    /// Numbers begin anew, where there are any.
    #[login]
    async fn begin(&self, cx: &Cx<Self>) -> Result {
        let transport = cx.settings().transport;
        cx.framing(transport.framing());
        if transport == Transport::Ip {
            self.sent.set(0);
            let reset = transport.wrap(Kind::Control, 0, &[0x01]);
            let reply = matching(move |frame| {
                matches!(transport.unwrap(Kind::Reply, frame), Some((Kind::ControlReply, _, [0x01])))
            });
            cx.send(reset).reply(reply).await?;
        }
        Ok(())
    }

    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        let version = self.ask(cx, &[0x00, 0x02]).await.unless_refused()?;
        let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let model = |version: Vec<u8>| version.chunks(2).take(2).map(hex).collect::<Vec<_>>().join(".");
        cx.status.set(|status| status.model = version.map(model));
        Ok(())
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let on = self.ask(cx, &[0x04, 0x00]).await? == [0x02];
        let position = if on { Some(self.position(cx).await?) } else { None };
        cx.status.set(|status| (status.power, status.position) = (Some(on), position));
        Ok(())
    }

    async fn position(&self, cx: &Cx<Self>) -> Result<Position> {
        let (place, zoom) = (self.ask(cx, &[0x06, 0x12]).await?, self.ask(cx, &[0x04, 0x47]).await?);
        let degrees =
            |at: usize| Some(f64::from(number(place.get(at..at + 4)?)?) / cx.settings().steps_per_degree);
        let read = || {
            Some(Position {
                pan: degrees(0)?,
                tilt: degrees(4)?,
                zoom: f64::from(number(&zoom)?) / TELE * 100.0,
            })
        };
        read().ok_or_else(|| {
            Error::device(format!("the camera says that it is at {place:02x?} and {zoom:02x?}"))
        })
    }

    /// What a command that had begun came to.
    #[received]
    fn later(&self, cx: &Cx<Self>, frame: &[u8]) -> Result {
        let settings = cx.settings();
        let answer = settings.transport.unwrap(Kind::Reply, frame);
        match answer.and_then(|(_, _, message)| Answer::read(settings.camera, message)) {
            Some(Answer::Refused(why)) => Err(why),
            _ => Ok(()),
        }
    }

    async fn ask(&self, cx: &Cx<Self>, about: &[u8]) -> Result<Vec<u8>> {
        let answer = self.say(cx, Kind::Inquiry, None, &[&[0x09], about].concat()).await?;
        answer.ok_or_else(|| Error::device("the camera has answered a question without a value"))
    }

    /// A newer command of that name takes the place of one that waits.
    async fn tell(&self, cx: &Cx<Self>, name: &'static str, command: &[u8]) -> Result {
        self.say(cx, Kind::Command, Some(name), &[&[0x01], command].concat()).await.map(drop)
    }

    async fn say(
        &self,
        cx: &Cx<Self>,
        kind: Kind,
        name: Option<&'static str>,
        message: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let (transport, camera) = (cx.settings().transport, cx.settings().camera.clamp(1, 7));
        let sent = if transport == Transport::Ip { self.sent.get().wrapping_add(1) } else { 0 };
        self.sent.set(sent);
        let reply = parse_bytes(move |frame| {
            let (came, about, message) = transport.unwrap(Kind::Reply, frame)?;
            match Answer::read(camera, message).filter(|_| came == Kind::Reply && about == sent)? {
                Answer::Refused(why) => Some(Err(why)),
                Answer::Begun if kind == Kind::Command => Some(Ok(None)),
                Answer::Value(value) if kind == Kind::Inquiry => Some(Ok(Some(value))),
                _ => None,
            }
        });
        let message = transport.wrap(kind, sent, &[&[0x80 | camera], message].concat());
        cx.send(message).named(name).reply(reply).await
    }

    async fn preset(&self, cx: &Cx<Self>, what: u8, preset: &str) -> Result {
        let number = cx.settings().presets.get(preset).copied().or_else(|| preset.parse().ok());
        let number = number.filter(|number| *number < 128).ok_or_else(|| {
            Error::bad_request(format!(
                "there is no preset {preset:?}: it has a name in `presets`, or is a number below 128"
            ))
        })?;
        self.tell(cx, "preset", &[0x04, 0x3f, what, number]).await
    }
}

impl Powerable for Ptz {
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        self.tell(cx, "power", &[0x04, 0x00, if on { 0x02 } else { 0x03 }]).await?;
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }
}

impl Camera for Ptz {
    async fn pan_tilt(&self, cx: &Cx<Self>, pan: f64, tilt: f64, _: Option<u32>) -> Result {
        let way = |speed: f64, back: u8, forth: u8| {
            if speed == 0.0 {
                0x03
            } else if speed < 0.0 {
                back
            } else {
                forth
            }
        };
        let command = [
            0x06,
            0x01,
            speed(pan, 1.0, PAN),
            speed(tilt, 1.0, TILT),
            way(pan, 0x01, 0x02),
            way(tilt, 0x02, 0x01),
        ];
        self.tell(cx, "pan_tilt", &command).await
    }

    async fn zoom(&self, cx: &Cx<Self>, level: f64, _: Option<u32>) -> Result {
        let way = if level == 0.0 {
            0x00
        } else if level > 0.0 {
            0x20
        } else {
            0x30
        };
        let speed = if way == 0 { 0 } else { speed(level, 0.0, ZOOM) };
        self.tell(cx, "zoom", &[0x04, 0x07, way | speed]).await
    }
}

impl CameraPosition for Ptz {
    async fn move_to(
        &self,
        cx: &Cx<Self>,
        pan: Option<f64>,
        tilt: Option<f64>,
        zoom: Option<f64>,
        _: Option<u32>,
    ) -> Result {
        if pan.is_some() || tilt.is_some() {
            let now = self.position(cx).await?;
            let steps = |degrees: Option<f64>, now| {
                nibbles((degrees.unwrap_or(now) * cx.settings().steps_per_degree).round() as i16)
            };
            let command =
                [&[0x06, 0x02, PAN as u8, TILT as u8], &steps(pan, now.pan)[..], &steps(tilt, now.tilt)]
                    .concat();
            self.tell(cx, "pan_tilt", &command).await?;
        }
        if let Some(zoom) = zoom {
            let steps = nibbles((zoom.clamp(0.0, 100.0) / 100.0 * TELE) as i16);
            self.tell(cx, "zoom", &[&[0x04, 0x47], &steps[..]].concat()).await?;
        }
        Ok(())
    }
}

impl CameraPresets for Ptz {
    async fn recall_preset(&self, cx: &Cx<Self>, preset: String, _: Option<u32>) -> Result {
        self.preset(cx, 0x02, &preset).await
    }

    async fn save_preset(&self, cx: &Cx<Self>, preset: String, _: Option<u32>) -> Result {
        self.preset(cx, 0x01, &preset).await
    }

    async fn remove_preset(&self, cx: &Cx<Self>, preset: String, _: Option<u32>) -> Result {
        self.preset(cx, 0x00, &preset).await
    }
}

/// The camera's own number for a speed in percent, whatever its direction.
fn speed(percent: f64, slowest: f64, fastest: f64) -> u8 {
    (percent.abs() / 100.0 * fastest).clamp(slowest, fastest).round() as u8
}

#[cfg(test)]
mod tests;

drivers_sdk::main!(Ptz, emulator = emulator::Emulator);
