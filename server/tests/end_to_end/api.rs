//! The HTTP API, as backends use it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wirehub_common::frame::{Connect, HistoryPage, Idempotency, Position, Push};
use wirehub_common::{ChannelName, Payload};
use wirehub_server::api::ApiKey;
use wirehub_server::auth::Authenticated;
use wirehub_server::engine::{
    Delivery, Engine, EngineError, EngineErrorKind, EngineFuture, Locate, Located, MemoryFleet, Nodes as _,
    Presence, PresenceEntry, Publications, ReadHistory,
};
use wirehub_server::namespace::{History, Namespace};
use wirehub_server::observe::{MemberPage, PresenceCounts};
use wirehub_server::{SessionId, api, router};

use crate::support::{CODECS, Client, Received, Server, http_at, name, open_hub};

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn server() -> Server {
    let history = History::new(10, Duration::from_secs(60));
    let hub = open_hub()
        .namespace("kept", Namespace::default().history(history))
        .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
        .build();
    let keys =
        [ApiKey::new("another key that is another key".replace(' ', "-")).unwrap_or_else(|_| key()), key()];
    let app = router(&hub).merge(api(&hub, keys));
    Server::start_app(hub, app, "127.0.0.1:0").await
}

fn key() -> ApiKey {
    ApiKey::new(KEY).unwrap()
}

async fn request_as(
    server: &Server,
    key: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String, Value) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = http_at(&server.host(), &request).await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn post(server: &Server, path: &str, body: Value) -> (u16, Value) {
    let (status, _, body) =
        request_as(server, &format!("Bearer {KEY}"), "POST", path, &body.to_string()).await;
    (status, body)
}

async fn look(server: &Server, path: &str) -> (u16, Value) {
    let (status, _, body) = request_as(server, &format!("Bearer {KEY}"), "GET", path, "").await;
    (status, body)
}

async fn client(server: &Server, user: &str) -> (Client, String) {
    let mut client = Client::open(server, CODECS[1]).await;
    let connect = Connect { token: user.into(), ..Connect::default() };
    let session = client.connected(connect).await.session;
    (client, session)
}

