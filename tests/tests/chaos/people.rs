//! The clients of a run, and the record of their events.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use wirehub_client::{Address, Alarms, Client, Config, Subscription, Update};
use wirehub_common::frame::Position;
use wirehub_common::{ChannelName, Payload, frame};
use wirehub_tests::soon;

use crate::alarms::{AlarmRecord, Shown};
use crate::checker::{Acknowledged, END, Event, Kept, Message, Record};
use crate::fleet::Fleet;

/// The pause between an answer and the next publish.
const PACE: Duration = Duration::from_millis(20);

/// The time limit of a publish, which is repeated over reconnects until then.
const PATIENT: Duration = Duration::from_secs(30);

/// The channel of the alarm that ends the alarms of a new session. Nobody acknowledges it.
const LAST_ALARM: &str = "alarm:last";

/// The pause between two alarms.
const BETWEEN_ALARMS: Duration = Duration::from_millis(300);

/// The time for a last message, before the next one.
const ROUND: Duration = Duration::from_secs(5);

/// The publications of one page of the history.
const PAGE: u32 = 1000;

/// The record, while it is written.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    record: Arc<Mutex<Record>>,
    alarms: Arc<Mutex<AlarmRecord>>,
    /// The subscriptions that received the end of their channel, or ended.
    finished: watch::Sender<BTreeSet<(String, String)>>,
    /// Whether publishers go on.
    publishing: watch::Sender<bool>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            record: Arc::default(),
            alarms: Arc::default(),
            finished: watch::Sender::default(),
            publishing: watch::Sender::new(true),
        }
    }

    pub(crate) fn stop_publishing(&self) {
        self.publishing.send_replace(false);
    }

    /// Waits until that many subscriptions have received everything; returns whether they have.
    async fn finished(&self, count: usize, limit: Duration) -> bool {
        let mut finished = self.finished.subscribe();
        let reached = finished.wait_for(|it| it.len() >= count);
        timeout(limit, reached).await.is_ok_and(|it| it.is_ok())
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alarms(&self) -> MutexGuard<'_, AlarmRecord> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_alarms(&self, user: &str, is_careful: bool) {
        let mut alarms = self.alarms();
        alarms.shown.entry(user.to_owned()).or_default();
        if is_careful {
            alarms.careful.insert(user.to_owned());
        }
    }

    fn shown(&self, user: &str, event: Shown) {
        self.alarms().shown.entry(user.to_owned()).or_default().push(event);
    }

    fn alarm_acknowledged(&self, user: &str, alarm: &str) {
        self.alarms().acknowledged.insert((user.to_owned(), alarm.to_owned()), StdInstant::now());
    }

    fn acknowledged(&self, channel: &str, message: Message, position: Option<Position>) {
        self.record().acknowledged.push(Acknowledged { channel: channel.to_owned(), message, position });
    }

    fn heard(&self, subscriber: &str, channel: &str, event: Event) {
        let is_last = match &event {
            Event::Heard { message, .. } => message.publisher == END,
            Event::Gap(_) => false,
            Event::Ended(_) => true,
        };
        let key = (subscriber.to_owned(), channel.to_owned());
        self.record().heard.entry(key.clone()).or_default().push(event);
        if is_last {
            self.finished.send_if_modified(|finished| finished.insert(key));
        }
    }
}

/// A connected client without a name.
pub(crate) async fn native(url: &str) -> Client {
    let client =
        wirehub_client::client(Address::parse(url).unwrap(), Config::default().command_timeout(PATIENT));
    soon(client.connect()).await.unwrap();
    client
}

/// A connected client of a user, with its alarms from the beginning.
async fn native_of(url: &str, user: &str) -> (Client, Alarms) {
    let config = Config::default().command_timeout(PATIENT).token(Fleet::token(user));
    let client = wirehub_client::client(Address::parse(url).unwrap(), config);
    let alarms = client.alarms();
    soon(client.connect()).await.unwrap();
    (client, alarms)
}

