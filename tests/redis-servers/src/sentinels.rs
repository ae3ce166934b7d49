//! A master, its replicas and their Sentinels.

use std::net::SocketAddr;
use std::time::Duration;

use crate::resp::Reply;
use crate::server::{Options, RedisServer};
use crate::waiting::until;

/// The time after which a Sentinel regards a silent server as down.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// The time after which Sentinels try a failover again.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(3);

/// A master with replicas, watched by Sentinels.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// The name of the master in the Sentinels.
    pub const NAME: &'static str = "wirehub";

    /// Starts a master with that many replicas and Sentinels.
    pub async fn start(replicas: usize, sentinels: usize) -> Self {
        Self::start_with(replicas, sentinels, Options::default()).await
    }

    /// The same, with settings for the master and its replicas. TLS is not for them.
    pub async fn start_with(replicas: usize, sentinels: usize, options: Options) -> Self {
        assert!(!options.tls, "the Sentinels have no certificates");
        let mut servers = vec![RedisServer::start(options.clone()).await];
        let master = servers[0].address();
        for _ in 0..replicas {
            let mut options = options.clone();
            options.config.push(format!("replicaof {} {}", master.ip(), master.port()));
            servers.push(RedisServer::start(options).await);
        }
        let quorum = sentinels / 2 + 1;
        let name = Self::NAME;
        let config = vec![
            format!("sentinel monitor {name} {} {} {quorum}", master.ip(), master.port()),
            format!("sentinel auth-user {name} tests"),
            format!("sentinel auth-pass {name} tests"),
            format!("sentinel down-after-milliseconds {name} {}", DOWN_AFTER.as_millis()),
            format!("sentinel failover-timeout {name} {}", FAILOVER_TIMEOUT.as_millis()),
        ];
        // Otherwise the first report of the master to the Sentinels is without its replicas.
        until("the replicas of a master", async || match servers[0].info("connected_slaves").await {
            Some(count) if count == replicas.to_string() => Ok(()),
            other => Err(format!("{other:?} of {replicas}")),
        })
        .await;
        let started = Self {
            servers,
            sentinels: (0..sentinels).map(|_| RedisServer::sentinel(config.clone())).collect(),
        };
        for sentinel in &started.sentinels {
            sentinel.restart().await;
        }
        started.ready(replicas).await;
        started
    }

    /// The addresses of the Sentinels.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// The master and its replicas; the first one was the master at the start.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The Sentinels themselves.
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The server that every Sentinel regards as the master.
    pub async fn master(&self) -> &RedisServer {
        until("one master for all Sentinels", async || self.agreed().await).await
    }

    /// Makes the Sentinels fail over to a replica, and waits for it; returns the new master.
    pub async fn failover(&self) -> &RedisServer {
        let old = self.master().await.address();
        // It is refused as long as another failover is going on, or no replica is known well enough.
        until("a failover", async || match self.ask_any(&["SENTINEL", "FAILOVER", Self::NAME]).await {
            Some(Reply::Text(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        self.successor_of(old).await
    }

    /// Kills the master with SIGKILL, and returns its address without waiting for a [successor](Self::successor_of).
    pub async fn kill_master(&self) -> SocketAddr {
        let master = self.master().await;
        master.kill();
        master.address()
    }

    /// Waits for a master at another address.
    pub async fn successor_of(&self, old: SocketAddr) -> &RedisServer {
        until("a new master", async || {
            let master = self.agreed().await?;
            if master.address() == old {
                return Err(format!("it is still {old}"));
            }
            match master.info("role").await.as_deref() {
                Some("master") => Ok(master),
                other => Err(format!("{} is {other:?}", master.address())),
            }
        })
        .await
    }

    /// The server at an address.
    pub fn server(&self, address: SocketAddr) -> &RedisServer {
        let server = self.servers.iter().find(|it| it.address() == address);
        server.unwrap_or_else(|| panic!("no server of these has the address {address}"))
    }

    async fn ask_any(&self, words: &[&str]) -> Option<Reply> {
        for sentinel in self.sentinels.iter().filter(|it| it.id().is_some()) {
            if let Ok(reply) = sentinel.ask(words).await {
                return Some(reply);
            }
        }
        None
    }

    async fn agreed(&self) -> Result<&RedisServer, String> {
        let mut masters = Vec::new();
        for sentinel in self.sentinels.iter().filter(|it| it.id().is_some()) {
            let reply = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME]).await;
            let reply = reply.map_err(|error| error.to_string())?.to_string();
            masters.push(reply.replace('\n', ":").parse().map_err(|_| reply)?);
        }
        masters.dedup();
        match masters[..] {
            [master] => Ok(self.server(master)),
            _ => Err(format!("the Sentinels name {masters:?}")),
        }
    }

    /// Every Sentinel knows the replicas, the other Sentinels, and enough of them for a failover.
    async fn ready(&self, replicas: usize) {
        for sentinel in &self.sentinels {
            until("the Sentinels", async || {
                let quorum = sentinel.reply(&["SENTINEL", "CKQUORUM", Self::NAME]).await;
                let known = sentinel.reply(&["SENTINEL", "MASTER", Self::NAME]).await;
                let value = |name: &str| {
                    let at = known.items().iter().position(|it| it.to_string() == name)?;
                    known.items().get(at + 1)?.to_string().parse::<usize>().ok()
                };
                let others = self.sentinels.len() - 1;
                let knows =
                    (value("num-slaves"), value("num-other-sentinels")) == (Some(replicas), Some(others));
                if knows && matches!(quorum, Reply::Text(_)) {
                    Ok(())
                } else {
                    Err(format!("{quorum}; {known}"))
                }
            })
            .await;
        }
    }
}
