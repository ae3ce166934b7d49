//! `wirehub serve --demo`: the demo's server, as a page uses it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use wirehub_client::{Address, Client, Config, SubscribeOptions, Subscription, Update};
use wirehub_common::code::ErrorCode;
use wirehub_demo_contract::{
    AlarmId, AlarmMessage, Alarms, Demo, DescribeMeters, Direct, DirectMessage, ExpireToken, Frame, Lab,
    Load, LoadRequest, Metrics, NameChange, Nothing, People, Progress, Raise, RaiseRequest, ReadDirect,
    ReadRequest, Restart, Room, RoomMessage, RuleRequest, Rules, SendDirect, SendRequest, ServerFacts,
    ServerFactsResponse, SessionRequest, SessionResponse, SetRule, Severity, Trail, WatchAlarm,
};

use crate::program::Running;
use crate::support::{http_at, in_time};

/// A demo with its messages on disk.
pub(crate) struct DemoServer {
    running: Running,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl DemoServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data").display().to_string();
        let mut running = Running::start(&[
            "serve",
            "--demo",
            "--engine",
            "disk",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
        ]);
        let address = running.address().strip_prefix("http://").unwrap().parse().unwrap();
        Self { running, address, _folder: folder }
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    /// A token for the person with this key and name.
    pub(crate) async fn session(&self, key: &str, name: &str) -> SessionResponse {
        let request = SessionRequest { key: key.repeat(32), name: name.into(), ttl: Some(3600) };
        let answer = self.post(&serde_json::to_string(&request).unwrap(), "").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    async fn post(&self, body: &str, headers: &str) -> String {
        let host = self.host();
        let request = format!(
            "POST /demo/session HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             {headers}Connection: close\r\n\r\n{body}",
            body.len()
        );
        http_at(&host, &request).await
    }

    /// A connected client of a person.
    async fn person(&self, key: &str, name: &str) -> Client {
        self.client(self.session(key, name).await.token).await
    }

    async fn client(&self, token: String) -> Client {
        let client = client_at(self.address, token);
        in_time(client.connect()).await.unwrap();
        client
    }
}

/// A client that comes back soon.
pub(crate) fn client_at(address: SocketAddr, token: String) -> Client {
    let address = Address::parse(&format!("ws://{address}/ws")).unwrap();
    let config = Config::new().token(token).contract::<Demo>();
    wirehub_client::client(address, config.delays(Duration::from_millis(20), Duration::from_millis(300)))
}

/// The next message; a gap is a failure.
async fn next<M>(subscription: &mut Subscription<M>) -> M {
    match in_time(subscription.next()).await.unwrap().unwrap() {
        Update::Publication(publication) => publication.message,
        other => panic!("{:?}", other.gap()),
    }
}

fn text(number: u32) -> RoomMessage {
    RoomMessage::Text {
        id: number.to_string(),
        name: "forged".into(),
        text: format!("message {number}"),
        reply: None,
    }
}

#[tokio::test]
async fn a_key_is_one_user_under_every_name_and_the_others_hear_of_it() {
    let server = DemoServer::start();
    let first = server.session("a", "Ann").await;
    let ann = server.client(first.token).await;
    assert_eq!(ann.user(), first.user);
    let mut people = ann.subscribe(&People::new()).unwrap();
    people.ready().await.unwrap();

    let again = server.session("a", "Anna").await;
    assert_eq!(again.user, first.user);
    let change = next(&mut people).await;
    assert_eq!(change, NameChange { user: first.user.clone(), name: "Anna".into() });

    let lobby = Room::new("lobby").unwrap();
    let mut heard = ann.subscribe(&lobby).unwrap();
    in_time(heard.ready()).await.unwrap();
    in_time(ann.publish(&lobby, &text(1))).await.unwrap();
    let said = next(&mut heard).await;
    assert!(
        matches!(said, RoomMessage::Text { name, .. } if name == "Anna"),
        "the true name, also in an older session"
    );
}

#[tokio::test]
async fn a_session_is_for_pages_of_this_server() {
    let server = DemoServer::start();
    let body = serde_json::to_string(&SessionRequest { key: "a".repeat(32), name: "Ann".into(), ttl: None })
        .unwrap();
    let status = |answer: String| answer.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(server.post(&body, "Sec-Fetch-Site: same-origin\r\n").await), "200");
    assert_eq!(status(server.post(&body, "Sec-Fetch-Site: cross-site\r\n").await), "403");
    assert_eq!(status(server.post("{}", "").await), "400");
    assert_eq!(status(server.post(&"x".repeat(5000), "").await), "400");
}

#[tokio::test]
async fn people_publish_within_bounds_and_only_with_a_name() {
    let server = DemoServer::start();
    let lobby = Room::new("lobby").unwrap();
    let nobody = server.client(String::new()).await;
    let error = in_time(nobody.publish(&lobby, &text(1))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PERMISSION_DENIED);
    let ann = server.person("a", "Ann").await;
    let long = RoomMessage::Text { id: "1".into(), name: String::new(), text: "x".repeat(4001), reply: None };
    let error = in_time(ann.publish(&lobby, &long)).await.unwrap_err();
    assert_eq!(error.code().number(), wirehub_demo_contract::codes::OUT_OF_BOUNDS);
}

