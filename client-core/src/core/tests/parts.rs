//! Frames that are larger than a message, in both directions, and the progress that restarts their timeouts.

use wirehub_common::Assembler;

use super::*;

/// A frame split into messages of `bytes` bytes each.
fn parts(stream: u32, frame: &ServerFrame, bytes: usize) -> Vec<ServerFrame> {
    let frame = Codec::Protobuf.undelimited(&Codec::Protobuf.encode_frame(frame));
    let mut left = frame.len();
    let part = |data: &[u8]| {
        left = left.saturating_sub(data.len());
        ServerFrame::Part(Part { stream, data: frame.slice_ref(data), left: left as u64 })
    };
    frame.chunks(bytes).map(part).collect()
}

fn large_publication(name: &str, time: u64, bytes: usize) -> Publication {
    Publication { payload: Payload::bytes(vec![7; bytes]), ..publication(name, time, 0) }
}

fn answer(command: CommandId) -> ServerFrame {
    let payload = Payload::bytes(vec![7; 300_000]);
    ServerFrame::Reply(Reply {
        id: command.number(),
        result: Ok(ReplyBody::Called(Called { payload, more: false })),
    })
}

/// A client that is subscribed to `c`.
fn subscribed_client() -> (Client, SubscriptionId) {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Ok(ReplyBody::Subscribed(subscribed("c", id))));
    client.events();
    (client, subscription)
}

fn publish(client: &mut Client, bytes: usize) -> CommandId {
    client.core.publish(client.now, &channel("c"), &Payload::bytes(vec![0; bytes]), None).unwrap()
}

fn call(client: &mut Client, bytes: usize, options: SendOptions) -> CommandId {
    client.core.call(client.now, "f", &Payload::bytes(vec![0; bytes]), options).unwrap()
}

/// Puts commands together from the client's messages, as a server does.
#[derive(Default)]
struct Server {
    assembler: Assembler,
}

impl Server {
    fn take(&mut self, commands: Vec<Command>) -> Vec<Command> {
        let whole = |Command { id, request }| match request {
            Request::Part(Part { stream, data, left }) => {
                let command = self.assembler.take(stream, &data, left, 10_000_000).unwrap()?;
                Some(Codec::Protobuf.decode_command(&command).unwrap())
            }
            request => Some(Command { id, request }),
        };
        commands.into_iter().filter_map(whole).collect()
    }
}

fn is_part(commands: &[Command]) -> bool {
    matches!(commands, [Command { request: Request::Part(_), .. }])
}

#[test]
fn a_frame_in_parts_is_like_any_other_and_others_come_between_its_parts() {
    let (mut client, _) = subscribed_client();
    let large = parts(2, &push(large_publication("c", 1, 200_000)), 65_000);
    assert_eq!(large.len(), 4);
    for (index, part) in large.into_iter().enumerate() {
        // A frame behind a part in the same message is read out of that message.
        client.receive([part, push(publication("c", 10 + index as u64, 0))]);
    }
    let publications: Vec<_> = client
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Publication { publication, .. } => (publication.time, publication.payload),
            other => panic!("{other:?}"),
        })
        .collect();
    let times: Vec<u64> = publications.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [10, 11, 12, 1, 13]);
    assert_eq!(publications[3].1, Payload::bytes(vec![7; 200_000]));
    assert_eq!(publications[4].1, Payload::json("1"));
}

