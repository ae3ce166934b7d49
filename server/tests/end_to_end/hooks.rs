//! Hooks: decisions about subscriptions, publications, and calls of any name.

use std::collections::HashMap;
use std::future::Ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Called, Command, Connect, History as Read, Presence, Push, Refresh, Reply, ReplyBody, Request,
    ServerFrame, Subscribe,
};
use wirehub_common::{Limits, Payload};
use wirehub_server::auth::{Authenticated, Rights};
use wirehub_server::call::CallError;
use wirehub_server::namespace::{Access, History, Namespace};
use wirehub_server::{Builder, Hub};

use crate::support::{
    CODECS, Client, Received, Server, call, name, open_hub, publish, subscribe, unsubscribe, until,
};

/// A token is a user name. The user may subscribe to channels with this ending, once the gate is open.
struct Gate {
    permits: Semaphore,
    asked: AtomicUsize,
    dropped: AtomicUsize,
}

/// Counts decisions that were dropped.
struct Dropped(Arc<Gate>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Gate {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(permits),
            asked: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn pass(self: &Arc<Self>) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let dropped = Dropped(Arc::clone(self));
        self.permits.acquire().await.unwrap().forget();
        std::mem::forget(dropped);
    }

    fn open(&self, times: usize) {
        self.permits.add_permits(times);
    }
}

fn users() -> Builder {
    open_hub().authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
}

fn asking_about_subscriptions(gate: &Arc<Gate>) -> Builder {
    let gate = Arc::clone(gate);
    users()
        .namespace(
            "room",
            Namespace::default()
                .history(History::new(10, Duration::from_secs(60)))
                .presence(Access::Everybody),
        )
        .authorize_subscribe("room:*".parse().unwrap(), move |who, channel| {
            let gate = Arc::clone(&gate);
            async move {
                gate.pass().await;
                if channel.as_str().ends_with(who.user()) {
                    Ok(())
                } else {
                    Err(CallError::application::<1001>("not your room"))
                }
            }
        })
}

async fn client(server: &Server, codec: wirehub_common::Codec, user: &str) -> Client {
    let mut client = Client::open(server, codec).await;
    client.connected(Connect { token: user.into(), ..Connect::default() }).await;
    client
}

fn history(channel: &str) -> Request {
    Request::History(Read { channel: name(channel), since: None, limit: 10, reverse: false })
}

fn presence(channel: &str) -> Request {
    Request::Presence(Presence { channel: name(channel), counts_only: false, after: String::new() })
}

fn json(number: usize) -> Payload {
    Payload::json(number.to_string())
}

#[tokio::test]
async fn a_hook_decides_about_subscribing_and_reading() {
    let gate = Gate::new(1000);
    let server = Server::start(asking_about_subscriptions(&gate).build()).await;
    for codec in CODECS {
        let mut ann = client(&server, codec, "ann").await;
        ann.subscribe("open").await;
        let before = gate.asked();
        ann.subscribe("room:ann").await;
        ann.ok(history("room:ann")).await;
        assert_eq!(gate.asked() - before, 1, "who is subscribed may read");
        let error = ann.request(subscribe("room:bob", 1)).await.result.unwrap_err();
        assert_eq!((error.code.number(), &*error.message), (1001, "not your room"));
        assert_eq!(ann.error(history("room:bob")).await, 1001);
        assert_eq!(ann.error(presence("room:bob")).await, 1001, "nor see who is there");
        let mut also = client(&server, codec, "ann").await;
        also.ok(history("room:ann")).await;
        let ReplyBody::Presence(list) = also.ok(presence("room:ann")).await else { panic!("no list") };
        assert_eq!(list.sessions, 1);

        // Also the subscriptions in `connect`, each by itself.
        let subscriptions = ["room:ann", "open", "room:bob"].map(|channel| Subscribe {
            channel: name(channel),
            number: 1,
            position: None,
            history: 0,
        });
        let connect =
            Connect { token: "ann".into(), subscriptions: subscriptions.to_vec(), ..Connect::default() };
        let mut back = Client::open(&server, codec).await;
        let results = back.connected(connect).await.subscriptions.into_iter();
        let results: Vec<_> =
            results.map(|outcome| outcome.result.err().map(|error| error.code.number())).collect();
        assert_eq!(results, [None, None, Some(1001)]);
    }
}

