//! A client that sends one message at a time, next to two that flood.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Load, MEASURED, WARM_UP, latency, runtime};
use crate::report::Line;
use crate::server::Server;
use crate::wire::{self, Counter, Dialect, Role};

const FLOODERS: usize = 2;

/// Longer answers are not awaited: some servers send none while the flood lasts.
const SILENCE: Duration = Duration::from_secs(10);

/// The figures of [`run`].
pub(super) fn lines(load: Load) -> Vec<Line> {
    let answers =
        |when: &str| latency::NAMES.map(|name| Line::new(format!("{load}: {when}, {name}, ms"), None));
    let [alone, flooded] = ["alone", "beside floods"].map(answers);
    let flood = Line::new(format!("{load}: messages of floods, million/s"), None);
    alone.into_iter().chain(flooded).chain([flood]).collect()
}

/// The time of answers without floods and with them, and how many messages of the floods were accepted.
pub(super) fn run(server: &Server) -> Result<Vec<f64>> {
    let mut asker = Asker::new(server)?;
    asker.go_on_for(WARM_UP)?;
    let alone = asker.go_on_for(MEASURED)?;

    let flooders: Vec<_> =
        (0..FLOODERS).map(|number| Flooder::start(server, number)).collect::<Result<_>>()?;
    let written = || flooders.iter().map(|flooder| flooder.written.load(Ordering::Relaxed)).sum::<u64>();
    asker.go_on_for(WARM_UP)?;
    let (before, start) = (written(), Instant::now());
    let flooded = asker.go_on_for(MEASURED * 2)?;
    let flood = (written() - before) as f64 / start.elapsed().as_secs_f64() / 1e6;
    flooders.into_iter().try_for_each(Flooder::stop)?;

    let answers = [latency::summary(alone)?, latency::summary(flooded)?];
    Ok(answers.into_iter().flatten().chain([flood]).collect())
}

fn open(server: &Server, role: Role) -> Result<TcpStream> {
    let stream = runtime()?.block_on(async {
        wire::open(server.dialect, server.address, role).await?.into_std().context("no socket")
    })?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// With Wirehub it publishes and receives the answer; with the others it receives an echo.
struct Asker {
    stream: TcpStream,
    question: Vec<u8>,
    counter: Counter,
}

impl Asker {
    fn new(server: &Server) -> Result<Self> {
        let payload = [b'x'; 64];
        let (role, question) = match server.dialect {
            Dialect::Wirehub => {
                (Role::Publisher, wire::publish_in(server.dialect, "chat:calm", 3, &payload)?)
            }
            Dialect::Raw | Dialect::WebSocket => (Role::Echo, wire::echo(server.dialect, &payload).0),
        };
        let stream = open(server, role)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self { stream, question, counter: Counter::new(server.dialect) })
    }

    /// The time of each answer; the last one is the time until the client stopped waiting.
    fn go_on_for(&mut self, time: Duration) -> Result<Vec<Duration>> {
        let end = Instant::now() + time;
        let mut took = Vec::new();
        let mut buffer = [0; 1024];
        while Instant::now() < end {
            let asked = Instant::now();
            self.stream.write_all(&self.question).context("the server closed")?;
            let mut answers = 0;
            while answers == 0 {
                answers = match self.stream.read(&mut buffer) {
                    Ok(0) => bail!("the server closed"),
                    Ok(length) => self.counter.count(&buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        took.push(asked.elapsed());
                        return Ok(took);
                    }
                    Err(error) => return Err(error).context("the server closed"),
                };
            }
            took.push(asked.elapsed());
        }
        Ok(took)
    }
}

/// Writes messages as fast as they are accepted, so that the kernel's buffers are never empty.
struct Flooder {
    stream: TcpStream,
    thread: thread::JoinHandle<std::io::Error>,
    written: Arc<AtomicU64>,
}

impl Flooder {
    fn start(server: &Server, number: usize) -> Result<Self> {
        let stream = open(server, Role::Publisher)?;
        let (bytes, messages) = wire::flood(server.dialect, &format!("flood:{number}"), &[b'x'; 16])?;
        let written = Arc::new(AtomicU64::new(0));
        let (mut sink, counter) = (stream.try_clone()?, Arc::clone(&written));
        let thread = thread::spawn(move || {
            loop {
                if let Err(error) = sink.write_all(&bytes) {
                    return error;
                }
                counter.fetch_add(messages, Ordering::Relaxed);
            }
        });
        Ok(Self { stream, thread, written })
    }

    /// Fails if the flood stopped earlier, because then there was no flood.
    fn stop(self) -> Result<()> {
        ensure!(!self.thread.is_finished(), "the server closed a flooder's connection");
        self.stream.shutdown(Shutdown::Both)?;
        self.thread.join().map(drop).ok().context("a flooder panicked")
    }
}
