//! Attribute macros of drivers-sdk; the SDK documents and re-exports them.
//!
//! They generate calls of `drivers_sdk::__private` and as little else as they can, so that drivers compile fast. Every
//! error points at what the author wrote and says what to write instead.
#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use quote::quote;

mod attributes;
mod data;
mod docs;
mod driver;
mod interface;
mod settings;
mod status;

/// Makes a driver of an `impl` block.
///
/// ```text
/// /// Markdown: what people read about the driver.
/// #[driver(name = "PJLink projector", module = "Display", tcp = 4352, framing = lines("\r"))]
/// impl Projector { … }
/// ```
///
/// | option | |
/// | --- | --- |
/// | `name = "…"` | what people call it; required |
/// | `module = "…"` | the name its modules are found by, such as `Display`; required |
/// | `tcp = 23`, `udp = 161`, `ssh = 22`, `logic` | how it reaches its device, and the default port; this or `uri` is required |
/// | `uri = "https://…"`, `uri = "wss://…"` | it makes HTTP requests below this base, or has a WebSocket there, by default |
/// | `makebreak`, `makebreak(hold_ms = 2000)` | connect to send, then disconnect |
/// | `framing = …` | how the byte stream is cut: see `drivers_sdk::framing` |
/// | `settings = Type`, `status = Type` | types with `#[derive(Settings)]` and `#[derive(Status)]` |
/// | `implements(Powerable, Muteable)` | the interfaces whose traits it implements: see `drivers_sdk::interfaces` |
/// | `requires("Display", Switchable)`, `optional(…)` | the other modules that a logic driver needs, or makes use of: by name, or by interface |
/// | `refusal = why` | a `fn why(line: &str) -> Option<String>`: with what it has a sentence for, the device refuses any command that waits for a reply |
/// | `timeout_ms = 5000`, `retries = 0`, `delay_ms = 0` | of commands, unless a command says otherwise |
///
/// In the block, these are exposed or run by the SDK; everything else is the driver's own:
///
/// | attribute | |
/// | --- | --- |
/// | `#[function]`, `#[function(security = "support")]` | callers may use it; its doc comment is its description |
/// | `#[webhook]` | services on the Internet may call it, with a request: `fn(&self, cx: &Cx<Self>, request: Webhook)` |
/// | `#[create]` | makes the driver from its settings: `fn create(settings: &Type) -> Result<Self>`; else `Default` does |
/// | `#[started]`, `#[stopped]` | the module starts, or ends |
/// | `#[login]` | before everything else on every connection: until it is done no other command is sent, and if it fails the connection is dropped |
/// | `#[connected]`, `#[disconnected]` | the link to the device came up, or went down; the first runs again until it works |
/// | `#[poll(every = poll_seconds)]` | once the device is met, and then at that period while the link is up |
/// | `#[received]` | the device said something that no command waits for: `fn(&self, cx: &Cx<Self>, line: &str)` |
/// | `#[settings_changed]`, `#[system_changed]` | new settings, or the system's modules changed |
/// | `#[follow]` | a logic driver begins to follow other modules: at the start, and anew after either of these |
///
/// Methods take `&self`, then `cx: &Cx<Self>` if they want it; they may be `async` or not, and return a `Result` or not.
#[proc_macro_attribute]
pub fn driver(options: TokenStream, item: TokenStream) -> TokenStream {
    driver::expand(options.into(), item.into()).into()
}

/// Makes a struct the settings of a driver: see the trait of the same name.
///
/// `#[setting(default = 30)]` on a field gives it a default; `#[setting(default)]` that of its type.
#[proc_macro_derive(Settings, attributes(setting))]
pub fn derive_settings(item: TokenStream) -> TokenStream {
    settings::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the status of a driver: see the trait of the same name.
#[proc_macro_derive(Status)]
pub fn derive_status(item: TokenStream) -> TokenStream {
    status::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct or enum usable in arguments, results, settings and status: it becomes JSON with a schema.
///
/// Variants of an enum are written in `snake_case`, unless `#[serde(rename_all = "…")]` says otherwise.
#[proc_macro_attribute]
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an interface of a trait: what drivers of one kind have in common. The SDK's own are in `drivers_sdk::interfaces`.
///
/// ```text
/// /// What makes coffee.
/// #[interface(status = CoffeeStatus)]
/// pub trait Coffee {
///     /// Makes so many cups.
///     async fn brew(&self, cx: &Cx<Self>, cups: u8) -> Result;
/// }
/// ```
///
/// Every method is a function with its doc comment; one with a body is there for every driver that does not write its own.
/// `#[function(security = "support")]` restricts who may call it. `status` is a type with `#[derive(Status)]`: the keys that
/// every driver with this interface publishes. Beside the trait there is a constant of the same name, for
/// `cx.system().implementing(Coffee)`.
#[proc_macro_attribute]
pub fn interface(options: TokenStream, item: TokenStream) -> TokenStream {
    interface::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// The attributes that `#[driver]` takes off: met elsewhere, they say where they belong.
macro_rules! misplaced {
    ($($name:ident)*) => {$(
        #[doc = concat!("Marks a method in an `impl` block with [`macro@driver`]: `#[", stringify!($name), "]`.")]
        #[proc_macro_attribute]
        pub fn $name(_: TokenStream, item: TokenStream) -> TokenStream {
            let message = concat!(
                "#[", stringify!($name), "] marks a method inside an `impl` block that has #[driver(…)] on it"
            );
            let item = proc_macro2::TokenStream::from(item);
            quote! { ::core::compile_error!(#message); #item }.into()
        }
    )*};
}

misplaced! {
    function webhook create started stopped login connected disconnected received settings_changed system_changed follow
    poll
}
