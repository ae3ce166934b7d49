//! Three servers with the configuration in `server/deploy/fleet/` and their Redis, behind a proxy: one chat room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wirehub_client::{
    Address, Alarms, Client, Config, Gap, MemberChange, MemberChanges, StateChanges, Subscription,
};
use wirehub_common::{ChannelName, Payload, frame};
use wirehub_server::auth::Authenticated;
use wirehub_server::jwt::{Algorithm, Signer};
use wirehub_test_redis::{Options, RedisServer, until};
use wirehub_tests::{gap, next, publication, soon};

use crate::{Proxy, Running, Start, haproxy, nginx, replaced, serve, shipped};

const PASSWORD: &str = "swordfish";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The number of people in the room.
const PEOPLE: usize = 6;

/// The members of a dead server leave after 20 s at the latest, and after their grace. The rest is for a busy machine.
const LEFT_WITHIN: Duration = Duration::from_secs(40);

struct Fleet {
    servers: Vec<Server>,
    proxy: Proxy,
    redis: RedisServer,
    folder: tempfile::TempDir,
}

struct Server {
    running: Running,
    address: SocketAddr,
}

impl Fleet {
    async fn start(configuration: &str, start: Start) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server of the tests has its own address.
        let settings = shipped("fleet/redis.conf").replace("PASSWORD", PASSWORD);
        let settings =
            settings.lines().filter(|line| !line.starts_with("bind ") && !line.starts_with("port "));
        let config = settings.map(str::to_owned).collect();
        let redis = RedisServer::start(Options { config, ..Options::default() }).await;
        let mut config = shipped("fleet/wirehub.toml");
        for (shipped, own) in [
            ("redis://10.0.0.9:6379", &*redis.url()),
            ("trusted = [\"10.0.0.10\"]", "trusted = [\"127.0.0.1\"]"),
            ("# [[api.keys]]\n# file = \"api.key\"", "[[api.keys]]\nfile = \"api.key\""),
            ("presence = \"users\"", "presence = \"users\"\njoin_leave = \"5s\""),
            ("[proxy]", "[limits]\nreconnect_window = \"500ms\"\n\n[proxy]"),
        ] {
            config = replaced(&config, shipped, own);
        }
        let keys = [("wirehub.key", SECRET), ("api.key", SECRET), ("redis.key", PASSWORD)];
        for (name, text) in keys.into_iter().chain([("wirehub.toml", &*config)]) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for shipped in ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"] {
            let (running, address) = serve(folder.path(), "127.0.0.1:0");
            servers.push(Server { running, address });
            addresses.push((shipped, address));
        }
        let proxy = Proxy::start(configuration, start, &addresses).await;
        Self { servers, proxy, redis, folder }
    }

    /// Starts a server that has ended, at its address.
    fn restart(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.running = serve(self.folder.path(), &server.address.to_string()).0;
    }

    /// A client behind the proxy, with its alarms from the beginning.
    async fn client(&self, user: &str) -> (Client, Alarms) {
        let client = self.proxy.client(as_user(user));
        let alarms = client.alarms();
        soon(client.connect()).await.unwrap();
        (client, alarms)
    }

    /// The index of the server that has a client.
    async fn server_of(&self, client: &Client) -> usize {
        let path = format!("/api/v1/sessions/{}", client.session());
        let session = self.servers[0].api("GET", &path, &Value::Null).await;
        for (index, server) in self.servers.iter().enumerate() {
            let own = server.api("GET", "/api/v1/stats", &Value::Null).await;
            if own["node"] == session["node"] {
                return index;
            }
        }
        panic!("no server has the session: {session}");
    }
}

impl Server {
    /// An answer of the HTTP API, which the proxy does not pass on.
    async fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {SECRET}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut response = String::new();
        soon(async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_string(&mut response).await.unwrap();
        })
        .await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {response}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {response}"))
    }

    /// Raises an alarm for these users; returns its id.
    async fn raise(&self, users: &[String]) -> String {
        let alarm = json!({ "channel": "alarm:fire", "data": "leave the house", "users": users });
        let raised = self.api("POST", "/api/v1/alarms", &alarm).await;
        raised["alarm"].as_str().unwrap().to_owned()
    }

    /// Waits until exactly these users have acknowledged an alarm, in the report of this server.
    async fn reports(&self, alarm: &str, acknowledged: &[&str]) {
        until("the report of an alarm", async || {
            let report = self.api("GET", &format!("/api/v1/alarms/{alarm}"), &Value::Null).await;
            let recipients = report["recipients"].as_array().unwrap();
            let progress: BTreeMap<&str, &str> = recipients
                .iter()
                .map(|it| (it["user"].as_str().unwrap(), it["progress"].as_str().unwrap()))
                .collect();
            let have = progress.iter().filter(|(_, progress)| **progress == "acknowledged");
            let have: Vec<&str> = have.map(|(user, _)| *user).collect();
            if have == acknowledged { Ok(()) } else { Err(format!("{progress:?}")) }
        })
        .await;
    }
}

