//! A driver that does whatever a test needs, good or bad, to a device that echoes lines.

use drivers_sdk::prelude::*;

#[derive(Settings)]
struct ProbeSettings {
    /// Shown in the status.
    #[setting(default = String::from("none"))]
    label: String,
}

#[derive(Default, Status)]
struct ProbeStatus {
    /// What the settings say.
    label: String,
    /// The last tick of a flood.
    tick: Option<u64>,
    /// Added up.
    count: i64,
    /// Ballast, for floods that fill buffers.
    ballast: Option<String>,
}

#[derive(Default)]
struct Probe;

/// Does whatever a test needs.
#[driver(
    name = "Probe",
    module = "Probe",
    tcp = 4000,
    framing = lines("\n"),
    settings = ProbeSettings,
    status = ProbeStatus,
)]
impl Probe {
    #[started]
    fn started(&self, cx: &Cx<Self>) {
        let label = cx.settings().label.clone();
        cx.status.set(|status| status.label = label);
        cx.info("started");
    }

    #[settings_changed]
    fn settings_changed(&self, cx: &Cx<Self>) {
        let label = cx.settings().label.clone();
        cx.status.set(|status| status.label = label);
    }

    /// To the device and back.
    #[function]
    async fn echo(&self, cx: &Cx<Self>, text: String) -> Result<String> {
        cx.send(text.clone()).reply(exact(text.clone())).await?;
        Ok(text)
    }

    /// Adds to the count.
    #[function]
    fn add(&self, cx: &Cx<Self>, n: i64) -> i64 {
        let mut count = 0;
        cx.status.set(|status| {
            status.count += n;
            count = status.count;
        });
        count
    }

    /// Takes its time.
    #[function]
    async fn slow(&self, ms: u64) -> u64 {
        sleep(millis(ms)).await;
        ms
    }

    /// Panics.
    #[function]
    fn boom(&self) -> bool {
        panic!("boom, as asked");
    }

    /// Never gives the thread back.
    #[function]
    fn hang(&self) -> bool {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }

    /// Fails.
    #[function]
    fn fail(&self) -> Result<bool> {
        Err(Error::new("asked", "failed, as asked").with_status(409))
    }

    /// Says something in the log.
    #[function]
    fn say(&self, cx: &Cx<Self>, text: String) {
        cx.info(text);
    }

    /// Changes the status `n` times, with `ballast` bytes each time.
    #[function]
    async fn flood(&self, cx: &Cx<Self>, n: u64, ballast: usize) -> u64 {
        for tick in 1..=n {
            cx.status.set(|status| {
                status.tick = Some(tick);
                status.ballast = Some(format!("{tick:0>ballast$}"));
            });
            sleep(millis(1)).await;
        }
        n
    }

    /// For administrators.
    #[function(security = "administrator")]
    fn reserved(&self) -> bool {
        true
    }
}

drivers_sdk::main!(Probe);
