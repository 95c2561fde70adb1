//! `#[interface]` on a trait: the trait, with a hidden method that runs a function by its number, and a constant that
//! describes it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, ItemTrait, TraitItem, TraitItemFn};

use crate::attributes::{Options, once};
use crate::docs;
use crate::driver::generate;
use crate::driver::methods::{Function, Method, security};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut status = None;
    for option in syn::parse2::<Options>(options)?.0 {
        if option.name != "status" {
            return Err(option.unknown("#[interface]", "`status`"));
        }
        let name = option.name.clone();
        once(&mut status, &name, option.path("PowerStatus")?)?;
    }
    let status = status.unwrap_or_else(|| syn::parse_quote!(()));
    let mut item: ItemTrait = syn::parse2(item).map_err(|error| {
        syn::Error::new(error.span(), "#[interface] stands before a trait: `pub trait Powerable { … }`")
    })?;
    if !item.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&item.generics, "an interface has no generic parameters"));
    }
    let mut functions = Vec::new();
    for member in &mut item.items {
        match member {
            TraitItem::Fn(method) => functions.push(function(method)?),
            other => {
                return Err(syn::Error::new_spanned(other, "an interface has methods, and nothing else"));
            }
        }
    }

    let (ident, vis, description, id) = (&item.ident, &item.vis, docs::text(&item.attrs), id(&item.ident));
    let name = ident.to_string();
    let described = functions.iter().map(generate::function);
    let schemas = functions.iter().map(generate::schemas);
    let constant = quote! {
        #[doc = concat!("Describes the interface [`trait@", #name, "`].")]
        #[allow(non_upper_case_globals)]
        #vis const #ident: ::drivers_sdk::__private::Interface = ::drivers_sdk::__private::Interface {
            name: #name,
            description: #description,
            id: #id,
            functions: &[#(#described),*],
            schemas: |schemas| {
                let _ = &schemas;
                ::std::vec![#(#schemas),*]
            },
            status_keys: <#status as ::drivers_sdk::__private::Status>::KEYS,
            status: <#status as ::drivers_sdk::__private::Status>::describe,
        };
    };
    let calls = functions.iter().enumerate().map(|(index, function)| generate::call(index, function));
    let call = quote! {
        #[doc(hidden)]
        #[allow(clippy::all)]
        async fn __call(
            &self,
            cx: &::drivers_sdk::__private::Cx<Self>,
            function: usize,
            args: ::std::string::String,
            reply: ::drivers_sdk::__private::Reply<'_>,
        ) -> ::core::result::Result<(), ::drivers_sdk::__private::Error> {
            let _ = (cx, &args);
            match function {
                #(#calls)*
                _ => reply.done(&()),
            }
        }
    };
    item.items.push(syn::parse2(call)?);
    item.supertraits.push(syn::parse_quote!(::drivers_sdk::__private::Implements<#id>));
    // The futures never leave their thread.
    item.attrs.push(syn::parse_quote!(#[allow(async_fn_in_trait)]));
    Ok(quote! { #item #constant })
}

/// Reads a method and takes its mark off. One that does not use its parameters may say so with `_name`.
fn function(item: &mut TraitItemFn) -> syn::Result<Function> {
    let mut level = None;
    let mut attributes = Vec::new();
    for attribute in std::mem::take(&mut item.attrs) {
        if attribute.path().is_ident("function") {
            level = Some(security(&attribute)?);
        } else {
            attributes.push(attribute);
        }
    }
    item.attrs = attributes;
    let description = docs::text(&item.attrs);
    if description.is_empty() {
        let message = "say in a doc comment what it does: drivers and their callers read it";
        return Err(syn::Error::new_spanned(&item.sig.ident, message));
    }
    let security = level.unwrap_or_else(|| format_ident!("Public"));
    Ok(Function { method: Method::read(&item.sig, "interface")?, description, security, webhook: false })
}

/// A number for the name: FNV-1a, 64 bits.
fn id(name: &Ident) -> u64 {
    name.to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
