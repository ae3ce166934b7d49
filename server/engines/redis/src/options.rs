//! Settings of the engine.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::error::{Error, ErrorKind};

/// Settings of a [`RedisEngine`](crate::RedisEngine).
///
/// ```
/// use wirehub_redis::RedisOptions;
///
/// let single = RedisOptions::single("redis://127.0.0.1:6379")?;
/// let sentinel = RedisOptions::sentinel(["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"], "mymaster")?;
/// let cluster = RedisOptions::cluster(["rediss://10.0.0.1:6379"])?.user("wirehub").password("secret");
/// # drop((single, sentinel, cluster));
/// # Ok::<(), wirehub_redis::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) kind: ServerKind,
    /// The given servers.
    pub(crate) seeds: Vec<Address>,
    pub(crate) login: Login,
    pub(crate) sentinel_login: Login,
    pub(crate) database: i64,
    /// Certificate authorities in PEM; absent for those of the system.
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) prefix: String,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) queue_requests: usize,
    pub(crate) queue_bytes: usize,
}

/// The way to find the server of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerKind {
    Single,
    /// The name of the master.
    Sentinel(String),
    Cluster,
}

/// The address of a server. Its text names it in the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp { host: String, port: u16, is_tls: bool },
    Unix(std::path::PathBuf),
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// The moment at which a publish is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Acknowledge {
    /// When the master has it. A failover may lose the last moments of acknowledged publications; then the epoch of every channel
    /// on that server changes, and clients are notified of a gap.
    #[default]
    Master,
    /// When this number of replicas has it too (`WAIT`), or the publish fails after the answer timeout.
    Replicas(u32),
    /// When the master and this number of replicas have it on disk (`WAITAOF`, Redis 7.2 or later, with an append-only file).
    Disks(u32),
}

impl RedisOptions {
    /// One server: `redis://host:port/database`, `rediss://` for TLS, or `unix:///path`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`]: this is no address.
    pub fn single(address: &str) -> Result<Self, Error> {
        Self::new(ServerKind::Single, [address])
    }

    /// The addresses of Sentinels, and the name under which they know the master. `rediss://` is for Sentinels and servers with
    /// TLS.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`]: there is no address, or one is not valid.
    pub fn sentinel<'a>(
        addresses: impl IntoIterator<Item = &'a str>,
        master: impl Into<String>,
    ) -> Result<Self, Error> {
        Self::new(ServerKind::Sentinel(master.into()), addresses)
    }

    /// Some servers of a cluster. The engine finds the others.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`]: there is no address, or one is not valid, or a database other than 0 is named.
    pub fn cluster<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let options = Self::new(ServerKind::Cluster, addresses)?;
        if options.database != 0 {
            return Err(Error::new(
                ErrorKind::Settings,
                "a Redis Cluster has the database 0 alone: remove the number from the address",
            ));
        }
        Ok(options)
    }

    fn new<'a>(kind: ServerKind, addresses: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut options = Self {
            kind,
            seeds: Vec::new(),
            login: Login::default(),
            sentinel_login: Login::default(),
            database: 0,
            authorities: None,
            prefix: "wirehub".into(),
            acknowledge: Acknowledge::Master,
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(3),
            queue_requests: 100_000,
            queue_bytes: 64 << 20,
        };
        for address in addresses {
            let info = address.into_connection_info().map_err(|error| {
                // The address may contain a password.
                let message = "this is no address of Redis: write redis://host:port, rediss://host:port, or unix:///path";
                Error::new(ErrorKind::Settings, message).with(error)
            })?;
            options.seeds.push(match info.addr() {
                ConnectionAddr::Tcp(host, port) => {
                    Address::Tcp { host: host.clone(), port: *port, is_tls: false }
                }
                ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
                    Address::Tcp { host: host.clone(), port: *port, is_tls: true }
                }
                ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
                _ => {
                    let message = "TLS without a check of the certificate is not supported: remove #insecure, and name the certificate authority";
                    return Err(Error::new(ErrorKind::Settings, message));
                }
            });
            let redis = info.redis_settings();
            if let Some(user) = redis.username() {
                options.login.user = Some(user.into());
            }
            if let Some(password) = redis.password() {
                options.login.password = Some(password.into());
            }
            options.database = redis.db();
        }
        if options.seeds.is_empty() {
            return Err(Error::new(ErrorKind::Settings, "no server is named: add its address"));
        }
        Ok(options)
    }

    /// The name of the ACL user. Default: that of the address, or the default user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.login.user = Some(user.into());
        self
    }

    /// The password of the user.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.login.password = Some(password.into());
        self
    }

    /// The user and password for the Sentinels, if they have their own. Default: none.
    #[must_use]
    pub fn sentinel_login(mut self, user: Option<String>, password: Option<String>) -> Self {
        self.sentinel_login = Login { user, password };
        self
    }

    /// The certificate authorities for TLS, in PEM. Default: those of the system.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// The beginning of every key and channel in Redis. Fleets with different prefixes share a Redis without noticing each other.
    /// Default: `wirehub`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`]: it is empty, longer than 64 bytes, or contains a brace or a control character.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, Error> {
        let is_valid = !prefix.is_empty()
            && prefix.len() <= 64
            && !prefix.contains(['{', '}'])
            && !prefix.contains(char::is_control);
        if !is_valid {
            let message = "the prefix has 1 to 64 bytes, without braces and control characters";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        self.prefix = prefix.into();
        Ok(self)
    }

    /// The moment at which a publish is acknowledged. Default: [`Acknowledge::Master`].
    #[must_use]
    pub fn acknowledge(self, acknowledge: Acknowledge) -> Self {
        Self { acknowledge, ..self }
    }

    /// The time for a connection and its login. Default: one second.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// The time for an answer. After it the connection counts as dead, and the requests on it fail as temporary. Default: three
    /// seconds.
    #[must_use]
    pub fn answer_timeout(self, answer_timeout: Duration) -> Self {
        Self { answer_timeout, ..self }
    }

    /// The maximum number of requests that wait for one of 128 partitions. Further ones fail as overloaded. Default: 100,000.
    #[must_use]
    pub fn queue_requests(self, requests: usize) -> Self {
        Self { queue_requests: requests, ..self }
    }

    /// The maximum size of the requests that wait for one of 128 partitions. Default: 64 MiB.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> Self {
        Self { queue_bytes: bytes, ..self }
    }

    /// The beginning of the names in Redis. Deliveries do not know databases, so another database than the first one is part of it.
    pub(crate) fn key_prefix(&self) -> String {
        match self.database {
            0 => self.prefix.clone(),
            database => format!("{}/{database}", self.prefix),
        }
    }

    /// `true` if a seed has TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.seeds.iter().any(|seed| matches!(seed, Address::Tcp { is_tls: true, .. }))
    }
}