#[tokio::test]
async fn a_backend_publishes_to_clients() {
    let server = server().await;
    let (mut ann, _) = client(&server, "ann").await;
    ann.subscribe("kept:a").await;
    ann.subscribe("@ann").await;
    let message =
        json!({ "channel": "kept:a", "data": { "b": 1, "a": 12345678901234567890_u64 }, "key": "once" });
    let (status, first) = post(&server, "/api/v1/publish", message.clone()).await;
    assert_eq!((status, &first["position"]["offset"]), (200, &json!(1)));
    assert_eq!(post(&server, "/api/v1/publish", message).await, (200, first), "a repeat has the same answer");
    assert_eq!(ann.publication().await.payload, Payload::json(r#"{"a":12345678901234567890,"b":1}"#));

    let bytes = json!({ "channel": "kept:a", "bytes": "AAEC" });
    assert_eq!(post(&server, "/api/v1/publish", bytes).await.0, 200);
    assert_eq!(ann.publication().await.payload, Payload::bytes(vec![0, 1, 2]));

    let image = json!({ "channel": "pictures", "head": { "name": "a.png" }, "bytes": "AAEC" });
    ann.subscribe("pictures").await;
    assert_eq!(post(&server, "/api/v1/publish", image).await.0, 200);
    assert_eq!(ann.publication().await.payload, Payload::attachment(r#"{"name":"a.png"}"#, [0, 1, 2]));

    let (status, sent) = post(&server, "/api/v1/send", json!({ "user": "ann", "data": "hi" })).await;
    assert_eq!((status, &sent["position"]["offset"]), (200, &json!(1)), "users' own channels keep history");
    assert_eq!(ann.publication().await.channel, name("@ann"));
    assert_eq!(post(&server, "/api/v1/broadcast", json!({ "data": null })).await.0, 204);
    assert_eq!(ann.publication().await.payload, Payload::json("null"));

    let batch = json!({ "publications": [
        { "channel": "kept:a", "data": 3 }, { "channel": "two words", "data": 4 }, { "channel": "plain", "data": 5 },
    ] });
    let (status, results) = post(&server, "/api/v1/batch", batch).await;
    assert_eq!(status, 200);
    assert_eq!(results["results"][0]["position"]["offset"], 3);
    assert_eq!(results["results"][1]["problem"]["status"], 400);
    assert_eq!(results["results"][2], json!({}));
    assert_eq!(ann.publication().await.offset, 3);

    let (status, page) = look(&server, "/api/v1/channels/kept:a/history?limit=2").await;
    assert_eq!((status, &page["position"]["offset"]), (200, &json!(3)));
    assert_eq!(page["publications"][0]["data"], json!({ "b": 1, "a": 12345678901234567890_u64 }));
    assert_eq!(page["publications"][1]["bytes"], "AAEC");
    let epoch = page["position"]["epoch"].as_str().unwrap();
    let (_, page) = look(&server, &format!("/api/v1/channels/kept:a/history?offset=2&epoch={epoch}")).await;
    assert_eq!(page["publications"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_backend_lists_and_ends_sessions() {
    let server = server().await;
    let (mut ann, session) = client(&server, "ann").await;
    let (mut bob, _) = client(&server, "bob").await;
    ann.subscribe("room").await;
    bob.subscribe("room").await;
    let (_, channels) = look(&server, "/api/v1/channels").await;
    let room = json!({ "name": "room", "subscribers": 2, "publications": 0, "history": false });
    assert_eq!(channels, json!({ "count": 1, "channels": [room] }));
    let (_, presence) = look(&server, "/api/v1/channels/room/presence").await;
    assert_eq!(presence["members"].as_array().unwrap().len(), 2);
    assert_eq!((&presence["sessions"], &presence["users"]), (&json!(2), &json!(2)));
    let (_, sessions) = look(&server, "/api/v1/sessions").await;
    assert_eq!(sessions["count"], 2);
    let (_, listed) = look(&server, "/api/v1/sessions?user=ann").await;
    assert_eq!((&listed["count"], listed["sessions"].as_array().unwrap().len()), (&json!(2), 1));
    let (_, shown) = look(&server, &format!("/api/v1/sessions/{session}")).await;
    let connected = shown["connected"].as_u64().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now - Duration::from_millis(connected) < Duration::from_secs(20), "{connected}");
    let mut expected = json!({
        "session": session, "user": "ann", "address": "127.0.0.1", "connected": connected,
        "subprotocol": "wirehub.v1.json", "channels": 1, "queue_bytes": 0,
    });
    assert_eq!(listed["sessions"][0], expected);
    expected["subscriptions"] = json!(["room"]);
    assert_eq!(shown, expected);

    let path = format!("/api/v1/sessions/{session}/disconnect");
    assert_eq!(post(&server, &path, json!({ "reason": "go away" })).await.0, 204);
    assert_eq!(ann.closed().await, (3506, "go away".into()));
    assert_eq!(post(&server, "/api/v1/broadcast", json!({ "data": 1 })).await.0, 204);
    assert!(matches!(bob.next().await, Received::Frame(_)), "others notice nothing");
}

#[tokio::test]
async fn a_backend_changes_the_subscriptions_of_sessions() {
    let server = server().await;
    let (mut ann, session) = client(&server, "ann").await;
    let (mut other, _) = client(&server, "ann").await;
    let channel = || json!({ "channel": "kept:a" });
    assert_eq!(post(&server, &format!("/api/v1/sessions/{session}/subscribe"), channel()).await.0, 204);
    assert!(matches!(ann.push().await, Push::Subscribed(_)));
    let (_, shown) = look(&server, &format!("/api/v1/sessions/{session}")).await;
    assert_eq!((&shown["channels"], &shown["subscriptions"]), (&json!(1), &json!(["kept:a"])));

    assert_eq!(post(&server, &format!("/api/v1/sessions/{session}/unsubscribe"), channel()).await.0, 204);
    let Push::Unsubscribed(told) = ann.push().await else { panic!("no push") };
    assert_eq!((told.channel, told.error.code.number()), (name("kept:a"), 103));
    let (_, shown) = look(&server, &format!("/api/v1/sessions/{session}")).await;
    assert_eq!(shown["channels"], 0);

    other.subscribe("kept:a").await;
    ann.subscribe("kept:a").await;
    let why = json!({ "channel": "kept:a", "code": 1234, "message": "the room is closed" });
    assert_eq!(post(&server, "/api/v1/users/ann/unsubscribe", why).await, (200, json!({ "sessions": 2 })));
    for client in [&mut ann, &mut other] {
        let Push::Unsubscribed(told) = client.push().await else { panic!("no push") };
        assert_eq!((told.error.code.number(), &*told.error.message), (1234, "the room is closed"));
    }
    let answer = post(&server, "/api/v1/users/ann/disconnect", json!({ "code": 4001 })).await;
    assert_eq!(answer, (200, json!({ "sessions": 2 })));
    assert_eq!((ann.closed().await.0, other.closed().await.0), (4001, 4001));
    assert_eq!(
        post(&server, "/api/v1/users/nobody/disconnect", json!({})).await,
        (200, json!({ "sessions": 0 }))
    );
}

#[tokio::test]
async fn lists_are_read_in_pages() {
    let server = server().await;
    let mut ids = Vec::new();
    let mut clients = Vec::new();
    for number in 0..5 {
        let (mut client, id) = client(&server, &format!("user{number}")).await;
        client.subscribe(&format!("kept:{number}")).await;
        client.subscribe("other").await;
        ids.push(id);
        clients.push(client);
    }
    post(&server, "/api/v1/publish", json!({ "channel": "kept:3", "data": 1 })).await;
    let mut read = Vec::new();
    let mut after = String::new();
    loop {
        let (_, page) = look(&server, &format!("/api/v1/sessions?limit=2{after}")).await;
        let sessions = page["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 2 && page["count"] == 5);
        read.extend(sessions.iter().map(|session| session["session"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    read.sort();
    ids.sort();
    assert_eq!(read, ids);

    let (_, page) = look(&server, "/api/v1/channels?prefix=kept:&limit=3").await;
    let names = |page: &Value| -> Vec<String> {
        let channels = page["channels"].as_array().unwrap().iter();
        channels.map(|channel| channel["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (&page["count"], names(&page)),
        (&json!(5), vec!["kept:0".into(), "kept:1".into(), "kept:2".into()])
    );
    let next = page["next"].as_str().unwrap();
    let (_, page) = look(&server, &format!("/api/v1/channels?prefix=kept:&limit=3&after={next}")).await;
    assert_eq!((&page["next"], names(&page)), (&Value::Null, vec!["kept:3".into(), "kept:4".into()]));
    let last = &page["channels"][0];
    assert_eq!((&last["publications"], &last["history"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn a_batch_is_bounded_and_has_a_result_for_each_message() {
    let server = server().await;
    let batch = |count: usize| {
        let publications: Vec<_> =
            (0..count).map(|number| json!({ "channel": "kept:a", "data": number })).collect();
        json!({ "publications": publications })
    };
    let (status, results) = post(&server, "/api/v1/batch", batch(1000)).await;
    assert_eq!(status, 200);
    let results = results["results"].as_array().unwrap();
    let offsets: Vec<u64> =
        results.iter().map(|result| result["position"]["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=1000).collect::<Vec<_>>(), "in order");
    let (status, problem) = post(&server, "/api/v1/batch", batch(1001)).await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("1000"), "{problem}");
    assert_eq!(post(&server, "/api/v1/batch", batch(0)).await, (200, json!({ "results": [] })));
}

#[tokio::test]
async fn a_batch_larger_than_the_queues_disconnects_no_reader() {
    let server = server().await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = Client::connect(&server, CODECS[0]).await;
        reader.subscribe("news").await;
        readers.push(tokio::spawn(async move {
            for _ in 0..1000 {
                reader.publication().await;
            }
        }));
    }
    let message = json!({ "channel": "news", "data": "x".repeat(2000) });
    let (status, _) = post(&server, "/api/v1/batch", json!({ "publications": vec![message; 1000] })).await;
    assert_eq!(status, 200);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn a_failing_engine_is_reported_as_a_problem() {
    #[derive(Debug)]
    struct Broken;
    fn failure<T>() -> EngineFuture<T> {
        EngineFuture::Now(Err(EngineError::new(EngineErrorKind::Internal, "the secret of the engine")))
    }

    impl Engine for Broken {
        fn start(&self, _: Delivery) {}
        fn presence(&self) -> Option<&dyn Presence> {
            Some(self)
        }
    }

    impl Presence for Broken {
        fn enter(&self, _: PresenceEntry) -> EngineFuture<()> {
            failure()
        }
        fn leave(&self, _: PresenceEntry) -> EngineFuture<()> {
            failure()
        }
        fn members(&self, _: &ChannelName, _: Option<SessionId>, _: usize) -> EngineFuture<MemberPage> {
            failure()
        }
        fn counts(&self, _: &ChannelName) -> EngineFuture<PresenceCounts> {
            failure()
        }
        fn count_session(&self, _: &str, _: SessionId, _: u32) -> EngineFuture<bool> {
            failure()
        }
        fn uncount_session(&self, _: &str, _: SessionId) -> EngineFuture<()> {
            failure()
        }
    }

    impl Publications for Broken {
        fn idempotency(&self) -> Option<Idempotency> {
            None
        }
        fn publish(&self, _: wirehub_server::engine::EnginePublish) -> EngineFuture<Option<Position>> {
            failure()
        }
        fn locate(&self, _: Locate) -> EngineFuture<Located> {
            failure()
        }
        fn history(&self, _: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
            failure()
        }
    }
    let history = Namespace::default().history(History::new(10, Duration::from_secs(60)));
    let hub = open_hub().namespace("kept", history).engine(Broken).build();
    let app = router(&hub).merge(api(&hub, [key()]));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let message = || json!({ "channel": "kept:a", "data": 1 });
    for (status, problem) in [
        post(&server, "/api/v1/publish", message()).await,
        post(&server, "/api/v1/send", json!({ "user": "ann", "data": 1 })).await,
        look(&server, "/api/v1/channels/kept:a/history").await,
        look(&server, "/api/v1/channels/kept:a/presence").await,
    ] {
        assert_eq!((status, &problem["status"]), (503, &json!(503)));
        assert!(!problem.to_string().contains("secret"), "what is wrong is for the log: {problem}");
    }
    let (status, batch) = post(&server, "/api/v1/batch", json!({ "publications": [message()] })).await;
    assert_eq!((status, &batch["results"][0]["problem"]["status"]), (200, &json!(503)));
}

#[tokio::test]
async fn without_a_key_nothing_is_revealed() {
    let server = server().await;
    for key in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        &format!("Basic {KEY}"),
        &format!("Bearer {}", &KEY[1..]),
        KEY,
    ] {
        for path in ["/api/v1/channels", "/api/v1/nothing"] {
            let (status, head, problem) = request_as(&server, key, "GET", path, "").await;
            assert_eq!((status, &problem["status"]), (401, &json!(401)), "{key}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
        }
    }
    for bad in ["short", "0123456789abcdef 0123456789abcdef", "0123456789abcdef0123456789abcdeé"] {
        assert!(ApiKey::new(bad).is_err(), "{bad}");
    }
    assert_eq!(format!("{:?}", key()), "ApiKey");
}

#[tokio::test]
async fn mistakes_are_reported_as_problems() {
    let server = server().await;
    let bearer = format!("Bearer {KEY}");
    for (method, path, body, status) in [
        ("POST", "/api/v1/publish", "{", 400),
        ("POST", "/api/v1/publish", "{}", 422),
        ("POST", "/api/v1/publish", r#"{"channel":"a"}"#, 400),
        ("POST", "/api/v1/publish", r#"{"channel":"a","data":1,"bytes":"AA=="}"#, 400),
        ("POST", "/api/v1/publish", r#"{"channel":"a","bytes":"?"}"#, 400),
        ("POST", "/api/v1/publish", r#"{"channel":"a","head":{}}"#, 400),
        ("POST", "/api/v1/publish", r#"{"channel":"two words","data":1}"#, 400),
        ("POST", "/api/v1/publish", r#"{"channel":"a","dat":1}"#, 422),
        ("POST", "/api/v1/sessions/x/disconnect", "{}", 400),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/disconnect", "{}", 404),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/disconnect", r#"{"code":1000}"#, 400),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/disconnect", r#"{"raeson":""}"#, 422),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/unsubscribe", r#"{"channel":"a"}"#, 404),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/unsubscribe", r#"{"channel":"a","code":1}"#, 400),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/subscribe", r#"{"channel":"a"}"#, 404),
        ("POST", "/api/v1/users/ann/unsubscribe", r#"{"channel":"two words"}"#, 400),
        ("GET", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA", "", 404),
        ("GET", "/api/v1/sessions?after=x", "", 400),
        ("GET", "/api/v1/sessions?limit=many", "", 400),
        ("GET", "/api/v1/channels/plain/history", "", 404),
        ("GET", "/api/v1/channels/kept:a/history?offset=1", "", 400),
        ("GET", "/api/v1/channels/kept:a/history?offset=x&epoch=y", "", 400),
        ("GET", "/api/v1/nothing", "", 404),
        ("GET", "/api/v1/publish", "", 405),
    ] {
        let (found, head, problem) = request_as(&server, &bearer, method, path, body).await;
        assert_eq!(found, status, "{method} {path} {body}: {problem}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    let large = json!({ "channel": "a", "data": "x".repeat(5 << 20) }).to_string();
    let (status, _, problem) = request_as(&server, &bearer, "POST", "/api/v1/publish", &large).await;
    assert_eq!((status, &problem["status"]), (413, &json!(413)));
}

#[tokio::test]
async fn nobody_and_everybody_are_not_users_and_reaching_nobody_is_not_success() {
    let server = server().await;
    let mut anonymous = Client::connect(&server, CODECS[1]).await;
    let long = "x".repeat(255);
    for (path, body) in [
        ("/api/v1/users//disconnect", json!({})),
        ("/api/v1/users/all/disconnect", json!({})),
        (&*format!("/api/v1/users/{long}/disconnect"), json!({})),
        ("/api/v1/users/a%0Ab/disconnect", json!({})),
        ("/api/v1/users//unsubscribe", json!({ "channel": "a" })),
        ("/api/v1/send", json!({ "user": "", "data": 1 })),
        ("/api/v1/send", json!({ "user": "all", "data": 1 })),
        ("/api/v1/send", json!({ "user": "two words", "data": 1 })),
        ("/api/v1/publish", json!({ "channel": "@all", "data": 1 })),
        ("/api/v1/publish", json!({ "channel": "@", "data": 1 })),
        ("/api/v1/alarms", json!({ "channel": "a", "data": 1, "users": [] })),
        ("/api/v1/alarms", json!({ "channel": "a", "data": 1, "users": ["ann", ""] })),
    ] {
        let (status, problem) = post(&server, path, body).await;
        assert!([400, 404].contains(&status), "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    assert_eq!(look(&server, "/api/v1/sessions?user=").await.0, 400);
    assert_eq!(post(&server, "/api/v1/broadcast", json!({ "data": 2 })).await.0, 204);
    assert_eq!(anonymous.publication().await.payload, Payload::json("2"), "it is still there");
}

#[tokio::test]
async fn a_lost_history_is_another_problem_than_none() {
    let server = server().await;
    assert_eq!(post(&server, "/api/v1/publish", json!({ "channel": "kept:a", "data": 1 })).await.0, 200);
    let (status, problem) = look(&server, "/api/v1/channels/kept:a/history?offset=1&epoch=other").await;
    assert_eq!((status, &problem["status"]), (410, &json!(410)));
    let (status, problem) = look(&server, "/api/v1/channels/plain/history").await;
    assert_eq!((status, &problem["status"]), (404, &json!(404)));
}

#[tokio::test]
async fn the_description_is_whole() {
    let server = server().await;
    let (status, _, document) = request_as(&server, "", "GET", "/api/v1/openapi.json", "").await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    let mut operations = 0;
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            for part in ["operationId", "summary", "responses"] {
                assert!(!operation[part].is_null(), "{method} {path} has no {part}");
            }
            // The parameters in the path.
            for parameter in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|known| known["name"] == parameter), "{path}: {parameter}");
            }
        }
    }
    assert_eq!(operations, 22);
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#"##).skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    assert_eq!(document["security"][0]["key"], json!([]));
    assert!(document["components"]["securitySchemes"]["key"].is_object());
}

#[tokio::test]
async fn any_node_shows_and_ends_the_sessions_of_all_nodes() {
    let fleet = MemoryFleet::new();
    let nodes = [fleet.node(), fleet.node(), fleet.node()];
    let [here, there, dying] = nodes.each_ref().map(async |node| {
        let hub = open_hub()
            .engine(node.clone())
            .node_name("one of three")
            .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
            .build();
        let app = router(&hub).merge(api(&hub, [key()]));
        Server::start_app(hub, app, "127.0.0.1:0").await
    });
    let (here, there, dying) = (here.await, there.await, dying.await);
    let (mut ann, session) = client(&there, "ann").await;
    ann.subscribe("room").await;
    let (_, listed) = look(&here, "/api/v1/sessions").await;
    assert_eq!(listed, look(&there, "/api/v1/sessions").await.1);
    assert_eq!((&listed["count"], &listed["sessions"][0]["session"]), (&json!(1), &json!(session)));
    assert_eq!(listed["sessions"][0]["node"], nodes[1].own().to_string());
    let (_, shown) = look(&here, &format!("/api/v1/sessions/{session}")).await;
    assert_eq!(shown["subscriptions"], json!(["room"]));
    let (_, channels) = look(&here, "/api/v1/channels").await;
    assert_eq!(channels["channels"][0]["subscribers"], 1);
    let (_, all) = look(&here, "/api/v1/nodes").await;
    assert_eq!((&all["count"], &all["nodes"][0]["name"]), (&json!(3), &json!("one of three")));
    let next = all["nodes"][0]["node"].as_str().unwrap();
    let (_, rest) = look(&here, &format!("/api/v1/nodes?after={next}&limit=1")).await;
    assert_eq!((&rest["nodes"][0], &rest["next"]), (&all["nodes"][1], &all["nodes"][1]["node"]));

    nodes[2].kill();
    let (status, listed) = look(&here, "/api/v1/sessions?user=ann").await;
    assert_eq!((status, listed["sessions"].as_array().unwrap().len()), (200, 1));
    assert_eq!(listed["missing_nodes"], json!([nodes[2].own().to_string()]));
    let path = "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAAAA/disconnect";
    assert_eq!(post(&here, path, json!({})).await.0, 503);
    let path = format!("/api/v1/sessions/{session}/disconnect");
    assert_eq!(post(&here, &path, json!({ "reason": "out" })).await.0, 204);
    assert_eq!(ann.closed().await, (3506, "out".into()));
    drop(dying);
}
