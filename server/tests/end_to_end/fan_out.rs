//! One publisher, many subscribers: order, isolation, bounds.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use wirehub_common::frame::{Command, Push, ReplyBody, ServerFrame};
use wirehub_common::{Codec, Limits, Payload, PayloadErrorKind};
use wirehub_server::namespace::{Namespace, Overflow};
use wirehub_server::{Hub, OrderError};

use crate::support::{
    CODECS, Client, Received, Server, in_time, name, open_hub, publish, subscribe, unsubscribe, until,
};

fn hub() -> Hub {
    open_hub().build()
}

/// The channel of a push about missed messages.
fn gap(push: Push) -> String {
    let Push::Subscribed(subscribed) = push else { panic!("{push:?}") };
    assert_eq!((subscribed.number, &subscribed.position, subscribed.complete), (1, &None, false));
    subscribed.channel.to_string()
}

fn number(number: usize) -> Payload {
    Payload::json(number.to_string())
}

/// The next messages, as their texts, and answers about subscriptions: `+` or `-` with their number.
async fn in_line(client: &mut Client, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match client.next().await {
            Received::Frame(ServerFrame::Push(Push::Publication(publication))) => {
                seen.push(String::from_utf8_lossy(&publication.payload.data).into_owned());
            }
            Received::Frame(ServerFrame::Reply(reply)) => match reply.result.unwrap() {
                ReplyBody::Subscribed(subscribed) => seen.push(format!("+{}", subscribed.number)),
                ReplyBody::Unsubscribed(unsubscribed) => seen.push(format!("-{}", unsubscribed.number)),
                ReplyBody::Published(_) => {}
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_subscribers_get_everything_in_the_same_order() {
    const MESSAGES: usize = 200;
    let server = Server::start(hub()).await;
    let mut subscribers = Vec::new();
    for index in 0..100 {
        let mut client = Client::connect(&server, CODECS[index % 2]).await;
        client.subscribe("a").await;
        subscribers.push(client);
    }
    let mut publishers = Vec::new();
    for (publisher, codec) in CODECS.into_iter().enumerate() {
        let mut client = Client::connect(&server, codec).await;
        publishers.push(tokio::spawn(async move {
            for message in 0..MESSAGES / 2 {
                client.ok(publish("a", number(publisher * 1000 + message))).await;
            }
        }));
    }
    let mut orders = Vec::new();
    for client in &mut subscribers {
        let mut order = Vec::new();
        for _ in 0..MESSAGES {
            order.push(client.publication().await.payload.data);
        }
        orders.push(order);
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    let of_one: Vec<usize> = orders[0]
        .iter()
        .map(|data| String::from_utf8_lossy(data).parse().unwrap())
        .filter(|&message| message < 1000)
        .collect();
    assert_eq!(of_one, (0..MESSAGES / 2).collect::<Vec<_>>(), "what one publishes keeps its order");
}

#[tokio::test]
async fn queued_messages_are_sent_together() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("a").await;
        // Nothing is awaited in between, so the session's task does not run.
        for message in 0..64 {
            server.hub.publish_raw(&name("a"), number(message)).unwrap();
        }
        let message = in_time(futures_util::StreamExt::next(&mut client.socket)).await.unwrap().unwrap();
        assert_eq!(codec.decode_frames(&message.into_data()).count(), 64);
    }
}

#[tokio::test]
async fn replies_to_subscribe_and_unsubscribe_fence_the_publications() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let commands = [
            publish("a", number(1)),
            subscribe("a", 1),
            publish("a", number(2)),
            unsubscribe("a", 1),
            publish("a", number(3)),
            subscribe("a", 2),
            publish("a", number(4)),
            subscribe("a", 3),
            publish("a", number(5)),
        ];
        let commands: Vec<_> = commands.into_iter().map(|request| client.command(request)).collect();
        client.send(commands).await;
        let seen = in_line(&mut client, 7).await;
        assert_eq!(seen, ["+1", "2", "-1", "+2", "4", "+3", "5"]);
    }
}