#[tokio::test]
async fn hooks_are_not_asked_about_more_subscriptions_than_the_limit() {
    let gate = Gate::new(1000);
    let limits = Limits { channels: 2, ..Limits::default() };
    let server = Server::start(asking_about_subscriptions(&gate).limits(limits).build()).await;
    // A subscription that the rules refuse takes no place.
    let subscriptions = ["@bob", "room:1ann", "room:2ann", "room:3ann", "room:4ann"]
        .map(|channel| Subscribe { channel: name(channel), number: 1, position: None, history: 0 });
    let connect =
        Connect { token: "ann".into(), subscriptions: subscriptions.to_vec(), ..Connect::default() };
    let mut client = Client::open(&server, CODECS[0]).await;
    let outcomes = client.connected(connect).await.subscriptions;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.result.is_ok()).count(), 2);
    assert_eq!(gate.asked(), 2);

    // Subscriptions without a decision yet count.
    let gate = Gate::new(0);
    let server = Server::start(asking_about_subscriptions(&gate).limits(limits).build()).await;
    let mut ann = self::client(&server, CODECS[0], "ann").await;
    let commands = ["room:1ann", "room:2ann", "room:3ann"].map(|channel| subscribe(channel, 1));
    ann.send((10..).zip(commands).map(|(id, request)| Command { id, request })).await;
    assert_eq!(ann.reply().await, (12, Some(106)));
    gate.open(2);
    let mut answers = [ann.reply().await, ann.reply().await];
    answers.sort_unstable();
    assert_eq!((answers, gate.asked()), ([(10, None), (11, None)], 2));
}

#[tokio::test]
async fn only_a_few_subscriptions_in_connect_are_decided_at_once() {
    let gate = Gate::new(0);
    let limits = Limits { channels: 0, ..Limits::default() };
    let server = Server::start(asking_about_subscriptions(&gate).limits(limits).build()).await;
    let subscriptions: Vec<_> = (0..1000)
        .map(|index| Subscribe {
            channel: name(&format!("room:{index}ann")),
            number: 1,
            position: None,
            history: 0,
        })
        .collect();
    let connect = Connect { token: "ann".into(), subscriptions: subscriptions.clone(), ..Connect::default() };
    let mut ann = Client::open(&server, CODECS[0]).await;
    ann.send([Command { id: 1, request: Request::Connect(connect) }]).await;
    until(|| gate.asked() == 64).await;
    // A client that is served after it.
    client(&server, CODECS[0], "bob").await.subscribe("free").await;
    assert_eq!(gate.asked(), 64);
    gate.open(1000);
    let Received::Frame(ServerFrame::Reply(Reply { result: Ok(ReplyBody::Connected(connected)), .. })) =
        ann.next().await
    else {
        panic!()
    };
    let outcomes = connected.subscriptions.iter().map(|outcome| (&outcome.channel, outcome.result.is_ok()));
    assert!(outcomes.eq(subscriptions.iter().map(|subscribe| (&subscribe.channel, true))), "in their order");
}

#[tokio::test]
async fn a_subscription_can_be_taken_back_before_it_is_decided_on() {
    for codec in CODECS {
        let gate = Gate::new(0);
        let server = Server::start(asking_about_subscriptions(&gate).build()).await;
        let mut ann = client(&server, codec, "ann").await;
        ann.send([Command { id: 10, request: subscribe("room:ann", 1) }]).await;
        ann.ok(unsubscribe("room:ann", 1)).await;
        assert_eq!(ann.error(unsubscribe("room:ann", 1)).await, 113);
        gate.open(1);
        assert_eq!(ann.reply().await, (10, Some(116)));
        assert_eq!(server.hub.local_subscribers(&name("room:ann")), 0);

        // A newer one replaces it.
        ann.send([2, 3].map(|number| Command { id: 10 + number, request: subscribe("room:ann", number) }))
            .await;
        assert_eq!(ann.error(subscribe("room:ann", 3)).await, 105);
        gate.open(2);
        let mut answers = [ann.reply().await, ann.reply().await];
        answers.sort_unstable();
        assert_eq!(answers, [(12, Some(116)), (13, None)]);
        assert_eq!(server.hub.local_subscribers(&name("room:ann")), 1);
    }
}

