//! The queue of a partition: requests are sent in their order, many at once.
//!
//! A task takes everything that waits, sends it as one pipeline, and answers. Meanwhile the next requests wait. So requests for a
//! channel have an order, also if some of them have to be sent again because a server has moved or has lost its scripts.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_channel::oneshot;
use parking_lot::Mutex;
use redis::{Pipeline, Value};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use wirehub_hub::engine::EngineFuture;

use crate::command::Command;
use crate::error::{Error, ErrorKind, code_of, is_temporary_code};
use crate::figures::Figures;
use crate::keys::Keys;
use crate::link::Link;
use crate::options::{Acknowledge, Address, RedisOptions};
use crate::partition::Partition;
use crate::scripts::ScriptName;
use crate::servers::Servers;

/// The queues of all partitions.
pub(crate) struct Queues {
    runtime: Handle,
    servers: Arc<Servers>,
    partitions: Vec<Arc<PartitionQueue>>,
    figures: Arc<Figures>,
}

struct PartitionQueue {
    partition: Partition,
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Request>,
    bytes: usize,
    /// `true` while a task takes the requests.
    is_worked_on: bool,
    is_closed: bool,
}

struct Request {
    command: Command,
    /// Requests with the same value keep their order.
    line: u64,
    /// `true` if the answer waits for replicas.
    is_write: bool,
    until: Instant,
    answer: oneshot::Sender<Result<Value, Error>>,
}

/// The verdict about an answer of a server.
enum Verdict {
    Done(Result<Value, Error>),
    /// The command was not carried out, and is sent again.
    Again(Cause),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    NoScript,
    /// The process has to adopt the partition.
    NotAdopted,
    /// The server has the partition no longer.
    Moved,
    /// The keys are on their way to this server.
    Ask(Address),
    /// The server is busy with something that passes.
    Busy,
}

impl Queues {
    pub(crate) fn new(servers: Arc<Servers>, runtime: Handle) -> Self {
        let queue = |partition| Arc::new(PartitionQueue { partition, state: Mutex::default() });
        Self { runtime, servers, partitions: Partition::all().map(queue).collect(), figures: Arc::default() }
    }

    /// Puts a request in the queue of a partition. Requests of one line keep their order. `is_write` waits for replicas, if the
    /// settings say so.
    pub(crate) fn push(
        &self,
        partition: Partition,
        line: u64,
        is_write: bool,
        command: Command,
    ) -> oneshot::Receiver<Result<Value, Error>> {
        let (answer, later) = oneshot::channel();
        let Some(queue) = self.partitions.get(partition.index()) else { return later };
        let options = &self.servers.options;
        let mut state = queue.state.lock();
        let bytes = command.bytes();
        let refused = if state.is_closed {
            Some(Error::new(ErrorKind::Unavailable, "the engine has been stopped: connect to another node"))
        } else if state.waiting.len() >= options.queue_requests
            || state.bytes.saturating_add(bytes) > options.queue_bytes && !state.waiting.is_empty()
        {
            Some(Error::new(ErrorKind::Overloaded, "too many requests wait for Redis: try again later"))
        } else {
            None
        };
        if let Some(error) = refused {
            // Nobody may wait for the answer.
            let _ = answer.send(Err(error));
            return later;
        }
        let now = Instant::now();
        let until = now.checked_add(options.answer_timeout).unwrap_or(now);
        state.bytes = state.bytes.saturating_add(bytes);
        state.waiting.push_back(Request { command, line, is_write, until, answer });
        if !std::mem::replace(&mut state.is_worked_on, true) {
            self.runtime.spawn(work(Arc::clone(queue), Arc::clone(&self.servers), Arc::clone(&self.figures)));
        }
        later
    }

