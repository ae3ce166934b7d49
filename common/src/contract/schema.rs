//! Hashes of message types, computed by the compiler.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::collections::{HashMap, HashSet};

/// A type that can be part of a message: its shape has a hash. Derive it.
///
/// ```
/// use wirehub_common::contract::Schema;
///
/// #[derive(Schema)]
/// struct Point { x: f64, y: f64 }
/// #[derive(Schema)]
/// struct Line { from: Point, to: Point }
/// assert_ne!(Point::HASH, Line::HASH);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be part of a message: it has no schema",
    label = "this type does not implement `Schema`",
    note = "put `#[derive(serde::Serialize, serde::Deserialize, Schema)]` on it",
    note = "a type of another crate that can't have that: put `#[schema(opaque)]` on the field, which then counts by the \
            type's name alone"
)]
pub trait Schema {
    /// The hash of the type's shape. It is equal on both ends if both were built from the same text.
    const HASH: u64;
}

/// Hashes several hashes, in order.
pub const fn combine(hashes: &[u64]) -> u64 {
    let mut hash = OFFSET;
    let mut rest = hashes;
    while let [first, behind @ ..] = rest {
        hash = eat(hash, &first.to_le_bytes());
        rest = behind;
    }
    hash
}

/// Hashes a text.
pub const fn hash_text(text: &str) -> u64 {
    eat(OFFSET, text.as_bytes())
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a.
const fn eat(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    while let [byte, behind @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        rest = behind;
    }
    hash
}

macro_rules! primitives {
    ($($type:ty),*) => {
        $(impl Schema for $type {
            const HASH: u64 = hash_text(stringify!($type));
        })*
    };
}

primitives!((), bool, char, String, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

macro_rules! containers {
    ($($name:literal: <$($parameter:ident),*> $type:ty;)*) => {
        $(impl<$($parameter: Schema),*> Schema for $type {
            const HASH: u64 = combine(&[hash_text($name), $($parameter::HASH),*]);
        })*
    };
}

containers! {
    "option": <T> Option<T>;
    "list": <T> Vec<T>;
    "set": <T> BTreeSet<T>;
    "map": <K, V> BTreeMap<K, V>;
    "tuple": <A> (A,);
    "tuple": <A, B> (A, B);
    "tuple": <A, B, C> (A, B, C);
    "tuple": <A, B, C, D> (A, B, C, D);
    "result": <T, E> Result<T, E>;
}

#[cfg(feature = "std")]
impl<T: Schema, S> Schema for HashSet<T, S> {
    const HASH: u64 = BTreeSet::<T>::HASH;
}

#[cfg(feature = "std")]
impl<K: Schema, V: Schema, S> Schema for HashMap<K, V, S> {
    const HASH: u64 = BTreeMap::<K, V>::HASH;
}

impl<T: Schema> Schema for Box<T> {
    const HASH: u64 = T::HASH;
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    const HASH: u64 = combine(&[hash_text("array"), T::HASH, N as u64]);
}
