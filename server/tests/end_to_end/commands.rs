//! The answers to each command, in both subprotocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_tungstenite::tungstenite::Message;
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Call, Cancel, Command, Connect, ContractId, Position, Presence, Publish, Refresh, ReplyBody, Request,
    ServerFrame, Subscribe,
};
use wirehub_common::{Codec, Limits, Payload};
use wirehub_demo_contract::Demo;
use wirehub_server::Hub;
use wirehub_server::auth::Refusal;

use crate::support::{
    CODECS, Client, Received, Server, call, name, open_hub, publish, subscribe, unsubscribe,
};

fn hub() -> Hub {
    open_hub().build()
}

#[tokio::test]
async fn connect_is_answered_with_the_session_and_the_limits_in_force() {
    let limits = Limits { channels: 3, ..Limits::default() };
    let server = Server::start(open_hub().limits(limits).build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let connected = client.connected(Connect::default()).await;
        assert_eq!(connected.session.len(), 22);
        assert_eq!(connected.user, "");
        assert_eq!(connected.limits, limits);
        assert_eq!(connected.contract, None);
    }
}

#[tokio::test]
async fn the_first_command_must_be_connect_and_no_other_may_be() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        client.send([Command { id: 1, request: subscribe("a", 1) }]).await;
        assert_eq!(client.closed().await.0, 3501);

        let mut client = Client::connect(&server, codec).await;
        client.send([Command { id: 9, request: Request::Connect(Connect::default()) }]).await;
        assert_eq!(client.closed().await.0, 3502);
    }
}

#[tokio::test]
async fn a_malformed_connect_gets_the_reason() {
    let server = Server::start(hub()).await;
    let mut client = Client::open(&server, Codec::Json).await;
    client.send_raw(Message::Text(r#"{"id":1,"connect":{"token":5}}"#.into())).await;
    let Received::Frame(frame) = client.next().await else { panic!("no reply") };
    assert!(format!("{frame:?}").contains("expected a string"), "{frame:?}");
    assert_eq!(client.closed().await.0, 3501);
}

#[tokio::test]
async fn subscriptions_in_connect_are_made_at_once_and_each_has_its_outcome() {
    let limits = Limits { channels: 2, ..Limits::default() };
    let server = Server::start(open_hub().limits(limits).build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let position = Some(Position { offset: 7, epoch: "old".into() });
        let subscriptions = [("a", 1), ("a", 1), ("b", 5), ("c", 1)].map(|(channel, number)| Subscribe {
            channel: name(channel),
            number,
            position: position.clone(),
            history: 0,
        });
        let connect = Connect { subscriptions: subscriptions.into(), ..Connect::default() };
        let outcomes = client.connected(connect).await.subscriptions;
        let codes: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.result.as_ref().map_err(|error| error.code.number()).err())
            .collect();
        assert_eq!(codes, [None, Some(105), None, Some(106)]);
        let second = outcomes[2].result.as_ref().unwrap();
        assert_eq!(
            (second.number, second.complete, &second.position),
            (5, false, &None),
            "nothing to recover"
        );
        server.hub.publish_raw(&name("b"), Payload::json("1")).unwrap();
        assert_eq!(client.publication().await.channel, name("b"));
    }
}

#[tokio::test]
async fn a_subscription_is_replaced_by_a_higher_number_only() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        assert!(matches!(client.ok(subscribe("a", 2)).await, ReplyBody::Subscribed(s) if s.number == 2));
        assert_eq!(client.error(subscribe("a", 2)).await, 105);
        assert_eq!(client.error(subscribe("a", 1)).await, 105);
        assert!(matches!(client.ok(subscribe("a", 3)).await, ReplyBody::Subscribed(s) if s.number == 3));
        assert_eq!(server.hub.local_subscribers(&name("a")), 1);

        assert!(matches!(client.ok(unsubscribe("a", 2)).await, ReplyBody::Unsubscribed(u) if u.number == 2));
        assert_eq!(server.hub.local_subscribers(&name("a")), 1, "an older number changes nothing");
        client.ok(unsubscribe("a", 3)).await;
        assert_eq!(server.hub.local_subscribers(&name("a")), 0);
        assert_eq!(client.error(unsubscribe("a", 3)).await, 113);
    }
}

#[tokio::test]
async fn a_publication_carries_its_publisher_and_the_servers_time() {
    let server = Server::start(hub()).await;
    let since_epoch = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    for codec in CODECS {
        let mut listener = Client::connect(&server, codec).await;
        listener.subscribe("a").await;
        let mut publisher = Client::open(&server, codec).await;
        let session = publisher.connected(Connect::default()).await.session;
        let before = since_epoch();
        // Publishing needs no subscription.
        assert!(matches!(
            publisher.ok(publish("a", Payload::bytes(&b"\0\xff"[..]))).await,
            ReplyBody::Published(_)
        ));
        let publication = listener.publication().await;
        assert_eq!(publication.payload, Payload::bytes(&b"\0\xff"[..]));
        assert_eq!(publication.publisher.unwrap().session, session);
        assert_eq!(publication.offset, 0);
        assert!((before..=since_epoch()).contains(&publication.time), "{}", publication.time);
    }
}

