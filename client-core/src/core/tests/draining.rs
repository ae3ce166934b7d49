//! A client that answers for its commands before it closes, and the time that an answer takes.

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

fn drain(client: &mut Client) {
    client.core.drain(client.now, LIMIT);
}

fn closes(client: &mut Client) -> bool {
    let close = Transmit::Close { code: CloseCode::NORMAL, reason: String::new() };
    client.core.poll_transmit(true) == Some(close) && client.core.state() == ClientState::Closed
}

#[test]
fn a_draining_client_closes_when_every_command_has_its_answer() {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let (first, second) = (client.publish("1"), client.publish("2"));
    drain(&mut client);
    let error = client.core.publish(client.now, &channel("c"), &Payload::json("3"), None).unwrap_err();
    assert_eq!(error.code(), ErrorCode::CLOSED);
    assert_eq!(client.core.subscribe(&channel("d")).unwrap_err().code(), ErrorCode::CLOSED);
    assert!(!client.core.publish_volatile(&channel("c"), &Payload::json("3")));
    let sent = client.sent();
    assert_eq!(sent.len(), 3, "{sent:?}");
    client.reply(sent[0].id, Ok(ReplyBody::Subscribed(subscribed("c", sent[0].id))));
    client.receive([push(publication("c", 1, 0))]);
    assert_eq!(client.received(), [(subscription, 1)], "messages still arrive");
    client.reply(first.number(), Ok(ReplyBody::Published(Published { position: None })));
    assert_eq!(client.core.poll_transmit(true), None);
    client.reply(second.number(), Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)));
    assert!(closes(&mut client));
    assert!(client.core.failure().is_none());
    assert_eq!(client.core.poll_timeout(), None);
}

#[test]
fn a_draining_client_waits_for_a_connection_and_for_repetitions() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    drain(&mut client);
    client.core.reconnect_now(client.now);
    client.establish();
    assert_eq!(client.sent().len(), 1);
    client.reply(publish.number(), Ok(ReplyBody::Published(Published { position: None })));
    assert!(closes(&mut client));
    assert_eq!(client.completed(), [(publish, Ok(Outcome::Published(None)))]);
}

#[test]
fn draining_ends_with_its_time_and_the_commands_with_it() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    client.sent();
    drain(&mut client);
    assert_eq!(client.wait(), LIMIT);
    assert!(closes(&mut client));
    assert_eq!(client.core.failure().map(Error::code), Some(ErrorCode::TIMEOUT));
    assert_eq!(client.completed(), [(publish, Err(ErrorCode::CLOSED))]);
    // Closed by the application meanwhile.
    let mut client = Client::connected();
    client.publish("1");
    drain(&mut client);
    client.core.close(CloseCode::NORMAL, "");
    assert_eq!(client.core.failure().map(Error::code), Some(ErrorCode::CLOSED));
}

#[test]
fn a_client_with_nothing_to_do_drains_at_once() {
    let mut client = Client::connected();
    assert!(client.core.publish_volatile(&channel("c"), &Payload::json("1")));
    drain(&mut client);
    assert_eq!(client.core.state(), ClientState::Connected, "the message is not sent yet");
    assert_eq!(client.sent_next().map(|sent| sent.len()), Some(1));
    assert!(closes(&mut client));
    let mut client = Client::new();
    drain(&mut client);
    assert_eq!(client.core.state(), ClientState::Closed);
}

#[test]
fn a_ping_measures_the_time_of_its_answer_and_waits_for_no_connection() {
    let mut client = Client::connected();
    let ping = client.core.ping(client.now, None).unwrap();
    let [Command { id, request: Request::Cancel(cancel) }] = &client.sent()[..] else { panic!() };
    assert_eq!((*id, cancel.command), (ping.number(), ping.number()));
    client.now = client.now.after(Duration::from_millis(42));
    client.reply(*id, Ok(ReplyBody::Cancelled));
    assert_eq!(client.completed(), [(ping, Ok(Outcome::Answered(Duration::from_millis(42))))]);
    let ping = client.core.ping(client.now, None).unwrap();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed(), [(ping, Err(ErrorCode::NOT_CONNECTED))]);
    let error = client.core.ping(client.now, None).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NOT_CONNECTED);
}
