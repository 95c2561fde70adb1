//! `#[derive(Settings)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Fields, FieldsNamed, Lit, Type};

use crate::attributes::{Options, Value};
use crate::docs;

pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let name = &item.ident;
    let fields = named_fields(&item, "Settings")?;

    let (mut reads, mut describes) = (Vec::new(), Vec::new());
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let (ty, key, doc) = (&field.ty, ident.unraw().to_string(), docs::text(&field.attrs));
        match default(&field.attrs)? {
            None => {
                let describe = if is_named(ty, "Option") {
                    format_ident!("optional")
                } else {
                    format_ident!("required")
                };
                let read = quote_spanned! { ty.span() => fields.get::<#ty>(#key)? };
                reads.push(quote! { #ident: #read });
                describes.push(quote_spanned! { ty.span() => description.#describe::<#ty>(#key, #doc); });
            }
            Some(_) if mentions_secret(ty) => {
                return Err(syn::Error::new_spanned(
                    ty,
                    "a secret has no default: write `Option<Secret>` if it may be left out",
                ));
            }
            Some(default) => {
                reads.push(quote! { #ident: fields.get_or::<#ty>(#key, || #default)? });
                describes.push(quote! { description.defaulted::<#ty>(#key, #doc, #default); });
            }
        }
    }
    Ok(quote! {
        #[automatically_derived]
        impl ::drivers_sdk::__private::Settings for #name {
            fn read(
                fields: &::drivers_sdk::__private::Fields<'_>,
            ) -> ::core::result::Result<Self, ::drivers_sdk::__private::Error> {
                let _ = fields;
                ::core::result::Result::Ok(#name { #(#reads),* })
            }

            fn describe(description: &mut ::drivers_sdk::__private::Description<'_>) {
                let _ = &description;
                #(#describes)*
            }
        }
    })
}

/// The fields of a struct that has names for them and no generics.
pub(crate) fn named_fields<'a>(item: &'a DeriveInput, derive: &str) -> syn::Result<&'a FieldsNamed> {
    if !item.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &item.generics,
            format!("#[derive({derive})] is for a type without generic parameters"),
        ));
    }
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields),
            other => Err(syn::Error::new_spanned(
                if other.is_empty() { quote!(#item) } else { quote!(#other) },
                format!("#[derive({derive})] is for a struct with named fields: each is a key"),
            )),
        },
        _ => Err(syn::Error::new_spanned(
            &item.ident,
            format!("#[derive({derive})] is for a struct with named fields: each is a key"),
        )),
    }
}

/// The expression of a field's default.
fn default(attributes: &[Attribute]) -> syn::Result<Option<TokenStream>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("setting")) {
        for option in attribute.parse_args::<Options>()?.0 {
            if option.name != "default" {
                return Err(option.unknown("#[setting]", "`default = …`"));
            }
            let value = match option.value {
                Value::None => quote! { ::core::default::Default::default() },
                Value::Is(expr) => match *expr {
                    // So that a `String` may have a plain literal.
                    Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                        quote! { ::core::convert::From::from(#text) }
                    }
                    expr => quote! { #expr },
                },
                Value::Has(_) | Value::List(_) => {
                    return Err(syn::Error::new(option.name.span(), "write `default = …`"));
                }
            };
            crate::attributes::once(&mut found, &option.name, value)?;
        }
    }
    Ok(found)
}

/// Whether a type is written as `Name` or `Name<…>`, under whatever path.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == name),
        Type::Group(group) => is_named(&group.elem, name),
        Type::Paren(paren) => is_named(&paren.elem, name),
        _ => false,
    }
}

fn mentions_secret(ty: &Type) -> bool {
    fn contains(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == "Secret",
            proc_macro2::TokenTree::Group(group) => contains(group.stream()),
            _ => false,
        })
    }
    contains(quote!(#ty))
}
