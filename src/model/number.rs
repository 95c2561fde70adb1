//! Enumerations that are numbers on the wire, and are taken by name too.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Visitor};

/// An enumeration with a number and a name for each of its values.
pub(super) trait Numbered: Copy + 'static {
    /// What it is, for errors: `driver role`.
    const WHAT: &'static str;
    const VALUES: &'static [(Self, i64, &'static str)];
}

/// Implements [`Numbered`], the accessors and serde for an enumeration.
macro_rules! numbered {
    ($type:ty, $what:literal, $values:expr) => {
        impl super::number::Numbered for $type {
            const WHAT: &'static str = $what;
            const VALUES: &'static [(Self, i64, &'static str)] = &$values;
        }

        impl $type {
            /// The number on the wire.
            pub fn number(self) -> i64 {
                super::number::find::<Self>(|row| row.0 == self).map_or(0, |row| row.1)
            }

            /// The name: lower case, words joined by `_`.
            pub fn name(self) -> &'static str {
                super::number::find::<Self>(|row| row.0 == self).map_or("", |row| row.2)
            }

            /// The value of a number on the wire.
            pub fn from_number(number: i64) -> Option<Self> {
                super::number::find::<Self>(|row| row.1 == number).map(|row| row.0)
            }

            /// The value of a name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                super::number::find::<Self>(|row| row.2.eq_ignore_ascii_case(name)).map(|row| row.0)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.number())
            }
        }

        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                super::number::schema::<Self>().into()
            }
        }

        impl utoipa::ToSchema for $type {}

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::number::deserialize(deserializer)
            }
        }
    };
}
pub(super) use numbered;

/// The numbers, with their names in the description.
pub(super) fn schema<T: Numbered>() -> utoipa::openapi::schema::Object {
    let names: Vec<_> = T::VALUES.iter().map(|row| format!("{} ({})", row.1, row.2)).collect();
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::Integer)
        .enum_values(Some(T::VALUES.iter().map(|row| row.1)))
        .description(Some(format!("A {}: {}. The name is taken too.", T::WHAT, names.join(", "))))
        .build()
}

pub(super) fn find<T: Numbered>(
    is: impl Fn(&(T, i64, &'static str)) -> bool,
) -> Option<&'static (T, i64, &'static str)> {
    T::VALUES.iter().find(|row| is(row))
}

/// Takes the number or the name.
pub(super) fn deserialize<'de, T: Numbered, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct NumberOrName<T>(PhantomData<T>);

    impl<T: Numbered> Visitor<'_> for NumberOrName<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let values: Vec<_> = T::VALUES.iter().map(|row| format!("{} ({})", row.1, row.2)).collect();
            write!(f, "a {}: {}", T::WHAT, values.join(", "))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            find::<T>(|row| row.1 == number)
                .map(|row| row.0)
                .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
            find::<T>(|row| row.2.eq_ignore_ascii_case(name))
                .map(|row| row.0)
                .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
        }
    }

    deserializer.deserialize_any(NumberOrName(PhantomData))
}
