//! The demo server for the browser tests.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{console::Log, process};

/// The time limit for the server to start listening, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server's address is compiled into the tests for the browser: the same port each time saves that build.
const USUAL_ADDRESS: &str = "127.0.0.1:47811";

/// The same for the stage of the scenarios.
const USUAL_STAGE: &str = "127.0.0.1:47812";

/// A running server, stopped when this is dropped.
#[derive(Debug)]
pub(super) struct DemoServer {
    child: Child,
    address: SocketAddr,
    /// Disconnects when the server closes its output, that is, when it ends.
    ended: Receiver<SocketAddr>,
}

impl DemoServer {
    /// Starts the server on a free port and waits until it listens.
    pub(super) fn start(server: &mut Command, log: &mut Log) -> Result<Self> {
        Self::start_near(USUAL_ADDRESS, server, log)
    }

    /// The same for the stage of the scenarios, whose program behaves like a server.
    pub(super) fn start_stage(stage: &mut Command, log: &mut Log) -> Result<Self> {
        Self::start_near(USUAL_STAGE, stage, log)
    }

    fn start_near(usual: &str, server: &mut Command, log: &mut Log) -> Result<Self> {
        server.arg("--listen").arg(free_address(usual)?.to_string());
        let mut child = log.start(server)?;
        let output = child.stdout.take().context("the server's output is piped")?;
        let mut copy = log.writer()?;
        let (found, ended) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The log is only for reading after a failure; an error here must not stop the server.
                let _ = writeln!(copy, "{line}");
                if let Some(address) = announced_address(&line) {
                    let _ = found.try_send(address);
                }
            }
        });
        match ended.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Self { child, address, ended }),
            Err(reason) => {
                let _ = child.kill();
                let status = child.wait().context("cannot wait for the demo server")?;
                match reason {
                    RecvTimeoutError::Disconnected => {
                        bail!("the demo server ended before it listened ({status})")
                    }
                    RecvTimeoutError::Timeout => bail!(
                        "the demo server did not print `listening on http://ADDRESS` within {} s",
                        PATIENCE.as_secs()
                    ),
                }
            }
        }
    }

    /// The address of the server.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks the server to stop, and checks that it stops cleanly.
    pub(super) fn stop(mut self) -> Result<()> {
        terminate(&mut self.child)?;
        let answer = self.ended.recv_timeout(PATIENCE);
        ensure!(
            answer == Err(RecvTimeoutError::Disconnected),
            "the demo server did not stop within {} s of being asked to",
            PATIENCE.as_secs()
        );
        let status = self.child.wait().context("cannot wait for the demo server")?;
        ensure!(status.success(), "the demo server did not stop cleanly: {status}");
        Ok(())
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        // Both fail harmlessly if the server has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The usual address, or any free one if another program uses it.
fn free_address(usual: &str) -> Result<SocketAddr> {
    let listener = TcpListener::bind(usual)
        .or_else(|_| TcpListener::bind("127.0.0.1:0"))
        .context("no port is free on 127.0.0.1")?;
    listener.local_addr().context("a bound socket has an address")
}

/// The address in `listening on http://127.0.0.1:8080`.
fn announced_address(line: &str) -> Option<SocketAddr> {
    let (_, url) = line.split_once("listening on http://")?;
    url.split(['/', ' ']).next()?.parse().ok()
}

#[cfg(unix)]
fn terminate(child: &mut Child) -> Result<()> {
    process::output_of(process::command("kill").args(["-TERM", &child.id().to_string()]))?;
    Ok(())
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) -> Result<()> {
    child.kill().context("cannot stop the demo server")
}

#[cfg(test)]
mod tests {
    use super::{DemoServer, announced_address};
    use crate::{
        console::{Console, Step},
        process::command,
        scratch::Scratch,
    };

    const STEP: Step<'_> = Step { name: "server", what: "runs a server", slow: None };

    fn start(scratch: &Scratch, script: &str) -> anyhow::Result<DemoServer> {
        let console = Console::new(scratch.path().join("logs"))?;
        console.step(STEP, |log| DemoServer::start(command("sh").args(["-c", script, "server"]), log))
    }

    #[test]
    fn the_address_is_read_from_the_line() {
        let address = announced_address("listening on http://127.0.0.1:47811/");
        assert_eq!(address, Some("127.0.0.1:47811".parse().unwrap()));
        assert_eq!(announced_address("listening on http://127.0.0.1:1 (echo)"), "127.0.0.1:1".parse().ok());
        assert_eq!(announced_address("listening on http://somewhere"), None);
        assert_eq!(announced_address("127.0.0.1:80"), None);
    }

    #[test]
    #[cfg(unix)]
    fn a_server_is_found_by_its_address_and_stops_when_asked() {
        let scratch = Scratch::new("server-stops");
        let script =
            "trap 'kill $!; exit 0' TERM; echo \"listening on http://$2\"; sleep 60 >/dev/null 2>&1 & wait";
        let server = start(&scratch, script).unwrap();
        assert!(server.address().port() > 0);
        server.stop().unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_server_that_ends_at_once_or_badly_is_reported() {
        let scratch = Scratch::new("server-ends");
        let error = format!("{:#}", start(&scratch, "exit 3").unwrap_err());
        assert!(error.contains("ended before it listened"), "{error}");

        let script =
            "trap 'kill $!; exit 7' TERM; echo \"listening on http://$2\"; sleep 60 >/dev/null 2>&1 & wait";
        let error = format!("{:#}", start(&scratch, script).unwrap().stop().unwrap_err());
        assert!(error.contains("did not stop cleanly"), "{error}");
    }
}
