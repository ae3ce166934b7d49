//! Commands share WebSocket messages.

use super::*;

fn publish(client: &mut Client, size: usize) -> u32 {
    let payload = Payload::bytes(vec![0; size]);
    client.core.publish(client.now, &channel("c"), &payload, None).unwrap().number()
}

/// The ids of the commands in each message.
fn messages(client: &mut Client) -> Vec<Vec<u32>> {
    let next = || match client.core.poll_transmit(true)? {
        Transmit::Send(bytes) => {
            Some(Codec::Protobuf.decode_commands(&bytes).map(|command| command.unwrap().id).collect())
        }
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn a_message_holds_the_commands_that_fit_in_order() {
    let mut client = Client::connected();
    let ids: Vec<u32> = [30_000, 30_000, 10_000, 10_000].map(|size| publish(&mut client, size)).into();
    assert_eq!(messages(&mut client), [ids[..2].to_vec(), ids[2..].to_vec()]);
    assert!(messages(&mut client).is_empty());
}

#[test]
fn a_cancelled_command_does_not_go_out() {
    let mut client = Client::connected();
    let ids: Vec<u32> = [1, 2, 3].map(|size| publish(&mut client, size)).into();
    client.core.cancel(CommandId(ids[1]));
    client.core.cancel(CommandId(ids[1]));
    assert_eq!(messages(&mut client), [[ids[0], ids[2]]]);
}

#[test]
fn ids_start_over_after_the_last_one() {
    let mut client = Client::connected();
    client.core.last_id = u32::MAX - 1;
    let ids: Vec<u32> = [1, 2, 3].map(|size| publish(&mut client, size)).into();
    assert_eq!(ids, [u32::MAX, 1, 2]);
    assert_eq!(messages(&mut client), std::slice::from_ref(&ids));
    for id in [1, u32::MAX, 2] {
        client.reply(id, Ok(ReplyBody::Published(Published::default())));
    }
    let ended: Vec<_> = client.completed().into_iter().map(|(command, _)| command.number()).collect();
    assert_eq!(ended, [1, u32::MAX, 2]);
}

#[test]
fn an_answer_to_an_unknown_command_ends_nothing() {
    let mut client = Client::connected();
    client.core.check_connection(client.now);
    let command = publish(&mut client, 1);
    for id in 1..command {
        client.reply(id, Ok(ReplyBody::Cancelled));
    }
    assert!(client.completed().is_empty());
    assert_eq!(messages(&mut client).concat().last(), Some(&command));
}
