//! The names of clients and users, and the number of refusals.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wirehub_common::Payload;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{Command, Connect, ErrorInfo, Refresh, ReplyBody, Request};
use wirehub_server::SessionId;
use wirehub_server::auth::{Authenticated, Refusal, Rights};
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::observe::SessionEvent;

use crate::support::{CODECS, Client, Server, call, name, open_hub, publish, subscribe, until};

fn connect(token: &str) -> Connect {
    Connect { token: token.into(), ..Connect::default() }
}

#[tokio::test]
async fn a_connection_whose_connects_are_refused_again_and_again_is_closed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let hub = {
        let asked = Arc::clone(&asked);
        open_hub().authenticate(move |credentials| {
            asked.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                match &*credentials.token {
                    "expired" => Err(Refusal::expired()),
                    "down" => Err(Refusal::unavailable("the test says so")),
                    "good" => Ok(Authenticated::user("ann")),
                    _ => Err(Refusal::invalid()),
                }
            }
        })
    };
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        for (token, code) in [
            ("bad", CloseCode::UNAUTHORIZED),
            ("expired", CloseCode::TOKEN_EXPIRED),
            ("down", CloseCode::TRY_AGAIN_LATER),
        ] {
            let mut client = Client::open(&server, codec).await;
            let before = asked.load(Ordering::SeqCst);
            client.send((1..=1000).map(|id| Command { id, request: Request::Connect(connect(token)) })).await;
            for id in 1..=5 {
                assert!(matches!(client.reply().await, (answered, Some(_)) if answered == id));
            }
            assert_eq!(client.closed().await.0, code.number(), "{token}");
            assert_eq!(asked.load(Ordering::SeqCst) - before, 5, "{token}: nobody is asked any more");
        }
        let mut client = Client::open(&server, codec).await;
        for _ in 0..4 {
            assert_eq!(client.error(Request::Connect(connect("bad"))).await, 101);
        }
        assert_eq!(client.connected(connect("good")).await.user, "ann", "a few are allowed");
    }
}

#[tokio::test]
async fn commands_behind_a_refused_connect_end_the_connection_with_the_code_of_the_refusal() {
    let hub = open_hub().authenticate(async |credentials| match &*credentials.token {
        "expired" => Err(Refusal::expired()),
        "down" => Err(Refusal::unavailable("the test says so")),
        _ => Err(Refusal::invalid()),
    });
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        for (token, error, code) in [
            ("bad", 101, CloseCode::UNAUTHORIZED),
            ("expired", 109, CloseCode::TOKEN_EXPIRED),
            ("down", 128, CloseCode::TRY_AGAIN_LATER),
        ] {
            let mut client = Client::open(&server, codec).await;
            let connect = Command { id: 1, request: Request::Connect(connect(token)) };
            client.send([connect, Command { id: 2, request: subscribe("a", 1) }]).await;
            assert_eq!(client.reply().await, (1, Some(error)));
            assert_eq!(client.closed().await.0, code.number(), "{token}");
        }
    }
}

#[tokio::test]
async fn the_name_of_a_client_is_bounded_and_printable() {
    let server = Server::start(open_hub().build()).await;
    for codec in CODECS {
        for (client, version) in [
            ("x".repeat(129), String::new()),
            (String::new(), "x".repeat(129)),
            ("a\nb".into(), String::new()),
            (String::new(), "1\u{7f}".into()),
        ] {
            let connect = Connect { client, version, ..Connect::default() };
            let mut client = Client::open(&server, codec).await;
            assert_eq!(client.error(Request::Connect(connect)).await, 107);
            assert_eq!(client.closed().await.0, CloseCode::CONNECT_EXPECTED.number());
        }
        let longest = || "ä".repeat(64);
        let connect = Connect { client: longest(), version: longest(), ..Connect::default() };
        Client::open(&server, codec).await.connected(connect).await;
    }
}

#[tokio::test]
async fn new_tokens_of_a_session_are_checked_one_at_a_time() {
    let gate = Arc::new(Semaphore::new(0));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let hub = {
        let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
        open_hub().authenticate(move |credentials| {
            let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
            async move {
                if credentials.is_refresh {
                    asked.lock().push(credentials.token);
                    gate.acquire().await.unwrap().forget();
                }
                Ok(Authenticated::user("ann"))
            }
        })
    };
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        asked.lock().clear();
        let mut ann = Client::open(&server, codec).await;
        ann.connected(connect("first")).await;
        let refresh = |id: u32| Command { id, request: Request::Refresh(Refresh { token: id.to_string() }) };
        ann.send((10..=60).map(refresh)).await;
        for id in 11..60 {
            assert_eq!(ann.reply().await, (id, Some(116)), "a newer one came");
        }
        assert_eq!(*asked.lock(), ["10"]);
        gate.add_permits(1);
        assert_eq!(ann.reply().await, (10, None));
        until(|| asked.lock().len() == 2).await;
        gate.add_permits(1);
        assert_eq!(ann.reply().await, (60, None));
        assert_eq!(*asked.lock(), ["10", "60"]);
        gate.add_permits(1);
        ann.ok(Request::Refresh(Refresh { token: "later".into() })).await;
    }
}

