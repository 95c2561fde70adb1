//! What `#[poll]` makes: the poll of each number, and its period.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::generate::run;
use super::methods::Methods;

/// What polls do, and how often, by their number.
pub(super) fn polls(methods: &Methods) -> Option<TokenStream> {
    if methods.polls.is_empty() {
        return None;
    }
    let runs = methods.polls.iter().enumerate().map(|(index, poll)| {
        let run = run(&poll.method, std::iter::empty());
        quote! { #index => { #run } }
    });
    let periods = methods.polls.iter().enumerate().map(|(index, poll)| {
        let every = &poll.every;
        quote_spanned! { every.span() => #index => ::drivers_sdk::__private::period(#every), }
    });
    Some(quote! {
        async fn poll(
            &self,
            cx: &::drivers_sdk::__private::Cx<Self>,
            poll: usize,
        ) -> ::core::result::Result<(), ::drivers_sdk::__private::Error> {
            let _ = cx;
            match poll {
                #(#runs)*
                _ => {}
            }
            ::core::result::Result::Ok(())
        }

        fn period(
            settings: &Self::Settings,
            poll: usize,
        ) -> ::core::option::Option<::core::time::Duration> {
            let _ = settings;
            match poll {
                #(#periods)*
                _ => ::core::option::Option::None,
            }
        }
    })
}
