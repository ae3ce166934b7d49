//! The rules of the contract.

use wirehub_common::code::ErrorCode;
use wirehub_common::contract::{Contract, ContractHash, Item, ItemKind};
use wirehub_common::frame::{ContractDigest, ContractId, ErrorInfo};
use wirehub_common::{ChannelName, Payload, PayloadError, PayloadErrorKind};

use crate::call::mismatch;
use crate::panic_guard::{Panicked, guarded};

/// The rules of the hub's contract. Without a contract everything is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules(Option<ContractTerms>);

#[derive(Debug, Clone, Copy)]
struct ContractTerms {
    items: &'static [Item],
    id: fn() -> ContractId,
    digest: fn() -> ContractDigest,
}

impl Rules {
    pub(crate) fn of<C: Contract>() -> Self {
        Self(Some(ContractTerms { items: C::ITEMS, id: C::id, digest: C::digest }))
    }

    /// `true` if the hub has a contract.
    pub(crate) fn is_contract(&self) -> bool {
        self.0.is_some()
    }

    /// The hub's contract, if it differs from the client's.
    pub(crate) fn difference(&self, clients: Option<&ContractId>) -> Option<ContractDigest> {
        let (terms, clients) = (self.0?, clients?);
        ((terms.id)() != *clients).then(terms.digest)
    }

    /// Checks that the channel exists.
    pub(crate) fn check_channel(&self, name: &ChannelName) -> Result<(), ErrorInfo> {
        self.channel(name).map(|_| ())
    }

    /// Checks a client's publication.
    pub(crate) fn check_publication(&self, name: &ChannelName, payload: &Payload) -> Result<(), ErrorInfo> {
        let item = self.channel(name)?;
        // A payload that fits a type of the contract is well-formed, so a valid one is parsed only once.
        match item.map(|item| check_payload(item, payload)).transpose()? {
            Some(Ok(())) => Ok(()),
            other => match (payload.malformed(), other) {
                (Some(words), _) => {
                    Err(ErrorInfo { message: words.into(), ..ErrorInfo::from_code(ErrorCode::BAD_REQUEST) })
                }
                (None, Some(Err(error))) => Err(mismatch(&error)),
                (None, _) => Ok(()),
            },
        }
    }

    /// Checks a publication of the application.
    pub(crate) fn check_server_publication(
        &self,
        name: &ChannelName,
        payload: &Payload,
    ) -> Result<(), PayloadError> {
        let unknown = |_| {
            let words = format!("the contract has no channel like {name}");
            PayloadError::new(PayloadErrorKind::Channel, Some(words.into()))
        };
        match self.channel(name).map_err(unknown)?.map(|item| check_payload(item, payload)) {
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                let words = "the type's own code panicked";
                Err(PayloadError::new(PayloadErrorKind::Decode, Some(words.into())))
            }
            None => super::well_formed(payload),
        }
    }

    /// Checks that the call exists, and that its request is valid.
    pub(crate) fn check_call(&self, name: &str, request: &Payload) -> Result<(), ErrorInfo> {
        let Some(terms) = self.0 else { return Ok(()) };
        let item = terms.items.iter().find(|item| item.kind != ItemKind::Channel && item.name == name);
        let item = item.ok_or_else(|| ErrorInfo::from_code(ErrorCode::UNKNOWN_CALL))?;
        check_payload(item, request)?.map_err(|error| mismatch(&error))
    }

    /// The calls of the contract.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &'static str> {
        let items = self.0.map_or(&[][..], |terms| terms.items);
        items.iter().filter(|item| item.kind != ItemKind::Channel).map(|item| item.name)
    }

    /// The reason why the contract has no place for a handler with this name and hash; `None` if it has.
    pub(crate) fn handler_mismatch(&self, name: &str, hash: ContractHash) -> Option<String> {
        let terms = self.0?;
        let item = terms.items.iter().find(|item| item.kind != ItemKind::Channel && item.name == name);
        match item {
            Some(item) if item.hash == hash => None,
            Some(_) => Some(format!("the contract's {name} has other types, or is of another kind")),
            None => Some(format!("the contract has no call {name}")),
        }
    }

    /// The contract's item for a channel; `None` without a contract.
    fn channel(&self, name: &ChannelName) -> Result<Option<&'static Item>, ErrorInfo> {
        let Some(terms) = self.0 else { return Ok(None) };
        match terms.items.iter().find(|item| item.is_channel(name)) {
            Some(item) => Ok(Some(item)),
            None => Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_CHANNEL)),
        }
    }
}

/// Decodes a payload as an item's type. The type's code belongs to the application.
fn check_payload(item: &Item, payload: &Payload) -> Result<Result<(), PayloadError>, Panicked> {
    guarded("a type of the contract", || (item.check)(payload))
}