    /// Takes no more requests. The future waits for those that wait.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let partitions = self.partitions.clone();
        partitions.iter().for_each(|queue| queue.state.lock().is_closed = true);
        async move {
            while partitions.iter().any(|queue| queue.state.lock().is_worked_on) {
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The number of requests that wait.
    pub(crate) fn waiting(&self) -> u64 {
        let waiting = self.partitions.iter().map(|queue| queue.state.lock().waiting.len());
        u64::try_from(waiting.sum::<usize>()).unwrap_or(u64::MAX)
    }

    pub(crate) fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }
}

impl PartitionQueue {
    /// The next requests to send together; empty if there are none. Then the task is over.
    fn take(&self) -> Vec<Request> {
        let mut state = self.state.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while let Some(request) = state.waiting.front() {
            let more = bytes.saturating_add(request.command.bytes());
            if !batch.is_empty() && (batch.len() >= BATCH_REQUESTS || more > BATCH_BYTES) {
                break;
            }
            bytes = more;
            batch.extend(state.waiting.pop_front());
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        state.is_worked_on = !batch.is_empty();
        batch
    }
}

/// Sends the requests of a partition until none waits.
async fn work(queue: Arc<PartitionQueue>, servers: Arc<Servers>, figures: Arc<Figures>) {
    loop {
        let mut batch = queue.take();
        if batch.is_empty() {
            return;
        }
        while !batch.is_empty() {
            figures.pipelines.fetch_add(1, Ordering::Relaxed);
            figures.requests.fetch_add(count(batch.len()), Ordering::Relaxed);
            batch = send(queue.partition, &servers, batch).await;
            figures.repeats.fetch_add(count(batch.len()), Ordering::Relaxed);
        }
    }
}

fn count(requests: usize) -> u64 {
    u64::try_from(requests).unwrap_or(u64::MAX)
}

/// Sends requests once, and answers them. Returns those that have to be sent again.
async fn send(partition: Partition, servers: &Servers, mut batch: Vec<Request>) -> Vec<Request> {
    // Nobody knows how long the ones before took.
    let now = Instant::now();
    for late in batch.extract_if(.., |request| request.until <= now) {
        let words = "Redis did not answer in time: try again later";
        late.answer(Err(Error::new(ErrorKind::Unavailable, words)));
    }
    let link = match servers.link(partition).await {
        Ok(link) => link,
        Err(error) => {
            batch.into_iter().for_each(|request| request.answer(Err(error.clone())));
            return Vec::new();
        }
    };
    let mut pipeline = Pipeline::with_capacity(batch.len().saturating_add(1));
    for request in &batch {
        pipeline.add_command(request.command.pack(&link.process));
    }
    let has_wait = add_wait(&mut pipeline, &servers.options, batch.iter().any(|request| request.is_write));
    let mut answers = match link.send(&pipeline).await {
        Ok(answers) => answers,
        Err(error) => {
            servers.set_stale();
            batch.into_iter().for_each(|request| request.answer(Err(error.clone())));
            return Vec::new();
        }
    };
    let unsafe_writes =
        has_wait.then(|| answers.pop()).flatten().and_then(|answer| wait_failure(&servers.options, answer));
    let verdicts: Vec<Verdict> = answers.into_iter().map(|answer| judge(answer, &link)).collect();
    settle(servers, (partition, &link), batch, verdicts, unsafe_writes).await
}

/// Answers requests by their verdicts. Returns those that have to be sent again.
async fn settle(
    servers: &Servers,
    (partition, link): (Partition, &Link),
    batch: Vec<Request>,
    verdicts: Vec<Verdict>,
    unsafe_writes: Option<Error>,
) -> Vec<Request> {
    // A request can't be sent again if a later one of its line was carried out.
    let has_repeats = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Again(_)));
    let mut carried_out = HashSet::new();
    let mut again = VecDeque::new();
    let mut causes = Vec::new();
    for (request, verdict) in batch.into_iter().zip(verdicts).rev() {
        match verdict {
            Verdict::Done(Ok(_)) if request.is_write && unsafe_writes.is_some() => {
                request.answer(unsafe_writes.clone().map_or(Ok(Value::Nil), Err));
            }
            Verdict::Done(result) => {
                if has_repeats {
                    carried_out.insert(request.line);
                }
                if request.is_write {
                    servers.note_write(link, result.as_ref().err());
                }
                request.answer(result);
            }
            Verdict::Again(_) if carried_out.contains(&request.line) => {
                let words = "Redis moves these keys to another server: try again later";
                request.answer(Err(Error::new(ErrorKind::Unavailable, words)));
            }
            Verdict::Again(cause) => {
                if !causes.contains(&cause) {
                    causes.push(cause.clone());
                }
                again.push_front((request, cause));
            }
        }
    }
    if causes.contains(&Cause::NoScript) && link.load_scripts().await.is_err() {
        servers.set_stale();
    }
    // This fails if the memory is full. Then nothing works until that is over.
    let adopted = match causes.contains(&Cause::NotAdopted) {
        true => adopt(servers, partition, link).await,
        false => Ok(()),
    };
    if let Err(error) = &adopted {
        servers.note_write(link, Some(error));
    }
    if causes.contains(&Cause::Moved) {
        servers.set_stale();
    }
    if causes.iter().any(|cause| !matches!(cause, Cause::NoScript | Cause::NotAdopted)) {
        sleep(PAUSE).await;
    }
    let mut rest = Vec::with_capacity(again.len());
    for (request, cause) in again {
        match cause {
            // One at a time: the slot is moving, and this is soon over.
            Cause::NotAdopted if adopted.is_err() => request.answer(adopted.clone().map(|()| Value::Nil)),
            Cause::Ask(address) if rest.is_empty() => rest.extend(ask(servers, &address, request).await),
            _ => rest.push(request),
        }
    }
    rest
}