#[test]
fn streams_of_parts_do_not_mix_and_end_with_their_connection() {
    let (mut client, subscription) = subscribed_client();
    let first = parts(1, &push(large_publication("c", 1, 1000)), 600);
    let second = parts(2, &push(large_publication("c", 2, 1000)), 600);
    client.receive([first[0].clone(), second[0].clone(), second[1].clone(), first[1].clone()]);
    assert_eq!(client.received(), [(subscription, 2), (subscription, 1)]);

    client.receive([first[0].clone()]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.establish();
    client.receive(first);
    assert_eq!(client.received(), [(subscription, 1)]);
}

#[test]
fn parts_that_do_not_fit_or_are_too_many_bytes_end_the_connection() {
    let part =
        |data: &[u8], left| ServerFrame::Part(Part { stream: 0, data: Bytes::copy_from_slice(data), left });
    let nested = Codec::Protobuf.undelimited(&Codec::Protobuf.encode_frame(&part(b"1", 0)));
    for frames in [
        vec![part(b"", 1)],
        vec![part(b"12", 9), part(b"34", 6)],
        vec![part(b"12", 1000)],
        vec![part(&nested, 0)],
        vec![part(&[0xff; 20], 0)],
    ] {
        let mut client = Client::with(Config { frame_bytes: 1000, ..Config::default() });
        client.core.connect(client.now);
        client.establish();
        client.events();
        client.receive(frames);
        assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
        let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
        assert_eq!(code, CloseCode::BAD_FRAME);
    }
}

#[test]
fn a_large_command_goes_in_parts_in_its_turn_and_small_ones_keep_their_order() {
    let mut client = Client::connected();
    let ids = [10, 100_000, 10, 70_000, 10].map(|bytes| publish(&mut client, bytes).number());
    let (mut server, mut carried_out, mut messages) = (Server::default(), Vec::new(), 0);
    while let Some(commands) = client.sent_next() {
        messages += 1;
        carried_out.extend(server.take(commands));
    }
    let publishes: Vec<u32> = carried_out
        .iter()
        .filter(|command| matches!(command.request, Request::Publish(_)))
        .map(|command| command.id)
        .collect();
    assert_eq!(publishes, ids);
    let parts = [100_000_usize, 70_000].map(|bytes| bytes.div_ceil(16 * 1024 - 32));
    assert_eq!(
        messages,
        1 + parts[0] + 1 + 1 + parts[1] + 1,
        "one is the question whether the first has arrived"
    );
    for id in ids {
        client.reply(id, Ok(ReplyBody::Published(Published::default())));
    }
    assert_eq!(client.completed().len(), ids.len());
}

#[test]
fn a_part_is_16_kib_at_most_and_one_is_sent_at_a_time() {
    let mut client = Client::connected();
    publish(&mut client, 1_000_000);
    let mut parts = 0;
    while let Some(Transmit::Send(message)) = client.core.poll_transmit(true) {
        assert!(message.len() <= 16 * 1024, "{}", message.len());
        parts += 1;
        assert_eq!(client.core.poll_transmit(false), None, "more than the transport takes");
    }
    assert_eq!(parts, 1_000_000_usize.div_ceil(16 * 1024 - 32) + 1, "and the question whether all arrived");
}

#[test]
fn urgent_commands_go_between_the_parts() {
    let mut client = Client::connected();
    let subscription = client.subscribe("other");
    let slow = call(&mut client, 10, SendOptions::default());
    client.sent();
    publish(&mut client, 200_000);
    publish(&mut client, 10);
    assert!(is_part(&client.sent_next().unwrap()));
    client.core.handle_message(client.now, &Bytes::new());
    client.core.unsubscribe(subscription);
    client.core.cancel(slow);
    client.core.set_token(client.now, "another".into());
    client.core.acknowledge(client.now, "alarm", None).unwrap();
    client.core.check_connection(client.now);
    client.subscribe("soon");
    assert_eq!(client.core.poll_transmit(false), Some(Transmit::Send(Bytes::new())), "the answer to a ping");
    let between = client.sent_next().unwrap();
    assert!(
        matches!(
            between.iter().map(|command| &command.request).collect::<Vec<_>>()[..],
            [
                Request::Unsubscribe(_),
                Request::Cancel(_),
                Request::Refresh(_),
                Request::Acknowledge(_),
                Request::Cancel(_),
                Request::Subscribe(_),
            ]
        ),
        "{between:?}"
    );
    assert!(is_part(&client.sent_next().unwrap()), "and the parts go on");
    assert!(!client.core.publish_volatile(&channel("c"), &Payload::json("1")), "this would have to wait");
}

#[test]
fn a_large_volatile_message_goes_in_parts_as_well() {
    let mut client = Client::connected();
    assert!(client.core.publish_volatile(&channel("c"), &Payload::bytes(vec![0; 100_000])));
    let sent = client.sent();
    let carried_out = Server::default().take(sent);
    assert!(matches!(&carried_out[0], Command { id: 0, request: Request::Publish(_) }), "{carried_out:?}");
    assert!(client.core.publish_volatile(&channel("c"), &Payload::json("1")), "nothing is left of it");
}

#[test]
fn after_a_lost_connection_a_large_command_begins_with_its_first_part() {
    // Without keys: it is not in doubt, because it can't have been carried out.
    let mut client = Client::connected();
    let large = publish(&mut client, 100_000);
    assert!(is_part(&client.sent_next().unwrap()));
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed(), []);
    client.wait();
    client.establish();
    let sent = client.sent();
    let carried_out = Server::default().take(sent);
    assert!(matches!(carried_out[0].request, Request::Publish(_)));
    assert_eq!(carried_out[0].id, large.number());
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed(), [(large, Err(ErrorCode::CONNECTION_LOST))], "now it may have been");
}

