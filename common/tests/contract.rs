//! The typed contract: the inputs of its hashes, and the payloads that fit it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wirehub_common::contract::{
    Attachment, Binary, Call, ContractHash, Item, ItemKind, Message, Schema, differing_items, hash_text,
};
use wirehub_common::{ChannelName, ChannelNameError, Content, Payload, PayloadError, PayloadErrorKind};

/// The hash of a type called `M`, which has to be the last one that is declared.
macro_rules! hash_of {
    ($($(#[$meta:meta])* $vis:vis $kind:ident $name:ident { $($body:tt)* })*) => {{
        $(
            #[derive(Schema, Serialize, Deserialize)]
            #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
            #[allow(dead_code)]
            $(#[$meta])*
            $vis $kind $name { $($body)* }
        )*
        <M as Schema>::HASH
    }};
}

#[test]
fn a_message_hash_changes_with_the_encoding() {
    let base = hash_of! { struct M { a: u32, b: String } };
    for (change, hash) in [
        ("a field's name", hash_of! { struct M { c: u32, b: String } }),
        ("a field's type", hash_of! { struct M { a: u64, b: String } }),
        ("a field may be absent", hash_of! { struct M { a: Option<u32>, b: String } }),
        ("a field more", hash_of! { struct M { a: u32, b: String, c: u32 } }),
        ("a field less", hash_of! { struct M { a: u32 } }),
        ("a serde attribute on a field", hash_of! { struct M { #[serde(rename = "x")] a: u32, b: String } }),
        ("another one", hash_of! { struct M { #[serde(default)] a: u32, b: String } }),
        (
            "a serde attribute on the type",
            hash_of! { #[serde(rename_all = "UPPERCASE")] struct M { a: u32, b: String } },
        ),
        ("a struct that is an enum", hash_of! { enum M { A, B } }),
    ] {
        assert_ne!(hash, base, "{change}");
    }
}

#[test]
fn an_enums_hash_changes_with_its_variants() {
    let base = hash_of! { enum M { A(u32), B { c: String } } };
    for (change, hash) in [
        ("a variant's name", hash_of! { enum M { X(u32), B { c: String } } }),
        ("a variant's content", hash_of! { enum M { A(u64), B { c: String } } }),
        ("a variant's field", hash_of! { enum M { A(u32), B { d: String } } }),
        ("a variant more", hash_of! { enum M { A(u32), B { c: String }, C } }),
        (
            "a serde attribute on a variant",
            hash_of! { enum M { #[serde(rename = "x")] A(u32), B { c: String } } },
        ),
        ("how it is tagged", hash_of! { #[serde(untagged)] enum M { A(u32), B { c: String } } }),
    ] {
        assert_ne!(hash, base, "{change}");
    }
}

#[test]
fn a_message_hash_changes_with_the_types_it_is_made_of() {
    let base = hash_of! { struct Part { a: u32 } struct M { part: Part } };
    assert_ne!(base, hash_of! { struct Part { a: u64 } struct M { part: Part } });
    let list = hash_of! { struct Part { a: u32 } struct M { parts: Vec<Part> } };
    assert_ne!(list, hash_of! { struct Part { a: u64 } struct M { parts: Vec<Part> } });
    let opaque = hash_of! { struct Part { a: u32 } struct M { #[schema(opaque)] part: Part } };
    assert_eq!(opaque, hash_of! { struct Part { a: u64 } struct M { #[schema(opaque)] part: Part } });
}

#[test]
fn a_message_hash_does_not_change_without_a_change_of_the_encoding() {
    let base = hash_of! { struct M { a: u32, b: String } };
    for (change, hash) in [
        (
            "documentation",
            hash_of! {
                /// A message.
                struct M {
                    /// A number.
                    a: u32,
                    /// A text.
                    b: String
                }
            },
        ),
        ("visibility", hash_of! { pub(crate) struct M { pub a: u32, pub(crate) b: String } }),
        (
            "other attributes",
            hash_of! { #[derive(Debug)] #[repr(C)] struct M { #[allow(unused)] a: u32, b: String } },
        ),
        ("a comma at the end", hash_of! { struct M { a: u32, b: String, } }),
    ] {
        assert_eq!(hash, base, "{change}");
    }
    let base = hash_of! { enum M { A(u32), B { c: String } } };
    let other = hash_of! {
        /// One of two.
        pub(crate) enum M {
            /// The first.
            #[allow(unused)]
            A(
                /// Of these.
                u32,
            ),
            B {
                /// This.
                c: String,
            },
        }
    };
    assert_eq!(other, base);
}

#[test]
fn containers_that_are_encoded_alike_hash_alike() {
    fn hash<T: Schema>() -> u64 {
        T::HASH
    }
    assert_eq!(hash::<HashMap<String, u8>>(), hash::<BTreeMap<String, u8>>());
    assert_eq!(hash::<HashSet<u8>>(), hash::<BTreeSet<u8>>());
    assert_eq!(hash::<Box<u8>>(), hash::<u8>());
    let different = [
        hash::<u8>(),
        hash::<u16>(),
        hash::<Option<u8>>(),
        hash::<Vec<u8>>(),
        hash::<Vec<u16>>(),
        hash::<[u8; 2]>(),
        hash::<[u8; 3]>(),
        hash::<(u8,)>(),
        hash::<(u8, u8)>(),
        hash::<Result<u8, u16>>(),
        hash::<Result<u16, u8>>(),
        hash::<BTreeMap<u8, u16>>(),
        hash::<BTreeMap<u16, u8>>(),
    ];
    assert_eq!(different.iter().collect::<HashSet<_>>().len(), different.len());
}

#[test]
fn the_hash_of_a_generic_message_depends_on_its_arguments() {
    #[derive(Schema)]
    #[allow(dead_code)]
    struct Page<T> {
        entries: Vec<T>,
    }
    assert_ne!(<Page<u8> as Schema>::HASH, <Page<u16> as Schema>::HASH);
    assert_eq!(<Page<HashSet<u8>> as Schema>::HASH, <Page<BTreeSet<u8>> as Schema>::HASH);
}

// --- contracts ------------------------------------------------------------------------------------------------

/// Contracts that are equal on the wire, and others that are not.
mod versions {
    use super::*;

    pub(super) mod base {
        wirehub_common::contract! {
            pub(crate) contract C = "shop";
            channel Order { id } = "order:{id}": u32;
            channel News = "news": String;
            call Buy = "buy": fn(u32) -> bool;
        }
    }

    pub(super) mod reordered_and_renamed_in_rust {
        wirehub_common::contract! {
            /// Documented.
            pub(crate) contract Shop = "shop";
            call Purchase = "buy": fn(u32) -> bool;
            /// Documented.
            channel Headlines = "news": String;
            channel Basket { id } = "order:{id}": u32;
        }
    }

    pub(super) mod changed {
        wirehub_common::contract! {
            pub(crate) contract C = "shop";
            channel Order { id } = "order:{id}": u64;
            channel Alerts = "alerts": String;
            call Buy = "buy": fn(u32) -> u32;
        }
    }

    pub(super) mod another_name {
        wirehub_common::contract! {
            pub(crate) contract C = "store";
            channel Order { id } = "order:{id}": u32;
            channel News = "news": String;
            call Buy = "buy": fn(u32) -> bool;
        }
    }

    pub(super) mod fewer {
        wirehub_common::contract! {
            pub(crate) contract C = "shop";
            channel Order { id } = "order:{id}": u32;
            channel News = "news": String;
        }
    }

    pub(super) mod stream_for_call {
        wirehub_common::contract! {
            pub(crate) contract C = "shop";
            channel Order { id } = "order:{id}": u32;
            channel News = "news": String;
            stream Buy = "buy": fn(u32) -> bool;
        }
    }

    pub(super) mod channel_for_call {
        wirehub_common::contract! {
            pub(crate) contract C = "shop";
            channel Order { id } = "order:{id}": u32;
            channel News = "news": String;
            channel Buy = "buy": u32;
        }
    }

    #[test]
    fn the_hash_of_a_contract_is_that_of_its_wire_format() {
        assert_eq!(base::C::HASH, reordered_and_renamed_in_rust::Shop::HASH);
        let others = [
            changed::C::HASH,
            another_name::C::HASH,
            fewer::C::HASH,
            channel_for_call::C::HASH,
            stream_for_call::C::HASH,
        ];
        for other in others {
            assert_ne!(other, base::C::HASH);
        }
    }

    #[test]
    fn the_differences_of_two_contracts_are_reported_by_name() {
        fn differing(ours: fn() -> wirehub_common::frame::ContractDigest) -> Vec<String> {
            let (ours, theirs) = (ours(), base::C::digest());
            differing_items(&ours.items, &theirs.items).into_iter().map(Into::into).collect()
        }
        assert_eq!(differing(reordered_and_renamed_in_rust::Shop::digest), Vec::<String>::new());
        assert_eq!(differing(changed::C::digest), ["order:{id}", "alerts", "buy", "news"]);
        assert_eq!(differing(fewer::C::digest), ["buy"]);
        assert_eq!(differing(channel_for_call::C::digest), ["buy"], "a channel is no call");
        assert_eq!(differing(stream_for_call::C::digest), ["buy"], "neither is a stream");
    }

    #[test]
    fn a_digest_names_every_item_with_its_hash() {
        let digest = base::C::digest();
        assert_eq!(digest.id, base::C::id());
        let names: Vec<_> = digest.items.iter().map(|item| &*item.name).collect();
        assert_eq!(names, ["order:{id}", "news", "buy"]);
        assert!(digest.items.iter().zip(base::C::ITEMS).all(|(sent, item)| sent.hash == item.hash));
    }
}

// --- payloads that fit ----------------------------------------------------------------------------------------

wirehub_common::contract! {
    contract Studio = "studio";
    channel Room { room } = "chat:{room}": Line;
    channel Move { game, player } = "game:{game}/{player}:moves": (u8, u8);
    channel Frames = "frames": Binary;
    channel Samples = "samples": Sample;
    channel Photos = "photos": Attachment<Line>;
    call Add = "add": fn(Vec<i64>) -> i64;
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
struct Line {
    text: String,
}

/// A message with an encoding of its own: a number as two bytes.
#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
struct Sample(u16);

impl Message for Sample {
    const CONTENT: Content = Content::Custom;
    const HASH: u64 = hash_text("sample, big-endian");

    fn to_payload(&self) -> Result<Payload, PayloadError> {
        Ok(Payload::custom(Bytes::copy_from_slice(&self.0.to_be_bytes())))
    }

    fn from_payload(payload: &Payload) -> Result<Self, PayloadError> {
        wirehub_common::contract::expect_content(payload, Self::CONTENT)?;
        let bytes = <[u8; 2]>::try_from(&*payload.data)
            .map_err(|error| PayloadError::new(PayloadErrorKind::Decode, Some(error.into())))?;
        Ok(Self(u16::from_be_bytes(bytes)))
    }
}

#[test]
fn messages_come_back_out_of_their_payloads() {
    let line = Line { text: "hi".into() };
    assert_eq!(line.to_payload().unwrap(), Payload::json(r#"{"text":"hi"}"#));
    assert_eq!(Line::from_payload(&line.to_payload().unwrap()).unwrap(), line);

    let picture = Binary(Bytes::from_static(&[1, 2, 3]));
    let payload = picture.to_payload().unwrap();
    assert_eq!(payload, Payload::bytes(vec![1, 2, 3]));
    let back = Binary::from_payload(&payload).unwrap();
    assert_eq!(back.0.as_ptr(), payload.data.as_ptr(), "the bytes are shared");

    let photo = Attachment::new(Line { text: "a cat".into() }, vec![0, 255]);
    let payload = photo.to_payload().unwrap();
    assert_eq!(payload, Payload::attachment(r#"{"text":"a cat"}"#, [0, 255]));
    let back = Attachment::<Line>::from_payload(&payload).unwrap();
    assert_eq!(back, photo);
    assert_eq!(back.bytes.as_ptr(), payload.data[payload.data.len() - 2..].as_ptr(), "the bytes are shared");

    let sample = Sample(0x1234);
    assert_eq!(Sample::from_payload(&sample.to_payload().unwrap()).unwrap(), sample);

    assert_eq!(<()>::from_payload(&().to_payload().unwrap()).map_err(|error| error.kind()), Ok(()));
}

#[test]
fn a_payload_that_does_not_fit_has_an_error_with_the_reason() {
    let kind = |payload: Payload| Line::from_payload(&payload).unwrap_err().kind();
    assert_eq!(kind(Payload::bytes(r#"{"text":"hi"}"#)), PayloadErrorKind::Content);
    assert_eq!(kind(Payload::custom("")), PayloadErrorKind::Content);
    for text in ["", "{}", "null", r#"{"text":1}"#, r#"{"text":"hi"} x"#] {
        assert_eq!(kind(Payload::json(text)), PayloadErrorKind::Decode, "{text}");
    }
    let error = Line::from_payload(&Payload::json("{}")).unwrap_err();
    assert!(error.to_string().contains("missing field `text`"), "{error}");
    assert!(std::error::Error::source(&error).is_some());

    let kind = |payload: Payload| Attachment::<Line>::from_payload(&payload).unwrap_err().kind();
    assert_eq!(kind(Payload::bytes("x")), PayloadErrorKind::Content);
    assert_eq!(kind(Payload::json(r#"{"text":"hi"}"#)), PayloadErrorKind::Content);
    assert_eq!(kind(Payload::attachment("{}", "x")), PayloadErrorKind::Decode, "a head of another type");
    let cut = Payload { content: Content::Attachment, data: Bytes::from_static(b"\x09\0\0\0{}") };
    let error = Attachment::<Line>::from_payload(&cut).unwrap_err();
    assert!(error.to_string().contains("its head is cut short"), "{error}");

    let unwritable = BTreeMap::from([((1_u8, 2_u8), 3_u8)]);
    assert_eq!(unwritable.to_payload().unwrap_err().kind(), PayloadErrorKind::Encode);
}

#[test]
fn an_item_checks_payloads_for_its_type() {
    let item = |name: &str| Studio::ITEMS.iter().find(|item| item.name == name).unwrap();
    let check = |name, payload| (item(name).check)(&payload).map_err(|error| error.kind());
    assert_eq!(check("chat:{room}", Payload::json(r#"{"text":"hi"}"#)), Ok(()));
    assert_eq!(check("chat:{room}", Payload::json("1")), Err(PayloadErrorKind::Decode));
    assert_eq!(check("frames", Payload::bytes("x")), Ok(()));
    assert_eq!(check("frames", Payload::json("1")), Err(PayloadErrorKind::Content));
    assert_eq!(check("samples", Payload::custom("xy")), Ok(()));
    assert_eq!(check("samples", Payload::custom("x")), Err(PayloadErrorKind::Decode));
    assert_eq!(check("photos", Payload::attachment(r#"{"text":"hi"}"#, "x")), Ok(()));
    assert_eq!(check("photos", Payload::attachment("1", "x")), Err(PayloadErrorKind::Decode));
    assert_eq!(check("add", Payload::json("[1,2]")), Ok(()), "a call is checked for its request");
    assert_eq!(check("add", Payload::json("3")), Err(PayloadErrorKind::Decode));
    assert_eq!(item("add").kind, ItemKind::Call);
}

#[test]
fn a_channel_name_finds_its_item_and_its_parameters() {
    let found = |name: &str| {
        let name = ChannelName::new(name).unwrap();
        Studio::ITEMS
            .iter()
            .filter(|item| item.is_channel(&name))
            .map(|item: &Item| item.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(found("chat:lobby"), ["chat:{room}"]);
    assert_eq!(found("game:7/ann:moves"), ["game:{game}/{player}:moves"]);
    assert_eq!(found("frames"), ["frames"]);
    for name in ["chat:", "chat", "chat:a:b", "game:7/ann", "frames:1", "add"] {
        assert_eq!(found(name), [""; 0], "{name}");
    }

    let turn = Move::new("7", "ann").unwrap();
    assert_eq!(turn.name().as_str(), "game:7/ann:moves");
    let parsed = Move::parse(turn.name()).unwrap();
    assert_eq!((parsed.game(), parsed.player()), ("7", "ann"));
    assert_eq!(parsed, turn);
    assert_eq!(Room::parse(turn.name()), None);
    assert_eq!(Frames::parse(Frames::new().name()), Some(Frames::new()));
    assert_eq!(Samples::new().name().as_str(), Samples::PATTERN);
}

#[test]
fn parameters_that_would_change_the_meaning_of_a_name_are_refused() {
    for bad in ["", "a:b", "a/b"] {
        assert_eq!(Room::new(bad), Err(ChannelNameError::BadParameter), "{bad}");
    }
    for bad in ["a b", "*", "\n"] {
        assert_eq!(Room::new(bad), Err(ChannelNameError::BadCharacter), "{bad:?}");
    }
    assert_eq!(Room::new("x".repeat(300)), Err(ChannelNameError::TooLong));
    assert_eq!(Room::new("räume").unwrap().room(), "räume");
}

#[test]
fn a_call_has_a_name_and_types() {
    fn round_trip<C: Call>(request: &C::Request) -> Result<C::Request, PayloadError> {
        C::Request::from_payload(&request.to_payload()?)
    }
    assert_eq!(Add::NAME, "add");
    assert_eq!(round_trip::<Add>(&vec![1, 2]).unwrap(), [1, 2]);
}

#[test]
fn a_hash_is_read_as_it_is_written() {
    let hash = ContractHash(0x0012_3456_789a_bcde);
    assert_eq!(hash.to_string(), "00123456789abcde");
    assert_eq!(ContractHash::from_hex("00123456789ABCDE"), Some(hash));
    for text in ["", "0", "00123456789abcdef", "0012345 789abcde", "+0123456789abcde", "00123456789abcdé"] {
        assert_eq!(ContractHash::from_hex(text), None, "{text:?}");
    }
}

/// Parameters with names that are also used in the macro or in its output.
mod names {
    wirehub_common::contract! {
        pub(super) contract Names = "names";
        channel Named { name } = "named:{name}": String;
        channel Ours { pattern, parameters, values, value, place } =
            "ours:{pattern}:{parameters}:{values}:{value}:{place}": String;
        channel Methods { parse, clone, eq, hash, fmt, map, as_ref } =
            "methods:{parse}:{clone}:{eq}:{hash}:{fmt}:{map}:{as_ref}": String;
        channel Words { r#type, r#fn, union, channel, message, call, stream } =
            "words:{type}:{fn}:{union}:{channel}:{message}:{call}:{stream}": String;
        channel Shapes { _hidden, r, größe } = "shapes:{_hidden}:{r}:{größe}": String;
    }
}

#[test]
fn a_parameter_may_have_any_name() {
    let named = names::Named::new("ann").unwrap();
    assert_eq!((named.parameter("name"), named.name().as_str()), (Some("ann"), "named:ann"));
    assert_eq!(named.parameter("nobody"), None);
    assert_eq!(names::Named::parse(named.name()), Some(named));
    let ours = names::Ours::new("a", "b", "c", "d", "e").unwrap();
    assert_eq!(ours.name().as_str(), "ours:a:b:c:d:e");
    assert_eq!(
        [ours.pattern(), ours.parameters(), ours.values(), ours.value(), ours.place()],
        ["a", "b", "c", "d", "e"]
    );
    let methods = names::Methods::new("a", "b", "c", "d", "e", "f", "g").unwrap();
    assert_eq!((methods.parameter("parse"), methods.clone(), methods.as_ref()), (Some("a"), "b", "g"));
    assert_eq!(names::Methods::parse(methods.name()), Some(Clone::clone(&methods)));
    let words = names::Words::new("a", "b", "c", "d", "e", "f", "g").unwrap();
    assert_eq!((words.r#type(), words.r#fn(), words.union(), words.stream()), ("a", "b", "c", "g"));
    assert_eq!(words.parameter("type"), Some("a"));
    let shapes = names::Shapes::parse(&ChannelName::new("shapes:a:b:c").unwrap()).unwrap();
    assert_eq!([shapes._hidden(), shapes.r(), shapes.größe()], ["a", "b", "c"]);
}
