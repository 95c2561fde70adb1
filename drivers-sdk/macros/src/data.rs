//! `#[data]`: the derives of a type that becomes JSON.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Fields};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !options.is_empty() {
        return Err(syn::Error::new_spanned(options, "#[data] has no options"));
    }
    let item: DeriveInput = syn::parse2(item)?;
    let (rename, plain) = match &item.data {
        Data::Enum(data) => {
            (!renames(&item), data.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)))
        }
        Data::Struct(_) => (false, false),
        Data::Union(_) => {
            return Err(syn::Error::new_spanned(item.ident, "#[data] is for a struct or an enum"));
        }
    };
    let rename = rename.then(|| quote! { #[serde(rename_all = "snake_case")] });
    let plain = plain.then(|| quote! { ::core::marker::Copy, ::core::cmp::Eq, });
    Ok(quote! {
        #[derive(
            ::core::clone::Clone,
            ::core::fmt::Debug,
            ::core::cmp::PartialEq,
            #plain
            ::drivers_sdk::__private::serde::Serialize,
            ::drivers_sdk::__private::serde::Deserialize,
            ::drivers_sdk::__private::schemars::JsonSchema,
        )]
        #[serde(crate = "::drivers_sdk::__private::serde")]
        #[schemars(crate = "::drivers_sdk::__private::schemars")]
        #rename
        #item
    })
}

/// Whether the author says how variants are written.
fn renames(item: &DeriveInput) -> bool {
    item.attrs.iter().any(|attribute| {
        attribute.path().is_ident("serde") && attribute.to_token_stream().to_string().contains("rename_all")
    })
}