#[test]
fn a_command_given_up_while_its_parts_go_out_leaves_no_half_frame_and_a_call_is_cancelled() {
    let mut client = Client::connected();
    let given_up = call(&mut client, 100_000, SendOptions::default());
    let mut server = Server::default();
    let commands = client.sent_next().unwrap();
    assert!(server.take(commands).is_empty());
    client.core.cancel(given_up);
    assert_eq!(client.completed(), [(given_up, Err(ErrorCode::CANCELLED))]);
    let next = publish(&mut client, 100_000);
    let sent = client.sent();
    let carried_out = server.take(sent);
    let ids: Vec<_> = carried_out.iter().map(|command| command.id).collect();
    assert!(
        matches!(&carried_out[..], [
            Command { request: Request::Call(_), .. },
            Command { request: Request::Cancel(cancel), .. },
            Command { request: Request::Publish(_), .. },
            Command { request: Request::Cancel(_), .. },
        ] if cancel.command == given_up.number()),
        "{ids:?}"
    );
    assert_eq!((ids[0], ids[2]), (given_up.number(), next.number()));
}

#[test]
fn a_command_does_not_time_out_while_its_answer_comes_in_parts() {
    let mut client = Client::connected();
    let asked = call(&mut client, 10, SendOptions::default());
    let other = call(&mut client, 10, SendOptions::default());
    client.sent();
    let parts = parts(0, &answer(asked), 60_000);
    let mut completed = Vec::new();
    for part in parts {
        client.now = client.now.after(Duration::from_secs(9));
        client.core.handle_timeout(client.now);
        completed.extend(client.completed());
        client.receive([part]);
    }
    completed.extend(client.completed());
    assert_eq!(completed[0], (other, Err(ErrorCode::TIMEOUT)), "to this one nothing came");
    assert!(matches!(&completed[1..], [(command, Ok(Outcome::Called(_)))] if *command == asked));
}

#[test]
fn an_answer_that_stops_half_way_times_out() {
    let mut client = Client::connected();
    let asked = call(&mut client, 10, SendOptions::default());
    client.sent();
    client.now = client.now.after(Duration::from_secs(9));
    client.receive([parts(0, &answer(asked), 60_000).remove(0)]);
    let silent = client.now;
    while client.core.state() == ClientState::Connected && client.completed().is_empty() {
        client.wait();
    }
    assert_eq!(client.now.since(silent), Duration::from_secs(10), "from the last part on");
}

/// The commands of a client whose line takes four seconds for each message.
fn sent_slowly(client: &mut Client) -> Vec<Command> {
    let mut sent = Vec::new();
    while let Some(commands) = client.sent_next() {
        sent.extend(commands);
        client.now = client.now.after(Duration::from_secs(4));
        client.core.handle_drained(client.now);
        client.core.handle_timeout(client.now);
    }
    sent
}

#[test]
fn a_large_command_does_not_time_out_while_its_parts_go_out_or_arrive() {
    let mut client = Client::connected();
    let large = call(&mut client, 100_000, SendOptions::default());
    let sent = sent_slowly(&mut client);
    // Everything is in a buffer; the server confirms that some of it arrives.
    for _ in 0..10 {
        client.now = client.now.after(Duration::from_secs(9));
        client.core.handle_message(client.now, &Bytes::new());
        client.core.handle_timeout(client.now);
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Send(Bytes::new())));
    }
    assert_eq!(client.completed(), []);
    let Some(Command { id: question, request: Request::Cancel(_) }) = sent.last() else { panic!("{sent:?}") };
    client.reply(*question, Ok(ReplyBody::Cancelled));
    // From now on the procedure takes the time.
    client.now = client.now.after(Duration::from_secs(9));
    client.core.handle_message(client.now, &Bytes::new());
    client.core.handle_timeout(client.now);
    assert_eq!(client.completed(), []);
    client.now = client.now.after(Duration::from_secs(1));
    client.core.handle_message(client.now, &Bytes::new());
    client.core.handle_timeout(client.now);
    assert_eq!(client.completed(), [(large, Err(ErrorCode::TIMEOUT))]);
}

#[test]
fn commands_behind_a_large_one_do_not_time_out_while_its_parts_go_out() {
    let mut client = Client::connected();
    call(&mut client, 100_000, SendOptions::default());
    let behind = call(&mut client, 10, SendOptions::default());
    let sent = sent_slowly(&mut client);
    assert_eq!(client.completed(), []);
    assert!(sent.iter().any(|command| command.id == behind.number()));
    client.reply(behind.number(), Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_CALL)));
    assert_eq!(client.completed(), [(behind, Err(ErrorCode::UNKNOWN_CALL))]);
}

