//! A server under test, as a process.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::machine::{self, Cores, Room};
use crate::servers::Compared;
use crate::tls::Certificate;
use crate::wire::Dialect;

/// The kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Raw TCP writes of the same bytes: the least that a server can do.
    Floor,
    /// tokio-tungstenite as in its examples.
    Tungstenite,
    Wirehub,
    /// A program named on the command line.
    #[value(skip)]
    Other,
}

impl Kind {
    fn dialect(self) -> Dialect {
        match self {
            Self::Floor => Dialect::Raw,
            Self::Tungstenite | Self::Other => Dialect::WebSocket,
            Self::Wirehub => Dialect::Wirehub,
        }
    }
}

/// A program that can be started as a server.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) kind: Kind,
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Candidate {
    /// The servers that are always measured.
    pub(crate) fn known(wirehub: &Path) -> Result<[Self; 3]> {
        let this = std::env::current_exe().context("cannot find this program")?;
        let compared = |kind, name: &str, server: Compared| Self {
            kind,
            name: name.into(),
            program: this.clone(),
            arguments: vec!["serve".into(), server.name().into()],
        };
        Ok([
            compared(Kind::Floor, "floor", Compared::Floor),
            compared(Kind::Tungstenite, "tokio-tungstenite", Compared::Tungstenite),
            Self {
                kind: Kind::Wirehub,
                name: "Wirehub".into(),
                program: wirehub.into(),
                arguments: ["serve", "--listen", "127.0.0.1:0"].map(String::from).to_vec(),
            },
        ])
    }

    /// This program as a server with one of the engines.
    pub(crate) fn engine(name: &str, arguments: Vec<String>) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        Ok(Self { kind: Kind::Wirehub, name: name.into(), program, arguments })
    }
}

/// An additional server: `NAME=PROGRAM`.
impl FromStr for Candidate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name @ "", _) | (name, "")) => {
                Err(format!("{text:?} has nothing on a side of `=` ({name:?})"))
            }
            Some((name, program)) => Ok(Self {
                kind: Kind::Other,
                name: name.into(),
                program: program.into(),
                arguments: Vec::new(),
            }),
            None => Err(format!("{text:?} is not of the form NAME=PROGRAM")),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The settings of a server for a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) room: Room,
    pub(crate) encrypted: bool,
}

/// A server process that is listening. It is ended when this is dropped.
pub(crate) struct Server {
    pub(crate) dialect: Dialect,
    pub(crate) address: SocketAddr,
    /// The certificate, if it speaks TLS.
    pub(crate) certificate: Option<Certificate>,
    process: Child,
}

/// The settings of `wirehub serve` besides its address: no limit that a load would reach. A flooding client would reach
/// some, and no client of a load answers pings.
const CONFIGURATION: [(&str, &str); 5] = [
    ("WIREHUB_LOG", "warn"),
    ("WIREHUB_LIMITS__COMMANDS_PER_SECOND", "0"),
    ("WIREHUB_LIMITS__CONNECTIONS_PER_ADDRESS", "0"),
    ("WIREHUB_LIMITS__HANDSHAKES_PER_SECOND", "0"),
    ("WIREHUB_LIMITS__PING_INTERVAL", "10m"),
];

impl Server {
    pub(crate) fn start(candidate: &Candidate, setup: Setup, cores: &Cores) -> Result<Self> {
        let mut command = Command::new(&candidate.program);
        command.args(&candidate.arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        if candidate.kind == Kind::Wirehub {
            command.envs(CONFIGURATION);
        }
        let certificate = setup.encrypted.then(Certificate::new).transpose()?;
        if let Some(certificate) = &certificate {
            command.arg("--config").arg(certificate.configuration());
        }
        let process = cores
            .in_room(setup.room, || command.spawn())?
            .with_context(|| format!("cannot start {candidate}"))?;
        let mut server = Self {
            dialect: candidate.kind.dialect(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            certificate,
            process,
        };
        let told = server.process.stdout.take().context("the server's output is not ours")?;
        let mut line = String::new();
        BufReader::new(told).read_line(&mut line).context("cannot read the server's output")?;
        let address = line.trim().strip_prefix("listening on ");
        let address =
            address.with_context(|| format!("{candidate} printed {line:?} instead of its address"))?;
        let address = address.trim_start_matches("http://").trim_start_matches("https://");
        server.address = address.parse().with_context(|| format!("{address} is not an address"))?;
        Ok(server)
    }

    /// See [`machine::cpu_time`].
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        machine::cpu_time(self.process.id())
    }

    /// See [`machine::memory`].
    pub(crate) fn memory(&self) -> Result<u64> {
        machine::memory(self.process.id())
    }

    /// See [`machine::descriptors`].
    pub(crate) fn descriptors(&self) -> Result<usize> {
        machine::descriptors(self.process.id())
    }

    /// Waits until it has no more files open than `before`, which means that it has noticed the closed connections.
    pub(crate) fn wait_until_closed(&self, before: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let open = self.descriptors()?;
            if open <= before {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "{open} files are open, {before} were: connections were not closed"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The time for a server to notice closed connections.
const PATIENCE: Duration = Duration::from_secs(20);

impl Drop for Server {
    fn drop(&mut self) {
        // Its sockets end with it: nothing has to be flushed. It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
