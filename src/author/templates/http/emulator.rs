//! The service itself, written from its manual and not from the driver. Its state outlives connections, and they share it.

use drivers_sdk::prelude::*;

#[derive(Default)]
pub struct Emulator {
    on: Cell<bool>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, stream: DeviceStream) -> Result {
        let mut http = HttpServer::new(stream);
        while let Some(request) = http.next().await? {
            let (status, body) = match (&*request.method, request.path.ends_with("/relay")) {
                ("GET", true) => (200, json!({ "on": self.on.get() })),
                ("PUT", true) => match request.json::<Value>()?["on"].as_bool() {
                    Some(on) => {
                        self.on.set(on);
                        (200, json!({ "on": on }))
                    }
                    None => (400, json!({ "error": "`on` is true or false" })),
                },
                _ => (404, json!({ "error": "there is only /relay" })),
            };
            http.answer(status, &body).await?;
        }
        Ok(())
    }
}