/// A connected client of a user, with a record of its alarms. A careful user acknowledges each.
pub(crate) async fn alarmed(recorder: &Recorder, url: &str, user: &str, is_careful: bool) -> Client {
    let (client, mut alarms) = native_of(url, user).await;
    recorder.begin_alarms(user, is_careful);
    let (recorder, user, acknowledging) = (recorder.clone(), user.to_owned(), client.clone());
    tokio::spawn(async move {
        while let Some(alarm) = alarms.next().await {
            if alarm.channel.as_str() == LAST_ALARM {
                continue;
            }
            if alarm.withdrawn {
                recorder.shown(&user, Shown::Ended(alarm.id));
                continue;
            }
            recorder.shown(&user, Shown::Alarm(alarm.id.clone()));
            if is_careful {
                let (recorder, user, client) = (recorder.clone(), user.clone(), acknowledging.clone());
                // An answer may take as long as a fault, and the next alarms do not wait for it.
                tokio::spawn(async move {
                    // It is repeated after a reconnect. A temporary refusal is not.
                    while let Err(error) = client.acknowledge(&alarm.id).await {
                        if !error.is_temporary() {
                            return;
                        }
                        tokio::time::sleep(PACE).await;
                    }
                    recorder.alarm_acknowledged(&user, &alarm.id);
                });
            }
        }
    });
    client
}

/// Raises alarms for everybody with a record of alarms, at one node after another, until the recorder says stop.
pub(crate) fn raise(recorder: &Recorder, nodes: Vec<SocketAddr>) -> JoinHandle<()> {
    let recorder = recorder.clone();
    tokio::spawn(async move {
        let publishing = recorder.publishing.subscribe();
        for node in nodes.iter().cycle() {
            if !*publishing.borrow() {
                return;
            }
            if let Some(id) = raise_at(&recorder, *node, "alarm:fire").await {
                recorder.alarms().raised.insert(id, StdInstant::now());
            }
            tokio::time::sleep(BETWEEN_ALARMS).await;
        }
    })
}

/// Raises an alarm. Returns its id if there was an answer.
async fn raise_at(recorder: &Recorder, node: SocketAddr, channel: &str) -> Option<String> {
    let users: Vec<String> = recorder.alarms().shown.keys().cloned().collect();
    let body = json!({ "channel": channel, "data": 1, "users": users }).to_string();
    let answer = timeout(PATIENT, Fleet::ask(node, "POST", "/api/v1/alarms", &body)).await.ok()?.ok()?;
    let raised: Value = serde_json::from_str(&answer).ok()?;
    Some(raised["alarm"].as_str()?.to_owned())
}

