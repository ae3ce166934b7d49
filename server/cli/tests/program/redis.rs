//! The program with the engine in Redis, on real servers.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use wirehub_client::{Address, Client, ClientState, Config, Gap, Subscription, Update};
use wirehub_common::code::ErrorCode;
use wirehub_common::{ChannelName, Payload, frame};
use wirehub_test_redis::{Append, Options, RedisCluster, RedisServer, Sentinels, until};

use crate::program::{Running, failure, wirehub};
use crate::support::{http_at, in_time};

const CONFIG: &str = r#"
engine = "redis"
[server]
anonymous = true
[limits]
reconnect_window = "10ms"
[[api.keys]]
file = "api.key"
[namespace.kept]
subscribe = "everybody"
publish = "everybody"
presence = "everybody"
join_leave = "1s"
history_size = 1000
history_ttl = "1h"
[redis]
"#;

const API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A configuration with these settings of Redis, in a folder of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(settings: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("wirehub.toml", &format!("{CONFIG}{settings}\n"));
        folder.write("api.key", API_KEY);
        folder
    }

    fn on(redis: &RedisServer) -> Self {
        Self::new(&format!("url = \"{}\"", redis.url()))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn config(&self) -> String {
        self.0.path().join("wirehub.toml").to_str().unwrap().to_owned()
    }

    fn serve(&self) -> Node {
        Node::of(Running::start(&["serve", "--config", &self.config(), "--listen", "127.0.0.1:0"]))
    }

    /// The exit status and the error of a server that can't start.
    fn refusal(&self) -> (Option<i32>, String) {
        failure(&["serve", "--config", &self.config(), "--listen", "127.0.0.1:0"])
    }
}

/// A server of the fleet.
struct Node {
    server: Running,
    host: String,
}

impl Node {
    fn of(mut server: Running) -> Self {
        let host = server.address().strip_prefix("http://").unwrap().to_owned();
        Self { server, host }
    }

    async fn client(&self) -> Client {
        connected(&self.host).await
    }

    async fn is_ready(&self) -> bool {
        let request = "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        http_at(&self.host, request).await.starts_with("HTTP/1.1 200")
    }

    /// The log after a stop in order.
    fn stopped(mut self) -> String {
        self.server.signal("TERM");
        let mut log = String::new();
        self.server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.server.child.wait().unwrap().success(), "{log}");
        log
    }
}

async fn connected(host: &str) -> Client {
    let address = Address::parse(&format!("ws://{host}/ws")).unwrap();
    let client = wirehub_client::client(address, Config::new());
    in_time(client.connect()).await.unwrap();
    client
}

fn channel() -> ChannelName {
    ChannelName::new("kept:stream").unwrap()
}

async fn subscribed(client: &Client) -> Subscription<Payload> {
    let mut received = client.subscribe_raw(channel()).unwrap();
    in_time(received.ready()).await.unwrap();
    received
}

async fn publish(client: &Client, number: u64) {
    in_time(client.publish_raw(channel(), Payload::json(number.to_string()))).await.unwrap();
}

async fn history(client: &Client) -> Vec<Payload> {
    let request = frame::History { channel: channel(), since: None, limit: 10, reverse: false };
    let page = in_time(client.history_raw(request)).await.unwrap();
    page.publications.into_iter().map(|publication| publication.payload).collect()
}

async fn expect(received: &mut Subscription<Payload>, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        match in_time(received.next()).await.unwrap().unwrap() {
            Update::Publication(publication) => {
                assert_eq!(publication.message, Payload::json(number.to_string()), "once and in order");
            }
            gap => panic!("before {number}: {gap:?}"),
        }
    }
}

/// A message that is published at one server arrives at another one.
async fn share_a_channel(one: &Node, other: &Node) {
    let (publisher, subscriber) = (one.client().await, other.client().await);
    let mut received = subscribed(&subscriber).await;
    publish(&publisher, 7).await;
    expect(&mut received, 7..8).await;
}

