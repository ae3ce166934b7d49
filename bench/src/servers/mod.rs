//! The servers that Wirehub is compared with.

mod floor;
mod tungstenite;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::ValueEnum;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Compared {
    Floor,
    Tungstenite,
}

impl Compared {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Tungstenite => "tungstenite",
        }
    }

    /// Serves until the process is ended.
    pub(crate) fn serve(self) -> Result<()> {
        match self {
            Self::Floor => floor::serve(),
            Self::Tungstenite => tungstenite::serve(),
        }
    }
}

/// Prints the address, for the program that started this one.
pub(crate) fn announce(address: SocketAddr) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {address}")
        .and_then(|()| out.flush())
        .context("cannot print the address of this server")
}
