//! What a command may be named with.

use std::borrow::Cow;

/// The name of a command, or none: a `&'static str`, a `String`, or an `Option` of one.
pub trait Name {
    #[doc(hidden)]
    fn name(self) -> Option<Cow<'static, str>>;
}

impl Name for &'static str {
    fn name(self) -> Option<Cow<'static, str>> {
        Some(self.into())
    }
}

impl Name for String {
    fn name(self) -> Option<Cow<'static, str>> {
        Some(self.into())
    }
}

impl<N: Name> Name for Option<N> {
    fn name(self) -> Option<Cow<'static, str>> {
        self.and_then(N::name)
    }
}
