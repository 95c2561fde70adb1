//! The methods of a driver's `impl` block that have a part to play.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Meta, Pat, ReceiverKind, ReturnType,
    Signature, Type,
};

use crate::attributes::{Options, once};
use crate::docs;
use crate::settings::is_named;

/// The attributes of methods, in the words of their authors.
const MARKS: [&str; 13] = [
    "function",
    "webhook",
    "create",
    "started",
    "stopped",
    "login",
    "connected",
    "disconnected",
    "received",
    "settings_changed",
    "system_changed",
    "follow",
    "poll",
];

/// What the block has.
#[derive(Default)]
pub(crate) struct Methods {
    pub(crate) functions: Vec<Function>,
    pub(crate) create: Option<Create>,
    pub(crate) polls: Vec<Poll>,
    /// By mark, without `function`, `create` and `poll`.
    pub(crate) handlers: Vec<(&'static str, Method)>,
}

/// A method as it is called.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) is_async: bool,
    /// Takes `&Cx<Self>` after `&self`.
    pub(crate) takes_cx: bool,
    /// Its other parameters.
    pub(crate) params: Vec<(Ident, Type)>,
    pub(crate) output: Output,
}

pub(crate) enum Output {
    Nothing,
    Value(Type),
    /// A type whose name is `Result`.
    Result(Type),
}

pub(crate) struct Function {
    pub(crate) method: Method,
    pub(crate) description: String,
    /// A variant of the protocol's `Security`.
    pub(crate) security: Ident,
    /// It takes a service's request.
    pub(crate) webhook: bool,
}

pub(crate) struct Poll {
    pub(crate) method: Method,
    /// Seconds or a `Duration`; it may use `settings`.
    pub(crate) every: Expr,
}

pub(crate) struct Create {
    pub(crate) ident: Ident,
    pub(crate) takes_settings: bool,
    pub(crate) is_result: bool,
}

impl Methods {
    /// Reads the marked methods and takes their marks off.
    pub(crate) fn take(block: &mut ItemImpl) -> syn::Result<Methods> {
        let mut methods = Methods::default();
        let mut errors: Option<syn::Error> = None;
        for item in &mut block.items {
            if let ImplItem::Fn(function) = item
                && let Err(error) = methods.method(function)
            {
                match &mut errors {
                    Some(errors) => errors.combine(error),
                    None => errors = Some(error),
                }
            }
        }
        errors.map_or(Ok(methods), Err)
    }

    fn method(&mut self, function: &mut ImplItemFn) -> syn::Result<()> {
        let mut marks = Vec::new();
        function.attrs.retain(|attribute| match mark(attribute) {
            Some(mark) => {
                marks.push((mark, attribute.clone()));
                false
            }
            None => true,
        });
        let mut marks = marks.into_iter();
        let Some((mark, attribute)) = marks.next() else { return Ok(()) };
        if let Some((other, second)) = marks.next() {
            let message = format!("this method is #[{mark}] already; #[{other}] needs a method of its own");
            return Err(syn::Error::new(second.span(), message));
        }
        match mark {
            "function" | "webhook" => {
                let webhook = mark == "webhook";
                let method = Method::read(&function.sig, mark)?;
                let security = if webhook {
                    bare(&attribute, mark)?;
                    takes_request(&method)?;
                    // For trying it out.
                    Ident::new("Administrator", Span::call_site())
                } else {
                    security(&attribute)?
                };
                if let Some(earlier) = self.functions.iter().find(|other| other.method.ident == method.ident)
                {
                    let message = format!("there is a function `{}` already", earlier.method.ident);
                    return Err(syn::Error::new(method.ident.span(), message));
                }
                let description = docs::text(&function.attrs);
                self.functions.push(Function { method, description, security, webhook });
            }
            "create" => {
                bare(&attribute, mark)?;
                let create = Create::read(function)?;
                let ident = create.ident.clone();
                twice(self.create.is_some(), mark, &ident)?;
                self.create = Some(create);
            }
            "poll" => {
                let every = every(&attribute)?;
                self.polls.push(Poll { method: Method::read(&function.sig, mark)?.with(mark, 0)?, every });
            }
            _ => {
                bare(&attribute, mark)?;
                let method =
                    Method::read(&function.sig, mark)?.with(mark, usize::from(mark == "received"))?;
                twice(self.handlers.iter().any(|(other, _)| *other == mark), mark, &method.ident)?;
                self.handlers.push((mark, method));
            }
        }
        Ok(())
    }
}

