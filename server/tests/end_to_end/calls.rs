//! Calls: typed handlers, their failures and their ends.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};
use tokio::sync::{Notify, Semaphore};
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Call, Called, Cancel, Command, Connect, Reply, ReplyBody, Request, ServerFrame};
use wirehub_common::{Limits, Payload};
use wirehub_server::call::CallError;

use crate::support::{CODECS, Client, Received, Server, call, open_hub, until};

wirehub_common::contract! {
    /// The contract of the tests.
    contract Tests = "tests";
    /// The channel in which handlers publish.
    channel News = "news": String;
    /// Doubles a number.
    call Double = "double": fn(u32) -> u32;
    /// Never answers.
    call Hang = "hang": fn(u32) -> u32;
    /// Panics.
    call Panic = "panic": fn(u32) -> u32;
    /// Fails with an application's own error.
    call Refuse = "refuse": fn(u32) -> u32;
    /// Publishes the caller's user name.
    call Tell = "tell": fn(u32) -> u32;
    /// Counts up to the number; fails if that is 13.
    stream Count = "count": fn(u32) -> u32;
    /// Responds once and never again.
    stream Stuck = "stuck": fn(u32) -> u32;
}

fn hub() -> wirehub_server::Builder {
    open_hub()
        .contract::<Tests>()
        .call(Double, async |_, number| Ok(number.saturating_mul(2)))
        .call(Hang, async |_, _| std::future::pending().await)
        .call(Panic, async |_, number| {
            assert_ne!(number, 13, "an unlucky number");
            Ok(number)
        })
        .call(Refuse, async |_, _| Err(CallError::application::<1001>("full").temporary()))
        .call(Tell, async |context, number| {
            let who = context.session().to_string();
            context.hub().publish(&News::new(), &who).map_err(CallError::internal)?;
            Ok(number)
        })
        .call_stream(Count, async |_, number| {
            let unlucky = (number == 13).then(|| Err(CallError::application::<1013>("unlucky")));
            Ok(stream::iter((1..=number).map(Ok).chain(unlucky)))
        })
        .call_stream(Stuck, async |_, number| Ok(stream::iter([Ok(number)]).chain(stream::pending())))
}

/// The responses to a command until it ends, and its end.
async fn responses(client: &mut Client, command: u32) -> (Vec<Payload>, Result<Payload, u16>) {
    let mut responses = Vec::new();
    loop {
        match client.next().await {
            Received::Frame(ServerFrame::Reply(Reply { id, result })) if id == command => match result {
                Ok(ReplyBody::Called(Called { payload, more: true })) => responses.push(payload),
                Ok(ReplyBody::Called(Called { payload, more: false })) => return (responses, Ok(payload)),
                Err(error) => return (responses, Err(error.code.number())),
                other => panic!("{other:?}"),
            },
            // On a busy machine a test may take longer than the ping interval.
            Received::Ping => {}
            other => panic!("{other:?}"),
        }
    }
}

fn number(number: u32) -> Payload {
    Payload::json(number.to_string())
}

#[tokio::test]
async fn a_call_without_data_is_refused_if_its_type_needs_data() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        assert_eq!(client.error(call("double", Payload::json(""))).await, 114);
    }
}

#[tokio::test]
async fn a_call_is_answered_by_its_typed_handler() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let ReplyBody::Called(called) = client.ok(call("double", number(21))).await else {
            panic!("no answer")
        };
        assert_eq!(called.payload, number(42));
        for misfit in [Payload::json(r#""text""#), Payload::bytes("21")] {
            assert_eq!(client.error(call("double", misfit)).await, 114);
        }
        assert_eq!(client.error(call("halve", number(1))).await, 104);
    }
}

#[tokio::test]
async fn a_handler_can_refuse_with_its_own_message() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let error = client.request(call("refuse", number(1))).await.result.unwrap_err();
        assert_eq!((error.code.number(), error.message.as_str(), error.temporary), (1001, "full", true));
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_own_call_only() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        assert_eq!(client.error(call("panic", number(13))).await, ErrorCode::INTERNAL.number());
        client.ok(call("panic", number(7))).await;
    }
}

