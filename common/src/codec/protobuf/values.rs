//! What commands and frames have in common.

use super::fields::Fields;
use crate::Payload;
use crate::codec::wire::{Encode, Writer};
use crate::contract::ContractHash;
use crate::frame::{ContractId, Position};

impl Encode for ContractId {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.name.as_bytes());
        out.fixed64(2, self.hash.0);
    }
}

pub(super) fn contract_id(fields: &Fields<'_>) -> ContractId {
    ContractId { name: fields.text(1), hash: ContractHash(fields.fixed64(2)) }
}

impl Encode for Position {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.offset);
        out.bytes(2, self.epoch.as_bytes());
    }
}

pub(super) fn position(fields: &Fields<'_>) -> Position {
    Position { offset: fields.number(1), epoch: fields.text(2) }
}

/// The content tag in `field`, the data in the one after it.
pub(super) fn encode_payload(out: &mut Writer, field: u32, payload: &Payload) {
    out.uint(field, payload.content as u64);
    out.bytes(field.saturating_add(1), &payload.data);
}
