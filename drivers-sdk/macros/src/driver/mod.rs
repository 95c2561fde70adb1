//! `#[driver(…)]` on an `impl` block.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{ImplItem, Item, ItemImpl};

pub(crate) mod generate;
pub(crate) mod methods;
mod options;
mod polls;

use methods::Methods;
use options::DriverOptions;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut block = match parse_block(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            let error = error.into_compile_error();
            return quote! { #error #item };
        }
    };
    // The attributes come off first, so that one mistake does not make every one of them an error.
    let methods = Methods::take(&mut block);
    let result = syn::parse2(options.clone()).and_then(DriverOptions::read);
    let methods = match &result {
        Ok(options) => methods.and_then(|methods| fitting(methods, options)),
        Err(_) => methods,
    };
    let mistakes = match (result, methods) {
        (Ok(options), Ok(methods)) => {
            let generated = generate::expand(&block, &options, &methods);
            return quote! { #block #generated };
        }
        (Err(mut first), Err(second)) => {
            first.combine(second);
            first
        }
        (Err(error), _) | (_, Err(error)) => error,
    };
    let (settings, status, interfaces) = DriverOptions::types(options);
    let stub = generate::stub(&block, settings, status, &interfaces);
    let mistakes = mistakes.into_compile_error();
    quote! { #mistakes #block #stub }
}

/// Nothing is polled that is not there, and what has a device follows no other module.
fn fitting(methods: Methods, options: &DriverOptions) -> syn::Result<Methods> {
    let follow = methods.handlers.iter().find(|(mark, _)| *mark == "follow");
    let misfit = match (options.is_logic(), methods.polls.first(), follow) {
        (true, Some(poll), _) => {
            Some((&poll.method, "a logic driver has no device to #[poll]: `cx.every(…)` in #[follow]"))
        }
        (false, _, Some((_, follow))) => Some((follow, "only a logic driver has other modules to #[follow]")),
        _ => None,
    };
    misfit.map_or(Ok(()), |(method, says)| Err(syn::Error::new(method.ident.span(), says)))?;
    Ok(methods)
}

fn parse_block(item: TokenStream) -> syn::Result<ItemImpl> {
    const PLACE: &str =
        "#[driver(…)] stands before an `impl` block of the driver's type: `impl Projector { … }`";
    let block = match syn::parse2(item)? {
        Item::Impl(block) => block,
        Item::Struct(item) => return Err(syn::Error::new_spanned(item.ident, PLACE)),
        other => return Err(syn::Error::new_spanned(other, PLACE)),
    };
    if let Some((path, _)) = &block.trait_ {
        return Err(syn::Error::new_spanned(path, PLACE));
    }
    if !block.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&block.generics, "a driver has no generic parameters"));
    }
    if let Some(item) = block.items.iter().find(|item| matches!(item, ImplItem::Macro(_))) {
        return Err(syn::Error::new_spanned(
            item.to_token_stream(),
            "#[driver] cannot see what this macro makes: write the methods out",
        ));
    }
    Ok(block)
}