#[tokio::test]
async fn a_private_message_is_for_two_and_reading_it_is_seen() {
    let server = DemoServer::start();
    let (ann, ben) = (server.person("a", "Ann").await, server.person("b", "Ben").await);
    let (to_ann, to_ben) = (Direct::new(ann.user()).unwrap(), Direct::new(ben.user()).unwrap());
    let other = server.person("c", "Cleo").await;
    let mut refused = other.subscribe(&to_ben).unwrap();
    assert!(refused.ready().await.is_err(), "it is private");

    let mut anns = ann.subscribe(&to_ann).unwrap();
    anns.ready().await.unwrap();
    let request = SendRequest { id: "m1".into(), to: ben.user(), text: "psst".into(), image: None };
    let sent = in_time(ann.call::<SendDirect>(&request)).await.unwrap();
    assert!(!sent.online, "he has not subscribed");
    in_time(ann.call::<SendDirect>(&request)).await.unwrap();

    // He comes later, and has it once.
    let mut bens = ben.subscribe_with(&to_ben, SubscribeOptions::new().history(10)).unwrap();
    let received = next(&mut bens).await;
    let DirectMessage::Text { from, name, text, .. } = &received else { panic!("{received:?}") };
    assert_eq!((from.as_str(), name.as_str(), text.as_str()), (&*ann.user(), "Ann", "psst"));
    assert_eq!(next(&mut anns).await, received, "her other pages have it too");
    in_time(ben.call::<ReadDirect>(&ReadRequest { from: ann.user(), id: "m1".into() })).await.unwrap();
    assert_eq!(next(&mut bens).await, DirectMessage::Read { from: ann.user(), id: "m1".into() });
    assert_eq!(next(&mut anns).await, DirectMessage::Seen { by: ben.user(), id: "m1".into() });
}

#[tokio::test]
async fn an_alarm_reaches_one_person_and_the_raiser_sees_the_progress() {
    let server = DemoServer::start();
    let (ann, ben) = (server.person("a", "Ann").await, server.person("b", "Ben").await);
    let (mut anns, mut bens) = (ann.alarms(), ben.alarms());
    let request =
        RaiseRequest { severity: Severity::Critical, text: "fire".into(), to: Some(ben.user()), ttl: None };
    let AlarmId { id } = in_time(ann.call::<Raise>(&request)).await.unwrap();
    let mut progress = ann.call_stream::<WatchAlarm>(&AlarmId { id: id.clone() }).unwrap();
    let alarm = in_time(bens.next()).await.unwrap();
    let AlarmMessage { severity, text, name, personal, .. } = alarm.message::<Alarms>().unwrap();
    assert_eq!((severity, &*text, &*name, personal), (Severity::Critical, "fire", "Ann", true));

    in_time(ben.acknowledge(&alarm.id)).await.unwrap();
    let acknowledged = loop {
        let progress = in_time(progress.next()).await.unwrap().unwrap();
        if progress.acknowledged == 1 {
            break progress;
        }
    };
    let [recipient] = &acknowledged.recipients[..] else { panic!("{acknowledged:?}") };
    assert_eq!(recipient.progress, Progress::Acknowledged);
    assert_eq!(recipient.person.as_ref().map(|person| &*person.name), Some("Ben"));
    let error = in_time(ben.call::<wirehub_demo_contract::Withdraw>(&AlarmId { id })).await.unwrap_err();
    assert_eq!(error.code().number(), wirehub_demo_contract::codes::NO_SUCH_ALARM, "it is hers");

    // One for everybody comes after it at both, so the first was for him alone.
    let all = RaiseRequest { severity: Severity::Info, text: "cake".into(), to: None, ttl: Some(60) };
    in_time(ben.call::<Raise>(&all)).await.unwrap();
    assert_eq!(in_time(anns.next()).await.unwrap().message::<Alarms>().unwrap().text, "cake");
}

#[tokio::test]
async fn a_reading_above_the_threshold_raises_one_alarm() {
    let server = DemoServer::start();
    let (ann, ben) = (server.person("a", "Ann").await, server.person("b", "Ben").await);
    let mut rules = ben.subscribe_with(&Rules::new(), SubscribeOptions::new().history(1)).unwrap();
    assert!(!next(&mut rules).await.on, "at first it is off");
    let mut alarms = ben.alarms();
    let wrong = RuleRequest {
        on: true,
        source: "server".into(),
        series: "weather".into(),
        above: 1.5,
        severity: Severity::Warning,
    };
    assert!(in_time(ann.call::<SetRule>(&wrong)).await.is_err());
    // Two people are here.
    let rule = RuleRequest { series: "sessions".into(), ..wrong };
    let set = in_time(ann.call::<SetRule>(&rule)).await.unwrap();
    assert_eq!((&*set.name, set.below), ("Ann", 1.5 * 0.9));
    assert_eq!(next(&mut rules).await, set);
    let alarm = in_time(alarms.next()).await.unwrap().message::<Alarms>().unwrap();
    assert_eq!((&*alarm.text, &*alarm.name, alarm.from), ("Sessions: 2 is above 1.5", "rule", None));
}