/// A balancer before two servers. It uses the first one that accepts connections.
async fn balancer(servers: [String; 2]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let servers = servers.clone();
            tokio::spawn(async move {
                for server in servers {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_client_of_a_killed_server_recovers_on_another_one_without_a_gap() {
    let redis = RedisServer::start(Options::default()).await;
    let folder = Folder::on(&redis);
    let (first, second) = (folder.serve(), folder.serve());
    let balancer = balancer([first.host.clone(), second.host.clone()]).await;
    let on_first = connected(&balancer.to_string()).await;
    let on_second = second.client().await;
    let (mut of_first, mut of_second) = (subscribed(&on_first).await, subscribed(&on_second).await);
    for number in 0..10 {
        publish(&on_first, number).await;
    }
    expect(&mut of_first, 0..10).await;
    expect(&mut of_second, 0..10).await;

    // SIGKILL.
    drop(first);
    for number in 10..30 {
        publish(&on_second, number).await;
    }
    expect(&mut of_second, 10..30).await;
    expect(&mut of_first, 10..30).await;
    publish(&on_first, 30).await;
    expect(&mut of_second, 30..31).await;
}

#[tokio::test]
async fn a_server_without_its_redis_does_not_start_and_names_the_reason() {
    let redis =
        RedisServer::start(Options { password: Some("swordfish".into()), ..Options::default() }).await;
    let address = redis.address();

    let folder = Folder::new(&format!("url = \"redis://{address}\"\npassword = {{ file = \"redis.key\" }}"));
    folder.write("redis.key", "wrong-one\n");
    let (status, error) = folder.refusal();
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("check the user name and the password"), "{error}");
    assert!(error.contains(&address.to_string()) && !error.contains("wrong-one"), "{error}");

    folder.write("redis.key", "swordfish\n");
    let log = folder.serve().stopped();
    let summary = format!("engine: redis, at {address}, with the prefix wirehub");
    assert!(log.contains(&summary) && !log.contains("swordfish"), "{log}");

    redis.kill();
    let (status, error) = Folder::on(&redis).refusal();
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("cannot start the engine in Redis"), "{error}");
    assert!(error.contains("check that it runs") && !error.contains("swordfish"), "{error}");
}

/// The line in `docs/engines.md` that creates a user.
fn documented_user() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engines.md");
    let document = std::fs::read_to_string(document).unwrap();
    let line =
        document.lines().find_map(|line| line.strip_prefix("user ").filter(|line| line.contains("PASSWORD")));
    line.expect("the document has the rights of a user").replace("PASSWORD", "swordfish")
}

#[tokio::test]
async fn the_documented_rights_are_sufficient_and_a_user_without_them_is_refused() {
    let words = documented_user();
    let users = vec![
        words,
        "nobody on >swordfish +@connection".into(),
        "deaf on >swordfish resetchannels ~* +@all".into(),
    ];
    let redis = RedisServer::start(Options { users, ..Options::default() }).await;
    let with = |user: &str| {
        let settings = "password = { env = \"REDIS_PASSWORD_OF_TEST\" }";
        let folder =
            Folder::new(&format!("url = \"redis://{}\"\nuser = \"{user}\"\n{settings}", redis.address()));
        let mut command = wirehub(&["serve", "--config", &folder.config(), "--listen", "127.0.0.1:0"]);
        command.env("REDIS_PASSWORD_OF_TEST", "swordfish");
        (folder, command)
    };
    for (user, words) in [("nobody", "docs/engines.md"), ("deaf", "the rights that docs/engines.md lists")] {
        let (_folder, mut command) = with(user);
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(words) && !error.contains("swordfish"), "{error}");
    }

    let ((_one, first), (_other, second)) = (with("wirehub"), with("wirehub"));
    let (first, second) = (Node::of(Running::spawn(first)), Node::of(Running::spawn(second)));
    share_a_channel(&first, &second).await;
    // Each kind of data: members, history, records.
    let client = first.client().await;
    let _received = subscribed(&client).await;
    until("two members", async || match client.presence(channel()).await {
        Ok(members) if !members.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(history(&client).await, [Payload::json("7")]);
    let body = r#"{"channel":"alarm:fire","data":"now","users":["ann"]}"#;
    let raised = api(&first, "POST", "/api/v1/alarms", body).await;
    assert!(raised.starts_with("HTTP/1.1 2"), "{raised}");
    drop((client, _received));
    for log in [first.stopped(), second.stopped()] {
        assert!(!log.contains("NOPERM") && !log.contains("rights"), "{log}");
    }
}

async fn api(node: &Node, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {API_KEY}"
    );
    let request =
        format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    http_at(&node.host, &request).await
}

#[tokio::test]
async fn an_eviction_of_keys_is_warned_of() {
    let eviction = Some(("100mb".into(), "allkeys-lru".into()));
    let redis = RedisServer::start(Options { eviction, ..Options::default() }).await;
    let log = Folder::on(&redis).serve().stopped();
    assert!(log.contains("WARN") && log.contains("evicts keys (allkeys-lru)"), "{log}");
    assert!(log.contains("maxmemory-policy noeviction"), "{log}");
}

#[tokio::test]
async fn keys_of_another_program_are_left_alone() {
    let redis = RedisServer::start(Options::default()).await;
    Folder::on(&redis).serve().stopped();
    let keys = redis.cli(&["KEYS", "*:f:format"]).await;
    redis.cli(&["SET", &keys, "something else"]).await;
    let (status, error) = Folder::on(&redis).refusal();
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("another program") && error.contains("another prefix"), "{error}");
    redis.cli(&["SET", &keys, "wirehub 999"]).await;
    let (_, error) = Folder::on(&redis).refusal();
    assert!(error.contains("newer version"), "{error}");
    assert_eq!(redis.cli(&["GET", &keys]).await, "wirehub 999");
}

