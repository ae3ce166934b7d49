//! The programs of a run: nodes behind HAProxy, and the store of their engine.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wirehub_server::auth::Authenticated;
use wirehub_server::jwt::{Algorithm, Signer};
use wirehub_test_redis::{Append, Line, Options, Port, Process, RedisCluster, RedisServer, Sentinels, until};

use crate::checker::Promise;
use crate::random::Random;

/// The longest fault between a node and Redis, and the longest pause of Redis.
const LONGEST_FAULT: Duration = Duration::from_secs(4);

/// The key of tokens and of the HTTP API.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The kind of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Disk,
    Redis(Kind),
}

/// The kind of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Sentinels,
    Cluster,
}

/// A fleet to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) engine: Engine,
    pub(crate) nodes: usize,
}

/// A fault. Each is over, and the fleet whole again, when [`Fleet::act`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    KillNode,
    TerminateNode,
    KillStore,
    TerminateStore,
    PauseStore,
    FailOver,
    KillMaster,
    MoveSlot,
    CutLine,
    HoldLine,
    DelayLine,
}

/// The store of an engine, and the lines of the nodes to it.
pub(crate) enum Store {
    None,
    Single(Box<RedisServer>, Vec<Line>),
    Sentinels(Sentinels),
    Cluster(RedisCluster),
}

/// A running fleet. Its programs end with it.
pub(crate) struct Fleet {
    nodes: Vec<Node>,
    _proxy: Process,
    port: Port,
    store: Store,
    folder: TempDir,
}

struct Node {
    process: Mutex<Option<Process>>,
    port: Port,
    folder: PathBuf,
    name: String,
    arguments: Vec<String>,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, nodes: {}", self.engine, self.nodes)
    }
}

impl Shape {
    /// The faults that this fleet has to survive.
    pub(crate) fn actions(self) -> Vec<Action> {
        let mut actions = vec![Action::KillNode, Action::TerminateNode];
        if let Engine::Redis(kind) = self.engine {
            actions.extend(match kind {
                Kind::Single => &[
                    Action::KillStore,
                    Action::TerminateStore,
                    Action::PauseStore,
                    Action::CutLine,
                    Action::HoldLine,
                    Action::DelayLine,
                ][..],
                Kind::Sentinels => &[Action::FailOver, Action::KillMaster, Action::PauseStore],
                Kind::Cluster => {
                    &[Action::FailOver, Action::KillMaster, Action::MoveSlot, Action::PauseStore]
                }
            });
        }
        actions
    }

    /// Whether the store may lose something that it has answered.
    pub(crate) fn may_lose(self, action: Action) -> bool {
        match (self.engine, action) {
            (Engine::Memory, _) => true,
            (Engine::Disk, _) => false,
            (Engine::Redis(Kind::Single), action) => action == Action::KillStore,
            // A pause is long enough for a failover.
            (Engine::Redis(Kind::Sentinels | Kind::Cluster), action) => {
                matches!(action, Action::KillMaster | Action::FailOver | Action::PauseStore)
            }
        }
    }

    /// The faults of the store.
    pub(crate) fn store_actions(self) -> Vec<Action> {
        let of_nodes = [Action::KillNode, Action::TerminateNode];
        self.actions().into_iter().filter(|action| !of_nodes.contains(action)).collect()
    }

    /// The promise of the engine under these faults.
    pub(crate) fn promise(self) -> Promise {
        match self.engine {
            Engine::Disk => Promise::NoGaps,
            Engine::Memory | Engine::Redis(Kind::Single) => Promise::ReportedGaps,
            // A failover loses the messages that no replica has yet.
            Engine::Redis(Kind::Sentinels | Kind::Cluster) => Promise::Failovers,
        }
    }
}

impl Fleet {
    /// Starts every program, and waits until each node is ready.
    pub(crate) async fn start(shape: Shape) -> Self {
        assert!(
            shape.nodes == 1 || matches!(shape.engine, Engine::Redis(_)),
            "only Redis serves more than one node"
        );
        let folder = tempfile::Builder::new().prefix("wirehub-chaos-").tempdir().unwrap();
        fs::write(folder.path().join("secret.key"), SECRET).unwrap();
        let store = Store::start(shape).await;
        let nodes: Vec<Node> = (0..shape.nodes)
            .map(|index| Node::new(shape, folder.path(), index, &store.config(index)))
            .collect();
        for node in &nodes {
            node.start().await;
        }
        let port = Port::reserve();
        let proxy = start_proxy(folder.path(), port.address(), &nodes);
        until("the proxy", async || answers_ready(port.address()).await).await;
        Self { nodes, _proxy: proxy, port, store, folder }
    }

