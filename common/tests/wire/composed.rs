//! A composed command has the same bytes as an encoded one. The patterns name every field of a command, so this file does not
//! compile until a new field is composed, too.

use bytes::Bytes;
use proptest::prelude::*;

use wirehub_common::Codec;
use wirehub_common::compose::{self, Client, Subscriptions};
use wirehub_common::frame::{
    Acknowledge, Call, Cancel, Command, Connect, Part, Presence, Publish, Refresh, Request, Subscribe,
    Unsubscribe,
};

use crate::strategies;

proptest! {
    #[test]
    fn a_composed_command_has_the_same_bytes_as_an_encoded_one(mut command in strategies::command()) {
        // A part has no reply, so it has no id.
        if matches!(command.request, Request::Part(_)) {
            command.id = 0;
        }
        if let Some(composed) = composed(&command) {
            prop_assert_eq!(composed, Codec::Protobuf.encode_command(&command));
        }
    }
}

fn composed(Command { id, request }: &Command) -> Option<Bytes> {
    let id = *id;
    Some(match request {
        Request::Connect(Connect { token, client, version, contract, subscriptions, instance }) => {
            let contract = contract.as_ref().map(|contract| (contract.name.as_str(), contract.hash));
            let mut restored = Subscriptions::default();
            for Subscribe { channel, number, position, history } in subscriptions {
                restored.push(channel, *number, position.as_ref(), *history);
            }
            compose::connect(id, Client { token, client, version, contract, instance }, &restored)
        }
        Request::Subscribe(Subscribe { channel, number, position, history }) => {
            compose::subscribe(id, channel, *number, position.as_ref(), *history)
        }
        Request::Unsubscribe(Unsubscribe { channel, number }) => compose::unsubscribe(id, channel, *number),
        Request::Publish(Publish { channel, payload, key }) => {
            compose::publish(id, channel, payload.into(), key)
        }
        Request::History(history) => compose::history(id, history),
        Request::Presence(Presence { channel, counts_only, after }) => {
            compose::presence(id, channel, *counts_only, after)
        }
        Request::Call(Call { name, payload, key }) => compose::call(id, name, payload.into(), key),
        Request::Cancel(Cancel { command }) => compose::cancel(id, *command),
        Request::Refresh(Refresh { token }) => compose::refresh(id, token),
        Request::Acknowledge(Acknowledge { alarm, received_only }) => {
            compose::acknowledge(id, alarm, *received_only)
        }
        Request::Part(Part { stream, data, left }) => compose::part(*stream, data, *left),
        Request::Unknown => return None,
        newer => panic!("{newer:?} is missing here"),
    })
}