/// Lets the process behind a connection adopt a partition.
async fn adopt(servers: &Servers, partition: Partition, link: &Link) -> Result<(), Error> {
    if !link.is_current().await? {
        // Otherwise this node and one with a newer connection would take the partition from each other.
        link.kill();
        servers.set_stale();
        return Ok(());
    }
    let (own, before) = &link.facts.replication;
    let command = Command::script(ScriptName::Adopt)
        .key(Keys::new(&servers.options.key_prefix()).generation(partition))
        .arg(own)
        .arg(before)
        .arg(format!("{:08x}", crate::random() >> 32))
        .args(servers.masters());
    let mut pipeline = Pipeline::with_capacity(1);
    pipeline.add_command(command.pack(&link.process));
    for answer in link.send(&pipeline).await? {
        answer.extract_error().map_err(|error| link.error(error))?;
    }
    Ok(())
}

/// Sends a request to the server that imports its keys. Returns it if it has to be sent again.
async fn ask(servers: &Servers, address: &Address, request: Request) -> Option<Request> {
    let link = match servers.link_at(address).await {
        Ok(link) => link,
        Err(error) => {
            request.answer(Err(error));
            return None;
        }
    };
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("ASKING").add_command(request.command.pack(&link.process));
    let mut answers = match link.send(&pipeline).await {
        Ok(answers) => answers,
        Err(error) => {
            request.answer(Err(error));
            return None;
        }
    };
    match answers.pop().map(|answer| judge(answer, &link)) {
        Some(Verdict::Done(result)) => {
            request.answer(result);
            None
        }
        Some(Verdict::Again(cause)) => {
            if cause == Cause::NoScript && link.load_scripts().await.is_err() {
                servers.set_stale();
            }
            Some(request)
        }
        None => {
            request.answer(Err(Error::unexpected("Redis gave no answer: check that this is a Redis server")));
            None
        }
    }
}

fn judge(answer: Value, link: &Link) -> Verdict {
    let error = match answer.extract_error() {
        Ok(value) => return Verdict::Done(Ok(value)),
        Err(error) => error,
    };
    let cause = match code_of(&error) {
        "NOSCRIPT" => Cause::NoScript,
        "NOTADOPTED" => Cause::NotAdopted,
        "MOVED" | "READONLY" => Cause::Moved,
        "ASK" => match error.redirect_node() {
            Some((node, _)) => Cause::Ask(redirected(node, &link.server)),
            None => Cause::Busy,
        },
        "OOM" | "MISCONF" | "NOREPLICAS" => return Verdict::Done(Err(link.error(error))),
        code if is_temporary_code(code) => Cause::Busy,
        _ => return Verdict::Done(Err(link.error(error))),
    };
    Verdict::Again(cause)
}

