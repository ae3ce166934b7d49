//! `wirehub health`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use super::note;
use crate::ListenAddress;

/// Asks a server on this machine whether it is ready.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthOptions {
    /// Where the server listens: an IP address and a port, or unix:PATH. Of one that speaks TLS itself it can't be asked.
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub address: ListenAddress,
}

impl HealthOptions {
    /// Gives the process's status: 0 where the server is ready, 1 where it is not, or is not there.
    pub fn run(&self) -> ExitCode {
        match self.ask() {
            Ok(answer) if is_ready(&answer) => ExitCode::SUCCESS,
            Ok(answer) => {
                let (_, why) = answer.split_once("\r\n\r\n").unwrap_or_default();
                note(&format_args!("not ready: {why}"));
                ExitCode::FAILURE
            }
            Err(error) => {
                note(&format_args!("no answer from {}: {error}", self.address));
                ExitCode::FAILURE
            }
        }
    }

    fn ask(&self) -> io::Result<String> {
        match &self.address {
            ListenAddress::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                request(stream)
            }
            #[cfg(unix)]
            ListenAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                request(stream)
            }
            #[cfg(not(unix))]
            ListenAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// How long each of the steps may take: connecting, and each piece of the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most that is read of an answer.
const MAX_ANSWER: u64 = 64 * 1024;

fn request(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn is_ready(answer: &str) -> bool {
    answer.split(' ').nth(1) == Some("200")
}