#[tokio::test]
async fn decisions_about_an_ended_session_are_dropped() {
    let gate = Gate::new(0);
    let server = Server::start(asking_about_subscriptions(&gate).build()).await;
    let mut ann = client(&server, CODECS[0], "ann").await;
    ann.send([Command { id: 10, request: subscribe("room:ann", 1) }]).await;
    until(|| gate.asked() == 1).await;
    drop(ann);
    until(|| gate.dropped.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.hub.local_sessions(), 0);
}

/// Publications in `room` pass the gate. 13 is refused, and 100 is added to other numbers.
fn asking_about_publications(gate: &Arc<Gate>) -> Builder {
    let gate = Arc::clone(gate);
    users().authorize_publish("room:*".parse().unwrap(), move |_, request| {
        let gate = Arc::clone(&gate);
        async move {
            gate.pass().await;
            let number: usize = serde_json::from_slice(&request.payload.data).unwrap();
            if number == 13 {
                return Err(CallError::from_code(ErrorCode::PERMISSION_DENIED).with_message("unlucky"));
            }
            Ok(json(number + 100))
        }
    })
}

#[tokio::test]
async fn a_users_session_can_be_ended_while_it_begins() {
    for codec in CODECS {
        let gate = Gate::new(0);
        let server = Server::start(asking_about_subscriptions(&gate).build()).await;
        let mut ann = Client::open(&server, codec).await;
        let subscriptions =
            vec![Subscribe { channel: name("room:ann"), number: 1, position: None, history: 0 }];
        let connect = Connect { token: "ann".into(), subscriptions, ..Connect::default() };
        let connect = ann.command(Request::Connect(connect));
        ann.send([connect]).await;
        until(|| gate.asked() == 1).await;
        assert_eq!(server.hub.disconnect_user("ann", CloseCode::DISCONNECTED, "out").await.unwrap(), 1);
        gate.open(1);
        assert_eq!(ann.closed().await.0, CloseCode::DISCONNECTED.number());
    }
}

#[tokio::test]
async fn a_hook_that_panics_before_it_returns_a_future_affects_nothing_else() {
    let hub = open_hub()
        .authenticate(|credentials| {
            assert_ne!(credentials.token, "bad", "a mistake of the application");
            std::future::ready(Ok(Authenticated::anonymous()))
        })
        .authorize_subscribe("bad".parse().unwrap(), |_, _| -> Ready<Result<(), CallError>> {
            panic!("a mistake of the application")
        })
        .authorize_publish("bad".parse().unwrap(), |_, _| -> Ready<Result<Payload, CallError>> {
            panic!("a mistake of the application")
        });
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let bad = Connect { token: "bad".into(), ..Connect::default() };
        assert_eq!(client.error(Request::Connect(bad)).await, 100);
        client.connected(Connect::default()).await;
        assert_eq!(client.error(subscribe("bad", 1)).await, 100);
        assert_eq!(client.error(publish("bad", json(1))).await, 100);
        client.subscribe("good").await;
    }
}

#[tokio::test]
async fn a_slow_hook_does_not_allow_reading_after_the_right_is_lost() {
    for codec in CODECS {
        let gate = Gate::new(0);
        let hub = asking_about_subscriptions(&gate).authenticate(async |credentials| {
            let ann = Authenticated::user("ann");
            let may = credentials.token == "may";
            Ok(if may { ann.with_channels(vec![name("room:ann")]) } else { ann })
        });
        let kept = History::new(10, Duration::from_secs(60));
        let room = Namespace::default().history(kept).subscribe(Access::TokenOnly);
        let server = Server::start(hub.namespace("room", room).build()).await;
        let mut ann = Client::open(&server, codec).await;
        ann.connected(Connect { token: "may".into(), ..Connect::default() }).await;
        assert!(matches!(ann.push().await, Push::Subscribed(_)));
        ann.ok(unsubscribe("room:ann", 1)).await;
        let read = ann.command(history("room:ann"));
        let refresh = ann.command(Request::Refresh(Refresh { token: "may not".into() }));
        let (read_id, refresh_id) = (read.id, refresh.id);
        ann.send([read, refresh]).await;
        assert_eq!(ann.reply().await, (refresh_id, None));
        gate.open(1);
        assert_eq!(ann.reply().await, (read_id, Some(103)));
    }
}