/// Waits until every alarm has reached everybody and every acknowledgement is answered, or the time is over. Then records the
/// alarms that new sessions get.
pub(crate) async fn end_alarms(recorder: &Recorder, url: &str, nodes: &[SocketAddr], limit: Duration) {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let record = recorder.alarms().clone();
        if record.missing().is_empty() && record.unanswered() == 0 {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    let users: Vec<String> = recorder.alarms().shown.keys().cloned().collect();
    let mut sessions = Vec::new();
    for user in users {
        let (client, alarms) = native_of(url, &user).await;
        sessions.push((user, client, alarms));
    }
    // It comes behind those that a session gets at its begin.
    let last = raise_at(recorder, nodes[0], LAST_ALARM).await.expect("a whole fleet raises an alarm");
    for (user, _client, alarms) in &mut sessions {
        let mut again = BTreeSet::new();
        loop {
            let alarm = soon(alarms.next()).await.unwrap();
            let is_last = alarm.id == last;
            if !alarm.withdrawn {
                again.insert(alarm.id);
            }
            if is_last {
                break;
            }
        }
        recorder.alarms().again.insert(user.clone(), again);
    }
}

/// The members of each channel that are not the users, or are them more than once, at any node; empty as soon as each node has
/// the truth.
pub(crate) async fn wrong_presence(
    nodes: &[SocketAddr],
    channels: &[&str],
    users: &BTreeSet<String>,
    limit: Duration,
) -> Vec<String> {
    let deadline = Instant::now() + limit;
    let mut clients = Vec::new();
    for node in nodes {
        clients.push((node, native(&format!("ws://{node}/ws")).await));
    }
    loop {
        let mut wrong = Vec::new();
        for (node, client) in &clients {
            for channel in channels {
                let name = ChannelName::new(channel).unwrap();
                let members = soon(client.presence(name.clone())).await;
                let counts = soon(client.presence_counts(name)).await;
                let (Ok(members), Ok(counts)) = (members, counts) else {
                    wrong.push(format!("{channel} has no presence at {node}"));
                    continue;
                };
                let mut there: Vec<String> = members.into_iter().map(|member| member.user).collect();
                there.sort_unstable();
                let count = u32::try_from(users.len()).unwrap();
                if !there.iter().eq(users) || (counts.sessions, counts.users) != (count, count) {
                    wrong.push(format!("{channel} at {node} has {counts:?}: {there:?}"));
                }
            }
        }
        if wrong.is_empty() || Instant::now() >= deadline {
            return wrong;
        }
        tokio::time::sleep(PACE * 10).await;
    }
}

/// Subscribes to every channel; each is ready when this returns.
pub(crate) async fn listen(recorder: &Recorder, client: &Client, name: &str, channels: &[&str]) {
    for channel in channels {
        let mut subscription = client.subscribe_raw(ChannelName::new(channel).unwrap()).unwrap();
        soon(subscription.ready()).await.unwrap();
        recorder.record().heard.entry((name.to_owned(), (*channel).to_owned())).or_default();
        tokio::spawn(hear(recorder.clone(), subscription, name.to_owned(), (*channel).to_owned()));
    }
}

async fn hear(recorder: Recorder, mut subscription: Subscription<Payload>, name: String, channel: String) {
    while let Some(update) = subscription.next().await {
        let event = match update {
            Ok(Update::Publication(publication)) => Event::Heard {
                offset: publication.offset.unwrap_or_default(),
                message: message_in(&publication.message),
            },
            Ok(other) => Event::Gap(format!("{:?}", other.gap())),
            Err(error) => Event::Ended(error.to_string()),
        };
        recorder.heard(&name, &channel, event);
    }
}

/// Publishes in each channel in turn until the recorder says stop. The task ends after the last answer.
pub(crate) fn publish(recorder: &Recorder, client: Client, name: &str, channels: &[&str]) -> JoinHandle<()> {
    let (recorder, name) = (recorder.clone(), name.to_owned());
    let channels: Vec<String> = channels.iter().map(|&it| it.to_owned()).collect();
    tokio::spawn(async move {
        let publishing = recorder.publishing.subscribe();
        for (number, channel) in (0..).zip(channels.iter().cycle()) {
            if !*publishing.borrow() {
                return;
            }
            let message = Message { publisher: name.clone(), number };
            let name = ChannelName::new(channel.as_str()).unwrap();
            // Without an answer it may arrive or not.
            if let Ok(position) = client.publish_raw(name, payload_of(&message)).await {
                recorder.acknowledged(channel, message, position);
            }
            tokio::time::sleep(PACE).await;
        }
    })
}

/// Publishes last messages in each channel, until every subscription has one. Returns whether they have.
pub(crate) async fn end(
    recorder: &Recorder,
    client: &Client,
    channels: &[&str],
    (count, limit): (usize, Duration),
) -> bool {
    let deadline = Instant::now() + limit;
    // A message may be lost with a master that is replaced, and then the subscribers have gaps.
    for number in 0.. {
        for channel in channels {
            let message = Message { publisher: END.into(), number };
            let name = ChannelName::new(channel).unwrap();
            match soon(client.publish_raw(name, payload_of(&message))).await {
                Ok(position) => recorder.acknowledged(channel, message, position),
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
        if recorder.finished(count, ROUND).await {
            return true;
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    false
}

/// Records the history of every channel.
pub(crate) async fn read_history(recorder: &Recorder, client: &Client, channels: &[&str]) {
    for channel in channels {
        let mut since = None;
        loop {
            let request = frame::History {
                channel: ChannelName::new(channel).unwrap(),
                limit: PAGE,
                since: since.clone(),
                reverse: false,
            };
            let page = soon(client.history_raw(request)).await.unwrap();
            let epoch = page.position.epoch;
            let mut record = recorder.record();
            for publication in page.publications {
                let position = Position { offset: publication.offset, epoch: epoch.clone() };
                since = Some(position.clone());
                let message = message_in(&publication.payload);
                record.history.push(Kept { channel: (*channel).to_owned(), position, message });
            }
            if !page.more {
                break;
            }
        }
    }
}

/// A process with a client of the npm package, which subscribes and publishes. It ends with this value.
#[derive(Debug)]
pub(crate) struct Npm {
    process: Child,
    reading: JoinHandle<()>,
    input: ChildStdin,
    stopped: oneshot::Receiver<()>,
}

impl Npm {
    /// Starts a client that subscribes to every channel; each is ready when this returns.
    pub(crate) async fn start(
        recorder: &Recorder,
        folder: &Path,
        url: &str,
        (name, is_careful): (&str, bool),
        channels: &[&str],
    ) -> Self {
        let mut command = Command::new("node");
        command.args(["--experimental-websocket", "--no-warnings", "client.mjs", url, name]);
        command.arg(Fleet::token(name)).arg(if is_careful { "careful" } else { "careless" }).args(channels);
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| panic!("node: {error}"));
        let input = process.stdin.take().unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = soon(lines.next_line()).await.unwrap();
        assert_eq!(first.as_deref(), Some("ready"), "the npm client did not begin");
        recorder.begin_alarms(name, is_careful);
        for channel in channels {
            recorder.record().heard.entry((name.to_owned(), (*channel).to_owned())).or_default();
        }
        let (recorder, name) = (recorder.clone(), name.to_owned());
        let reading = tokio::spawn(async move {
            let mut stop = Some(stop);
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "stopped" {
                    stop.take();
                } else {
                    take_line(&recorder, &name, &line);
                }
            }
        });
        Self { process, reading, input, stopped }
    }

    /// Makes it publish in each channel in turn.
    pub(crate) async fn publish(&mut self) {
        self.input.write_all(b"publish\n").await.unwrap();
    }

    /// Makes it publish no more, and waits for the answers.
    pub(crate) async fn stop_publishing(&mut self) {
        self.input.write_all(b"stop\n").await.unwrap();
        // The sender has been dropped.
        let _ = timeout(PATIENT * 2, &mut self.stopped).await.expect("the npm client goes on publishing");
    }

    pub(crate) async fn end(self) {
        let Self { mut process, reading, input, stopped: _ } = self;
        // The end of its input makes it close its client.
        drop(input);
        let status = soon(process.wait()).await.unwrap();
        assert!(status.success(), "the npm client: {status}");
        soon(reading).await.unwrap();
    }
}

/// A line of the npm client: `["acknowledged", CHANNEL, MESSAGE]`, `["heard", CHANNEL, MESSAGE, OFFSET]`, `["gap", CHANNEL,
/// REASON]`, `["ended", CHANNEL, REASON]`, or `["alarm" | "withdrawn" | "alarm-acknowledged", ALARM]`.
fn take_line(recorder: &Recorder, name: &str, line: &str) {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{name}: {line}"));
    let text = |index: usize| value[index].as_str().unwrap_or_default().to_owned();
    let channel = text(1);
    match value[0].as_str() {
        Some("acknowledged") => recorder.acknowledged(&channel, message_of(&value[2]), None),
        Some("heard") => {
            let (offset, message) = (value[3].as_u64().unwrap_or_default(), message_of(&value[2]));
            recorder.heard(name, &channel, Event::Heard { offset, message });
        }
        Some("gap") => recorder.heard(name, &channel, Event::Gap(text(2))),
        Some("alarm") => recorder.shown(name, Shown::Alarm(channel)),
        Some("withdrawn") => recorder.shown(name, Shown::Ended(channel)),
        Some("alarm-acknowledged") => recorder.alarm_acknowledged(name, &channel),
        Some("ended") => recorder.heard(name, &channel, Event::Ended(text(2))),
        _ => panic!("{name}: {line}"),
    }
}

fn payload_of(message: &Message) -> Payload {
    Payload::json(json!({ "publisher": message.publisher, "number": message.number }).to_string())
}

fn message_in(payload: &Payload) -> Message {
    message_of(&serde_json::from_slice(&payload.data).unwrap_or_default())
}

fn message_of(value: &Value) -> Message {
    let publisher = value["publisher"].as_str().unwrap_or_else(|| panic!("{value} is no message")).to_owned();
    Message { publisher, number: value["number"].as_u64().unwrap_or_default() }
}