#[tokio::test]
async fn redis_is_reached_by_tls_with_an_authority_of_its_own_and_by_a_unix_socket() {
    let redis = RedisServer::start(Options { tls: true, ..Options::default() }).await;
    let folder = Folder::new(&format!("url = \"{}\"\nauthorities = \"redis-ca.pem\"", redis.url()));
    folder.write("redis-ca.pem", redis.certificate().unwrap());
    let (encrypted, socket) = (folder.serve(), redis.socket());
    let socket = Folder::new(&format!("url = \"unix://{}\"", socket.display()));
    share_a_channel(&encrypted, &socket.serve()).await;

    let (status, error) = Folder::on(&redis).refusal();
    assert_eq!(status, Some(1), "{error}");
    assert!(error.to_lowercase().contains("certificate"), "without the authority: {error}");
}

#[tokio::test]
async fn sentinels_and_a_cluster_are_named_in_the_configuration() {
    let urls = |addresses: Vec<SocketAddr>| {
        let urls: Vec<String> = addresses.iter().map(|address| format!("\"redis://{address}\"")).collect();
        urls.join(", ")
    };
    let sentinels = Sentinels::start(1, 1).await;
    let named = urls(sentinels.addresses());
    let folder = Folder::new(&format!("sentinels = [{named}]\nmaster = \"{}\"", Sentinels::NAME));
    share_a_channel(&folder.serve(), &folder.serve()).await;
    let unknown = Folder::new(&format!("sentinels = [{named}]\nmaster = \"other\"")).refusal();
    assert!(unknown.1.contains("knows no master other"), "{}", unknown.1);

    let cluster = RedisCluster::start(3, 0).await;
    let folder = Folder::new(&format!("cluster = [{}]", urls(cluster.addresses())));
    share_a_channel(&folder.serve(), &folder.serve()).await;
}

#[tokio::test]
async fn fleets_with_different_prefixes_share_a_redis_without_noticing_each_other() {
    let redis = RedisServer::start(Options::default()).await;
    let chat = Folder::on(&redis);
    let shop = Folder::new(&format!("url = \"{}\"\nprefix = \"shop\"", redis.url()));
    let (first, second, other) = (chat.serve(), chat.serve(), shop.serve());
    let foreign = other.client().await;
    let mut of_other = subscribed(&foreign).await;
    share_a_channel(&first, &second).await;
    // The next message in the other fleet is its own.
    publish(&foreign, 8).await;
    expect(&mut of_other, 8..9).await;
}

