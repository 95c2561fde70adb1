//! `olad`, the lighting daemon of OLA, as an Art-Net node.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// Writes its configuration: Art-Net with these lines, and no other plug-in.
pub(crate) fn configure(folder: &Path, artnet: &str) {
    for plugin in [
        "dummy",
        "e131",
        "espnet",
        "ftdidmx",
        "gpio",
        "karate",
        "kinet",
        "milinst",
        "nanoleaf",
        "opendmx",
        "openpixelcontrol",
        "osc",
        "pathport",
        "renard",
        "sandnet",
        "shownet",
        "spi",
        "spidmx",
        "stageprofi",
        "uartdmx",
        "usbdmx",
        "usbpro",
        "usbserial",
    ] {
        fs::write(folder.join(format!("ola-{plugin}.conf")), "enabled = false\n").expect("write");
    }
    let artnet = format!("enabled = true\n{artnet}");
    fs::write(folder.join("ola-artnet.conf"), artnet).expect("write");
    // It will not run as root, and writes its configuration anew.
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("permissions");
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("permissions");
}
