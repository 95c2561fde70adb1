//! `#[derive(Status)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::DeriveInput;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::docs;
use crate::settings::named_fields;

/// The keys that are not for drivers, and what to write instead.
const HEADENDS: [(&str, &str); 2] = [
    ("connected", "write `cx.set_connected(false, \"why\")` where the driver knows better than the link"),
    ("tls_verified", "choose another name"),
];

pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let name = &item.ident;
    let fields = named_fields(&item, "Status")?;

    let (mut keys, mut writes, mut describes) = (Vec::new(), Vec::new(), Vec::new());
    for (index, field) in fields.named.iter().enumerate() {
        let Some(ident) = &field.ident else { continue };
        let (ty, key, doc) = (&field.ty, ident.unraw().to_string(), docs::text(&field.attrs));
        if let Some((_, instead)) = HEADENDS.iter().find(|(name, _)| *name == key) {
            let message = format!("`{key}` is a status that Headend itself gives each module: {instead}");
            return Err(syn::Error::new(ident.span(), message));
        }
        let write = quote_spanned! { ty.span() => ::drivers_sdk::__private::write::<#ty>(&self.#ident, out) };
        writes.push(quote! { #index => #write });
        describes.push(quote_spanned! { ty.span() => description.key::<#ty>(#key, #doc); });
        keys.push(key);
    }
    Ok(quote! {
        #[automatically_derived]
        impl ::drivers_sdk::__private::Status for #name {
            const KEYS: &'static [&'static str] = &[#(#keys),*];

            fn write(
                &self,
                index: usize,
                out: &mut ::std::vec::Vec<u8>,
            ) -> ::drivers_sdk::__private::serde_json::Result<()> {
                let _ = &out;
                match index {
                    #(#writes,)*
                    _ => ::core::result::Result::Ok(()),
                }
            }

            fn describe(description: &mut ::drivers_sdk::__private::StatusDescription<'_>) {
                let _ = &description;
                #(#describes)*
            }
        }
    })
}
