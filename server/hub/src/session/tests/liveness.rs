//! A client that is silent, slow or gone: pings, deadlines and the end of the connection.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_without_connect_is_closed_after_ten_seconds() {
    let mut client = Client::open(Builder::open(), 1024).await;
    client.socket.send(Message::Ping("alive".into())).await.unwrap();
    assert_eq!(client.next().await, Message::Pong("alive".into()));
    assert_eq!(client.close_code().await, 3004);
    assert_eq!(client.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_is_pinged_and_lives_as_long_as_it_answers() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    for beat in 1..=5 {
        assert_eq!(client.next().await, ping());
        assert_eq!(client.elapsed().as_secs(), (INTERVAL * beat).as_secs());
        // The empty message, a protocol ping and any command are signs of life.
        match beat % 3 {
            0 => client.send(Request::Unknown).await,
            1 => client.socket.send(ping()).await.unwrap(),
            _ => client.socket.send(Message::Ping("!".into())).await.unwrap(),
        }
        match beat % 3 {
            0 => assert_eq!(client.frames().await.len(), 1),
            1 => {}
            _ => assert_eq!(client.next().await, Message::Pong("!".into())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_answer_pings_is_closed() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    assert_eq!(client.next().await, ping());
    assert_eq!(client.next().await, ping());
    assert_eq!(client.close_code().await, 3003);
    assert_eq!(client.elapsed().as_secs(), (INTERVAL + INTERVAL + PONG_GRACE).as_secs());
    assert_eq!(client.hub.local_sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_connection_is_gone_at_once_without_its_queue_and_without_a_close() {
    // More waits than the pipe takes: a close would wait behind it.
    let mut client = Client::connect(Builder::open(), 64).await;
    let hub = client.hub.clone();
    hub.publish_raw(&a(), Payload::bytes(vec![0; 1000])).unwrap();
    tokio::task::yield_now().await;
    let session = hub.connected_sessions(None, 1).await.unwrap().items[0].id;
    assert!(hub.abort_connection(session).await.unwrap());
    (&mut client.session).await.unwrap();
    assert_eq!(client.elapsed(), Duration::ZERO);
    let mut rest = Vec::new();
    client.socket.get_mut().read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), 64, "what the line had taken already");
    assert_eq!(hub.counts().ended, [("none".into(), 1)]);
    assert!(!hub.abort_connection(session).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_sent_to_all_the_time_and_never_answers_is_closed_too() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    let publish = {
        let hub = client.hub.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                hub.publish_raw(&a(), Payload::json("1")).unwrap();
            }
        }
    };
    let receive = async {
        let mut pings = 0;
        loop {
            match client.next().await {
                Message::Close(Some(frame)) => return (pings, u16::from(frame.code)),
                message => pings += usize::from(message == ping()),
            }
        }
    };
    let (pings, code) = tokio::select! {
        () = publish => panic!("publishing does not end"),
        ended = receive => ended,
    };
    assert_eq!((pings, code), (1, 3003));
    assert_eq!(client.elapsed().as_secs(), (INTERVAL * 2 + INTERVAL + PONG_GRACE).as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_nothing_any_more_is_given_up() {
    let client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 1000])).unwrap();
    // Nobody reads: neither the ping nor the close gets out.
    client.session.await.unwrap();
    let waited = INTERVAL + INTERVAL + PONG_GRACE + CLOSE_TIMEOUT;
    assert_eq!(client.start.elapsed().as_secs(), waited.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_one_message_for_long_is_alive() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    let payload = Payload::bytes(vec![0; 2000]);
    let publish = Publish { channel: ChannelName::new("b").unwrap(), payload, key: String::new() };
    let command = CODEC.encode_command(&Command { id: 1, request: Request::Publish(publish) });
    let length = u16::try_from(command.len()).unwrap().to_be_bytes();
    // Masked with zeros.
    let frame = [&[0x82, 0xfe][..], &length, &[0; 4], &command].concat();
    for piece in frame.chunks(100) {
        client.socket.get_mut().write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert!(client.elapsed() > INTERVAL + INTERVAL + PONG_GRACE);
    loop {
        let message = client.next().await;
        if message != ping() {
            let data = message.into_data();
            let frames: Vec<_> = CODEC.decode_frames(&data).map(Result::unwrap).collect();
            assert!(matches!(frames[..], [ServerFrame::Reply(_)]), "{frames:?}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_receives_one_message_for_long_is_alive() {
    let mut client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 10_000])).unwrap();
    let (mut received, mut buffer) = (0, [0; 64]);
    while received < 10_000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let bytes = client.socket.get_mut().read(&mut buffer).await.unwrap();
        assert_ne!(bytes, 0, "given up after {:?}", client.elapsed());
        received += bytes;
    }
    assert!(client.elapsed() > INTERVAL + INTERVAL + PONG_GRACE);
    assert_eq!(client.hub.local_sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_forgotten_at_once_and_gone_after_the_deadline() {
    let client = Client::connect(Builder::open().queue_bytes(1000), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 500])).unwrap();
    // The session's task takes this, and is blocked by it.
    tokio::task::yield_now().await;
    for _ in 0..2 {
        client.hub.publish_raw(&a(), Payload::bytes(vec![0; 600])).unwrap();
    }
    tokio::task::yield_now().await;
    assert_eq!((client.hub.local_sessions(), client.hub.local_channels().len()), (0, 0));
    client.session.await.unwrap();
    assert_eq!(client.start.elapsed().as_secs(), CLOSE_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_the_close_is_dropped() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    client.socket.send(Message::Text("wrong kind".into())).await.unwrap();
    client.session.await.unwrap();
    assert_eq!(client.start.elapsed().as_secs(), CLOSE_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn without_a_ping_interval_silence_is_fine() {
    let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
    let mut client = Client::connect(Builder::open().limits(limits), 1024).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    client.send(Request::Unknown).await;
    assert_eq!(client.frames().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_sender_of_a_long_message_receives_pings() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    let start = Instant::now();
    let frame = [&[0x82, 0xfe, 0x80, 0x00][..], &[0; 4], &[0; 100]].concat();
    client.socket.get_mut().write_all(&frame).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        client.socket.get_mut().write_all(&[0; 100]).await.unwrap();
    }
    assert_eq!(client.next().await, ping());
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A session that is held up in the middle of a message: the hook answers no publication in time.
async fn held_up_inside_a_message(hub: Builder) -> Client {
    let hub = hub.authorize_publish("b".parse().unwrap(), async |_, _| std::future::pending().await);
    let mut client = Client::connect(hub, 1 << 20).await;
    let publish =
        Publish { channel: ChannelName::new("b").unwrap(), payload: Payload::json("1"), key: String::new() };
    // Commands without an id have no answer: only pings are received.
    let command = Command { id: 0, request: Request::Publish(publish) };
    let last = Command { id: 2, request: Request::Unknown };
    let commands = std::iter::repeat_n(command, 200).chain([last]);
    let message: Vec<u8> = commands.flat_map(|command| CODEC.encode_command(&command)).collect();
    client.socket.send(Message::Binary(message.into())).await.unwrap();
    client
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_held_up_inside_a_message_is_pinged_and_lives_as_long_as_it_answers() {
    let mut client = held_up_inside_a_message(Builder::open()).await;
    for beat in 1..=10 {
        assert_eq!(client.next().await, ping(), "beat {beat}");
        assert_eq!(client.elapsed().as_secs(), (INTERVAL * beat).as_secs());
        client.socket.send(ping()).await.unwrap();
    }
    // The rest of the message is carried out after enough timeouts of the hook.
    let answered = loop {
        match client.next().await {
            message if message == ping() => client.socket.send(ping()).await.unwrap(),
            message => break message,
        }
    };
    let frames: Vec<_> = CODEC.decode_frames(&answered.into_data()).map(Result::unwrap).collect();
    assert!(matches!(frames[..], [ServerFrame::Reply(Reply { id: 2, .. })]), "{frames:?}");
    assert!(client.elapsed() > INTERVAL * 10, "{:?}", client.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_held_up_inside_a_message_and_does_not_answer_is_given_up() {
    let mut client = held_up_inside_a_message(Builder::open()).await;
    assert_eq!(client.next().await, ping());
    assert_eq!(client.next().await, ping());
    assert_eq!(client.close_code().await, 3003);
    assert_eq!(client.elapsed().as_secs(), (INTERVAL + INTERVAL + PONG_GRACE).as_secs());
    assert_eq!(client.hub.local_sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_session_that_is_held_up_inside_a_message_expires() {
    const TTL: Duration = Duration::from_secs(30);
    const GRACE: Duration = Duration::from_secs(7);
    let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
    let hub = Builder::open()
        .limits(limits)
        .authenticate(async |_| Ok(Authenticated::user("ann").expires_in(TTL)))
        .token_grace(GRACE);
    let mut client = held_up_inside_a_message(hub).await;
    let due = client.frames().await;
    assert!(matches!(due[..], [ServerFrame::Push(Push::RefreshDue)]), "{due:?}");
    assert_eq!(client.close_code().await, 3005);
    assert_eq!(client.elapsed(), TTL + GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_client_before_connect_has_room_for_one_message() {
    let mut client = Client::open(Builder::open(), 1 << 20).await;
    // The header of a message of 1 MiB.
    let head = [&[0x82, 0xff][..], &(1_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    client.socket.get_mut().write_all(&head).await.unwrap();
    assert_eq!(client.close_code().await, 1009);
    assert_eq!(client.elapsed(), Duration::ZERO);
    drop(client);

    let mut client = Client::open(Builder::open(), 1 << 20).await;
    let part = Part { stream: 0, data: Bytes::from_static(&[0; 100]), left: 100 };
    client.send(Request::Part(part)).await;
    assert_eq!(client.close_code().await, 3501);
}
