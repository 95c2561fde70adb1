//! The `Driver` implementation.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemImpl, Type};

use super::methods::{Function, Method, Methods, Output};
use super::options::{DriverOptions, Need};
use super::polls::polls;
use crate::docs;
use crate::settings::is_named;

pub(crate) fn expand(block: &ItemImpl, options: &DriverOptions, methods: &Methods) -> TokenStream {
    let this = &block.self_ty;
    let unit: Type = syn::parse_quote!(());
    let settings = options.settings.as_ref().unwrap_or(&unit);
    let status = options.status.as_ref().unwrap_or(&unit);
    let declaration = declaration(block, options, methods);
    let create = create(this, methods);
    let schemas = methods.functions.iter().map(schemas);
    let calls = methods.functions.iter().enumerate().map(|(index, function)| call(index, function));
    let handlers = methods.handlers.iter().map(|(mark, method)| handler(mark, method));
    let polls = polls(methods);
    let of_interfaces = of_interfaces(options, methods);
    let implements = implements(this, &options.implements);
    let checks = options.implements.iter().map(|interface| {
        quote_spanned! { interface.span() =>
            const _: () = ::drivers_sdk::__private::check(
                &#interface,
                <#status as ::drivers_sdk::__private::Status>::KEYS,
                <#this as ::drivers_sdk::__private::Driver>::DECLARATION,
            );
        }
    });

    quote! {
        #implements
        #(#checks)*
        #[automatically_derived]
        #[allow(clippy::all)]
        impl ::drivers_sdk::__private::Driver for #this {
            type Settings = #settings;
            type Status = #status;
            const DECLARATION: &'static ::drivers_sdk::__private::Declaration = &#declaration;

            fn create(
                settings: &Self::Settings,
            ) -> ::core::result::Result<Self, ::drivers_sdk::__private::Error> {
                let _ = settings;
                #create
            }

            fn schemas(
                schemas: &mut ::drivers_sdk::__private::Schemas,
            ) -> ::std::vec::Vec<::drivers_sdk::__private::FunctionSchemas> {
                let _ = &schemas;
                ::std::vec![#(#schemas),*]
            }

            async fn call(
                &self,
                cx: &::drivers_sdk::__private::Cx<Self>,
                function: usize,
                args: ::std::string::String,
                reply: ::drivers_sdk::__private::Reply<'_>,
            ) -> ::core::result::Result<(), ::drivers_sdk::__private::Error> {
                let _ = (cx, &args);
                match function {
                    #(#calls)*
                    _ => { #of_interfaces }
                }
            }

            #(#handlers)*
            #polls
        }
    }
}

/// The driver has named these interfaces; implementing them is up to it.
pub(crate) fn implements(this: &Type, interfaces: &[Ident]) -> TokenStream {
    let named = interfaces.iter().map(|interface| {
        quote_spanned! { interface.span() =>
            #[automatically_derived]
            impl ::drivers_sdk::__private::Implements<{ #interface.id }> for #this {}
        }
    });
    quote! { #(#named)* }
}

/// Runs a function of an interface: those are numbered after the driver's own.
fn of_interfaces(options: &DriverOptions, methods: &Methods) -> TokenStream {
    let own = methods.functions.len();
    let calls = options.implements.iter().map(|interface| {
        quote_spanned! { interface.span() =>
            if function < #interface.functions.len() {
                return <Self as #interface>::__call(self, cx, function, args, reply).await;
            }
            let function = function - #interface.functions.len();
        }
    });
    quote! {
        let function = function - #own;
        #(#calls)*
        let _ = function;
        reply.done(&())
    }
}

fn declaration(block: &ItemImpl, options: &DriverOptions, methods: &Methods) -> TokenStream {
    let (name, module, description) = (&options.name, &options.module, docs::text(&block.attrs));
    let reach = options.reach();
    let makebreak = options.makebreak.is_some();
    let hold = match options.makebreak.flatten() {
        Some(hold) => quote! { ::core::option::Option::Some(#hold) },
        None => quote! { ::core::option::Option::None },
    };
    let framing = match &options.framing {
        Some(framing) => quote_spanned! { framing.span() => {
            #[allow(unused_imports)]
            use ::drivers_sdk::framing::*;
            #framing
        } },
        None => quote! { ::drivers_sdk::framing::none() },
    };
    let (timeout_ms, retries, delay_ms) = (options.timeout_ms, options.retries, options.delay_ms);
    let refusal = match &options.refusal {
        Some(refusal) => quote_spanned! { refusal.span() => ::core::option::Option::Some(#refusal) },
        None => quote! { ::core::option::Option::None },
    };
    let handlers = methods.handlers.iter().map(|(mark, _)| format_ident!("{mark}"));
    let functions = methods.functions.iter().map(function);
    let polls = methods.polls.iter().map(|poll| name_of(&poll.method));
    let interfaces = &options.implements;
    let (requires, optional) = (options.requires.iter().map(need), options.optional.iter().map(need));
    quote! {
        ::drivers_sdk::__private::Declaration {
            name: #name,
            module: #module,
            description: #description,
            #reach
            makebreak: #makebreak,
            hold_ms: #hold,
            framing: #framing,
            timeout_ms: #timeout_ms,
            retries: #retries,
            delay_ms: #delay_ms,
            refusal: #refusal,
            handlers: ::drivers_sdk::__private::Handlers {
                #(#handlers: true,)*
                ..::drivers_sdk::__private::Handlers::NONE
            },
            polls: &[#(#polls),*],
            functions: &[#(#functions),*],
            interfaces: &[#(#interfaces),*],
            requires: &[#(#requires),*],
            optional: &[#(#optional),*],
        }
    }
}

fn need(need: &Need) -> TokenStream {
    match need {
        Need::Module(name) => quote! { ::drivers_sdk::__private::Need::Module(#name) },
        Need::Interface(interface) => quote! { ::drivers_sdk::__private::Need::Interface(#interface.name) },
    }
}

/// What is said of a function.
pub(crate) fn function(function: &Function) -> TokenStream {
    let Function { method, description, security, webhook } = function;
    let name = name_of(method);
    let params = method.params.iter().map(|(ident, ty)| {
        let (name, optional) = (ident.to_string(), is_named(ty, "Option"));
        quote! { ::drivers_sdk::__private::Param { name: #name, optional: #optional } }
    });
    quote! {
        ::drivers_sdk::__private::Function {
            name: #name,
            description: #description,
            security: ::drivers_sdk::__private::Security::#security,
            webhook: #webhook,
            params: &[#(#params),*],
        }
    }
}

fn create(this: &Type, methods: &Methods) -> TokenStream {
    match &methods.create {
        None => quote_spanned! { this.span() =>
            ::core::result::Result::Ok(<#this as ::core::default::Default>::default())
        },
        Some(create) => {
            let ident = &create.ident;
            let settings = create.takes_settings.then(|| quote!(settings));
            let made = quote_spanned! { ident.span() => <#this>::#ident(#settings) };
            if create.is_result {
                quote! { ::core::result::Result::Ok(#made?) }
            } else {
                quote! { ::core::result::Result::Ok(#made) }
            }
        }
    }
}

fn name_of(method: &Method) -> String {
    use syn::ext::IdentExt;
    method.ident.unraw().to_string()
}

pub(crate) fn schemas(Function { method, webhook, .. }: &Function) -> TokenStream {
    let params = method.params.iter().map(|(_, ty)| {
        let ty = owned(ty);
        quote_spanned! { ty.span() => schemas.input::<#ty>() }
    });
    let returns = match &method.output {
        _ if *webhook => quote! { schemas.output::<::drivers_sdk::__private::WebhookReply>() },
        Output::Nothing => quote! { schemas.output::<()>() },
        Output::Value(ty) => quote_spanned! { ty.span() => schemas.output::<#ty>() },
        Output::Result(ty) => quote_spanned! { ty.span() =>
            schemas.output::<<#ty as ::drivers_sdk::__private::Fallible>::Value>()
        },
    };
    quote! {
        ::drivers_sdk::__private::FunctionSchemas {
            params: ::std::vec![#(#params),*],
            returns: #returns,
        }
    }
}

/// The type an argument is read as: a `&str` is read as a `String`.
fn owned(ty: &Type) -> Type {
    match ty {
        Type::Reference(reference) if is_named(&reference.elem, "str") => {
            syn::parse_quote_spanned!(ty.span() => ::std::string::String)
        }
        other => other.clone(),
    }
}

/// An arm of `call`: the arguments are read, and their text dropped, before the function runs.
pub(crate) fn call(index: usize, Function { method, webhook, .. }: &Function) -> TokenStream {
    let name = name_of(method);
    let names = method.params.iter().map(|(ident, _)| ident.to_string());
    let places: Vec<Ident> = (0..method.params.len()).map(|at| format_ident!("arg{at}")).collect();
    let reads = method.params.iter().enumerate().map(|(at, (_, ty))| {
        let ty = owned(ty);
        quote_spanned! { ty.span() => args.get::<#ty>(#at)? }
    });
    let passed = method.params.iter().zip(&places).map(|((_, ty), place)| match ty {
        Type::Reference(_) => quote! { &#place },
        _ => quote! { #place },
    });
    let invoked = invoke(method, passed);
    let value = match &method.output {
        Output::Nothing | Output::Value(_) => invoked,
        Output::Result(_) => quote! { #invoked? },
    };
    let done = match &method.output {
        Output::Nothing => quote! { reply.done(&value) },
        Output::Value(ty) | Output::Result(ty) => quote_spanned! { ty.span() => reply.done(&value) },
    };
    let becomes = webhook.then(|| {
        quote_spanned! { method.ident.span() =>
            let value: ::drivers_sdk::__private::WebhookReply = ::core::convert::Into::into(value);
        }
    });
    let count = method.params.len();
    quote! {
        #index => {
            let (#(#places,)*) = {
                let args = ::drivers_sdk::__private::Args::<#count>::parse(#name, [#(#names),*], &args)?;
                let _ = &args;
                (#(#reads,)*)
            };
            ::core::mem::drop(args);
            let value = #value;
            #becomes
            #done
        }
    }
}

fn invoke(method: &Method, arguments: impl Iterator<Item = TokenStream>) -> TokenStream {
    let ident = &method.ident;
    let cx = method.takes_cx.then(|| quote! { cx, });
    let call = quote! { Self::#ident(self, #cx #(#arguments),*) };
    if method.is_async {
        quote! { #call.await }
    } else {
        call
    }
}

fn handler(mark: &str, method: &Method) -> TokenStream {
    let mark_ident = format_ident!("{mark}");
    let frame = (mark == "received").then(|| quote! { frame: &::drivers_sdk::__private::Frame, });
    let argument = method.params.first().map(|(_, ty)| {
        quote_spanned! { ty.span() => ::drivers_sdk::__private::FromFrame::from_frame(frame)? }
    });
    let result = run(method, argument.into_iter());
    quote! {
        async fn #mark_ident(
            &self,
            cx: &::drivers_sdk::__private::Cx<Self>,
            #frame
        ) -> ::core::result::Result<(), ::drivers_sdk::__private::Error> {
            let _ = cx;
            #result
            ::core::result::Result::Ok(())
        }
    }
}

/// Runs a method whose value nobody wants.
pub(super) fn run(method: &Method, arguments: impl Iterator<Item = TokenStream>) -> TokenStream {
    let invoked = invoke(method, arguments);
    match method.output {
        Output::Result(_) => quote! { let _ = #invoked?; },
        Output::Nothing | Output::Value(_) => quote! { let _ = #invoked; },
    }
}

/// What stands for a driver with a mistake in it, so that the mistake is the only error: types, and no code.
pub(crate) fn stub(
    block: &ItemImpl,
    settings: Option<Type>,
    status: Option<Type>,
    interfaces: &[Ident],
) -> TokenStream {
    let this = &block.self_ty;
    let implements = implements(this, interfaces);
    let unit: Type = syn::parse_quote!(());
    let (settings, status) = (settings.unwrap_or_else(|| unit.clone()), status.unwrap_or(unit));
    quote! {
        #implements
        #[automatically_derived]
        impl ::drivers_sdk::__private::Driver for #this {
            type Settings = #settings;
            type Status = #status;
            const DECLARATION: &'static ::drivers_sdk::__private::Declaration =
                &::drivers_sdk::__private::Declaration::NONE;

            fn create(_: &Self::Settings) -> ::core::result::Result<Self, ::drivers_sdk::__private::Error> {
                ::drivers_sdk::__private::never()
            }

            fn schemas(
                _: &mut ::drivers_sdk::__private::Schemas,
            ) -> ::std::vec::Vec<::drivers_sdk::__private::FunctionSchemas> {
                ::std::vec::Vec::new()
            }

            async fn call(
                &self,
                _: &::drivers_sdk::__private::Cx<Self>,
                _: usize,
                _: ::std::string::String,
                _: ::drivers_sdk::__private::Reply<'_>,
            ) -> ::core::result::Result<(), ::drivers_sdk::__private::Error> {
                ::drivers_sdk::__private::never()
            }
        }
    }
}
