//! What the reconciler is told.

use drivers_sdk_protocol::message::Failure;
use tokio::sync::oneshot;

use crate::runtime::directory::Id;
use crate::runtime::host::Ended;
use crate::runtime::host::inbound::Answer;

/// A module on a channel is named by process and handle: what is late is about another instance, and ignored.
pub(crate) enum Event {
    /// A driver was built, could not be, or is gone.
    DriverChanged { driver: Id },
    /// A process has answered the first frame.
    ProcessReady { process: u64, pid: u32 },
    /// A process is gone.
    ProcessEnded { process: u64, ended: Ended },
    /// A module ended by itself.
    ModuleFailed { module: Id, process: u64, handle: u32, failure: Failure },
    /// A module answered `Start`.
    Started { module: Id, process: u64, handle: u32, result: Result<(), Failure> },
    /// A module answered `Stop`, or never will.
    Stopped { module: Id, process: u64, handle: u32, late: bool },
    /// A module answered `Settings`.
    SettingsTaken { module: Id, process: u64, handle: u32, result: Result<(), Failure> },
    /// A module changes one of its own settings.
    SaveSetting { module: Id, key: String, value: String, answer: Answer },
    /// Nothing should run any more; told once nothing does.
    End { ended: oneshot::Sender<()> },
}