#[tokio::test]
async fn a_hook_refuses_and_changes_what_is_published() {
    let gate = Gate::new(1000);
    let server = Server::start(asking_about_publications(&gate).build()).await;
    for codec in CODECS {
        let mut ann = client(&server, codec, "ann").await;
        ann.subscribe("room:a").await;
        let error = ann.request(publish("room:a", json(13))).await.result.unwrap_err();
        assert_eq!((error.code.number(), &*error.message), (103, "unlucky"));
        ann.ok(publish("room:a", json(1))).await;
        let publication = ann.publication().await;
        assert_eq!((publication.payload, &*publication.publisher.unwrap().user), (json(101), "ann"));
        let asked = gate.asked();
        if !codec.is_text() {
            assert_eq!(ann.error(publish("room:a", Payload::json("{"))).await, 107);
        }
        assert_eq!(ann.error(publish("@bob", json(1))).await, 103);
        assert_eq!(gate.asked(), asked, "what the rules refuse nobody is asked about");
        // It is not a number.
        assert_eq!(
            ann.error(publish("room:a", Payload::json("{}"))).await,
            100,
            "a panic fails what it is about"
        );
        ann.ok(publish("room:a", json(2))).await;
        assert_eq!(ann.publication().await.payload, json(102));
    }
}

#[tokio::test]
async fn publications_stay_in_their_order_and_other_channels_do_not_wait() {
    for codec in CODECS {
        let gate = Gate::new(0);
        let server = Server::start(asking_about_publications(&gate).build()).await;
        let mut ann = client(&server, codec, "ann").await;
        let mut bob = client(&server, codec, "bob").await;
        bob.subscribe("room:a").await;
        let numbers = [1, 2, 13, 3];
        ann.send(
            (10..).zip(numbers).map(|(id, number)| Command { id, request: publish("room:a", json(number)) }),
        )
        .await;
        ann.ok(publish("other", json(1))).await;
        assert_eq!(gate.asked(), 1, "one after the other");
        gate.open(4);
        let answers = [ann.reply().await, ann.reply().await, ann.reply().await, ann.reply().await];
        assert_eq!(answers, [(10, None), (11, None), (12, Some(103)), (13, None)]);
        for number in [101, 102, 103] {
            assert_eq!(bob.publication().await.payload, json(number));
        }
    }
}

#[tokio::test]
async fn a_flood_waits_for_its_decisions_and_loses_nothing() {
    let gate = Gate::new(0);
    let server = Server::start(asking_about_publications(&gate).build()).await;
    let mut ann = client(&server, CODECS[0], "ann").await;
    let mut bob = client(&server, CODECS[0], "bob").await;
    bob.subscribe("room:a").await;
    ann.send((1..=500).map(|id| Command { id, request: publish("room:a", json(id as usize + 1000)) })).await;
    until(|| gate.asked() == 1).await;
    bob.ok(publish("other", json(1))).await;
    gate.open(500);
    for id in 1..=500 {
        assert_eq!(ann.reply().await, (id, None));
        assert_eq!(bob.publication().await.payload, json(id as usize + 1100));
    }
}

