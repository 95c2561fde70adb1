//! What a driver's code works with: [`Cx`].

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::rc::{Rc, Weak};
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{Level, SaveSetting};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;

use crate::driver::{Driver, Outcome};
use crate::error::{Error, Result};
use crate::framing::Framing;
use crate::http::Http;
use crate::matcher::{Matcher, NoReply};
use crate::module::Core;
use crate::module::command::{Command, start_tls};
use crate::module::instance::Instance;
use crate::ssh::SshCommand;
use crate::status::StatusHandle;
use crate::system::pubsub::{monitor, publish};
use crate::system::{OtherSystem, Subscription, System};

/// A module's side of the world: its device, status, settings, log, schedules and system.
pub struct Cx<D: Driver> {
    /// What the module publishes: `cx.status.set(|status| status.power = true)`.
    pub status: StatusHandle<D::Status>,
    pub(crate) core: Rc<Core>,
    pub(crate) instance: Weak<Instance<D>>,
    settings: RefCell<Rc<D::Settings>>,
}

impl<D: Driver> std::fmt::Debug for Cx<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("module", &self.core.id).finish_non_exhaustive()
    }
}

impl<D: Driver> Cx<D> {
    pub(crate) fn new(
        core: Rc<Core>,
        settings: D::Settings,
        status: StatusHandle<D::Status>,
        instance: Weak<Instance<D>>,
    ) -> Cx<D> {
        Cx { status, core, instance, settings: RefCell::new(Rc::new(settings)) }
    }

    pub(crate) fn replace_settings(&self, settings: D::Settings) {
        self.settings.replace(Rc::new(settings));
    }

    // === Who it is ===

    /// The module's id (`mod-…`).
    pub fn id(&self) -> &str {
        &self.core.id
    }

    /// The name it is found by in its system, such as `Display`.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Id of the user for whom the function that runs now was called, also by way of other modules; `None` outside of
    /// functions, and where nobody called but the system itself.
    pub fn caller(&self) -> Option<Rc<str>> {
        self.core.tasks.user()
    }

    // === The device ===

    /// Whether the link to the device is up. A make-break link counts as up while the device can be reached.
    pub fn is_connected(&self) -> bool {
        self.core.link.is_up()
    }

    /// Says whether the device can be used, where the link does not tell, and why, as a sentence for a person:
    /// `cx.set_connected(false, "the lamp is unplugged")`. The module shows it as `connected`; calls, commands and
    /// [`is_connected`](Self::is_connected) are as the link is.
    ///
    /// It holds until another connection comes up, the module ends, or [`clear_connected`](Self::clear_connected).
    pub fn set_connected(&self, connected: bool, reason: impl AsRef<str>) {
        self.core.online(Some(connected), reason.as_ref());
    }

    /// The module shows as connected when its link is, again.
    pub fn clear_connected(&self) {
        self.core.online(None, "");
    }