impl Method {
    pub(crate) fn read(signature: &Signature, mark: &str) -> syn::Result<Method> {
        let ident = signature.ident.clone();
        let this = || format!("a #[{mark}] method takes `&self`: `fn {ident}(&self, cx: &Cx<Self>, …)`");
        match signature.inputs.first() {
            Some(FnArg::Receiver(receiver)) => match &receiver.kind {
                ReceiverKind::Reference(_, _, None) => {}
                ReceiverKind::Reference(..) => {
                    let message = format!("{}; keep what changes in a `Cell` or `RefCell`", this());
                    return Err(syn::Error::new(receiver.span(), message));
                }
                _ => return Err(syn::Error::new(receiver.span(), this())),
            },
            Some(other) => return Err(syn::Error::new(other.span(), this())),
            None => return Err(syn::Error::new(signature.ident.span(), this())),
        }
        if !signature.generics.params.is_empty() {
            let message = format!("a #[{mark}] method has no generic parameters: callers send JSON");
            return Err(syn::Error::new_spanned(&signature.generics, message));
        }
        let (mut takes_cx, mut params) = (false, Vec::new());
        for (position, input) in signature.inputs.iter().skip(1).enumerate() {
            let FnArg::Typed(input) = input else { continue };
            if let Type::Reference(reference) = &*input.ty
                && is_named(&reference.elem, "Cx")
            {
                if position > 0 {
                    return Err(syn::Error::new(input.span(), "`cx: &Cx<Self>` comes right after `&self`"));
                }
                takes_cx = true;
                continue;
            }
            let Pat::Ident(pattern) = &*input.pat else {
                return Err(syn::Error::new(input.pat.span(), "callers need a name here, not a pattern"));
            };
            params.push((pattern.ident.unraw(), (*input.ty).clone()));
        }
        Ok(Method {
            ident,
            is_async: signature.asyncness.is_some(),
            takes_cx,
            params,
            output: Output::read(&signature.output),
        })
    }
}

impl Method {
    /// It has so many parameters of its own.
    fn with(self, mark: &str, limit: usize) -> syn::Result<Method> {
        if self.params.len() == limit {
            return Ok(self);
        }
        let says = if limit == 1 {
            "takes what was received: `fn received(&self, cx: &Cx<Self>, line: &str)`".to_owned()
        } else {
            format!("takes nothing else: `fn {}(&self, cx: &Cx<Self>)`", self.ident)
        };
        Err(syn::Error::new(self.ident.span(), format!("a #[{mark}] method {says}")))
    }
}

impl Output {
    fn read(output: &ReturnType) -> Output {
        match output {
            ReturnType::Default => Output::Nothing,
            ReturnType::Type(_, ty) if is_named(ty, "Result") => Output::Result((**ty).clone()),
            ReturnType::Type(_, ty) => match &**ty {
                Type::Tuple(tuple) if tuple.elems.is_empty() => Output::Nothing,
                other => Output::Value(other.clone()),
            },
        }
    }
}