#[tokio::test]
async fn a_handler_knows_its_caller_and_can_publish() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let session = client.connected(Default::default()).await.session;
        client.subscribe("news").await;
        client.ok(call("tell", number(1))).await;
        let publication = client.publication().await;
        assert_eq!(publication.payload, Payload::json(format!("\"{session}\"")));
        assert_eq!(publication.publisher, None, "the server itself published");
    }
}

#[tokio::test]
async fn a_cancelled_call_is_answered_as_such_and_stops() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client
            .send([
                Command { id: 70, request: call("hang", number(1)) },
                Command { id: 71, request: Request::Cancel(Cancel { command: 70 }) },
                Command { id: 72, request: Request::Cancel(Cancel { command: 70 }) },
            ])
            .await;
        let replies = [client.reply().await, client.reply().await, client.reply().await];
        assert_eq!(replies, [(70, Some(116)), (71, None), (72, None)]);
    }
}

#[tokio::test]
async fn slow_calls_block_nothing_and_are_limited_in_number() {
    let limits = Limits { calls: 3, ..Limits::default() };
    let server = Server::start(hub().limits(limits).build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client
            .send([
                Command { id: 80, request: call("hang", number(1)) },
                Command { id: 81, request: call("hang", number(2)) },
                Command { id: 82, request: call("double", number(3)) },
                Command { id: 83, request: call("hang", number(4)) },
            ])
            .await;
        let mut replies = [client.reply().await, client.reply().await];
        replies.sort_unstable();
        assert_eq!(replies, [(82, None), (83, Some(106))]);
        client.ok(Request::Cancel(Cancel { command: 80 })).await;
        assert_eq!(client.reply().await, (80, Some(116)));
        client.ok(call("double", number(5))).await;
    }
}

