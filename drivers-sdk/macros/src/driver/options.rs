//! The options of `#[driver(…)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Type};

use crate::attributes::{Option_, Options, Value, once};

const KNOWN: &str = "`name`, `module`, `tcp`, `udp`, `ssh`, `uri`, `logic`, `makebreak`, `framing`, `settings`, `status`, \
                     `implements`, `requires`, `optional`, `timeout_ms`, `retries`, `delay_ms` and `refusal`";

pub(crate) struct DriverOptions {
    pub(crate) name: LitStr,
    pub(crate) module: LitStr,
    pub(crate) reach: Reach,
    /// How long a connection is held, if it is made for each command.
    pub(crate) makebreak: Option<Option<u64>>,
    pub(crate) framing: Option<Expr>,
    pub(crate) settings: Option<Type>,
    pub(crate) status: Option<Type>,
    /// Interfaces, by the names of their traits.
    pub(crate) implements: Vec<Ident>,
    pub(crate) requires: Vec<Need>,
    pub(crate) optional: Vec<Need>,
    pub(crate) timeout_ms: u64,
    pub(crate) retries: u32,
    pub(crate) delay_ms: u64,
    /// A function: why the device refuses, if that is what a frame says.
    pub(crate) refusal: Option<Expr>,
}

/// A module that a logic driver works with.
pub(crate) enum Need {
    Module(LitStr),
    /// One whose driver implements this.
    Interface(Ident),
}

/// How a driver reaches its device.
pub(crate) enum Reach {
    Tcp(u16),
    Udp(u16),
    Ssh(u16),
    /// HTTP requests below this base.
    Service(LitStr),
    Websocket(LitStr),
    Logic,
}

impl DriverOptions {
    pub(crate) fn read(options: Options) -> syn::Result<DriverOptions> {
        let (mut name, mut module, mut reach, mut makebreak) = (None, None, None, None);
        let (mut framing, mut settings, mut status) = (None, None, None);
        let (mut timeout_ms, mut retries, mut delay_ms, mut implements) = (None, None, None, None);
        let (mut requires, mut optional, mut refusal) = (None, None, None);
        for option in options.0 {
            let ident = option.name.clone();
            match ident.to_string().as_str() {
                "name" => once(&mut name, &ident, filled(option.string("PJLink projector")?)?)?,
                "module" => once(&mut module, &ident, module_name(option.string("Display")?)?)?,
                "tcp" => {
                    reached(&mut reach, &ident, Reach::Tcp(option.number("the device's port", "4352")?))?
                }
                "udp" => reached(&mut reach, &ident, Reach::Udp(option.number("the device's port", "161")?))?,
                "ssh" => reached(&mut reach, &ident, Reach::Ssh(option.number("the server's port", "22")?))?,
                "uri" => reached(&mut reach, &ident, by_scheme(option.string("https://example.org/api")?)?)?,
                "logic" => {
                    option.flag()?;
                    reached(&mut reach, &ident, Reach::Logic)?;
                }
                "makebreak" => once(&mut makebreak, &ident, (ident.span(), hold(option)?))?,
                "framing" => once(&mut framing, &ident, option.expr("lines(\"\\r\\n\")")?)?,
                "settings" => once(&mut settings, &ident, option.path("ProjectorSettings")?)?,
                "status" => once(&mut status, &ident, option.path("ProjectorStatus")?)?,
                "implements" => once(&mut implements, &ident, interfaces(option)?)?,
                "requires" => once(&mut requires, &ident, (ident.span(), needs(option)?))?,
                "optional" => once(&mut optional, &ident, (ident.span(), needs(option)?))?,
                "timeout_ms" => once(&mut timeout_ms, &ident, option.number("in milliseconds", "5000")?)?,
                "retries" => once(&mut retries, &ident, option.number("a number of times", "2")?)?,
                "delay_ms" => once(&mut delay_ms, &ident, option.number("in milliseconds", "100")?)?,
                "refusal" => once(&mut refusal, &ident, option.expr("why")?)?,
                _ => return Err(option.unknown("#[driver]", KNOWN)),
            }
        }
        let missing = |what: &str| syn::Error::new(Span::call_site(), what);
        let reach = reach.map(|(_, reach)| reach).ok_or_else(|| {
            missing(
                "say how the driver reaches its device: `tcp = PORT`, `udp = PORT`, `ssh = PORT`, \
                     `uri = \"https://…\"`, `uri = \"wss://…\"`, or `logic`",
            )
        })?;
        if let (false, Some((span, _))) =
            (matches!(reach, Reach::Logic), requires.as_ref().or(optional.as_ref()))
        {
            let message = "only a logic driver works with the other modules of its system: `logic`";
            return Err(syn::Error::new(*span, message));
        }
        if let Some(what) = reach.without_link() {
            if let Some(expr) = &framing {
                return Err(syn::Error::new_spanned(expr, format!("{what}, so no framing")));
            }
            if let Some((span, _)) = makebreak {
                return Err(syn::Error::new(span, format!("{what}, so nothing to make and break")));
            }
        }
        Ok(DriverOptions {
            name: name.ok_or_else(|| missing("say what people call it: `name = \"PJLink projector\"`"))?,
            module: module
                .ok_or_else(|| missing("say the name its modules are found by: `module = \"Display\"`"))?,
            reach,
            makebreak: makebreak.map(|(_, hold)| hold),
            framing,
            settings,
            status,
            implements: implements.unwrap_or_default(),
            requires: requires.map(|(_, needs)| needs).unwrap_or_default(),
            optional: optional.map(|(_, needs)| needs).unwrap_or_default(),
            timeout_ms: timeout_ms.unwrap_or(5000),
            retries: retries.unwrap_or(0),
            delay_ms: delay_ms.unwrap_or(0),
            refusal,
        })
    }