#[tokio::test]
async fn a_payload_that_does_not_match_its_content_tag_is_refused() {
    let server = Server::start(hub()).await;
    let mut client = Client::connect(&server, Codec::Protobuf).await;
    for text in ["", "{", "1 2", "nonsense"] {
        assert_eq!(client.error(publish("a", Payload::json(text))).await, 107, "{text}");
    }
}

#[tokio::test]
async fn a_contract_bounds_channels_payloads_and_is_compared() {
    let server = Server::start(open_hub().contract::<Demo>().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let skewed = ContractId { hash: ContractHash(1), ..Demo::id() };
        let connect = Connect { contract: Some(skewed), ..Connect::default() };
        assert_eq!(client.connected(connect).await.contract, Some(Demo::digest()));

        assert_eq!(client.error(subscribe("news", 1)).await, 102);
        assert_eq!(client.error(publish("news", Payload::json("{}"))).await, 102);
        assert_eq!(client.error(publish("chat:a", Payload::json("{}"))).await, 114);
        assert_eq!(client.error(publish("chat:a", Payload::bytes("x"))).await, 114);
        client.ok(publish("chat:a", Payload::json(r#"{"nick":"ann","text":"hi"}"#))).await;

        let mut same = Client::open(&server, codec).await;
        let connect = Connect { contract: Some(Demo::id()), ..Connect::default() };
        assert_eq!(same.connected(connect).await.contract, None);
    }
}

#[tokio::test]
async fn a_client_that_sends_too_much_gets_errors_and_others_are_not_affected() {
    let server = Server::start(open_hub().commands_per_second(5).build()).await;
    for codec in CODECS {
        let mut greedy = Client::connect(&server, codec).await;
        let mut modest = Client::connect(&server, codec).await;
        greedy.send((100..1100).map(|id| Command { id, request: subscribe(&format!("c{id}"), 1) })).await;
        let mut codes = Vec::new();
        for _ in 0..1000 {
            match greedy.next().await {
                Received::Frame(ServerFrame::Reply(reply)) => {
                    codes.push(reply.result.map_or_else(|error| error.code.number(), |_| 0));
                }
                other => panic!("{other:?}"),
            }
        }
        let taken = codes.iter().filter(|code| **code == 0).count();
        // Two seconds' worth, including `connect`, and the few that became free meanwhile.
        assert!((9..100).contains(&taken), "{taken}");
        assert_eq!(codes.iter().filter(|code| **code == 111).count(), 1000 - taken);
        modest.ok(subscribe("a", 1)).await;
    }
}

#[tokio::test]
async fn many_sessions_of_one_user_together_may_send_no_more_than_one() {
    let hub = open_hub()
        .commands_per_second(50)
        .authenticate(async |credentials| Ok(wirehub_server::auth::Authenticated::user(credentials.token)));
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        let mut sessions = Vec::new();
        for _ in 0..10 {
            let mut client = Client::open(&server, codec).await;
            client.connected(Connect { token: format!("{codec:?}"), ..Connect::default() }).await;
            sessions.push(client);
        }
        let (mut taken, begun) = (0, std::time::Instant::now());
        for client in &mut sessions {
            // Within the limit of each session alone.
            let request = publish("a", Payload::json("1"));
            client.send((100..190).map(|id| Command { id, request: request.clone() })).await;
            for _ in 0..90 {
                match client.next().await {
                    Received::Frame(ServerFrame::Reply(reply)) => taken += u64::from(reply.result.is_ok()),
                    other => panic!("{other:?}"),
                }
            }
        }
        // Two seconds' worth, and the few that became free meanwhile.
        let most = 100 + 50 * (begun.elapsed().as_secs() + 1);
        assert!((100..=most).contains(&taken), "{taken} of {most}");
        let mut other = Client::open(&server, codec).await;
        other.connected(Connect { token: "another".into(), ..Connect::default() }).await;
        other.ok(publish("a", Payload::json("1"))).await;
    }
}

#[tokio::test]
async fn a_client_that_tries_many_tokens_is_slowed_down() {
    let asked = Arc::new(AtomicUsize::new(0));
    let hub = {
        let asked = Arc::clone(&asked);
        open_hub().commands_per_second(1).authenticate(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err(Refusal::invalid()))
        })
    };
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        let before = asked.load(Ordering::SeqCst);
        let mut client = Client::open(&server, codec).await;
        let mut codes = Vec::new();
        for _ in 0..100 {
            codes.push(client.error(Request::Connect(Connect::default())).await);
        }
        let tried = codes.iter().filter(|code| **code == 101).count();
        // Beyond that the connection would be closed.
        assert!((1..5).contains(&tried), "{tried}");
        assert_eq!(codes.iter().filter(|code| **code == 111).count(), 100 - tried);
        assert_eq!(asked.load(Ordering::SeqCst) - before, tried);
    }
}

