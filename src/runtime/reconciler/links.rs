//! The link of a module: where it leads, and when it is let go.

use drivers_sdk_protocol::message::Level;

use super::Reconciler;
use super::slot::Slot;
use super::wanted::Wanted;
use super::way::Way;
use crate::connections::{Address, Target};
use crate::model::serial::SerialUri;
use crate::runtime::directory::Id;
use crate::runtime::emulator::Emulator;
use crate::runtime::modules::ToModule;
use crate::runtime::{Shared, status};

impl Reconciler {
    /// Opens or changes the link of a module.
    pub(super) fn open_link(&mut self, id: &Id, wanted: &Wanted) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let target = match &wanted.link {
            Way::None => {
                slot.target = None;
                slot.emulator = None;
                return close_link(&self.shared, slot);
            }
            Way::Link(target) => {
                slot.emulator = None;
                target.clone()
            }
            Way::Emulator { mode, service, messages } => {
                // One that knows no messages has a stream.
                let messages = messages.filter(|_| wanted.program.manifest.emulator_messages);
                let kind = (wanted.program.id, messages.is_some());
                if slot.emulator.as_ref().is_none_or(|emulator| emulator.kind() != kind) {
                    let settings = wanted.settings.clone().unwrap_or_default();
                    // The one before has to be gone before the next takes its socket.
                    slot.emulator = None;
                    slot.emulator = Some(Emulator::start(
                        &self.shared,
                        &slot.entry,
                        &wanted.program,
                        settings,
                        messages.is_some(),
                    ));
                }
                let path = slot.emulator.as_ref().map(|emulator| emulator.path().to_owned());
                let path = path.unwrap_or_default();
                let address = match (service, messages) {
                    (Some(client), _) => Address::Http(client.emulated(path)),
                    (None, Some(datagrams)) => Address::UnixMessages { path, datagrams },
                    (None, None) => Address::Unix(path),
                };
                Target { mode: *mode, ..Target::new(address) }
            }
        };
        if slot.target.as_ref() == Some(&target) {
            return;
        }
        slot.target = Some(target.clone());
        if let Some(path) = target.address.serial_path().filter(|path| SerialUri::is_volatile(path)) {
            let notice = format!(
                "{path} may be another device after the next restart: in the uri, use its name in /dev/serial/by-id"
            );
            slot.entry.say(&self.shared, Level::Notice, &notice);
        }
        let verified = target.address.tls_verified().map(status::boolean);
        slot.entry.set_status(&self.shared, status::TLS_VERIFIED, verified);
        slot.entry.wire.expect(&target);
        match slot.entry.wire.link() {
            Some(link) => link.retarget(target),
            None => {
                let (shared, entry) = (self.shared.clone(), slot.entry.clone());
                slot.entry.wire.open_link(|number| {
                    self.connections.open(target, ToModule { shared, entry, link: number })
                });
            }
        }
    }
}

/// Lets the device go.
pub(super) fn close_link(shared: &Shared, slot: &mut Slot) {
    slot.target = None;
    slot.entry.set_status(shared, status::TLS_VERIFIED, None);
    if let Some(link) = slot.entry.wire.take_link() {
        tokio::spawn(async move { link.close().await });
    }
}
