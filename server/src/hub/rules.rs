//! What a contract allows.

use wirehub_common::code::ErrorCode;
use wirehub_common::contract::{Contract, Item, ItemKind};
use wirehub_common::frame::{ContractDigest, ContractId, ErrorInfo};
use wirehub_common::{ChannelName, Payload};

use crate::call::mismatch;

/// The rules of the hub's contract; without a contract everything is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules(Option<Terms>);

#[derive(Debug, Clone, Copy)]
struct Terms {
    items: &'static [Item],
    id: fn() -> ContractId,
    digest: fn() -> ContractDigest,
}

impl Rules {
    pub(crate) fn of<C: Contract>() -> Self {
        Self(Some(Terms { items: C::ITEMS, id: C::id, digest: C::digest }))
    }

    /// Our contract, where it is not the client's.
    pub(crate) fn difference(&self, clients: Option<&ContractId>) -> Option<ContractDigest> {
        let (terms, clients) = (self.0?, clients?);
        ((terms.id)() != *clients).then(terms.digest)
    }

    /// Whether there is such a channel.
    pub(crate) fn check_channel(&self, name: &ChannelName) -> Result<(), ErrorInfo> {
        self.channel(name).map(|_| ())
    }

    /// Whether a client's publication is in order.
    pub(crate) fn check_publication(&self, name: &ChannelName, payload: &Payload) -> Result<(), ErrorInfo> {
        let item = self.channel(name)?;
        // What fits a type of a contract is well-formed: one look at the payload is enough where all is well.
        match item.map(|item| (item.check)(payload)) {
            Some(Ok(())) => Ok(()),
            _ if !payload.is_well_formed() => Err(ErrorInfo {
                message:
                    "the payload is tagged as JSON and is not one JSON text: send it as one, or as bytes"
                        .into(),
                ..ErrorInfo::from_code(ErrorCode::BAD_REQUEST)
            }),
            Some(Err(error)) => Err(mismatch(&error)),
            None => Ok(()),
        }
    }

    /// The calls of the contract.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &'static str> {
        let items = self.0.map_or(&[][..], |terms| terms.items);
        items.iter().filter(|item| item.kind != ItemKind::Channel).map(|item| item.name)
    }

    /// The contract's item for a channel; none where there is no contract.
    fn channel(&self, name: &ChannelName) -> Result<Option<&'static Item>, ErrorInfo> {
        let Some(terms) = self.0 else { return Ok(None) };
        match terms.items.iter().find(|item| item.is_channel(name)) {
            Some(item) => Ok(Some(item)),
            None => Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_CHANNEL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use wirehub_demo_contract::Demo;

    use super::*;

    fn code(result: Result<(), ErrorInfo>) -> Option<ErrorCode> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn a_contract_knows_its_channels_and_what_fits_them() {
        let rules = Rules::of::<Demo>();
        let room = ChannelName::new("chat:lobby").unwrap();
        let message = Payload::json(r#"{"nick":"ann","text":"hi"}"#);
        assert_eq!(code(rules.check_publication(&room, &message)), None);
        let other = ChannelName::new("news").unwrap();
        assert_eq!(code(rules.check_channel(&other)), Some(ErrorCode::UNKNOWN_CHANNEL));
        assert_eq!(code(rules.check_publication(&other, &message)), Some(ErrorCode::UNKNOWN_CHANNEL));
        for misfit in [Payload::json("{}"), Payload::bytes("x")] {
            assert_eq!(code(rules.check_publication(&room, &misfit)), Some(ErrorCode::PAYLOAD_MISMATCH));
        }
        let broken = Payload::json("{");
        assert_eq!(code(rules.check_publication(&room, &broken)), Some(ErrorCode::BAD_REQUEST));
    }

    #[test]
    fn without_a_contract_only_broken_json_is_refused() {
        let rules = Rules::default();
        let any = ChannelName::new("any").unwrap();
        assert_eq!(code(rules.check_publication(&any, &Payload::bytes("\u{1}"))), None);
        assert_eq!(code(rules.check_publication(&any, &Payload::json(""))), Some(ErrorCode::BAD_REQUEST));
        assert_eq!(rules.difference(Some(&Demo::id())), None);
    }

    #[test]
    fn a_difference_is_told_to_clients_that_name_another_contract() {
        let rules = Rules::of::<Demo>();
        assert_eq!(rules.difference(None), None);
        assert_eq!(rules.difference(Some(&Demo::id())), None);
        let other = ContractId { name: "other".into(), ..Demo::id() };
        assert_eq!(rules.difference(Some(&other)), Some(Demo::digest()));
    }
}