fn as_user(user: &str) -> Config {
    let signer = Signer::from_secret(Algorithm::Hs256, SECRET.as_bytes()).unwrap();
    Config::new().token(signer.sign(&Authenticated::user(user)).unwrap())
}

fn the_room() -> ChannelName {
    ChannelName::new("chat:lobby").unwrap()
}

/// A user in the room.
struct Person {
    user: String,
    client: Client,
    heard: Subscription<Payload>,
    members: MemberChanges,
    alarms: Alarms,
    changes: StateChanges,
}

impl Person {
    async fn enter(user: String, client: Client, alarms: Alarms) -> Self {
        let mut heard = client.subscribe_raw(the_room()).unwrap();
        soon(heard.ready()).await.unwrap();
        let (members, changes) = (heard.member_changes(), client.state_changes());
        Self { user, client, heard, members, alarms, changes }
    }

    /// Whether the connection was lost since the last look.
    fn has_moved(&mut self) -> bool {
        self.changes.next().now_or_never().is_some()
    }

    /// The next alarm is this one.
    async fn is_alarmed(&mut self, alarm: &str) {
        let next = next(&mut self.alarms).await;
        assert_eq!((&*next.id, next.withdrawn), (alarm, false), "{}", self.user);
    }

    /// Nobody is reported to leave until this user is reported to enter.
    async fn sees_only_entering(&mut self, user: &str) {
        loop {
            match next(&mut self.members).await {
                MemberChange::Joined(member) if member.user == user => return,
                // It begins anew after a reconnect.
                MemberChange::Joined(_) | MemberChange::Unknown => {}
                other => panic!("{}: {other:?} before {user} enters", self.user),
            }
        }
    }

    /// The next change is that this user has left. Behind a reconnect the list begins anew before.
    async fn sees_leaving(&mut self, user: &str) {
        loop {
            match next(&mut self.members).await {
                MemberChange::Left(member) => return assert_eq!(member.user, user, "{}", self.user),
                MemberChange::Unknown => {}
                other => panic!("{}: {other:?} in place of {user}, who leaves", self.user),
            }
        }
    }
}

/// The people, and the number of their messages.
struct Room {
    people: Vec<Person>,
    sent: usize,
}

impl Room {
    async fn of(fleet: &Fleet) -> Self {
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let user = format!("user-{number}");
            let (client, alarms) = fleet.client(&user).await;
            people.push(Person::enter(user, client, alarms).await);
        }
        Self { people, sent: 0 }
    }

    /// Everybody says something, and everybody hears each message once and in order.
    async fn talks(&mut self) {
        let before = self.sent;
        for _ in 0..20 {
            self.sent += 1;
            let message = Payload::json(self.sent.to_string());
            let client = self.people[self.sent % PEOPLE].client.clone();
            soon(client.publish_raw(the_room(), message)).await.unwrap();
        }
        for person in &mut self.people {
            for number in before + 1..=self.sent {
                assert_eq!(publication(&mut person.heard).await.message, Payload::json(number.to_string()));
            }
        }
    }

    fn users(&self) -> Vec<String> {
        self.people.iter().map(|person| person.user.clone()).collect()
    }

    /// Waits until the members at every person's server are the people, with one session each.
    async fn is_complete(&self) {
        let users: BTreeSet<String> = self.users().into_iter().collect();
        let count = u32::try_from(PEOPLE).unwrap();
        for Person { user, client, .. } in &self.people {
            until(format!("the members, as {user} sees them"), async || {
                let counts = client.presence_counts(the_room()).await.map_err(|error| error.to_string())?;
                let members = client.presence(the_room()).await.map_err(|error| error.to_string())?;
                let members: Vec<String> = members.into_iter().map(|member| member.user).collect();
                let is_true = (counts.sessions, counts.users) == (count, count)
                    && members.len() == PEOPLE
                    && members.iter().cloned().collect::<BTreeSet<_>>() == users;
                if is_true { Ok(()) } else { Err(format!("{counts:?} {members:?}")) }
            })
            .await;
        }
    }
}