#[tokio::test]
async fn a_session_that_violates_the_protocol_affects_no_other() {
    let server = Server::start(hub()).await;
    let mut listener = Client::connect(&server, Codec::Protobuf).await;
    listener.subscribe("a").await;
    let mut publisher = Client::connect(&server, Codec::Json).await;
    for message in 0..20 {
        let mut rogue = Client::connect(&server, CODECS[message % 2]).await;
        rogue.subscribe("a").await;
        match message % 4 {
            0 => {
                let garbage = rogue.message(b"{\x01".to_vec());
                rogue.send_raw(garbage).await;
            }
            1 => drop(rogue),
            2 => in_time(rogue.socket.get_mut().write_all(b"\xff\xff\xff\xff")).await.unwrap(),
            _ => in_time(rogue.socket.get_mut().shutdown()).await.unwrap(),
        }
        publisher.ok(publish("a", number(message))).await;
        assert_eq!(listener.publication().await.payload, number(message));
    }
    until(|| server.hub.local_subscribers(&name("a")) == 1).await;
    until(|| server.hub.local_sessions() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_does_not_read_is_disconnected_and_others_get_everything() {
    const MESSAGES: usize = 200;
    let server = Server::start(open_hub().queue_bytes(256 * 1024).build()).await;
    let mut slow = Client::connect(&server, Codec::Protobuf).await;
    slow.subscribe("a").await;
    let mut quick = Client::connect(&server, Codec::Protobuf).await;
    quick.subscribe("a").await;
    let payload = Payload::bytes(vec![b'x'; 100_000]);
    for _ in 0..MESSAGES {
        server.hub.publish_raw(&name("a"), payload.clone()).unwrap();
        assert_eq!(quick.publication().await.payload, payload);
    }
    until(|| server.hub.local_subscribers(&name("a")) == 1).await;
    // Messages in flight still arrive, then the reason.
    assert_eq!(slow.closed().await.0, 3008);
    quick.ok(publish("a", number(1))).await;
}

#[tokio::test]
async fn a_publication_larger_than_the_queues_is_refused_and_disconnects_nobody() {
    let server = Server::start(open_hub().queue_bytes(100_000).build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("a").await;
        let large = Payload::bytes(vec![b'x'; 100_001]);
        let error = client.request(publish("a", large.clone())).await.result.unwrap_err();
        assert_eq!((error.code.number(), error.temporary), (107, false));
        assert!(error.message.contains("100000"), "{}", error.message);
        let error = server.hub.publish_raw(&name("a"), large.clone()).unwrap_err();
        assert_eq!(error.kind(), PayloadErrorKind::TooLarge);
        let Err(OrderError::Payload(error)) = server.hub.broadcast(large).await else { panic!("it fits") };
        assert_eq!(error.kind(), PayloadErrorKind::TooLarge);
        // In JSON it is a third larger than the queue.
        let fitting = Payload::bytes(vec![b'x'; 100_000]);
        client.ok(publish("a", fitting.clone())).await;
        assert_eq!(client.publication().await.payload, fitting);
    }
}

#[tokio::test]
async fn the_server_stops_reading_from_a_client_that_does_not_read() {
    // Each command of a dozen bytes is answered with an error of a hundred and more: 20 MB in all.
    const COMMANDS: u32 = 150_000;
    const BATCH: u32 = 3_000;
    let server = Server::start(open_hub().queue_bytes(64 * 1024).build()).await;
    let client = Client::connect(&server, Codec::Json).await;
    let (mut write, mut read) = client.socket.split();
    let sending = tokio::spawn(async move {
        for batch in 0..COMMANDS / BATCH {
            let ids = batch * BATCH + 1..=(batch + 1) * BATCH;
            let batch: String = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
            write.send(Message::Text(batch.into())).await.unwrap();
        }
        write
    });
    let mut expected = 1..=COMMANDS;
    while !expected.is_empty() {
        let message = in_time(read.next()).await.unwrap().unwrap();
        for frame in Codec::Json.decode_frames(&message.into_data()) {
            let ServerFrame::Reply(reply) = frame.unwrap() else { panic!("nothing else comes") };
            assert_eq!(Some(reply.id), expected.next());
        }
    }
    drop(in_time(sending).await.unwrap());
}

#[tokio::test]
async fn channels_vanish_with_their_last_subscriber() {
    let server = Server::start(hub()).await;
    let limits = Limits::default().channels;
    for _ in 0..20 {
        let mut client = Client::connect(&server, Codec::Protobuf).await;
        let commands: Vec<_> =
            (1..=limits).map(|index| client.command(subscribe(&format!("channel:{index}"), 1))).collect();
        client.send(commands).await;
        until(|| server.hub.local_channels().len() == limits as usize).await;
        client.ok(unsubscribe("channel:1", 1)).await;
        assert_eq!(server.hub.local_channels().len(), limits as usize - 1);
        assert_eq!(server.hub.local_channels()[0].1, 1);
        drop(client);
        until(|| server.hub.local_channels().is_empty()).await;
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_session_regardless_of_subscriptions() {
    let server = Server::start(hub()).await;
    let mut sessions = Vec::new();
    for codec in CODECS {
        sessions.push(Client::connect(&server, codec).await);
    }
    // A client that has not sent `connect` gets nothing.
    let mut stranger = Client::open(&server, Codec::Json).await;
    server.hub.broadcast(number(1)).await.unwrap();
    for session in &mut sessions {
        let publication = session.publication().await;
        assert_eq!((publication.channel, publication.payload), (name(Hub::BROADCAST), number(1)));
    }
    stranger.connected(Default::default()).await;
    server.hub.broadcast(number(2)).await.unwrap();
    assert_eq!(stranger.publication().await.payload, number(2));
    assert!(server.hub.broadcast(Payload::json("{")).await.is_err());
}

#[tokio::test]
async fn urgent_publications_overtake_queued_ones() {
    let server = Server::start(open_hub().namespace("alarm", Namespace::default().urgent()).build()).await;
    let mut client = Client::connect(&server, Codec::Json).await;
    client.subscribe("chart:1").await;
    client.subscribe("alarm:fire").await;
    for message in 0..3 {
        server.hub.publish_raw(&name("chart:1"), number(message)).unwrap();
    }
    server.hub.publish_raw(&name("alarm:fire"), number(9)).unwrap();
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(client.publication().await.payload);
    }
    assert_eq!(order, [9, 0, 1, 2].map(number));
}

#[tokio::test]
async fn single_bytes_make_the_same_commands() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let command = Command { id: 9, request: subscribe("a", 1) };
        let data = codec.encode_command(&command);
        let opcode = if codec.is_text() { 0x81 } else { 0x82 };
        let mut frame = vec![opcode, 0x80 | data.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(&data);
        for byte in frame {
            let stream = client.socket.get_mut();
            stream.write_all(&[byte]).await.unwrap();
            stream.flush().await.unwrap();
        }
        let Received::Frame(ServerFrame::Reply(reply)) = client.next().await else { panic!("no reply") };
        assert_eq!(reply.id, 9);
        assert!(reply.result.is_ok());
    }
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_close_is_forgotten() {
    let server = Server::start(hub()).await;
    let mut client = Client::connect(&server, Codec::Json).await;
    client.subscribe("a").await;
    let stream = client.socket.get_mut();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    in_time(stream.read_to_end(&mut rest)).await.unwrap();
    until(|| server.hub.local_sessions() == 0 && server.hub.local_channels().is_empty()).await;
}

#[tokio::test]
async fn with_the_policy_latest_a_new_message_replaces_the_queued_one() {
    let hub = open_hub().namespace("price", Namespace::default().overflow(Overflow::Latest)).build();
    let server = Server::start(hub).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        for channel in ["price:a", "price:b", "chat"] {
            client.subscribe(channel).await;
        }
        // Nothing is awaited in between, so the session's task does not run.
        for message in 0..10 {
            for channel in ["price:a", "price:b", "chat"] {
                drop(server.hub.publish_raw(&name(channel), number(message)).unwrap());
            }
        }
        // Without offsets the client cannot notice missing messages, so it is notified.
        for channel in ["price:a", "price:b"] {
            assert_eq!(gap(client.push().await), channel);
        }
        let mut seen = Vec::new();
        for _ in 0..12 {
            let publication = client.publication().await;
            seen.push((publication.channel.to_string(), publication.payload));
        }
        assert_eq!(
            seen[..3],
            [("price:a".into(), number(9)), ("price:b".into(), number(9)), ("chat".into(), number(0)),]
        );
        assert!(seen[3..].iter().all(|(channel, _)| channel == "chat"));

        // Messages after the end of a subscription do not overtake it.
        drop(server.hub.publish_raw(&name("price:a"), number(1)).unwrap());
        let commands = [unsubscribe("price:a", 1), subscribe("price:a", 2), publish("price:a", number(2))];
        let commands: Vec<_> = commands.into_iter().map(|request| client.command(request)).collect();
        client.send(commands).await;
        let seen = in_line(&mut client, 4).await;
        assert_eq!(seen, ["1", "-1", "+2", "2"]);
    }
}

#[tokio::test]
async fn with_the_policy_drop_oldest_a_slow_subscriber_misses_the_oldest_and_stays() {
    let hub = open_hub()
        .queue_bytes(10_000)
        .namespace("log", Namespace::default().overflow(Overflow::DropOldest))
        .build();
    let server = Server::start(hub).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("log:a").await;
        client.subscribe("chat").await;
        drop(server.hub.publish_raw(&name("chat"), number(7)).unwrap());
        for message in 0..1000 {
            drop(server.hub.publish_raw(&name("log:a"), number(message)).unwrap());
        }
        assert_eq!(gap(client.push().await), "log:a", "it is told");
        assert_eq!(client.publication().await.channel, name("chat"), "what may not be dropped is not");
        let mut seen = Vec::new();
        while seen.last() != Some(&number(999)) {
            seen.push(client.publication().await.payload);
        }
        assert!(seen.len() > 20 && seen.len() < 500, "{}", seen.len());
        let last: Vec<Payload> = (1000 - seen.len()..1000).map(number).collect();
        assert_eq!(seen, last, "the newest, without a hole");
    }
}
