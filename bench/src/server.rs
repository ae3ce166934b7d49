//! A server under test, as a process.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::machine::{self, Cores};
use crate::servers::Compared;
use crate::wire::Dialect;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Raw TCP writes of the same bytes: no server can do less.
    Floor,
    /// tokio-tungstenite as its examples use it.
    Tungstenite,
    Wirehub,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Floor, Self::Tungstenite, Self::Wirehub];

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Floor => Dialect::Raw,
            Self::Tungstenite => Dialect::WebSocket,
            Self::Wirehub => Dialect::Wirehub,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "floor",
            Self::Tungstenite => "tokio-tungstenite",
            Self::Wirehub => "Wirehub",
        })
    }
}

/// A process that listens. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Server {
    pub(crate) fn start(kind: Kind, wirehub: &Path, cores: &Cores) -> Result<Self> {
        let compared = |server: Compared| -> Result<Command> {
            let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
            command.args(["serve", server.name()]);
            Ok(command)
        };
        let mut command = match kind {
            Kind::Floor => compared(Compared::Floor)?,
            Kind::Tungstenite => compared(Compared::Tungstenite)?,
            Kind::Wirehub => {
                let mut command = Command::new(wirehub);
                command.args(["serve", "--listen", "127.0.0.1:0"]).env("WIREHUB_LOG", "warn");
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let process =
            cores.on_servers_core(|| command.spawn())?.with_context(|| format!("cannot start {kind}"))?;
        let mut server = Self { kind, address: SocketAddr::from(([127, 0, 0, 1], 0)), process };
        let told = server.process.stdout.take().context("the server's output is not ours")?;
        let mut line = String::new();
        BufReader::new(told).read_line(&mut line).context("cannot read what the server says")?;
        let address = line.trim().strip_prefix("listening on ").map(|it| it.trim_start_matches("http://"));
        let address =
            address.with_context(|| format!("{kind} does not say where it listens, but {line:?}"))?;
        server.address = address.parse().with_context(|| format!("{address} is no address"))?;
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its sockets go with it: nothing is left to be flushed. It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