    /// The types of settings and status, and the interfaces, among options that may have mistakes.
    pub(crate) fn types(options: TokenStream) -> (Option<Type>, Option<Type>, Vec<Ident>) {
        let (mut settings, mut status, mut implements) = (None, None, Vec::new());
        for option in syn::parse2::<Options>(options).map_or(Vec::new(), |options| options.0) {
            if option.name == "settings" {
                settings = option.path("").ok();
            } else if option.name == "status" {
                status = option.path("").ok();
            } else if option.name == "implements" {
                implements = interfaces(option).unwrap_or_default();
            }
        }
        (settings, status, implements)
    }

    pub(crate) fn is_logic(&self) -> bool {
        matches!(self.reach, Reach::Logic)
    }

    /// `kind`, `port`, `udp` and `uri` of the declaration.
    pub(crate) fn reach(&self) -> TokenStream {
        let none = quote! { ::core::option::Option::None };
        let some = |value: TokenStream| quote! { ::core::option::Option::Some(#value) };
        let (kind, port, udp, uri) = match &self.reach {
            Reach::Tcp(port) => (quote!(Device), some(quote!(#port)), false, none),
            Reach::Udp(port) => (quote!(Device), some(quote!(#port)), true, none),
            Reach::Ssh(port) => (quote!(Ssh), some(quote!(#port)), false, none),
            Reach::Websocket(uri) => (quote!(Websocket), none, false, some(quote!(#uri))),
            Reach::Service(uri) => (quote!(Service), none, false, some(quote!(#uri))),
            Reach::Logic => (quote!(Logic), none.clone(), false, none),
        };
        quote! { kind: ::drivers_sdk::__private::Kind::#kind, port: #port, udp: #udp, uri: #uri, }
    }
}

impl Reach {
    /// Why there is no link, if there is none.
    fn without_link(&self) -> Option<&'static str> {
        match self {
            Reach::Logic => Some("a logic driver has no device"),
            Reach::Service(_) => Some("an HTTP service has exchanges and no connection of its own"),
            Reach::Tcp(_) | Reach::Udp(_) | Reach::Ssh(_) | Reach::Websocket(_) => None,
        }
    }
}

/// What the scheme of a URI says.
fn by_scheme(uri: LitStr) -> syn::Result<Reach> {
    let text = uri.value();
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(Reach::Service(uri)),
        Some(("ws" | "wss", rest)) if !rest.is_empty() => Ok(Reach::Websocket(uri)),
        _ => Err(syn::Error::new(
            uri.span(),
            "`uri` begins with `https://` or `http://` for an HTTP service, with `wss://` or `ws://` for a WebSocket; \
             other devices are declared with `tcp`, `udp` or `ssh`",
        )),
    }
}

fn reached(place: &mut Option<(String, Reach)>, ident: &syn::Ident, reach: Reach) -> syn::Result<()> {
    if let Some((other, _)) = place {
        let message = format!("a driver reaches its device in one way, and this one has `{other}` already");
        return Err(syn::Error::new(ident.span(), message));
    }
    *place = Some((ident.to_string(), reach));
    Ok(())
}

fn filled(text: LitStr) -> syn::Result<LitStr> {
    if text.value().trim().is_empty() {
        return Err(syn::Error::new(text.span(), "this is empty"));
    }
    Ok(text)
}

/// Modules are found as `Name_1`, so the name itself has no such end.
fn module_name(text: LitStr) -> syn::Result<LitStr> {
    let name = text.value();
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let ends_like_index =
        name.rsplit_once('_').is_some_and(|(_, end)| end.bytes().all(|b| b.is_ascii_digit()));
    if name.is_empty() || !letters || ends_like_index {
        return Err(syn::Error::new(
            text.span(),
            "a module name has letters, digits, `_` and `-`, and no `_1` at its end: modules are found as `Display_1`",
        ));
    }
    Ok(text)
}

/// `implements(Powerable, Muteable)`.
fn interfaces(option: Option_) -> syn::Result<Vec<Ident>> {
    let says = "name the interfaces' traits: `implements(Powerable, InputSelection)`";
    let mut names: Vec<Ident> = Vec::new();
    for item in list(option, says)? {
        let Some(name) = ident(&item) else { return Err(syn::Error::new_spanned(item, says)) };
        if names.contains(name) {
            return Err(syn::Error::new_spanned(name, format!("`{name}` is named twice")));
        }
        names.push(name.clone());
    }
    Ok(names)
}

/// `requires("Display", Switchable)`.
fn needs(option: Option_) -> syn::Result<Vec<Need>> {
    let says = "name modules, or the traits of interfaces: `requires(\"Display\", Switchable)`";
    let need = |item: Expr| match &item {
        Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) => module_name(name.clone()).map(Need::Module),
        other => match ident(other) {
            Some(interface) => Ok(Need::Interface(interface.clone())),
            None => Err(syn::Error::new_spanned(item, says)),
        },
    };
    list(option, says)?.into_iter().map(need).collect()
}

fn list(option: Option_, says: &str) -> syn::Result<Vec<Expr>> {
    match option.value {
        Value::List(items) if !items.is_empty() => Ok(items),
        _ => Err(syn::Error::new(option.name.span(), says)),
    }
}

fn ident(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}

/// `makebreak` or `makebreak(hold_ms = 2000)`.
fn hold(option: Option_) -> syn::Result<Option<u64>> {
    let mut hold = None;
    match option.value {
        Value::None => {}
        Value::Has(options) => {
            for option in options.0 {
                if option.name != "hold_ms" {
                    return Err(option.unknown("`makebreak`", "`hold_ms`"));
                }
                let name = option.name.clone();
                once(&mut hold, &name, option.number("in milliseconds", "2000")?)?;
            }
        }
        Value::Is(_) | Value::List(_) => {
            let message = "write `makebreak`, or `makebreak(hold_ms = 2000)`";
            return Err(syn::Error::new(option.name.span(), message));
        }
    }
    Ok(hold)
}