#[tokio::test]
async fn a_key_that_is_too_long_is_refused() {
    let hub = open_hub().call_any("echo".parse().unwrap(), async |_, call| Ok(call.payload));
    let server = Server::start(hub.build()).await;
    let keyed = |key: &str| {
        let payload = || Payload::json("1");
        [
            Request::Publish(Publish { channel: name("a"), payload: payload(), key: key.into() }),
            Request::Call(Call { name: "echo".into(), payload: payload(), key: key.into() }),
        ]
    };
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        for request in keyed(&"k".repeat(256)) {
            client.ok(request).await;
        }
        for request in keyed(&"k".repeat(257)) {
            assert_eq!(client.error(request).await, 107);
        }
    }
}

#[tokio::test]
async fn unavailable_features_are_refused_by_name() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        assert_eq!(
            client
                .error(Request::Presence(Presence {
                    channel: name("a"),
                    counts_only: false,
                    after: String::new()
                }))
                .await,
            108
        );
        assert_eq!(client.error(Request::Refresh(Refresh { token: "t".into() })).await, 108);
        assert_eq!(client.error(call("none", Payload::json("1"))).await, 104);
        assert_eq!(client.error(Request::Unknown).await, 120);
        assert_eq!(client.error(publish(Hub::BROADCAST, Payload::json("1"))).await, 103);
        assert_eq!(client.ok(Request::Cancel(Cancel { command: 77 })).await, ReplyBody::Cancelled);
    }
}

#[tokio::test]
async fn an_invalid_request_gets_the_reason() {
    let server = Server::start(hub()).await;
    let mut client = Client::connect(&server, Codec::Json).await;
    client.send_raw(Message::Text(r#"{"id":5,"subscribe":{"channel":"a b","number":1}}"#.into())).await;
    let Received::Frame(ServerFrame::Reply(reply)) = client.next().await else { panic!("no reply") };
    let error = reply.result.unwrap_err();
    assert_eq!((reply.id, error.code.number()), (5, 107));
    assert!(error.message.contains("white space"), "{}", error.message);
}

#[tokio::test]
async fn a_command_without_an_id_is_carried_out_and_not_answered() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("a").await;
        client
            .send([
                Command { id: 0, request: publish("a", Payload::json("1")) },
                Command { id: 0, request: Request::Unknown },
                Command { id: 0, request: unsubscribe("a", 1) },
            ])
            .await;
        assert_eq!(client.publication().await.payload, Payload::json("1"));
        client.ok(Request::Cancel(Cancel { command: 0 })).await;
        assert_eq!(server.hub.local_subscribers(&name("a")), 0);
    }
}

#[tokio::test]
async fn frames_before_a_broken_one_are_carried_out_and_answered() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let mut batch =
            codec.encode_command(&Command { id: 7, request: publish("a", Payload::json("1")) }).to_vec();
        batch.extend_from_slice(if codec.is_text() { b"{\"id\":" } else { b"\x7f\x08" });
        let message = client.message(batch);
        client.send_raw(message).await;
        let Received::Frame(reply) = client.next().await else { panic!("no reply") };
        assert!(format!("{reply:?}").contains("id: 7"), "{reply:?}");
        let Received::Closed(code, reason) = client.next().await else { panic!("no close") };
        assert_eq!(code, 3500);
        assert!(!reason.is_empty());
    }
}

#[tokio::test]
async fn the_wrong_kind_of_message_ends_the_session() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let wrong = if codec.is_text() { Message::Binary("x".into()) } else { Message::Text("x".into()) };
        client.send_raw(wrong).await;
        assert_eq!(client.closed().await.0, 3504);
    }
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_session() {
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let server = Server::start(open_hub().limits(limits).build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.ok(publish("a", Payload::bytes(vec![b'x'; 500]))).await;
        client.send([Command { id: 1, request: publish("a", Payload::bytes(vec![b'x'; 1000])) }]).await;
        assert_eq!(client.closed().await.0, 1009);
    }
}

#[tokio::test]
async fn an_empty_message_is_a_pong_and_has_no_answer() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let empty = client.message(Vec::new());
        client.send_raw(empty).await;
        assert_eq!(client.ok(Request::Cancel(Cancel { command: 1 })).await, ReplyBody::Cancelled);
    }
}