    /// The address for clients.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.port.address())
    }

    /// The addresses of the nodes themselves.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.port.address()).collect()
    }

    /// A token of a user.
    pub(crate) fn token(user: &str) -> String {
        let signer = Signer::from_secret(Algorithm::Hs256, SECRET.as_bytes()).unwrap();
        signer.sign(&Authenticated::user(user)).unwrap()
    }

    /// A request to the HTTP API of a node. The answer is its body, if it is a success.
    pub(crate) async fn ask(
        node: SocketAddr,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<String, String> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close");
        let rights = format!("authorization: Bearer {SECRET}\r\ncontent-type: application/json");
        let request = format!("{head}\r\n{rights}\r\ncontent-length: {length}\r\n\r\n{body}");
        let response = exchange(node, &request).await.map_err(|error| error.to_string())?;
        match response.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 2") => Ok(body.to_owned()),
            _ => Err(response),
        }
    }

    /// The folder of configurations and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder behind.
    pub(crate) fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Carries out a fault, and repairs it after a while.
    pub(crate) async fn act(&self, action: Action, random: &mut Random) {
        let index = random.below(self.nodes.len());
        match action {
            Action::KillNode => {
                self.nodes[index].kill();
                self.nodes[index].start().await;
            }
            Action::TerminateNode => {
                self.nodes[index].terminate().await;
                self.nodes[index].start().await;
            }
            _ => self.store.act(action, index, random).await,
        }
    }

    /// Waits until every node is ready, and the proxy has noticed.
    pub(crate) async fn whole(&self) {
        self.store.ready().await;
        for node in &self.nodes {
            node.ready().await;
        }
        until("the proxy", async || answers_ready(self.port.address()).await).await;
    }
}

impl Store {
    /// Starts the servers.
    pub(crate) async fn start(shape: Shape) -> Self {
        let options = || Options { append: Append::EverySecond, ..Options::default() };
        match shape.engine {
            Engine::Memory | Engine::Disk => Self::None,
            Engine::Redis(Kind::Single) => {
                let server = RedisServer::start(options()).await;
                let mut lines = Vec::new();
                for _ in 0..shape.nodes {
                    lines.push(Line::to(server.address()).await);
                }
                Self::Single(Box::new(server), lines)
            }
            Engine::Redis(Kind::Sentinels) => Self::Sentinels(Sentinels::start_with(2, 3, options()).await),
            Engine::Redis(Kind::Cluster) => Self::Cluster(RedisCluster::start_with(3, 1, options()).await),
        }
    }

    /// Carries out a fault of the store, or of a node's line to it, and repairs it after a while.
    pub(crate) async fn act(&self, action: Action, node: usize, random: &mut Random) {
        let fault = random.duration(LONGEST_FAULT);
        match (action, self) {
            (Action::KillStore, Self::Single(server, _)) => {
                server.kill();
                tokio::time::sleep(fault).await;
                server.restart().await;
            }
            (Action::TerminateStore, Self::Single(server, _)) => server.restart().await,
            (Action::CutLine, Self::Single(_, lines)) => lines[node].cut(),
            (Action::HoldLine, Self::Single(_, lines)) => {
                lines[node].hold(true);
                tokio::time::sleep(fault).await;
                lines[node].heal();
            }
            (Action::DelayLine, Self::Single(_, lines)) => {
                lines[node].delay(fault / 10);
                tokio::time::sleep(fault).await;
                lines[node].heal();
            }
            (Action::PauseStore, store) => {
                let server = store.some_master(random).await;
                server.pause();
                tokio::time::sleep(fault).await;
                server.resume();
            }
            (Action::FailOver, Self::Sentinels(sentinels)) => {
                sentinels.failover().await;
            }
            (Action::FailOver, Self::Cluster(cluster)) => {
                cluster.failover(random.below(cluster.shards())).await;
            }
            (Action::KillMaster, Self::Sentinels(sentinels)) => {
                let old = sentinels.kill_master().await;
                sentinels.successor_of(old).await;
                sentinels.server(old).restart().await;
            }
            (Action::KillMaster, Self::Cluster(cluster)) => {
                let old = cluster.kill_master(random.below(cluster.shards())).await;
                cluster.server(old).restart().await;
            }
            (Action::MoveSlot, Self::Cluster(cluster)) => {
                // Mostly one with keys.
                let from = random.below(cluster.shards());
                let key = cluster.master(from).await.reply(&["RANDOMKEY"]).await.to_string();
                let slot = cluster.slot_of(&key).await;
                let owner = cluster.shard_of(slot).await;
                cluster.migrate_slot(slot, (owner + 1) % cluster.shards()).await;
            }
            (action, _) => panic!("{action:?} is for another kind of Redis"),
        }
        self.ready().await;
    }

    /// The section of a node's configuration.
    fn config(&self, node: usize) -> String {
        let list = |addresses: Vec<SocketAddr>| {
            let quoted: Vec<String> = addresses.iter().map(|it| format!("\"redis://{it}\"")).collect();
            quoted.join(", ")
        };
        match self {
            Self::None => String::new(),
            Self::Single(_, lines) => format!("[redis]\nurl = \"redis://{}\"\n", lines[node].address()),
            Self::Sentinels(sentinels) => {
                let name = Sentinels::NAME;
                format!("[redis]\nsentinels = [{}]\nmaster = \"{name}\"\n", list(sentinels.addresses()))
            }
            Self::Cluster(cluster) => format!("[redis]\ncluster = [{}]\n", list(cluster.addresses())),
        }
    }