#[tokio::test]
async fn calls_of_an_ended_session_are_dropped() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (dropped, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let hub = {
        let (dropped, started) = (Arc::clone(&dropped), Arc::clone(&started));
        open_hub().call(Hang, move |_, _| {
            let guard = Dropped(Arc::clone(&dropped));
            started.notify_one();
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    let server = Server::start(hub.build()).await;
    let mut client = Client::connect(&server, CODECS[0]).await;
    client.send([Command { id: 1, request: call("hang", number(1)) }]).await;
    started.notified().await;
    drop(client);
    until(|| dropped.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.hub.local_sessions(), 0);
}

#[tokio::test]
async fn large_answers_wait_for_a_client_that_does_not_read() {
    let gate = Arc::new(Semaphore::new(0));
    let hub = {
        let gate = Arc::clone(&gate);
        open_hub().queue_bytes(64 * 1024).call(LargeAnswer, move |_, _| {
            let gate = Arc::clone(&gate);
            async move {
                let _open = gate.acquire().await.map_err(CallError::internal)?;
                Ok("x".repeat(500_000))
            }
        })
    };
    let server = Server::start(hub.build()).await;
    let mut client = Client::connect(&server, CODECS[0]).await;
    client.send((1..=32).map(|id| Command { id, request: call("large", number(1)) })).await;
    gate.add_permits(32);
    until(|| gate.available_permits() == 32).await;
    let mut answered = Vec::new();
    for _ in 0..32 {
        answered.push(client.reply().await);
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=32).map(|id| (id, None)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_of_responses_comes_in_order_and_ends_without_one() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        for length in [0, 1, 1000] {
            client.send([Command { id: 90, request: call("count", number(length)) }]).await;
            let expected: Vec<Payload> = (1..=length).map(number).collect();
            assert_eq!(responses(&mut client, 90).await, (expected, Ok(Payload::default())));
        }
        client.send([Command { id: 91, request: call("count", number(13)) }]).await;
        let (before, end) = responses(&mut client, 91).await;
        assert_eq!((before.len(), end), (13, Err(1013)));
        assert_eq!(client.error(call("count", Payload::json("null"))).await, 114);
    }
}

#[tokio::test]
async fn a_cancelled_stream_is_dropped_and_its_id_is_free_again() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.send([Command { id: 90, request: call("stuck", number(7)) }]).await;
        assert_eq!(client.reply().await, (90, None));
        client.send([Command { id: 91, request: Request::Cancel(Cancel { command: 90 }) }]).await;
        assert_eq!([client.reply().await, client.reply().await], [(90, Some(116)), (91, None)]);
        client.send([Command { id: 90, request: call("count", number(2)) }]).await;
        assert_eq!(responses(&mut client, 90).await.0.len(), 2);
    }
}

#[tokio::test]
async fn a_stream_is_polled_only_as_fast_as_its_client_reads() {
    let polled = Arc::new(AtomicUsize::new(0));
    let hub = {
        let polled = Arc::clone(&polled);
        open_hub().queue_bytes(64 * 1024).call_stream(Flood, move |_, length| {
            let polled = Arc::clone(&polled);
            async move {
                Ok(stream::iter(0..length).map(move |_| {
                    polled.fetch_add(1, Ordering::SeqCst);
                    Ok("x".repeat(10_000))
                }))
            }
        })
    };
    let server = Server::start(hub.build()).await;
    let mut client = Client::connect(&server, CODECS[0]).await;
    // 200 MB: far more than the buffers of the sockets.
    client.send([Command { id: 1, request: call("flood", number(20_000)) }]).await;
    let before = Cell::new(0);
    until(|| {
        let now = polled.load(Ordering::SeqCst);
        now > 0 && now == before.replace(now)
    })
    .await;
    assert!(polled.load(Ordering::SeqCst) < 10_000, "it waits for its client");
    assert_eq!(responses(&mut client, 1).await.0.len(), 20_000);
}

wirehub_common::contract! {
    contract Large = "large";
    /// A large payload.
    call LargeAnswer = "large": fn(u32) -> String;
    /// This many of them.
    stream Flood = "flood": fn(u32) -> String;
}

#[tokio::test]
async fn a_repeated_key_is_carried_out_once_for_its_user_until_it_is_cancelled() {
    let carried_out = Arc::new(AtomicUsize::new(0));
    let hub = {
        let carried_out = Arc::clone(&carried_out);
        open_hub()
            .authenticate(async |credentials| {
                Ok(wirehub_server::auth::Authenticated::user(credentials.token))
            })
            .call_any("count.*".parse().unwrap(), move |_, call| {
                let number = carried_out.fetch_add(1, Ordering::SeqCst);
                async move {
                    if call.name == "count.for_ever" {
                        std::future::pending::<()>().await;
                    }
                    Ok(Payload::json(number.to_string()))
                }
            })
            .build()
    };
    let server = Server::start(hub).await;
    let call = |name: &str, key: &str| {
        let (name, key) = (name.into(), key.into());
        Request::Call(Call { name, payload: Payload::json("1"), key })
    };
    for codec in CODECS {
        let before = carried_out.load(Ordering::SeqCst);
        // A user for each codec.
        let [ann_s_name, bob_s_name] = ["ann", "bob"].map(|name| format!("{name} with {codec:?}"));
        let connect = async |user: &str| {
            let mut client = Client::open(&server, codec).await;
            let connect = Connect { token: user.into(), ..Connect::default() };
            assert!(client.connected(connect).await.call_idempotency.is_some());
            client
        };
        let mut ann = connect(&ann_s_name).await;
        let first = ann.ok(call("count.up", "k")).await;
        drop(ann);
        let mut ann = connect(&ann_s_name).await;
        assert_eq!(ann.ok(call("count.up", "k")).await, first);
        assert_ne!(connect(&bob_s_name).await.ok(call("count.up", "k")).await, first, "another user's key");
        assert_ne!(ann.ok(call("count.up", "")).await, first, "an empty key is none");
        assert_eq!(carried_out.load(Ordering::SeqCst) - before, 3);

        let endless = ann.command(call("count.for_ever", "l"));
        let id = endless.id;
        ann.send([endless]).await;
        until(|| carried_out.load(Ordering::SeqCst) - before == 4).await;
        assert_eq!(ann.ok(Request::Cancel(Cancel { command: id })).await, ReplyBody::Cancelled);
        let again = ann.command(call("count.for_ever", "l"));
        ann.send([again]).await;
        until(|| carried_out.load(Ordering::SeqCst) - before == 5).await;
    }
}

#[tokio::test]
async fn the_key_of_a_call_belongs_to_its_name_and_user_or_anonymous_session() {
    let carried_out = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let hub = {
        let (carried_out, gate) = (Arc::clone(&carried_out), Arc::clone(&gate));
        open_hub().call_any("*".parse().unwrap(), move |who, call| {
            carried_out.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                if call.name == "wait" {
                    gate.acquire().await.unwrap().forget();
                }
                Ok(Payload::json(format!("\"{} for {}\"", call.name, who.session())))
            }
        })
    };
    let server = Server::start(hub.build()).await;
    let call = |name: &str| {
        let (name, key) = (name.into(), "order-1".into());
        Request::Call(Call { name, payload: Payload::json("1"), key })
    };
    for codec in CODECS {
        let [mut ann, mut bob] = [Client::open(&server, codec).await, Client::open(&server, codec).await];
        for client in [&mut ann, &mut bob] {
            let memory = client.connected(Connect::default()).await.call_idempotency;
            assert_eq!(memory, None, "who comes back is another session");
        }
        let mine = ann.ok(call("pay")).await;
        assert_eq!(ann.ok(call("pay")).await, mine, "a repeat");
        assert_ne!(ann.ok(call("look")).await, mine, "another call");
        assert_ne!(bob.ok(call("pay")).await, mine, "another session");

        let before = carried_out.load(Ordering::SeqCst);
        ann.send([Command { id: 50, request: call("wait") }]).await;
        bob.send([Command { id: 50, request: call("wait") }]).await;
        until(|| carried_out.load(Ordering::SeqCst) == before + 2).await;
        bob.ok(Request::Cancel(Cancel { command: 50 })).await;
        gate.add_permits(1);
        assert_eq!(ann.reply().await, (50, None), "it is not ann's that was cancelled");
    }
}