/// The server in a redirection. Without a host it is that of the asked server.
fn redirected(node: &str, asked: &Address) -> Address {
    let (is_tls, own) = match asked {
        Address::Tcp { is_tls, host, .. } => (*is_tls, host.as_str()),
        Address::Unix(_) => (false, ""),
    };
    let (host, port) = node.rsplit_once(':').unwrap_or((node, ""));
    let host = if host.is_empty() { own } else { host };
    Address::Tcp { host: host.to_owned(), port: port.parse().unwrap_or_default(), is_tls }
}

/// Adds the wait for replicas. Returns `true` if the pipeline has one.
fn add_wait(pipeline: &mut Pipeline, options: &RedisOptions, has_writes: bool) -> bool {
    // The answer must come before the connection counts as dead.
    let timeout = options.answer_timeout.as_millis().saturating_mul(2).checked_div(3).unwrap_or_default();
    let timeout = u64::try_from(timeout).unwrap_or(u64::MAX);
    match options.acknowledge {
        Acknowledge::Replicas(replicas) if has_writes => {
            pipeline.cmd("WAIT").arg(replicas).arg(timeout);
        }
        Acknowledge::Disks(replicas) if has_writes => {
            pipeline.cmd("WAITAOF").arg(1).arg(replicas).arg(timeout);
        }
        _ => return false,
    }
    true
}

/// The failure of the writes before a wait; `None` if they are safe.
fn wait_failure(options: &RedisOptions, answer: Value) -> Option<Error> {
    let answer = match answer.extract_error() {
        Ok(answer) => answer,
        Err(error) => {
            let words = format!("Redis can't wait for replicas: {error}: change the setting `acknowledge`");
            return Some(Error::new(ErrorKind::Unsuitable, words));
        }
    };
    let count = |value: &Value| match value {
        Value::Int(count) => u32::try_from(*count).unwrap_or_default(),
        _ => 0,
    };
    let is_safe = match (options.acknowledge, &answer) {
        (Acknowledge::Replicas(replicas), answer) => count(answer) >= replicas,
        (Acknowledge::Disks(replicas), Value::Array(counts)) => {
            counts.first().map_or(0, count) >= 1 && counts.get(1).map_or(0, count) >= replicas
        }
        (Acknowledge::Disks(_), _) => false,
        (Acknowledge::Master, _) => true,
    };
    (!is_safe).then(|| {
        let words =
            "too few replicas have it: it may be lost with the master, and a repeat with its key finds out";
        Error::new(ErrorKind::Unavailable, words)
    })
}

impl Request {
    fn answer(self, result: Result<Value, Error>) {
        // Nobody may wait for the answer.
        let _ = self.answer.send(result);
    }
}

/// The answer of a request as the hub takes it.
pub(crate) fn answer_of<T: Send + 'static>(
    later: oneshot::Receiver<Result<Value, Error>>,
    read: impl FnOnce(Value) -> Option<T> + Send + 'static,
) -> EngineFuture<T> {
    EngineFuture::Later(Box::pin(async move {
        let stopped = |_| Err(Error::new(ErrorKind::Unavailable, "the runtime is stopping"));
        let value = later.await.unwrap_or_else(stopped)?;
        Ok(read(value).ok_or_else(strange)?)
    }))
}

/// An answer of a script that the engine does not understand.
pub(crate) fn strange() -> Error {
    Error::unexpected("Redis gave a strange answer: check that no other program uses keys with this prefix")
}

/// The maximum number and size of the requests that are sent together.
const BATCH_REQUESTS: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;

/// The time before a request is sent again.
const PAUSE: Duration = Duration::from_millis(20);
