//! Calls with any number of responses.

use super::*;

fn stream(client: &mut Client) -> CommandId {
    let call = client.core.call_stream(client.now, "ticks", &Payload::json("1"), None).unwrap();
    assert!(matches!(client.sent()[..], [Command { request: Request::Call(_), .. }]));
    call
}

impl Client {
    fn respond(&mut self, call: CommandId, payload: Payload, more: bool) {
        self.reply(call.number(), Ok(ReplyBody::Called(Called { payload, more })));
    }

    /// The texts of the responses, and the result of the call if it ended.
    fn responses(&mut self) -> (Vec<Bytes>, Option<Result<Outcome, ErrorCode>>) {
        let (mut texts, mut end) = (Vec::new(), None);
        for event in self.events() {
            match event {
                Event::Response { payload, .. } => {
                    assert!(end.is_none(), "the end is the last");
                    texts.push(payload.data);
                }
                Event::Completed { result, .. } => end = Some(result.map_err(|error| error.code())),
                other => panic!("{other:?}"),
            }
        }
        (texts, end)
    }
}

#[test]
fn responses_come_in_order_until_the_end() {
    let mut client = Client::connected();
    let call = stream(&mut client);
    client.respond(call, Payload::json("1"), true);
    client.respond(call, Payload::json("2"), true);
    assert_eq!(client.responses(), (vec!["1".into(), "2".into()], None));
    client.respond(call, Payload::default(), false);
    assert_eq!(client.responses(), (vec![], Some(Ok(Outcome::Streamed))));
    client.respond(call, Payload::json("3"), true);
    assert_eq!(client.responses(), (vec![], None));
}

#[test]
fn a_stream_can_be_empty_and_a_single_response_is_a_stream_too() {
    let mut client = Client::connected();
    let call = stream(&mut client);
    client.respond(call, Payload::default(), false);
    assert_eq!(client.responses(), (vec![], Some(Ok(Outcome::Streamed))));
    let call = stream(&mut client);
    client.respond(call, Payload::json("1"), false);
    assert_eq!(client.responses(), (vec!["1".into()], Some(Ok(Outcome::Streamed))));
}

#[test]
fn an_error_ends_a_stream_and_so_does_the_loss_of_the_connection() {
    let mut client = Client::connected();
    let call = stream(&mut client);
    client.respond(call, Payload::json("1"), true);
    client.reply(call.number(), Err(ErrorInfo::from_code(ErrorCode::INTERNAL)));
    assert_eq!(client.responses(), (vec!["1".into()], Some(Err(ErrorCode::INTERNAL))));

    stream(&mut client);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed()[0].1, Err(ErrorCode::CONNECTION_LOST));
}

#[test]
fn the_timeout_of_a_stream_is_for_the_first_response() {
    let mut client = Client::connected();
    let silent = stream(&mut client);
    assert_eq!(client.wait(), Duration::from_secs(10));
    assert_eq!(client.completed(), [(silent, Err(ErrorCode::TIMEOUT))]);
    assert!(matches!(client.sent()[..], [Command { request: Request::Cancel(_), .. }]));

    let slow = stream(&mut client);
    client.respond(slow, Payload::json("1"), true);
    client.now = client.now.after(Duration::from_secs(20));
    client.core.handle_timeout(client.now);
    client.respond(slow, Payload::json("2"), true);
    assert_eq!(client.responses(), (vec!["1".into(), "2".into()], None));
}

#[test]
fn a_cancelled_stream_is_cancelled_on_the_server_too() {
    let mut client = Client::connected();
    let call = stream(&mut client);
    client.respond(call, Payload::json("1"), true);
    client.core.cancel(call);
    assert!(
        matches!(&client.sent()[..], [Command { request: Request::Cancel(cancel), .. }] if cancel.command == call.number())
    );
    assert_eq!(client.responses(), (vec!["1".into()], Some(Err(ErrorCode::CANCELLED))));
}

#[test]
fn a_plain_call_of_a_streaming_procedure_fails_and_stops_it() {
    let mut client = Client::connected();
    let call = client.core.call(client.now, "ticks", &Payload::json("1"), None).unwrap();
    client.sent();
    client.respond(call, Payload::json("1"), true);
    assert_eq!(client.completed(), [(call, Err(ErrorCode::UNSUPPORTED))]);
    assert!(matches!(&client.sent()[..], [Command { request: Request::Cancel(_), .. }]));
}
