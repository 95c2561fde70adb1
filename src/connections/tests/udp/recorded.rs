//! Whom a recording says datagrams are from.

use super::{
    super::{
        super::recorder::format::{About, Format, Writer},
        peers::program,
    },
    *,
};

#[tokio::test]
async fn who_really_sent_a_datagram_is_recorded_and_exported() {
    let (connections, recorder) = (Connections::new(quick()), Recorder::new());
    let (device, stranger) = (Device::own().await, Device::own().await);
    let other_port = Device::at((device.address().ip(), 5001).into()).await;
    let settings = Settings { broadcast: true, ..Settings::default() };
    let link = up(&connections, &recorder, device.target(settings)).await;
    let from = meet(&link, &device).await;
    for (n, sender) in [&device, &other_port, &stranger].into_iter().enumerate() {
        sender.send(b"here", from).await;
        count(&recorder, n + 1).await;
    }
    let records = recorder.tape().records();
    let senders: Vec<_> =
        records.iter().filter_map(|record| Some((record.word(), record.data()?.from))).collect();
    let [other, strange] = [&other_port, &stranger].map(|sender| Some(sender.address()));
    assert_eq!(senders, [("sent", None), ("received", None), ("received", other), ("received", strange)]);

    let Some(tshark) = program("tshark", "tshark") else { return };
    let file = tempfile::NamedTempFile::new().expect("file");
    let mut writer = Writer::new(Format::Pcapng, &About::default(), false);
    records.iter().for_each(|record| writer.record(record));
    std::fs::write(file.path(), writer.finish()).expect("write");
    let mut tshark = std::process::Command::new(tshark);
    tshark.arg("-r").arg(file.path()).args(["-o", "udp.check_checksum:TRUE"]);
    tshark.args(["-Y", "udp.checksum.status == Good && udp.length > 8", "-T", "fields", "-E", "separator= "]);
    let fields = ["-e", "ip.src", "-e", "udp.srcport", "-e", "ip.dst", "-e", "udp.payload"];
    let output = tshark.args(fields).output().expect("run");
    let shown = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[0].ends_with(&format!(" {} 68656c6c6f", device.address().ip())), "{shown}");
    for (line, sender) in lines[1..].iter().zip([&device, &other_port, &stranger]) {
        let (ip, port) = (sender.address().ip(), sender.address().port());
        assert_eq!(*line, format!("{ip} {port} 192.0.2.1 68657265"));
    }
}