impl Login {
    pub(crate) fn settings(&self, database: i64) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("wirehub", env!("CARGO_PKG_VERSION"))
            .set_db(database);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The servers in words, for logs: without users and passwords.
impl fmt::Display for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ServerKind::Single => f.write_str("at ")?,
            ServerKind::Sentinel(name) => write!(f, "the master {name} of the Sentinels at ")?,
            ServerKind::Cluster => f.write_str("the cluster of ")?,
        }
        for (index, seed) in self.seeds.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{seed}")?;
        }
        write!(f, ", with the prefix {}", self.prefix)
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the passwords.
        f.debug_struct("RedisOptions")
            .field("kind", &self.kind)
            .field("seeds", &self.seeds)
            .field("user", &self.login.user)
            .field("prefix", &self.prefix)
            .field("acknowledge", &self.acknowledge)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_login_and_database() {
        let options = RedisOptions::single("rediss://ann:secret@cache.example:7000/3").unwrap();
        let address = Address::Tcp { host: "cache.example".into(), port: 7000, is_tls: true };
        assert_eq!(options.seeds, [address]);
        assert_eq!(options.login.user.as_deref(), Some("ann"));
        assert_eq!((options.login.password.as_deref(), options.database), (Some("secret"), 3));
        assert!(options.is_tls());
        assert!(!format!("{options:?}").contains("secret"));
        let unix = RedisOptions::single("unix:///run/redis.sock").unwrap();
        assert_eq!(unix.seeds, [Address::Unix("/run/redis.sock".into())]);
    }

    #[test]
    fn the_servers_are_described_without_the_password() {
        let single = RedisOptions::single("redis://ann:secret@[::1]:7000").unwrap();
        assert_eq!(single.to_string(), "at [::1]:7000, with the prefix wirehub");
        let sentinels = ["redis://a:1", "redis://:secret@b:2"];
        let sentinel = RedisOptions::sentinel(sentinels, "main").unwrap().prefix("chat").unwrap();
        let words = "the master main of the Sentinels at a:1, b:2, with the prefix chat";
        assert_eq!(sentinel.to_string(), words);
        let cluster = RedisOptions::cluster(["redis://a", "redis://b"]).unwrap();
        assert_eq!(cluster.to_string(), "the cluster of a:6379, b:6379, with the prefix wirehub");
    }

    #[test]
    fn bad_settings_are_refused_with_words_and_without_the_password() {
        for bad in ["", "http://x", "redis://:secret@", "rediss://host/#insecure"] {
            let error = RedisOptions::single(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings, "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(RedisOptions::cluster(["redis://host/2"]).unwrap_err().to_string().contains("database"));
        assert!(RedisOptions::cluster([]).unwrap_err().to_string().contains("no server"));
        let single = RedisOptions::single("redis://host").unwrap();
        for bad in ["", "a{b", "a\nb", &"x".repeat(65)] {
            assert_eq!(single.clone().prefix(bad).unwrap_err().kind(), ErrorKind::Settings, "{bad:?}");
        }
    }
}
