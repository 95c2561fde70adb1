//! Options in parentheses: `name = value`, `name(…)` and bare `name`.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token, parenthesized, token};

/// One option.
pub(crate) struct Option_ {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    None,
    Is(Box<Expr>),
    Has(Options),
    /// What is in the parentheses of an option that has a list of names.
    List(Vec<Expr>),
}

/// The options that have a list of names.
const LISTS: [&str; 3] = ["implements", "requires", "optional"];

/// Options between commas.
pub(crate) struct Options(pub(crate) Vec<Option_>);

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Options> {
        Ok(Options(Punctuated::<Option_, Token![,]>::parse_terminated(input)?.into_iter().collect()))
    }
}

impl Parse for Option_ {
    fn parse(input: ParseStream<'_>) -> syn::Result<Option_> {
        let name: Ident = input.parse()?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Is(input.parse()?)
        } else if input.peek(token::Paren) {
            let inner;
            parenthesized!(inner in input);
            if LISTS.iter().any(|list| name == list) {
                let list = Punctuated::<Expr, Token![,]>::parse_terminated(&inner)?;
                Value::List(list.into_iter().collect())
            } else {
                Value::Has(inner.parse()?)
            }
        } else {
            Value::None
        };
        Ok(Option_ { name, value })
    }
}

impl Option_ {
    pub(crate) fn span(&self) -> Span {
        self.name.span()
    }

    /// Its value, a string.
    pub(crate) fn string(self, example: &str) -> syn::Result<LitStr> {
        let span = self.span();
        let name = &self.name;
        let say = || format!("`{name}` is a string, such as `{name} = \"{example}\"`");
        match self.value {
            Value::Is(expr) => match *expr {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
                other => Err(syn::Error::new_spanned(other, say())),
            },
            _ => Err(syn::Error::new(span, say())),
        }
    }

    /// Its value, a whole number.
    pub(crate) fn number<N: std::str::FromStr<Err: std::fmt::Display>>(
        self,
        what: &str,
        example: &str,
    ) -> syn::Result<N> {
        let span = self.span();
        let name = &self.name;
        let say = || format!("`{name}` is {what}, such as `{name} = {example}`");
        match self.value {
            Value::Is(expr) => match &*expr {
                Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
                    number.base10_parse().map_err(|_| syn::Error::new(number.span(), say()))
                }
                other => Err(syn::Error::new_spanned(other, say())),
            },
            _ => Err(syn::Error::new(span, say())),
        }
    }

    /// Its value, an expression.
    pub(crate) fn expr(self, example: &str) -> syn::Result<Expr> {
        let (span, name) = (self.span(), self.name);
        match self.value {
            Value::Is(expr) => Ok(*expr),
            _ => Err(syn::Error::new(span, format!("`{name}` needs a value, such as `{name} = {example}`"))),
        }
    }

    /// Its value, a type.
    pub(crate) fn path(self, example: &str) -> syn::Result<syn::Type> {
        let span = self.span();
        let name = &self.name;
        let say = || format!("`{name}` is a type, such as `{name} = {example}`");
        match self.value {
            Value::Is(expr) => match *expr {
                Expr::Path(syn::ExprPath { attrs, qself, path }) => {
                    Ok(syn::Type::Path(syn::TypePath { attrs, qself, path }))
                }
                Expr::Tuple(tuple) if tuple.elems.is_empty() => Ok(syn::parse_quote!(())),
                other => Err(syn::Error::new_spanned(other, say())),
            },
            _ => Err(syn::Error::new(span, say())),
        }
    }

    /// It has no value.
    pub(crate) fn flag(self) -> syn::Result<()> {
        match self.value {
            Value::None => Ok(()),
            _ => Err(syn::Error::new(
                self.name.span(),
                format!("`{}` stands alone, without a value", self.name),
            )),
        }
    }

    /// Nobody knows this option.
    pub(crate) fn unknown(&self, place: &str, known: &str) -> syn::Error {
        syn::Error::new(self.span(), format!("{place} has no option `{}`; it has {known}", self.name))
    }
}

/// Keeps an option that may be given once.
pub(crate) fn once<T>(place: &mut Option<T>, name: &Ident, value: T) -> syn::Result<()> {
    if place.replace(value).is_some() {
        return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
    }
    Ok(())
}