#[tokio::test]
async fn while_redis_is_away_connections_stay_and_afterwards_subscribers_go_on() {
    let redis = RedisServer::start(Options { append: Append::Always, ..Options::default() }).await;
    let node = Folder::on(&redis).serve();
    let client = node.client().await;
    let mut received = subscribed(&client).await;
    publish(&client, 0).await;
    expect(&mut received, 0..1).await;
    assert!(node.is_ready().await);
    let states: Arc<Mutex<Vec<ClientState>>> = Arc::default();
    tokio::spawn({
        let (mut changes, states) = (client.state_changes(), Arc::clone(&states));
        async move {
            while let Some(change) = changes.next().await {
                states.lock().push(change.state);
            }
        }
    });

    redis.kill();
    let killed = Instant::now();
    while node.is_ready().await {
        assert!(killed.elapsed() < Duration::from_secs(10), "/ready answers as if Redis were there");
        sleep(Duration::from_millis(50)).await;
    }
    let failed = in_time(client.clone().fail_fast().publish_raw(channel(), Payload::json("1"))).await;
    let error = failed.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAVAILABLE, "{error}");
    assert!(error.is_temporary());

    redis.restart().await;
    until("readiness", async || if node.is_ready().await { Ok(()) } else { Err("not ready") }).await;
    until("a publish", async || client.publish_raw(channel(), Payload::json("2")).await).await;
    // Redis is another process now, which may have lost the newest messages. So a gap is reported, and the next message comes.
    let gap = in_time(received.next()).await.unwrap().unwrap();
    assert!(matches!(gap, Update::Gap(Gap::Lost)), "{gap:?}");
    expect(&mut received, [2].into_iter()).await;
    let kept = history(&client).await;
    assert_eq!(kept, [Payload::json("0"), Payload::json("2")], "the append-only file has the first one");
    assert_eq!(*states.lock(), [], "the connection stayed");
}

#[tokio::test]
async fn the_engine_is_chosen_on_the_command_line_or_by_variables() {
    let redis = RedisServer::start(Options::default()).await;
    let url = redis.url();
    let by_option = ["serve", "--listen", "127.0.0.1:0", "--engine", "redis", "--redis", &url];
    let first = Node::of(Running::start(&by_option));
    let mut command = wirehub(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("WIREHUB_ENGINE", "redis").env("WIREHUB_REDIS__URL", &url);
    let second = Node::of(Running::spawn(command));
    share_a_channel(&first, &second).await;

    let (status, error) = failure(&["serve", "--redis", &url]);
    assert_eq!(status, Some(2));
    assert!(error.contains("add --engine redis"), "{error}");
    let bad = ["serve", "--engine", "redis", "--redis", "http://:swordfish@127.0.0.1"];
    let (status, error) = failure(&bad);
    assert_eq!(status, Some(2));
    assert!(error.contains("--redis: ") && error.contains("redis://host:port"), "{error}");
    assert!(!error.contains("swordfish"), "{error}");
    let (status, error) = failure(&["serve", "--engine", "redis"]);
    assert_eq!(status, Some(2));
    assert!(error.contains("`redis.url`") && error.contains("no server is named"), "{error}");
}

#[test]
fn a_configuration_is_checked_without_its_redis() {
    let folder = Folder::new("url = \"redis://127.0.0.1:1\"");
    assert!(wirehub(&["config", "check", &folder.config()]).output().unwrap().status.success());
    let folder = Folder::new("url = \"redis://127.0.0.1:1\"\nmaster = \"main\"\nprefix = \"{\"");
    let output = wirehub(&["config", "check", &folder.config()]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("2 mistakes") && error.contains("`redis.master`"), "{error}");
}