#[tokio::test]
async fn calls_of_any_name_have_a_handler_by_pattern() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hub = {
        let seen = Arc::clone(&seen);
        users()
            .call_any("echo.*".parse().unwrap(), move |who, call| {
                seen.lock().push((who.user().to_owned(), call.name));
                async move { Ok(call.payload) }
            })
            .call_any("echo.never".parse().unwrap(), async |_, _| {
                Err(CallError::internal("the first decides"))
            })
            .call_any("bad".parse().unwrap(), async |_, _| Ok(Payload::json("{")))
    };
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        let mut ann = client(&server, codec, "ann").await;
        for payload in [json(1), Payload::bytes("\u{0}x"), Payload::default()] {
            let answer = ann.ok(call("echo.never", payload.clone())).await;
            assert_eq!(answer, ReplyBody::Called(Called { payload, more: false }));
            assert_eq!(seen.lock().pop(), Some(("ann".into(), "echo.never".into())));
        }
        assert_eq!(ann.error(call("other", json(1))).await, 104);
        assert_eq!(ann.error(call("bad", json(1))).await, 100, "what a handler gives is looked at");
    }
    let mut ann = client(&server, CODECS[0], "ann").await;
    assert_eq!(ann.error(call("echo.x", Payload::json("{"))).await, 107);
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn decisions_of_any_length_leave_the_order_of_each_channel_as_it_was() {
    const MESSAGES: usize = 300;
    let hub = users().authorize_publish("room:*".parse().unwrap(), async |_, request| {
        let number: usize = serde_json::from_slice(&request.payload.data).unwrap();
        // The decisions take from none to many turns, and end in another order than they began.
        for _ in 0..number * 7919 % 23 {
            tokio::task::yield_now().await;
        }
        if number % 5 == 3 {
            Err(CallError::application::<1003>("not this one"))
        } else {
            Ok(request.payload)
        }
    });
    let server = Server::start(hub.build()).await;
    let channels = ["room:a", "room:b", "free", "room:c"];
    let mut listener = client(&server, CODECS[0], "listener").await;
    for channel in channels {
        listener.subscribe(channel).await;
    }
    let mut speakers = [client(&server, CODECS[0], "ann").await, client(&server, CODECS[1], "bob").await];
    for speaker in &mut speakers {
        let messages = (0..MESSAGES).map(|number| Command {
            id: u32::try_from(number).unwrap() + 100,
            request: publish(channels[number % channels.len()], json(number)),
        });
        speaker.send(messages).await;
    }
    let is_allowed = |number: usize| number % channels.len() == 2 || number % 5 != 3;
    for speaker in &mut speakers {
        let mut answered = Vec::new();
        for _ in 0..MESSAGES {
            let (id, error) = speaker.reply().await;
            let number = id as usize - 100;
            assert_eq!(error, (!is_allowed(number)).then_some(1003), "{number}");
            answered.push(number);
        }
        answered.sort_unstable();
        assert!(answered.into_iter().eq(0..MESSAGES), "each is answered once");
    }
    let mut heard: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for _ in 0..2 * (0..MESSAGES).filter(|number| is_allowed(*number)).count() {
        let publication = listener.publication().await;
        let number = serde_json::from_slice(&publication.payload.data).unwrap();
        let of = (publication.publisher.unwrap().user, publication.channel.to_string());
        heard.entry(of).or_default().push(number);
    }
    assert_eq!(heard.len(), 2 * channels.len());
    assert!(heard.values().all(|numbers| numbers.is_sorted()), "{heard:?}");
}

#[tokio::test]
async fn a_hub_without_a_rule_is_closed_until_a_namespace_a_hook_or_a_right_opens_a_channel() {
    let hub = Hub::builder()
        .namespace("open", Namespace::open())
        .authorize_subscribe("asked".parse().unwrap(), async |_, _| Ok(()))
        .authenticate(async |credentials| {
            let rights = Rights { publish: vec!["right".parse().unwrap()], ..Rights::default() };
            Ok(match &*credentials.token {
                "" => Authenticated::anonymous(),
                user => Authenticated::user(user).with_rights(rights),
            })
        })
        .build();
    let server = Server::start(hub).await;
    for codec in CODECS {
        let mut nobody = Client::connect(&server, codec).await;
        let denied = ErrorCode::PERMISSION_DENIED.number();
        assert_eq!(nobody.error(subscribe("a", 1)).await, denied);
        assert_eq!(nobody.error(publish("a", Payload::json("1"))).await, denied);
        nobody.ok(subscribe("open:a", 2)).await;
        nobody.ok(subscribe("asked", 3)).await;
        assert_eq!(
            nobody.error(publish("asked", Payload::json("1"))).await,
            denied,
            "the hook is of the other kind"
        );
        assert_eq!(nobody.error(publish("right", Payload::json("1"))).await, denied);
        let mut ann = Client::open(&server, codec).await;
        ann.connected(Connect { token: "ann".into(), ..Connect::default() }).await;
        ann.ok(publish("right", Payload::json("1"))).await;
    }
}
