//! One server.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::Port;
use crate::process::Process;
use crate::resp::{Reply, command};
use crate::waiting::until;

/// The user of the tests' own commands, with every right and any password.
const USER: &str = "tests";

/// The user of replicas, with its name as its password. Without it, replication stops.
const REPLICATION: &str = "replication";

/// The persistence of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Append {
    /// None: a restart loses everything.
    #[default]
    Off,
    /// `appendonly yes` with a sync each second.
    EverySecond,
    /// `appendonly yes` with a sync before each reply.
    Always,
}

/// The settings of a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The password of the user `default`.
    pub password: Option<String>,
    /// Further users, in the language of `ACL SETUSER`: `ann on >secret ~wirehub:* &wirehub:* +@all`.
    pub users: Vec<String>,
    /// Whether the port is for TLS only, with the certificate of [`RedisServer::certificate`].
    pub tls: bool,
    /// The bound of the memory and the policy of eviction: `("10mb", "allkeys-lru")`.
    pub eviction: Option<(String, String)>,
    /// The persistence.
    pub append: Append,
    /// Further lines of the configuration.
    pub config: Vec<String>,
}

/// A running `redis-server`, also as a Sentinel or as a node of a cluster. It ends with this value.
#[derive(Debug)]
pub struct RedisServer {
    // Dropped before the folder.
    process: Mutex<Option<Process>>,
    port: Port,
    options: Options,
    certificate: Option<String>,
    is_sentinel: bool,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server on a free port.
    pub async fn start(options: Options) -> Self {
        let server = Self::new(options);
        server.restart().await;
        server
    }

    /// A server that is not running yet.
    pub(crate) fn new(options: Options) -> Self {
        Self::made(options, false)
    }

    /// A Sentinel that is not running yet.
    pub(crate) fn sentinel(config: Vec<String>) -> Self {
        Self::made(Options { config, ..Options::default() }, true)
    }

    fn made(options: Options, is_sentinel: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("wirehub-redis-").tempdir().unwrap();
        let certificate = options.tls.then(|| write_certificate(folder.path()));
        let server = Self {
            process: Mutex::default(),
            port: Port::reserve(),
            options,
            certificate,
            is_sentinel,
            folder,
        };
        fs::write(server.path("redis.conf"), server.config()).unwrap();
        server
    }

    /// The address of its port.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The path of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.path("redis.sock")
    }

    /// The URL of its port, for the user `default`.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        let password = self.options.password.as_ref().map(|it| format!(":{it}@")).unwrap_or_default();
        format!("{scheme}://{password}{}", self.address())
    }

    /// The certificate of its port as PEM, for [`Options::tls`]; it is its own authority.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Its process, if it is running.
    pub fn id(&self) -> Option<u32> {
        self.running().as_ref().map(Process::id)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        // Dropping it waits for its end.
        self.running().take();
    }

    /// Asks it to end with SIGTERM, and waits for that.
    pub async fn terminate(&self) {
        self.signal(Signal::TERM);
        until("a server that was asked to end", async || match self.running().as_mut().map(Process::ended) {
            Some(None) => Err("it is running"),
            _ => Ok(()),
        })
        .await;
        self.kill();
    }

    /// Stops it with SIGSTOP: its connections stay open, and it does nothing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends a [pause](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it on the same port and in the same folder. A running one is terminated first.
    pub async fn restart(&self) {
        if self.running().is_some() {
            self.resume();
            self.terminate().await;
        }
        *self.running() = Some(self.spawn());
        until("the start of a server", async || {
            let ended = self.running().as_mut().and_then(Process::ended);
            assert!(ended.is_none(), "redis-server has ended, {ended:?}: {}", self.log());
            match self.ask(&["PING"]).await {
                Ok(Reply::Text(answer)) if answer == "PONG" => Ok(()),
                other => Err(format!("{other:?}: {}", self.log())),
            }
        })
        .await;
    }

    /// The reply to a command of a user with every right. An error is a reply too.
    ///
    /// # Panics
    /// If the server does not run. A paused server answers when it is resumed.
    pub async fn reply(&self, words: &[&str]) -> Reply {
        self.ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The reply as a text, like that of `redis-cli`.
    ///
    /// # Panics
    /// If the server does not run or refuses the command.
    pub async fn cli(&self, words: &[&str]) -> String {
        match self.reply(words).await {
            Reply::Error(reason) => panic!("{words:?}: {reason}"),
            reply => reply.to_string(),
        }
    }

    /// The value of a field of `INFO`.
    pub async fn info(&self, field: &str) -> Option<String> {
        let Reply::Text(info) = self.ask(&["INFO", "all"]).await.ok()? else { return None };
        field_of(&info, field)
    }

    /// Forgets every script.
    pub async fn flush_scripts(&self) {
        self.cli(&["SCRIPT", "FLUSH"]).await;
    }

    /// Stops the replication from this server, or allows it again. Its replicas lose their connections, and what is
    /// written meanwhile is only here.
    pub async fn hold_replication(&self, held: bool) {
        self.cli(&["ACL", "SETUSER", REPLICATION, if held { "off" } else { "on" }]).await;
        if held {
            self.cli(&["CLIENT", "KILL", "USER", REPLICATION]).await;
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.path("redis.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub(crate) async fn ask(&self, words: &[&str]) -> io::Result<Reply> {
        command(&self.socket(), USER, words).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        match &*self.running() {
            Some(process) => process.signal(signal),
            None => panic!("the server at {} is not running", self.address()),
        }
    }

    fn spawn(&self) -> Process {
        let program = env::var_os("WIREHUB_REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(program);
        command.arg(self.path("redis.conf")).current_dir(self.folder.path());
        if self.is_sentinel {
            command.arg("--sentinel");
        }
        let output = File::options().create(true).append(true).open(self.path("redis.log")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Process::start(&mut command, self.folder.path())
    }

    fn config(&self) -> String {
        let port = self.port.number();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("unixsocket {}", self.socket().display()),
            format!("user {USER} on nopass ~* &* +@all"),
        ];
        if self.options.tls {
            lines.push(format!("port 0\ntls-port {port}\ntls-auth-clients no"));
            lines.push("tls-cert-file cert.pem\ntls-key-file key.pem\ntls-ca-cert-file cert.pem".to_owned());
        } else {
            lines.push(format!("port {port}"));
        }
        if !self.is_sentinel {
            lines.push("save \"\"\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0".to_owned());
            lines.push(format!("user {REPLICATION} on >{REPLICATION} +psync +replconf +ping"));
            lines.push(format!("masteruser {REPLICATION}\nmasterauth {REPLICATION}"));
            lines.push(match self.options.append {
                Append::Off => "appendonly no".to_owned(),
                Append::EverySecond => "appendonly yes\nappendfsync everysec".to_owned(),
                Append::Always => "appendonly yes\nappendfsync always".to_owned(),
            });
        }
        if let Some((memory, policy)) = &self.options.eviction {
            lines.push(format!("maxmemory {memory}\nmaxmemory-policy {policy}"));
        }
        lines.extend(self.options.users.iter().map(|user| format!("user {user}")));
        lines.extend(self.options.password.iter().map(|password| format!("requirepass {password}")));
        lines.extend(self.options.config.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// The value of a field in the form `name:value`.
pub(crate) fn field_of(info: &str, field: &str) -> Option<String> {
    let values = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    values.filter(|(name, _)| *name == field).map(|(_, value)| value.to_owned()).next()
}

fn write_certificate(folder: &Path) -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}