/// One chat room over the death of any process: nobody misses a message, only real leaves are seen, and alarms outlive the server
/// that raised them.
async fn a_fleet_holds_behind(mut fleet: Fleet) {
    let mut room = Room::of(&fleet).await;
    room.talks().await;
    room.is_complete().await;

    // A guest is at the server of the first person, and will die with it.
    let doomed = fleet.server_of(&room.people[0].client).await;
    let address = format!("ws://{}/ws", fleet.servers[doomed].address);
    let guest = wirehub_client::client(Address::parse(&address).unwrap(), as_user("guest"));
    soon(guest.connect()).await.unwrap();
    let mut heard_by_guest = guest.subscribe_raw(the_room()).unwrap();
    soon(heard_by_guest.ready()).await.unwrap();
    for person in &mut room.people {
        person.sees_only_entering("guest").await;
    }

    // An alarm is raised at that server, reaches the people of all servers, and one of another server acknowledges it.
    let mut users = room.users();
    users.extend(["late".to_owned(), "later".to_owned()]);
    let fire = fleet.servers[doomed].raise(&users).await;
    for person in &mut room.people {
        person.is_alarmed(&fire).await;
    }
    let mut elsewhere = 0;
    while fleet.server_of(&room.people[elsewhere].client).await == doomed {
        elsewhere += 1;
    }
    let careful = room.people[elsewhere].user.clone();
    soon(room.people[elsewhere].client.acknowledge(&fire)).await.unwrap();
    for server in &fleet.servers {
        server.reports(&fire, &[&careful]).await;
    }

    // SIGKILL. No message is missing, and the alarm is still there.
    fleet.servers[doomed].running.signal("KILL");
    let killed = Instant::now();
    assert!(!fleet.servers[doomed].running.0.wait().unwrap().success());
    // The guest has no time to say goodbye, and does not come back.
    drop((heard_by_guest, guest));
    room.talks().await;
    let (late, mut alarms_of_late) = fleet.client("late").await;
    assert_eq!(next(&mut alarms_of_late).await.id, fire);
    soon(late.acknowledge(&fire)).await.unwrap();
    let survivor = &fleet.servers[(doomed + 1) % 3];
    survivor.reports(&fire, &["late", &careful]).await;
    // An acknowledged alarm does not come again: the first alarm of a new session is the next one.
    let (_second_device, mut alarms) = fleet.client(&careful).await;
    let smoke = survivor.raise(&room.users()).await;
    assert_eq!(next(&mut alarms).await.id, smoke);
    for person in &mut room.people {
        person.is_alarmed(&smoke).await;
    }

    // The people of the killed server were not seen to leave. The guest leaves once.
    let mut moved: Vec<bool> = room.people.iter_mut().map(Person::has_moved).collect();
    room.is_complete().await;
    assert!(killed.elapsed() < LEFT_WITHIN, "the guest has left after {:?}", killed.elapsed());
    for person in &mut room.people {
        person.sees_leaving("guest").await;
    }

    // An orderly stop of another one.
    fleet.restart(doomed);
    let stopped = (doomed + 1) % 3;
    fleet.servers[stopped].running.signal("TERM");
    room.talks().await;
    // The clients must answer meanwhile.
    let server = &mut fleet.servers[stopped].running.0;
    let status = until("the stop", async || server.try_wait().unwrap().ok_or("it is running")).await;
    assert!(status.success(), "{status}");
    room.talks().await;
    for (person, has_moved) in room.people.iter_mut().zip(&mut moved) {
        *has_moved |= person.has_moved();
    }
    let count = moved.iter().filter(|has_moved| **has_moved).count();
    assert!((2..PEOPLE).contains(&count), "{count} had to move: they were on all servers");
    fleet.restart(stopped);
    // They were not seen to leave either.
    let (client, alarms) = fleet.client("visitor").await;
    let visitor = Person::enter("visitor".to_owned(), client, alarms).await;
    for person in &mut room.people {
        person.sees_only_entering("visitor").await;
    }
    drop(visitor);
    for person in &mut room.people {
        person.sees_leaving("visitor").await;
    }

    // Redis is killed, and starts again with its append-only file. It may have lost something, so there is a gap.
    until("the writes of Redis", async || match fleet.redis.info("aof_buffer_length").await.as_deref() {
        Some("0") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    fleet.redis.kill();
    fleet.redis.restart().await;
    for person in &mut room.people {
        assert_eq!(gap(&mut person.heard).await, Gap::Lost);
    }
    room.talks().await;
    let request = frame::History { channel: the_room(), limit: 1000, since: None, reverse: false };
    let page = soon(room.people[0].client.history_raw(request)).await.unwrap();
    assert_eq!(page.publications.len(), room.sent, "nothing is lost");
    let (_later, mut alarms_of_later) = fleet.client("later").await;
    assert_eq!(next(&mut alarms_of_later).await.id, fire);
    let flood = fleet.servers[doomed].raise(&room.users()).await;
    for person in &mut room.people {
        person.is_alarmed(&flood).await;
    }
    let last = &room.people[PEOPLE - 1];
    soon(last.client.acknowledge(&flood)).await.unwrap();
    for server in &fleet.servers {
        server.reports(&flood, &[&last.user]).await;
    }
    room.is_complete().await;
    // Nobody was seen to leave meanwhile, and the guest not again.
    let (client, alarms) = fleet.client("last").await;
    let _last = Person::enter("last".to_owned(), client, alarms).await;
    for person in &mut room.people {
        person.sees_only_entering("last").await;
    }
}

#[tokio::test]
#[ignore = "it needs nginx and Redis: run `cargo xtask test proxies`"]
async fn three_servers_on_one_redis_are_one_behind_nginx() {
    a_fleet_holds_behind(Fleet::start("fleet/nginx.conf", nginx).await).await;
}

#[tokio::test]
#[ignore = "it needs HAProxy and Redis: run `cargo xtask test proxies`"]
async fn three_servers_on_one_redis_are_one_behind_haproxy() {
    a_fleet_holds_behind(Fleet::start("fleet/haproxy.cfg", haproxy).await).await;
}