    async fn some_master(&self, random: &mut Random) -> &RedisServer {
        match self {
            Self::None => panic!("this engine has no servers"),
            Self::Single(server, _) => server,
            Self::Sentinels(sentinels) => sentinels.master().await,
            Self::Cluster(cluster) => cluster.master(random.below(cluster.shards())).await,
        }
    }

    async fn ready(&self) {
        match self {
            Self::None | Self::Single(..) => {}
            Self::Sentinels(sentinels) => {
                sentinels.master().await;
            }
            Self::Cluster(cluster) => cluster.ready().await,
        }
    }
}

impl Node {
    fn new(shape: Shape, folder: &Path, index: usize, store: &str) -> Self {
        let name = format!("node-{index}");
        let config = folder.join(format!("{name}.toml"));
        // The history reaches back over the longest fault: a gap is a loss.
        let text = format!(
            "[server]\nanonymous = true\n[proxy]\ntrusted = [\"127.0.0.1\"]\n\
             [limits]\nreconnect_window = \"200ms\"\n\
             [[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"secret.key\"\n[[api.keys]]\nfile = \"secret.key\"\n\
             [namespace.chaos]\npresence = \"everybody\"\nhistory_size = 1000000\nhistory_ttl = \"1h\"\nhistory_bytes = \"256MiB\"\n{store}"
        );
        fs::write(&config, text).unwrap();
        let port = Port::reserve();
        let (listen, config) = (port.address().to_string(), config.display().to_string());
        let engine = match shape.engine {
            Engine::Memory => "memory",
            Engine::Disk => "disk",
            Engine::Redis(_) => "redis",
        };
        let mut arguments = ["serve", "--listen", &listen, "--config", &config, "--engine", engine]
            .map(String::from)
            .to_vec();
        if shape.engine == Engine::Disk {
            arguments.extend(["--data".to_owned(), folder.join("data").display().to_string()]);
        }
        Self { process: Mutex::default(), port, folder: folder.to_owned(), name, arguments }
    }

    async fn start(&self) {
        let log = self.folder.join(format!("{}.log", self.name));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wirehub-under-test"));
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::start(&mut command, &self.folder);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        self.ready().await;
    }

    async fn ready(&self) {
        until(&self.name, async || {
            if let Some(status) = self.ended() {
                panic!("{} has ended, {status}: {}", self.name, self.log());
            }
            answers_ready(self.port.address()).await.map_err(|answer| format!("{answer}: {}", self.log()))
        })
        .await;
    }

    fn kill(&self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn terminate(&self) {
        if let Some(process) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            process.signal(Signal::TERM);
        }
        let status = until("the end of a node", async || self.ended().ok_or("it is running")).await;
        assert!(status.success(), "{}: {status}: {}", self.name, self.log());
        self.kill();
    }

    fn ended(&self) -> Option<std::process::ExitStatus> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.ended()
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join(format!("{}.log", self.name))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// HAProxy with the shipped configuration, without encryption and with every node.
fn start_proxy(folder: &Path, address: SocketAddr, nodes: &[Node]) -> Process {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/deploy/haproxy.cfg");
    let shipped = fs::read_to_string(shipped).unwrap();
    let servers: String = nodes
        .iter()
        .map(|node| {
            format!("    server {} {} check inter 100ms fall 1 rise 1\n", node.name, node.port.address())
        })
        .collect();
    let (mut bound, mut served) = (false, false);
    let config: String = shipped
        .lines()
        .map(|line| match line.trim_start() {
            text if text.starts_with("bind ") => {
                bound = true;
                format!("    bind {address}\n")
            }
            text if text.starts_with("server ") => {
                served = true;
                servers.clone()
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(bound && served, "the shipped configuration has no `bind` or no `server` any more");
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let log = File::create(folder.join("haproxy.log")).unwrap();
    let mut command = Command::new(haproxy());
    command.arg("-db").arg("-f").arg(file);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Process::start(&mut command, folder)
}

/// Debian keeps servers in folders that are in root's path only.
fn haproxy() -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("haproxy")).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("haproxy is not on this machine: `cargo xtask setup --tests` installs it, or prints the steps")
    })
}

async fn answers_ready(address: SocketAddr) -> Result<(), String> {
    let request = "GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    match exchange(address, request).await {
        Ok(response) if response.starts_with("HTTP/1.1 200") => Ok(()),
        Ok(response) => {
            let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
            Err(format!("{}: {body}", head.lines().next().unwrap_or_default()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The response to a request that closes its connection.
async fn exchange(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