#[tokio::test]
async fn a_cookie_of_the_handshake_lets_a_client_in_and_none_does_not() {
    struct SignedIn(HashMap<&'static str, &'static str>);

    let hub = open_hub().state(SignedIn([("42", "ann")].into())).authenticate(async |credentials| {
        if credentials.is_refresh {
            assert!(credentials.headers.is_empty(), "they are not kept for a session");
            return Ok(Authenticated::user(credentials.token));
        }
        if credentials.token == "later" {
            return Err(Refusal::unavailable("the test says so"));
        }
        let signed_in = credentials.state::<SignedIn>()?;
        let id = credentials.cookie("sid").ok_or_else(Refusal::invalid)?;
        let user = signed_in.0.get(id).ok_or_else(Refusal::invalid)?;
        assert_eq!(credentials.headers["x-other"], "1");
        Ok(Authenticated::user(*user))
    });
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        for cookies in [&[][..], &[("cookie", "theme=dark")], &[("cookie", "sid=41")]] {
            let mut stranger = Client::open_with(server.tcp().await, codec, cookies).await;
            assert_eq!(stranger.error(Request::Connect(connect(""))).await, 101, "{cookies:?}");
        }
        let headers = [("cookie", "theme=dark; sid=42"), ("x-other", "1")];
        let mut ann = Client::open_with(server.tcp().await, codec, &headers).await;
        assert_eq!(ann.error(Request::Connect(connect("later"))).await, 128);
        assert_eq!(ann.connected(connect("")).await.user, "ann", "a refusal does not lose them");
        ann.ok(Request::Refresh(Refresh { token: "ann".into() })).await;
    }
}

#[tokio::test]
async fn what_is_kept_for_a_session_is_seen_by_its_hooks_calls_and_observers() {
    struct Tenant(String);

    fn tenant(context: &CallContext) -> String {
        assert!(context.session_state::<String>().is_none(), "it is of another type");
        context.session_state::<Tenant>().map_or_else(|| "none".into(), |tenant| tenant.0.clone())
    }

    let ended: Arc<Mutex<Vec<String>>> = Arc::default();
    let hub = open_hub()
        .authenticate(async |credentials| match &*credentials.token {
            "" => Ok(Authenticated::anonymous()),
            // Of an anonymous session too.
            "guest" => Ok(Authenticated::anonymous().with_state(Tenant("guests".into()))),
            token => Ok(Authenticated::user("ann").with_state(Tenant(token.into()))),
        })
        .authorize_subscribe("*".parse().unwrap(), async |who, channel| {
            let is_own = channel.as_str() == tenant(&who);
            is_own.then_some(()).ok_or_else(|| CallError::from_code(ErrorCode::PERMISSION_DENIED))
        })
        .call_any("tenant".parse().unwrap(), async |who, _| {
            Ok(Payload::json(format!("\"{}\"", tenant(&who))))
        })
        .observe({
            let ended = Arc::clone(&ended);
            move |who: &CallContext, event| {
                if matches!(event, SessionEvent::Disconnected { .. }) {
                    ended.lock().push(tenant(who));
                }
            }
        });
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        for (token, expected) in [("acme", "acme"), ("guest", "guests"), ("", "none")] {
            let mut client = Client::open(&server, codec).await;
            client.connected(connect(token)).await;
            if token == "acme" {
                client.ok(Request::Refresh(Refresh { token: "later".into() })).await;
            }
            let ReplyBody::Called(called) = client.ok(call("tenant", Payload::default())).await else {
                panic!("no answer")
            };
            assert_eq!(called.payload, Payload::json(format!("\"{expected}\"")));
            client.subscribe(expected).await;
            assert_eq!(client.error(subscribe("another", 1)).await, 103);
            drop(client);
            until(|| ended.lock().pop().is_some_and(|tenant| tenant == expected)).await;
        }
    }
}

#[tokio::test]
async fn nobody_is_a_user_that_there_can_t_be() {
    let hub = open_hub().authenticate(async |credentials| {
        let rights = Rights {
            subscribe: vec!["@*".parse().unwrap()],
            publish: vec!["@*".parse().unwrap()],
            ..Rights::default()
        };
        Ok(Authenticated::user(credentials.token).with_rights(rights))
    });
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        for (user, word) in [("all", "all"), ("a\nb", "control"), (&*"x".repeat(255), "254")] {
            let error: ErrorInfo = client.request(Request::Connect(connect(user))).await.result.unwrap_err();
            assert_eq!(error.code.number(), 101);
            assert!(error.message.contains(word), "{}", error.message);
        }
        let longest = "x".repeat(254);
        let session = client.connected(connect(&longest)).await.session;
        client.subscribe(&format!("@{longest}")).await;
        for reserved in ["@all", "@"] {
            assert_eq!(client.error(subscribe(reserved, 1)).await, 103, "whatever the rights are");
            assert_eq!(client.error(publish(reserved, Payload::json("1"))).await, 103);
            let session: SessionId = session.parse().unwrap();
            assert!(
                !server.hub.subscribe_session(session, &name(reserved)).await.unwrap(),
                "nor may the application"
            );
            assert!(
                server.hub.publish_raw(&name(reserved), Payload::json("1")).is_err(),
                "it reaches nobody"
            );
        }
        for user in ["", "all"] {
            assert!(server.hub.send_to_user(user, Payload::json("1")).is_err());
            assert!(server.hub.disconnect_user(user, CloseCode::DISCONNECTED, "").await.is_err());
        }
        drop(server.hub.send_to_user(&longest, Payload::json("2")).unwrap());
        assert_eq!(client.publication().await.payload, Payload::json("2"));
    }
}