#[cfg(test)]
mod tests {
    use wirehub_common::Content;
    use wirehub_common::contract::Message;
    use wirehub_demo_contract::Demo;

    use super::*;

    fn code(result: Result<(), ErrorInfo>) -> Option<ErrorCode> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn a_contract_knows_its_channels_and_their_types() {
        let rules = Rules::of::<Demo>();
        let room = ChannelName::new("chat:lobby").unwrap();
        let message = Payload::json(r#"{"nick":"ann","text":"hi"}"#);
        assert_eq!(code(rules.check_publication(&room, &message)), None);
        let other = ChannelName::new("news").unwrap();
        assert_eq!(code(rules.check_channel(&other)), Some(ErrorCode::UNKNOWN_CHANNEL));
        assert_eq!(code(rules.check_publication(&other, &message)), Some(ErrorCode::UNKNOWN_CHANNEL));
        for bad in [Payload::json("{}"), Payload::bytes("x")] {
            assert_eq!(code(rules.check_publication(&room, &bad)), Some(ErrorCode::PAYLOAD_MISMATCH));
        }
        let broken = Payload::json("{");
        assert_eq!(code(rules.check_publication(&room, &broken)), Some(ErrorCode::BAD_REQUEST));
    }

    #[test]
    fn publications_of_the_application_are_checked_too() {
        let rules = Rules::of::<Demo>();
        let kind = |name: &str, payload| {
            rules
                .check_server_publication(&ChannelName::new(name).unwrap(), &payload)
                .err()
                .map(|error| error.kind())
        };
        assert_eq!(kind("chat:lobby", Payload::json(r#"{"nick":"ann","text":"hi"}"#)), None);
        assert_eq!(kind("chat:lobby", Payload::json("{}")), Some(PayloadErrorKind::Decode));
        assert_eq!(kind("chat:lobby", Payload::bytes("x")), Some(PayloadErrorKind::Content));
        assert_eq!(kind("news", Payload::json("1")), Some(PayloadErrorKind::Channel));
        let error = rules
            .check_server_publication(&ChannelName::new("news").unwrap(), &Payload::json("1"))
            .unwrap_err();
        assert!(error.to_string().contains("news"), "{error}");
    }

    #[test]
    fn a_type_that_panics_while_it_is_decoded_is_a_failure_of_the_server() {
        struct Bad;
        impl Message for Bad {
            const CONTENT: Content = Content::Bytes;
            const HASH: u64 = 1;
            fn to_payload(&self) -> Result<Payload, PayloadError> {
                Ok(Payload::bytes(""))
            }
            fn from_payload(_: &Payload) -> Result<Self, PayloadError> {
                panic!("a mistake of the application")
            }
        }
        wirehub_common::contract! {
            contract Fragile = "fragile";
            /// A type that can't be decoded.
            channel Any = "any": Bad;
            /// A call with such a type.
            call Do = "do": fn(Bad) -> Bad;
        }
        let rules = Rules::of::<Fragile>();
        let payload = Payload::bytes("x");
        assert_eq!(code(rules.check_publication(Any::new().name(), &payload)), Some(ErrorCode::INTERNAL));
        assert_eq!(code(rules.check_call(Do::NAME, &payload)), Some(ErrorCode::INTERNAL));
        assert!(rules.check_server_publication(Any::new().name(), &payload).is_err());
    }

    #[test]
    fn without_a_contract_only_payloads_without_the_form_of_their_content_are_refused() {
        let rules = Rules::default();
        let any = ChannelName::new("any").unwrap();
        assert_eq!(code(rules.check_publication(&any, &Payload::bytes("\u{1}"))), None);
        assert_eq!(code(rules.check_publication(&any, &Payload::json(""))), Some(ErrorCode::BAD_REQUEST));
        assert_eq!(code(rules.check_publication(&any, &Payload::attachment("{}", "\u{1}"))), None);
        let headless = Payload { content: Content::Attachment, ..Payload::bytes("{}") };
        let error = rules.check_publication(&any, &headless).unwrap_err();
        assert_eq!(error.code, ErrorCode::BAD_REQUEST);
        assert!(error.message.contains("length of the head"), "{error:?}");
        assert_eq!(rules.difference(Some(&Demo::id())), None);
    }

    #[test]
    fn clients_with_another_contract_receive_the_difference() {
        let rules = Rules::of::<Demo>();
        assert_eq!(rules.difference(None), None);
        assert_eq!(rules.difference(Some(&Demo::id())), None);
        let other = ContractId { name: "other".into(), ..Demo::id() };
        assert_eq!(rules.difference(Some(&other)), Some(Demo::digest()));
    }
}
