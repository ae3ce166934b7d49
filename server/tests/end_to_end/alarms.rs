//! Alarms: recipients, repetitions and the ledger.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use wirehub_common::frame::{Acknowledge, Alarm as Sent, Connect, Push, ReplyBody, Request, ServerFrame};
use wirehub_common::{Codec, Payload};
use wirehub_server::alarm::{Alarm, AlarmError, AlarmProgress, AlarmState};
use wirehub_server::api::ApiKey;
use wirehub_server::auth::Authenticated;
use wirehub_server::namespace::{Namespace, Overflow};
use wirehub_server::{Hub, api, router};

use crate::support::{CODECS, Client, Received, Server, http_at, name, open_hub, publish, until};

/// A hub that takes every token for a user name.
fn hub() -> Hub {
    open_hub()
        .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
        .namespace("bulk", Namespace::default().overflow(Overflow::DropOldest))
        .build()
}

fn fire() -> Alarm {
    Alarm::raw(name("alarm:fire"), Payload::json(r#"{"floor":3}"#))
}

async fn connect(server: &Server, codec: Codec, user: &str) -> Client {
    let mut client = Client::open(server, codec).await;
    client.connected(Connect { token: user.into(), ..Connect::default() }).await;
    client
}

async fn alarm(client: &mut Client) -> Sent {
    match client.next().await {
        Received::Frame(ServerFrame::Push(Push::Alarm(alarm))) => *alarm,
        other => panic!("{other:?}"),
    }
}

async fn acknowledge(client: &mut Client, alarm: &str, received_only: bool) -> Result<(), u16> {
    let request = Request::Acknowledge(Acknowledge { alarm: alarm.into(), received_only });
    match client.request(request).await.result {
        Ok(ReplyBody::Acknowledged) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code.number()),
    }
}

/// A publication that arrives after everything before it.
async fn nothing_more(client: &mut Client) {
    client.subscribe("end").await;
    client.ok(publish("end", Payload::json("1"))).await;
    client.publication().await;
    client.ok(crate::support::unsubscribe("end", 1)).await;
}

#[tokio::test]
async fn an_alarm_reaches_each_session_of_its_users_until_one_acknowledges_it() {
    for codec in CODECS {
        let server = Server::start(hub()).await;
        let (mut first, mut second) =
            (connect(&server, codec, "ann").await, connect(&server, codec, "ann").await);
        let mut other = connect(&server, codec, "eve").await;
        let id = server.hub.raise(fire().for_users(["ann", "bob", "ann"])).await.unwrap();
        let got = alarm(&mut first).await;
        assert_eq!((&got.id, &got.channel, got.withdrawn), (&id, &name("alarm:fire"), false));
        assert_eq!((got.payload, got.ttl.as_secs()), (Payload::json(r#"{"floor":3}"#), 3600));
        assert_eq!(alarm(&mut second).await.id, id);
        nothing_more(&mut other).await;
        assert_eq!(acknowledge(&mut other, &id, false).await, Err(110), "it is not hers");

        let progress = |user: &str| {
            let report = server.hub.alarm(&id).unwrap();
            report.recipients.iter().find(|recipient| &*recipient.user == user).unwrap().progress
        };
        assert_eq!((progress("ann"), progress("bob")), (AlarmProgress::Sent, AlarmProgress::Waiting));
        assert_eq!(acknowledge(&mut first, &id, true).await, Ok(()));
        assert_eq!(progress("ann"), AlarmProgress::Received);

        // A reconnect.
        drop(first);
        let mut first = connect(&server, codec, "ann").await;
        assert_eq!(alarm(&mut first).await.id, id);
        assert_eq!(progress("ann"), AlarmProgress::Received, "it does not go back");

        assert_eq!(acknowledge(&mut first, &id, false).await, Ok(()));
        assert_eq!(acknowledge(&mut first, &id, false).await, Ok(()), "a repeat");
        let gone = alarm(&mut second).await;
        assert_eq!((gone.id, gone.withdrawn), (id.clone(), true), "another session has done it");
        assert_eq!(progress("ann"), AlarmProgress::Acknowledged);
        let mut third = connect(&server, codec, "ann").await;
        assert!(alarm(&mut third).await.withdrawn, "its client may show it still");
        nothing_more(&mut third).await;

        let mut bob = connect(&server, codec, "bob").await;
        assert_eq!(alarm(&mut bob).await.id, id);
        let report = server.hub.alarm(&id).unwrap();
        assert_eq!((report.waiting, report.sent, report.received, report.acknowledged), (0, 1, 0, 1));
        assert!(server.hub.withdraw(&id).await.unwrap());
    }
}

#[tokio::test]
async fn more_alarms_than_a_queue_holds_arrive_as_they_are_read() {
    const ALARMS: usize = 200;
    let large = format!("\"{}\"", "x".repeat(1000));
    for codec in CODECS {
        let hub = open_hub()
            .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
            .queue_bytes(20_000)
            .build();
        let server = Server::start(hub).await;
        let mut alarms = Vec::new();
        for _ in 0..ALARMS {
            let alarm = Alarm::raw(name("alarm:fire"), Payload::json(large.clone())).for_users(["ann"]);
            alarms.push(server.hub.raise(alarm).await.unwrap());
        }
        let mut ann = connect(&server, codec, "ann").await;
        for id in &alarms {
            assert_eq!(alarm(&mut ann).await.id, *id);
        }
        nothing_more(&mut ann).await;
    }
}

#[tokio::test]
async fn an_alarm_for_everybody_also_reaches_later_sessions() {
    for codec in CODECS {
        let server = Server::start(hub()).await;
        let mut nobody = connect(&server, codec, "").await;
        let id = server.hub.raise(fire()).await.unwrap();
        assert_eq!(alarm(&mut nobody).await.id, id);
        let mut ann = connect(&server, codec, "ann").await;
        let got = alarm(&mut ann).await;
        assert!(got.id == id && got.ttl <= Duration::from_secs(3600));
        assert_eq!(acknowledge(&mut nobody, &id, false).await, Ok(()));
        let report = server.hub.alarm(&id).unwrap();
        assert_eq!((report.sent, report.acknowledged, report.recipients.len()), (1, 1, 2));

        assert!(server.hub.withdraw(&id).await.unwrap());
        assert!(!server.hub.withdraw(&id).await.unwrap(), "it is over");
        assert!(alarm(&mut ann).await.withdrawn);
        assert_eq!(acknowledge(&mut ann, &id, false).await, Err(110));
        assert_eq!(server.hub.alarm(&id).unwrap().state, AlarmState::Withdrawn);
        let mut ann = connect(&server, codec, "ann").await;
        assert!(alarm(&mut ann).await.withdrawn, "it was away, perhaps");
        nothing_more(&mut connect(&server, codec, "bob").await).await;
    }
}

#[tokio::test]
async fn an_alarm_ends_with_its_time() {
    let server = Server::start(hub()).await;
    let id = server.hub.raise(fire().ttl(Duration::from_millis(1))).await.unwrap();
    until(|| server.hub.alarm(&id).unwrap().state == AlarmState::Expired).await;
    let mut ann = connect(&server, CODECS[0], "ann").await;
    nothing_more(&mut ann).await;
    assert_eq!(acknowledge(&mut ann, &id, false).await, Err(110));
    assert_eq!(acknowledge(&mut ann, "another", false).await, Err(110));
    assert!(!server.hub.withdraw(&id).await.unwrap());
}

#[tokio::test]
async fn an_alarm_overtakes_queued_messages() {
    for codec in CODECS {
        let server = Server::start(hub()).await;
        let mut ann = connect(&server, codec, "ann").await;
        ann.subscribe("bulk:a").await;
        // Nothing is awaited in between, so the session's task does not run.
        for _ in 0..100 {
            drop(server.hub.publish_raw(&name("bulk:a"), Payload::json("1")).unwrap());
        }
        let id = server.hub.raise(fire().for_users(["ann"])).await.unwrap();
        assert_eq!(alarm(&mut ann).await.id, id, "before all of them");
    }
}

#[tokio::test]
async fn the_number_of_alarms_is_bounded_and_ended_ones_make_room() {
    let hub = hub();
    let first = hub.raise(fire()).await.unwrap();
    for _ in 1..1000 {
        hub.raise(fire()).await.unwrap();
    }
    assert!(matches!(hub.raise(fire()).await, Err(AlarmError::TooMany)));
    assert_eq!(hub.alarms().len(), 1000);
    assert!(hub.withdraw(&first).await.unwrap());
    let last = hub.raise(fire()).await.unwrap();
    assert!(hub.alarm(&first).is_none());
    assert_eq!(hub.alarms()[0].id, last, "the newest first");
    let broken = Alarm::raw(name("alarm:fire"), Payload::json("{"));
    assert!(matches!(hub.raise(broken).await, Err(AlarmError::Payload(_))));
}

#[tokio::test]
async fn a_backend_raises_an_alarm_and_sees_who_acknowledged_it() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let hub = hub();
    let app = router(&hub).merge(api(&hub, [ApiKey::new(KEY).unwrap()]));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let request = async |method: &str, path: &str, body: String| {
        let request = format!(
            "{method} /api/v1/alarms{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = http_at(&server.host(), &request).await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str::<serde_json::Value>(body).unwrap_or_default())
    };
    let mut ann = connect(&server, CODECS[1], "ann").await;
    let fire =
        json!({ "channel": "alarm:fire", "data": { "floor": 3 }, "users": ["ann", "bob"], "ttl": 60_000 });
    let (status, raised) = request("POST", "", fire.to_string()).await;
    assert_eq!(status, 201);
    let id = raised["alarm"].as_str().unwrap().to_owned();
    assert_eq!(alarm(&mut ann).await.id, id);
    acknowledge(&mut ann, &id, false).await.unwrap();

    let (status, list) = request("GET", "", String::new()).await;
    assert_eq!((status, &list["alarms"][0]["acknowledged"]), (200, &json!(1)));
    let (status, ledger) = request("GET", &format!("/{id}"), String::new()).await;
    assert_eq!((status, &ledger["state"], &ledger["data"]), (200, &json!("active"), &json!({ "floor": 3 })));
    let progress: Vec<_> = ledger["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|recipient| (recipient["user"].as_str().unwrap(), recipient["progress"].as_str().unwrap()))
        .collect();
    assert_eq!(progress, [("bob", "waiting"), ("ann", "acknowledged")]);

    assert_eq!(request("DELETE", &format!("/{id}"), String::new()).await.0, 204);
    assert_eq!(request("DELETE", &format!("/{id}"), String::new()).await.0, 404);
    assert_eq!(request("GET", "/nothing", String::new()).await.0, 404);
    for bad in [
        json!({ "channel": "alarm:fire" }),
        json!({ "channel": "two words", "data": 1 }),
        json!({ "channel": "a", "data": 1, "ttl": 0 }),
        json!({ "channel": "a", "data": 1, "ttl": 700_000_000 }),
        json!({ "channel": "a", "data": 1, "users": [""] }),
    ] {
        assert_eq!(request("POST", "", bad.to_string()).await.0, 400, "{bad}");
    }
    ann.socket.get_mut().shutdown().await.unwrap();
}