#[tokio::test]
async fn every_reading_comes_in_its_order_and_the_last_minutes_are_kept() {
    let server = DemoServer::start();
    let ann = server.person("a", "Ann").await;
    let meters = in_time(ann.call::<DescribeMeters>(&Nothing {})).await.unwrap();
    for source in &meters.sources {
        let mut frames = ann.subscribe(&Metrics::new(&source.name).unwrap()).unwrap();
        let first = Frame::decode(&next(&mut frames).await).unwrap();
        assert_eq!((first.times.len(), first.columns.len()), (1, source.series.len()), "{}", source.name);
        let second = Frame::decode(&next(&mut frames).await).unwrap();
        assert_eq!(second.first, first.first + 1);
        assert!(second.time > first.time);
    }
    let mut trail = ann.subscribe(&Trail::new("server").unwrap()).unwrap();
    let kept = Frame::decode(&next(&mut trail).await).unwrap();
    assert!(kept.times.len() > 1 && kept.times.last() > Some(&500.0), "{kept:?}");
    let column = |name: &str| meters.sources[0].series.iter().position(|it| it.name == name).unwrap();
    let [delivered, sent] = ["delivered", "sent"].map(|name| *kept.columns[column(name)].last().unwrap());
    assert!(sent > 30.0 * delivered && delivered > 0.0, "{sent} bytes and {delivered} messages a second");
    // Somebody who comes later.
    let ben = server.person("b", "Ben").await;
    let mut again =
        ben.subscribe_with(&Trail::new("server").unwrap(), SubscribeOptions::new().history(600)).unwrap();
    let oldest = Frame::decode(&next(&mut again).await).unwrap();
    assert!(oldest.first <= kept.first);
}

#[tokio::test]
async fn a_load_is_numbered_without_gaps() {
    let server = DemoServer::start();
    let ann = server.person("a", "Ann").await;
    let run = Lab::new("run-1").unwrap();
    let mut heard = ann.subscribe(&run).unwrap();
    heard.ready().await.unwrap();
    let request = LoadRequest { run: "run-1".into(), messages: 500, rate: 5_000, filler: 10 };
    let load = in_time(ann.call::<Load>(&request)).await.unwrap();
    for number in load.first..load.first + 500 {
        let message = next(&mut heard).await;
        assert_eq!((message.number, &message.sender), (number, &load.sender));
    }
}

async fn facts(client: &Client) -> ServerFactsResponse {
    in_time(client.call::<ServerFacts>(&Nothing {})).await.unwrap()
}

#[tokio::test]
async fn a_restart_in_place_loses_nothing() {
    let server = DemoServer::start();
    let (ann, ben) = (server.person("a", "Ann").await, server.person("b", "Ben").await);
    let lobby = Room::new("lobby").unwrap();
    let mut heard = ben.subscribe(&lobby).unwrap();
    heard.ready().await.unwrap();
    in_time(ann.publish(&lobby, &text(1))).await.unwrap();
    let before = facts(&ann).await;
    assert!(before.restart && before.durable);

    in_time(ann.call::<Restart>(&Nothing {})).await.unwrap();
    // It waits for the next server.
    in_time(ann.publish(&lobby, &text(2))).await.unwrap();
    let after = loop {
        let facts = facts(&ann).await;
        if facts.started != before.started {
            break facts;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    in_time(ann.publish(&lobby, &text(3))).await.unwrap();
    for number in 1..=3 {
        let message = next(&mut heard).await;
        assert!(matches!(&message, RoomMessage::Text { id, .. } if *id == number.to_string()), "{message:?}");
    }
    assert_eq!(after.process, server.running.child.id(), "it is the same process, in the same terminal");
    assert_eq!(after.process, before.process);

    let error = in_time(ann.call::<Restart>(&Nothing {})).await;
    if let Err(error) = error {
        assert_eq!(error.code().number(), wirehub_demo_contract::codes::TOO_OFTEN);
    }
}

#[tokio::test]
async fn an_expired_token_is_replaced_and_nothing_is_missed() {
    let server = DemoServer::start();
    let address = Address::parse(&format!("ws://{}/ws", server.address)).unwrap();
    let token = server.session("a", "Ann").await.token;
    let config =
        Config::new().contract::<Demo>().delays(Duration::from_millis(20), Duration::from_millis(300));
    let ann = wirehub_client::client_with_tokens(address, config, move || {
        let token = token.clone();
        async move { Ok(token) }
    });
    in_time(ann.connect()).await.unwrap();
    let lobby = Room::new("lobby").unwrap();
    let mut heard = ann.subscribe(&lobby).unwrap();
    heard.ready().await.unwrap();
    let session = ann.session();
    in_time(ann.call::<ExpireToken>(&Nothing {})).await.unwrap();
    let ben = server.person("b", "Ben").await;
    in_time(ben.publish(&lobby, &text(1))).await.unwrap();
    next(&mut heard).await;
    in_time(async {
        while ann.session() == session {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