    /// A command for the device, sent when it is awaited. The framing adds its delimiter or length.
    ///
    /// While the device is offline it fails at once (code `offline`); so does a command in flight when the link drops.
    /// On a make-break link it connects.
    pub fn send(&self, message: impl Into<Vec<u8>>) -> Command<'_, NoReply> {
        Command::new(&self.core, Some(message.into()), NoReply)
    }

    /// As [`send`](Self::send), as a WebSocket's text message. Other links send the text's bytes.
    pub fn send_text(&self, text: impl Into<String>) -> Command<'_, NoReply> {
        Command::new(&self.core, Some(text.into().into_bytes()), NoReply).text()
    }

    /// Waits, in its turn, for something the device says by itself, such as a greeting. What arrived and was not yet
    /// given to `#[received]` is looked at first.
    pub fn expect<M: Matcher>(&self, matcher: M) -> Command<'_, M> {
        Command::new(&self.core, None, matcher)
    }

    /// The next number of this range, for a protocol that numbers its requests: one after the other, and then from the beginning.
    /// A module has one count, whatever the ranges: `cx.number(1..=0xffff)`.
    pub fn number(&self, range: RangeInclusive<u32>) -> u32 {
        let count = self.core.count.replace(self.core.count.get().wrapping_add(1));
        let length = u64::from(range.end().saturating_sub(*range.start())) + 1;
        // Less than the length, so no more than the end.
        range.start().saturating_add(u32::try_from(count % length).unwrap_or(u32::MAX))
    }

    /// Fails the commands that wait for their turn (code `replaced`).
    pub fn clear_queue(&self) {
        self.core.queue.clear(&Error::replaced("the queue was cleared"));
    }

    /// Cuts what comes from now on, and makes frames of what is sent, in another way than `#[driver(framing = …)]` says, for
    /// a device whose framing is a setting: `cx.framing(lines(&cx.settings().delimiter))`. `#[login]` is the place for it, before the device is asked anything. It stays so on
    /// later connections; what a device says there by itself, before the login has begun, is cut as it was on the last one.
    pub fn framing(&self, framing: Framing) {
        self.core.reframe(framing);
    }

    /// Runs the polls once more, after this delay, and paces them from there: the device says that something has changed, but not
    /// what. Changes come in swarms: however often this is said before the delay is over, it is one run.
    pub fn poll_soon(&self, delay: Duration) {
        if let Some(instance) = self.instance.upgrade() {
            instance.poll_soon(delay);
        }
    }

    /// Drops the connection, and makes another: the device makes no sense. The reason is shown to people.
    pub fn disconnect(&self, reason: impl AsRef<str>) {
        self.core.disconnect(reason.as_ref());
    }

    /// Drops the connection, and makes another: the device does not let this module in, which is shown as `auth`. A
    /// `#[login]` that fails does this by itself.
    pub fn login_failed(&self, reason: impl AsRef<str>) {
        self.core.login_failed(reason.as_ref());
    }

    /// Goes on in TLS on this connection, as a device asks for in mid-protocol (STARTTLS); done when the handshake is over.
    /// If it fails, the connection is made anew.
    ///
    /// It takes its turn among the commands, and nothing is sent meanwhile. What the device had said before and nobody had
    /// taken is dropped. It belongs into `#[login]`, where no other command comes between the device's word and this.
    pub async fn start_tls(&self) -> Result {
        start_tls(&self.core).await
    }

    /// Runs a command on the SSH server that the module is connected to, beside its shell:
    /// `cx.ssh_exec("uptime").await?.stdout.text()`. Whatever its exit status is, that is no error: see
    /// [`SshOutput::ok`](crate::SshOutput::ok).
    pub fn ssh_exec(&self, command: impl Into<String>) -> SshCommand<'_> {
        SshCommand::new(&self.core, command.into())
    }

    /// HTTP requests to the module's service, or to its device's web server:
    /// `let lamp: Lamp = cx.http().get("/lamps/1").send().await?.json()?;`. They do not go through the queue, and may be
    /// made whether the link is up or not.
    pub fn http(&self) -> Http<'_> {
        Http::new(&self.core)
    }

    /// Keeps what the driver has made of a secret, a digest of the password or a session's token say, out of the daemon's
    /// recording of the wire, as long as the connection lasts. Secrets in the settings are kept out of it anyway.
    ///
    /// To be called before it is sent, or asked for. What is shorter than four bytes is shown all the same.
    pub fn hide(&self, secret: impl AsRef<str>) {
        self.core.hide(secret.as_ref());
    }

    // === Settings ===

    /// The settings as they are now.
    pub fn settings(&self) -> Rc<D::Settings> {
        self.settings.borrow().clone()
    }

    /// Changes one of the module's own settings, durably: done when it is on disk.
    pub async fn save_setting(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result {
        let value = to_raw_value(value)?;
        let saved = self.core.request(Kind::SaveSetting, &SaveSetting { key: key.into(), value: &value })?;
        saved.await.map(drop)
    }

    // === Other modules ===

    /// The system of a logic module.
    pub fn system(&self) -> System<D> {
        System::new(self.core.clone(), self.instance.clone())
    }

    /// Another system, by its id (`sys-…`).
    pub fn system_by_id(&self, id: impl AsRef<str>) -> OtherSystem<D> {
        OtherSystem::new(self.core.clone(), self.instance.clone(), id.as_ref())
    }

    /// Says something to every module of this daemon that monitors the channel; this one too, if it does. Nobody need listen,
    /// and nothing is kept for those who come later.
    ///
    /// A name has at most 256 bytes, a value 64 KiB of JSON.
    pub fn publish(&self, channel: impl AsRef<str>, value: &(impl Serialize + ?Sized)) -> Result {
        publish(&self.core, channel.as_ref(), value)
    }

    /// Runs `heard` with every value that is published to a channel from now on, in order, one after the other, until this
    /// module ends. A value that cannot be read as a `T` is logged. While `heard` is busy up to 1000 wait; of more the oldest
    /// are lost, which is logged.
    pub fn monitor<T, F, R>(&self, channel: impl AsRef<str>, heard: F) -> Subscription
    where
        T: DeserializeOwned + 'static,
        F: AsyncFn(&D, &Cx<D>, T) -> R + 'static,
        R: Outcome,
    {
        monitor(&self.core, &self.instance, channel.as_ref(), heard)
    }

    // === The log ===

    /// Logs a line.
    pub fn log(&self, level: Level, message: impl Display) {
        self.core.log(level, &message.to_string());
    }

    /// Logs every step: for development.
    pub fn trace(&self, message: impl Display) {
        self.log(Level::Trace, message);
    }

    /// Logs what helps whoever mends the driver.
    pub fn debug(&self, message: impl Display) {
        self.log(Level::Debug, message);
    }

    /// Logs what happened.
    pub fn info(&self, message: impl Display) {
        self.log(Level::Info, message);
    }

    /// Logs what is wrong and was coped with.
    pub fn warn(&self, message: impl Display) {
        self.log(Level::Warn, message);
    }

    /// Logs what failed.
    pub fn error(&self, message: impl Display) {
        self.log(Level::Error, message);
    }
}