#[tokio::test]
async fn answers_that_a_client_does_not_read_are_bounded_in_bytes() {
    const EACH: usize = 4 * 1024 * 1024;
    let answered = Arc::new(AtomicUsize::new(0));
    let hub = {
        let answered = Arc::clone(&answered);
        open_hub().call_any("large".parse().unwrap(), move |_, _| {
            let answered = Arc::clone(&answered);
            async move {
                answered.fetch_add(1, Ordering::SeqCst);
                Ok(Payload::bytes(vec![7; EACH]))
            }
        })
    };
    let server = Server::start(hub.build()).await;
    let mut client = Client::connect(&server, CODECS[0]).await;
    client.send((1..=32).map(|id| Command { id, request: call("large", Payload::json("1")) })).await;
    until(|| answered.load(Ordering::SeqCst) == 32).await;
    let mut errors = Vec::new();
    for _ in 0..32 {
        let (_, error) = client.reply().await;
        errors.extend(error);
    }
    assert!((20..32).contains(&errors.len()), "{} were refused", errors.len());
    assert!(errors.iter().all(|code| *code == 106));
}

#[tokio::test]
async fn handlers_share_the_state_of_the_hub_by_its_type() {
    struct Names(Vec<&'static str>);
    let hub = open_hub()
        .state(Names(vec!["ann", "bob"]))
        .state(7_u32)
        .call_any("names".parse().unwrap(), async |context, _| {
            let names = context.state::<Names>()?;
            let count = context.state::<u32>()?;
            Ok(Payload::json(format!("[{:?},{count}]", names.0.join("+"))))
        })
        .call_any("missing".parse().unwrap(), async |context, _| {
            context.state::<String>().map(|_| Payload::json("null"))
        })
        .build();
    let server = Server::start(hub).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        let answer = client.ok(call("names", Payload::json("1"))).await;
        let payload = Payload::json(r#"["ann+bob",7]"#);
        assert_eq!(answer, ReplyBody::Called(Called { payload, more: false }));
        assert_eq!(client.error(call("missing", Payload::json("1"))).await, 100);
    }
}
