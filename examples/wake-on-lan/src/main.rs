//! Wakes computers: a magic packet to everybody on their network, by UDP (port 9), in which their network card looks for its
//! own address. Nobody answers it.
//!
//! The module's address is the broadcast address of their network (`10.1.2.255`), with `connection: {udp: {broadcast: true}}` in
//! its settings; a router must be told to let such packets through.

mod emulator;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;

#[derive(Settings)]
pub struct Options {
    /// Hardware addresses of the computers, by name: `00:1b:44:11:3a:b7`.
    #[setting(default)]
    targets: BTreeMap<String, String>,
    /// How often a packet is sent, since none is acknowledged.
    #[setting(default = 3)]
    repeat: u32,
}

#[derive(Default)]
struct Waker;

/// Wakes computers through the network.
#[driver(name = "Wake-on-LAN", module = "Waker", udp = 9, delay_ms = 100, settings = Options)]
impl Waker {
    /// Names what is wrong in the settings as soon as it is there.
    #[started]
    fn check(&self, cx: &Cx<Self>) -> Result {
        cx.settings().targets.values().try_for_each(|address| hardware(address).map(drop))
    }

    #[settings_changed]
    fn check_again(&self, cx: &Cx<Self>) -> Result {
        self.check(cx)
    }

    /// Wakes a computer: its name in the settings, or its hardware address.
    #[function]
    async fn wake(&self, cx: &Cx<Self>, target: String) -> Result {
        let settings = cx.settings();
        let packet = magic(hardware(settings.targets.get(&target).unwrap_or(&target))?);
        for _ in 0..settings.repeat.clamp(1, 10) {
            cx.send(packet.clone()).await?;
        }
        Ok(())
    }

    /// Wakes all of the settings; how many they are.
    #[function]
    async fn wake_all(&self, cx: &Cx<Self>) -> Result<usize> {
        let settings = cx.settings();
        for name in settings.targets.keys() {
            self.wake(cx, name.clone()).await?;
        }
        Ok(settings.targets.len())
    }
}

/// Six bytes in hexadecimal, with `:` or `-` between them.
fn hardware(text: &str) -> Result<[u8; 6]> {
    let byte = |digits: &str| {
        let is_byte = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_byte.then(|| u8::from_str_radix(digits, 16).ok())?
    };
    let bytes: Option<Vec<u8>> = text.split([':', '-']).map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Error::bad_request(format!("{text:?} is no target, nor a hardware address such as 00:1b:44:11:3a:b7"))
    })
}

/// Six times 255, and the address sixteen times.
fn magic(address: [u8; 6]) -> Vec<u8> {
    [&[0xff; 6][..], &address.repeat(16)].concat()
}

drivers_sdk::main!(Waker, emulator = emulator::Emulator);
