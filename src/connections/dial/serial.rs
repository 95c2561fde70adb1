//! A local serial port: opened for this process alone, its settings applied and read back.

use super::super::{Address, Failure, Reason, serial::Port, wire::Wire};
use crate::model::serial::{Flow, Line, Parity};
use std::{
    fs::Metadata,
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};
use tokio::time::{Instant, timeout_at};
use tokio_serial::{DataBits, ErrorKind, FlowControl, SerialPort as _, SerialStream, StopBits};

/// What a UART's divider may be off, and the other side still understands.
const BAUD_TOLERANCE_PERCENT: u32 = 2;

pub(super) async fn dial(
    address: &Address,
    path: &Path,
    line: Line,
    deadline: Instant,
) -> Result<Wire, Failure> {
    let failure = |what: String| Failure::new(Reason::Serial, format!("{address} {what}"));
    let place = path.to_owned();
    // Opening talks to the adapter, which may take its time.
    let opening = tokio::task::spawn_blocking(move || open(&place, line));
    match timeout_at(deadline, opening).await {
        Ok(Ok(Ok(stream))) => Ok(Wire::transport(Port::new(stream, address.to_string()), None)),
        Ok(Ok(Err(what))) => Err(failure(what)),
        Ok(Err(error)) => Err(failure(format!("cannot be opened ({error})."))),
        Err(_) => Err(failure("did not open in time: unplug its adapter, and plug it in again.".into())),
    }
}

/// `Err` continues a sentence that begins with the address.
fn open(path: &Path, line: Line) -> Result<SerialStream, String> {
    let file = path.metadata().map_err(|error| refused(path, None, error.kind(), &error.to_string()))?;
    if !file.file_type().is_char_device() {
        return Err("is not a serial port.".into());
    }
    let port = tokio_serial::new(path.to_string_lossy(), line.baud)
        .data_bits(bits(line.bits))
        .parity(match line.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Odd => tokio_serial::Parity::Odd,
            Parity::Even => tokio_serial::Parity::Even,
        })
        .stop_bits(if line.stop == 2 { StopBits::Two } else { StopBits::One })
        .flow_control(match line.flow {
            Flow::None => FlowControl::None,
            Flow::Software => FlowControl::Software,
            Flow::Hardware => FlowControl::Hardware,
        });
    let stream = SerialStream::open(&port).map_err(|error| match error.kind() {
        // What the library makes of EBUSY and of a lock that somebody else holds.
        ErrorKind::NoDevice => refused(path, Some(&file), io::ErrorKind::ResourceBusy, &error.description),
        ErrorKind::Io(kind) => refused(path, Some(&file), kind, &error.description),
        _ => refused(path, Some(&file), io::ErrorKind::Other, &error.description),
    })?;
    applied(&stream, line)?;
    Ok(stream)
}

fn bits(bits: u8) -> DataBits {
    match bits {
        5 => DataBits::Five,
        6 => DataBits::Six,
        7 => DataBits::Seven,
        _ => DataBits::Eight,
    }
}

/// The system says nothing when a port cannot do what it is told.
fn applied(stream: &SerialStream, line: Line) -> Result<(), String> {
    let unread = |error: tokio_serial::Error| format!("does not tell its settings ({error}).");
    let baud = stream.baud_rate().map_err(unread)?;
    if baud.abs_diff(line.baud) > line.baud / 100 * BAUD_TOLERANCE_PERCENT {
        return Err(format!("cannot do {} baud: it has {baud}.", line.baud));
    }
    if stream.data_bits().map_err(unread)? != bits(line.bits) {
        return Err(format!("cannot do {} data bits.", line.bits));
    }
    let parity = match stream.parity().map_err(unread)? {
        tokio_serial::Parity::None => Parity::None,
        tokio_serial::Parity::Odd => Parity::Odd,
        tokio_serial::Parity::Even => Parity::Even,
    };
    let stop = if stream.stop_bits().map_err(unread)? == StopBits::Two { 2 } else { 1 };
    let flow = match stream.flow_control().map_err(unread)? {
        FlowControl::None => Flow::None,
        FlowControl::Software => Flow::Software,
        FlowControl::Hardware => Flow::Hardware,
    };
    if (parity, stop, flow) != (line.parity, line.stop, line.flow) {
        return Err(format!("cannot do {line}: it has {}.", Line { parity, stop, flow, ..line }));
    }
    Ok(())
}

fn refused(path: &Path, file: Option<&Metadata>, kind: io::ErrorKind, error: &str) -> String {
    match kind {
        io::ErrorKind::NotFound => {
            "is not there: it is unplugged, or its name is another (look into /dev/serial/by-id).".into()
        }
        io::ErrorKind::ResourceBusy => {
            format!("is in use by another program ({error}): end that, or use another port.")
        }
        io::ErrorKind::PermissionDenied => {
            let Some(file) = file else { return format!("cannot be reached by this process ({error}).") };
            let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
            let (group, mode) = (group(&groups, file.gid()), file.mode() & 0o777);
            format!(
                "may not be opened by this process: it is for the group {group} (mode {mode:o}). Add the user that the daemon runs as to that group, and start the daemon again."
            )
        }
        // What the other end of a pseudo terminal, or an adapter that is being unplugged, leaves behind.
        _ if !path.exists() => refused(path, file, io::ErrorKind::NotFound, error),
        _ => format!("cannot be opened ({error}): is it a serial port, and is its adapter well?"),
    }
}

/// The name of a group in the text of `/etc/group`.
fn group(groups: &str, id: u32) -> String {
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    });
    named.map_or_else(|| id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_open_a_port_is_said() {
        let groups = "root:x:0:\ntty:x:5:\ndialout:x:20:alice\n";
        assert_eq!(group(groups, 20), "dialout");
        assert_eq!(group(groups, 99), "99");
        let file = Path::new("/etc/passwd").metadata().unwrap();
        let detail = refused(Path::new("/etc/passwd"), Some(&file), io::ErrorKind::PermissionDenied, "no");
        assert!(detail.contains("it is for the group root (mode 644). Add the user"), "{detail}");
    }
}