impl Create {
    fn read(function: &ImplItemFn) -> syn::Result<Create> {
        let signature = &function.sig;
        let says = "a #[create] function makes the driver: `fn create(settings: &ProjectorSettings) -> Result<Self>`";
        if signature.asyncness.is_some() {
            let message = format!("{says}; what takes time belongs in #[started]");
            return Err(syn::Error::new(signature.asyncness.span(), message));
        }
        if let Some(receiver) = signature.receiver() {
            return Err(syn::Error::new(receiver.span(), says));
        }
        if signature.inputs.len() > 1 {
            return Err(syn::Error::new_spanned(&signature.inputs, says));
        }
        let is_result = match Output::read(&signature.output) {
            Output::Nothing => return Err(syn::Error::new(signature.ident.span(), says)),
            Output::Value(_) => false,
            Output::Result(_) => true,
        };
        Ok(Create { ident: signature.ident.clone(), takes_settings: signature.inputs.len() == 1, is_result })
    }
}

/// A webhook's one parameter is the request.
fn takes_request(method: &Method) -> syn::Result<()> {
    match method.params.as_slice() {
        [(_, ty)] if is_named(ty, "Webhook") => Ok(()),
        _ => {
            let name = &method.ident;
            let says = format!(
                "a #[webhook] method takes the request: `fn {name}(&self, cx: &Cx<Self>, request: Webhook)`"
            );
            Err(syn::Error::new(name.span(), says))
        }
    }
}

fn mark(attribute: &Attribute) -> Option<&'static str> {
    let last = attribute.path().segments.last()?;
    MARKS.into_iter().find(|mark| last.ident == mark)
}

/// The attribute has no options.
fn bare(attribute: &Attribute, mark: &str) -> syn::Result<()> {
    match &attribute.meta {
        Meta::Path(_) => Ok(()),
        other => Err(syn::Error::new_spanned(other, format!("#[{mark}] has no options"))),
    }
}

fn twice(already: bool, mark: &str, ident: &Ident) -> syn::Result<()> {
    if already {
        let message = format!("a driver has one #[{mark}] method, and this is the second");
        return Err(syn::Error::new(ident.span(), message));
    }
    Ok(())
}

/// The period of `#[poll(every = …)]`: a lone name in lower case is a field of the settings.
fn every(attribute: &Attribute) -> syn::Result<Expr> {
    const SAYS: &str = "say how often: `#[poll(every = poll_seconds)]`, a field of the settings in seconds, or \
                        `#[poll(every = secs(30))]`";
    let Meta::List(_) = &attribute.meta else {
        return Err(syn::Error::new(attribute.path().span(), SAYS));
    };
    let mut every = None;
    for option in attribute.parse_args::<Options>()?.0 {
        if option.name != "every" {
            return Err(option.unknown("#[poll]", "`every`"));
        }
        let name = option.name.clone();
        once(&mut every, &name, option.expr("poll_seconds")?)?;
    }
    let every = every.ok_or_else(|| syn::Error::new(attribute.path().span(), SAYS))?;
    Ok(match &every {
        Expr::Path(path) => match path.path.get_ident() {
            Some(field) if field.to_string().starts_with(|letter: char| letter.is_lowercase()) => {
                syn::parse_quote_spanned!(field.span() => settings.#field)
            }
            _ => every,
        },
        _ => every,
    })
}

/// The security of `#[function(security = "…")]`.
pub(crate) fn security(attribute: &Attribute) -> syn::Result<Ident> {
    let mut security = None;
    if !matches!(attribute.meta, Meta::Path(_)) {
        for option in attribute.parse_args::<Options>()?.0 {
            if option.name != "security" {
                return Err(option.unknown("#[function]", "`security`"));
            }
            let name = option.name.clone();
            let level = option.string("support")?;
            let variant = match level.value().as_str() {
                "public" => "Public",
                "support" => "Support",
                "administrator" => "Administrator",
                _ => {
                    let message =
                        "the security of a function is \"public\", \"support\" or \"administrator\"";
                    return Err(syn::Error::new(level.span(), message));
                }
            };
            once(&mut security, &name, Ident::new(variant, level.span()))?;
        }
    }
    Ok(security.unwrap_or_else(|| Ident::new("Public", Span::call_site())))
}
