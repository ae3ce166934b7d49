//! One connection that receives its own messages back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{MEASURED, WARM_UP, per_million, runtime};
use crate::server::Server;
use crate::wire::{self, Role};

/// A server that is silent for this long is stuck.
const SILENCE: Duration = Duration::from_secs(10);

pub(super) fn run(server: &Server, bytes: usize, in_flight: usize) -> Result<f64> {
    let dialect = server.dialect;
    let stream = runtime()?.block_on(async {
        wire::open(dialect, server.address, Role::Echo).await?.into_std().context("no socket")
    })?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let (question, answer) = wire::echo(dialect, &vec![b'x'; bytes]);
    let mut echo = Echo {
        stream,
        questions: question.repeat(in_flight),
        question_bytes: question.len(),
        answers: answer.repeat(in_flight + 1),
        answer_bytes: answer.len(),
        begun: 0,
        buffer: vec![0; 64 * 1024],
    };
    echo.send(in_flight)?;
    echo.go_on_for(WARM_UP)?;
    let before = server.cpu_time()?;
    let echoed = echo.go_on_for(MEASURED)?;
    per_million(server.cpu_time()? - before, echoed)
}

struct Echo {
    stream: TcpStream,
    questions: Vec<u8>,
    question_bytes: usize,
    answers: Vec<u8>,
    answer_bytes: usize,
    /// The bytes of an incomplete answer.
    begun: usize,
    buffer: Vec<u8>,
}

impl Echo {
    /// Sends as many questions as answers arrive, at once.
    fn go_on_for(&mut self, time: Duration) -> Result<u64> {
        let end = Instant::now() + time;
        let mut echoed = 0;
        while Instant::now() < end {
            let came = self.receive()?;
            echoed += came as u64;
            self.send(came)?;
        }
        Ok(echoed)
    }

    fn send(&mut self, count: usize) -> Result<()> {
        self.stream.write_all(&self.questions[..count * self.question_bytes]).context("the server closed")
    }

    /// Returns how many answers were completed.
    fn receive(&mut self) -> Result<usize> {
        let length = self.stream.read(&mut self.buffer).context("no echo came in time")?;
        ensure!(length > 0, "the server closed");
        let expected = self
            .answers
            .get(self.begun..self.begun + length)
            .context("the echo is longer than the message")?;
        ensure!(self.buffer[..length] == *expected, "the echo differs from the message");
        let whole = (self.begun + length) / self.answer_bytes;
        self.begun = (self.begun + length) % self.answer_bytes;
        Ok(whole)
    }
}
