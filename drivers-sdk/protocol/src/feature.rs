//! The names of what version 1 gained after its first release. The daemon offers names in
//! [`Hello`](crate::message::Hello), the driver answers with those it will use; only then may either side send the
//! [kinds](crate::Kind::feature) that belong to them.

/// Bytes are sent for a call and in a form: [`Send`](crate::Kind::Send), [`ReceivedText`](crate::Kind::ReceivedText).
pub const SEND: &str = "send";
/// TLS may begin in mid-connection: [`StartTls`](crate::Kind::StartTls).
pub const STARTTLS: &str = "starttls";
/// The daemon makes HTTP requests: [`Http`](crate::Kind::Http).
pub const HTTP: &str = "http";
/// Commands run beside the shell of an SSH connection: [`SshExec`](crate::Kind::SshExec).
pub const SSH: &str = "ssh";
/// Modules take turns on a connection that they share: [`Acquire`](crate::Kind::Acquire),
/// [`Release`](crate::Kind::Release).
pub const TURNS: &str = "turns";
/// A refused login is told from other reasons to drop a connection: [`LoginFailed`](crate::Kind::LoginFailed).
pub const AUTH: &str = "auth";
/// What a driver makes of a secret is not recorded either: [`Hide`](crate::Kind::Hide).
pub const HIDE: &str = "hide";
/// The driver knows better than the link whether the device can be reached: [`Online`](crate::Kind::Online).
pub const ONLINE: &str = "online";
/// Modules say things to each other by the name of a channel: [`Publish`](crate::Kind::Publish),
/// [`Monitor`](crate::Kind::Monitor).
pub const CHANNELS: &str = "channels";

/// Every feature, for tests and documentation.
pub const ALL: &[&str] = &[SEND, STARTTLS, HTTP, SSH, TURNS, AUTH, HIDE, ONLINE, CHANNELS];