#[test]
fn an_attempt_is_not_given_up_while_something_comes_or_goes() {
    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let connect = client.sent().remove(0);
    let contract = ContractDigest {
        items: (0..5000)
            .map(|number| ContractId { name: format!("call {number}"), hash: ContractHash(number) })
            .collect(),
        id: ContractId { name: "demo".into(), hash: ContractHash(0) },
    };
    let connected = Connected { session: "s".into(), contract: Some(contract), ..Connected::default() };
    let reply =
        ServerFrame::Reply(Reply { id: connect.id, result: Ok(ReplyBody::Connected(Box::new(connected))) });
    for _ in 0..5 {
        client.now = client.now.after(Duration::from_secs(9));
        client.core.handle_drained(client.now);
        client.core.handle_timeout(client.now);
    }
    for part in parts(0, &reply, 20_000) {
        client.now = client.now.after(Duration::from_secs(9));
        client.core.handle_timeout(client.now);
        assert_eq!(client.core.state(), ClientState::Connecting);
        client.receive([part]);
    }
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn each_part_is_a_sign_of_life() {
    let mut client = Client::connected();
    for part in parts(2, &push(large_publication("c", 1, 900_000)), 60_000) {
        client.now = client.now.after(Duration::from_secs(30));
        client.core.handle_timeout(client.now);
        client.receive([part]);
    }
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn a_connection_in_doubt_is_kept_while_an_upload_gets_on() {
    let mut client = Client::connected();
    publish(&mut client, 1_000_000);
    assert!(is_part(&client.sent_next().unwrap()));
    client.core.check_connection(client.now);
    let question = client.sent_next().unwrap();
    assert!(matches!(&question[..], [Command { request: Request::Cancel(_), .. }]), "{question:?}");
    for _ in 0..20 {
        client.now = client.now.after(Duration::from_secs(4));
        client.core.handle_drained(client.now);
        client.core.handle_timeout(client.now);
        assert!(is_part(&client.sent_next().unwrap()));
    }
    assert_eq!(client.core.state(), ClientState::Connected);
    client.core.handle_message(client.now, &Bytes::new());
    client.now = client.now.after(Duration::from_secs(9));
    client.core.handle_timeout(client.now);
    assert_eq!(client.core.state(), ClientState::Connected, "it is alive, and in doubt no more");

    client.core.check_connection(client.now);
    while client.core.state() == ClientState::Connected {
        client.wait();
    }
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!(code, CloseCode::SERVER_SILENT, "nothing moved");
}

#[test]
fn a_repeat_that_takes_longer_than_the_server_remembers_is_given_up_before_its_last_part() {
    let memory = |clock| {
        let window = Duration::from_secs(60);
        let idempotency = Some(Idempotency { scope: "a".into(), window, clock });
        Connected { session: "s".into(), idempotency, ..Connected::default() }
    };
    let mut client = Client::new();
    client.core.connect(client.now);
    client.establish_with(memory(0));
    let hour = Some(Duration::from_secs(3600));
    let publish = |client: &mut Client, bytes| {
        client.core.publish(client.now, &channel("c"), &Payload::bytes(vec![0; bytes]), hour).unwrap()
    };
    let large = publish(&mut client, 100_000);
    let small = publish(&mut client, 10);
    client.sent();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.establish_with(memory(1000));
    client.events();
    let mut left = u64::MAX;
    while left > 16 * 1024 {
        let [Command { request: Request::Part(part), .. }] = &client.sent_next().unwrap()[..] else {
            panic!()
        };
        left = part.left;
        client.now = client.now.after(Duration::from_secs(9));
        client.core.handle_message(client.now, &Bytes::new());
        assert_eq!(client.core.poll_transmit(false), Some(Transmit::Send(Bytes::new())));
    }
    client.now = client.now.after(Duration::from_secs(9));
    client.core.handle_message(client.now, &Bytes::new());
    assert_eq!(client.core.poll_transmit(false), Some(Transmit::Send(Bytes::new())));
    assert!(client.now.since(Time::ZERO) > Duration::from_secs(60));
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })), "nothing less stops it");
    assert_eq!(client.core.state(), ClientState::Reconnecting);
    let lost = Err(ErrorCode::CONNECTION_LOST);
    assert_eq!(client.completed(), [(large, lost.clone())]);
    client.wait();
    client.establish_with(memory(70_000));
    assert!(client.sent().is_empty());
    assert_eq!(client.completed(), [(small, lost)]);
}
