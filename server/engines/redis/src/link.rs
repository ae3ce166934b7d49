//! A connection to one process of Redis.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisResult,
    TlsCertificates, Value,
};

use crate::error::{Error, ErrorKind};
use crate::options::{Address, Login, RedisOptions};
use crate::scripts::SCRIPTS;

/// A connection. It never reconnects: so everything that is sent on it reaches the process that it was opened to.
pub(crate) struct Link {
    pub(crate) server: Address,
    /// [`ServerFacts::process`] when it was opened. Another process may have lost publications, so the epochs of its channels are
    /// other ones.
    pub(crate) process: String,
    pub(crate) facts: ServerFacts,
    connection: MultiplexedConnection,
    is_dead: AtomicBool,
    /// `true` while the server refuses writes.
    pub(crate) is_refusing: AtomicBool,
}

/// The description of a server by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    /// The id of the process, and that of the master that it has followed before: a master that was a replica meanwhile has taken
    /// over the data of that master, and may have lost its own, like another process.
    pub(crate) process: String,
    /// The id of its replication, and that of the master that it has followed before.
    pub(crate) replication: (String, String),
    pub(crate) version: (u32, u32),
    pub(crate) is_master: bool,
    pub(crate) eviction: String,
}

/// The oldest version with which the engine works.
const OLDEST: (u32, u32) = (6, 2);

impl Link {
    /// Opens a connection to a master, and loads the scripts.
    pub(crate) async fn open(options: &RedisOptions, server: &Address) -> Result<Self, Error> {
        let config = config(options);
        let connection = connect(options, server, &options.login, options.database, &config).await?;
        let facts = facts(connection.clone(), server).await?;
        if facts.version < OLDEST {
            let (major, minor) = facts.version;
            let words = format!("Redis at {server} has the version {major}.{minor}: use 6.2 or later");
            return Err(Error::new(ErrorKind::Unsuitable, words));
        }
        if !facts.is_master {
            let words = format!("Redis at {server} is a replica: name the master, or its Sentinels");
            return Err(Error::new(ErrorKind::Unavailable, words));
        }
        let process = facts.process.clone();
        let link = Self {
            server: server.clone(),
            process,
            facts,
            connection,
            is_dead: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
        };
        link.load_scripts().await?;
        Ok(link)
    }

    /// Loads the scripts, also after somebody has flushed them.
    pub(crate) async fn load_scripts(&self) -> Result<(), Error> {
        let mut pipeline = Pipeline::new();
        for script in SCRIPTS.iter() {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text);
        }
        for value in self.send(&pipeline).await? {
            value.extract_error().map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// Sends commands, and returns an answer for each. An error is one of the connection: then it is dead, and the commands may
    /// have been carried out.
    pub(crate) async fn send(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Error> {
        let mut connection = self.connection.clone();
        let answers = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        answers.map_err(|error| {
            self.kill();
            self.error(error)
        })
    }

    /// Whether the server is still the process that the connection was opened to. A change of its replication may end this.
    pub(crate) async fn is_current(&self) -> Result<bool, Error> {
        Ok(facts(self.connection.clone(), &self.server).await?.process == self.process)
    }

    /// Marks the connection as unusable.
    pub(crate) fn kill(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    pub(crate) fn error(&self, error: redis::RedisError) -> Error {
        Error::of_server(&self.server.to_string(), error)
    }
}

/// The settings of a connection for commands.
pub(crate) fn config(options: &RedisOptions) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(options.answer_timeout))
}

/// Opens a connection and logs in.
pub(crate) async fn connect(
    options: &RedisOptions,
    server: &Address,
    login: &Login,
    database: i64,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Error> {
    let client = client(options, server, login, database);
    let client = client.map_err(|error| Error::new(ErrorKind::Settings, error.to_string()).with(error))?;
    let connection = client.get_multiplexed_async_connection_with_config(config).await;
    connection.map_err(|error| Error::of_server(&server.to_string(), error))
}

fn client(options: &RedisOptions, server: &Address, login: &Login, database: i64) -> RedisResult<Client> {
    let address = match server {
        Address::Tcp { host, port, is_tls: false } => ConnectionAddr::Tcp(host.clone(), *port),
        Address::Tcp { host, port, is_tls: true } => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
    };
    let info = address.into_connection_info()?.set_redis_settings(login.settings(database));
    if matches!(server, Address::Tcp { is_tls: true, .. }) {
        let certificates = TlsCertificates { client_tls: None, root_cert: options.authorities.clone() };
        return Client::build_with_tls(info, certificates);
    }
    Client::open(info)
}

async fn facts(mut connection: MultiplexedConnection, server: &Address) -> Result<ServerFacts, Error> {
    let mut pipeline = Pipeline::new();
    for section in ["server", "replication", "memory"] {
        pipeline.cmd("INFO").arg(section);
    }
    let answers: Vec<String> = pipeline
        .query_async(&mut connection)
        .await
        .map_err(|error| Error::of_server(&server.to_string(), error))?;
    let facts = ServerFacts::parse(&answers.concat());
    facts.ok_or_else(|| Error::unexpected(format!("Redis at {server} does not describe itself: check INFO")))
}

impl ServerFacts {
    /// Reads the answer of `INFO`.
    fn parse(info: &str) -> Option<Self> {
        let fields: HashMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let field = |name| fields.get(name).copied().unwrap_or_default().to_owned();
        let mut version = fields.get("redis_version")?.split('.').map(str::parse);
        let (own, before) = (field("master_replid"), field("master_replid2"));
        let id = *fields.get("run_id")?;
        let process = match before.trim_start_matches('0') {
            "" => id.to_owned(),
            _ => format!("{id}.{before}"),
        };
        Some(Self {
            process,
            replication: (own, before),
            version: (version.next()?.ok()?, version.next()?.ok()?),
            is_master: *fields.get("role")? == "master",
            eviction: field("maxmemory_policy"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_describes_itself() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n# Replication\r\nrole:slave\r\nmaster_replid:a\r\nmaster_replid2:b\r\nmaxmemory_policy:allkeys-lru\r\n";
        let facts = ServerFacts {
            process: "abc.b".into(),
            replication: ("a".into(), "b".into()),
            version: (7, 0),
            is_master: false,
            eviction: "allkeys-lru".into(),
        };
        assert_eq!(ServerFacts::parse(info), Some(facts));
        let never_followed = info.replace("replid2:b", "replid2:0000000000");
        assert_eq!(ServerFacts::parse(&never_followed).unwrap().process, "abc");
        assert_eq!(ServerFacts::parse(&info.replace("run_id", "id")), None);
        assert_eq!(ServerFacts::parse("redis_version:seven\r\n"), None);
    }
}
