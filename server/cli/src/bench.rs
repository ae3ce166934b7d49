//! `wirehub bench`: a bounded load, and its result.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "the options have bounds, and no value of the server is used in calculations"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use wirehub_client::{Client, Publication, Subscription, Update};
use wirehub_common::code::CloseCode;
use wirehub_common::{ChannelName, Payload};
use wirehub_server::config::{parse_size, parse_time};

use self::latencies::Latencies;
use super::client::Failure;
use super::output::{line, pairs};
use super::{ConnectOptions, report_error};

mod latencies;

/// The load, and its duration.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchOptions {
    #[command(flatten)]
    connect: ConnectOptions,

    /// The number of subscribing sessions. One more session publishes.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,

    /// The number of channels for these sessions.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    channels: u32,

    /// The beginning of the channels' names; a number follows.
    #[arg(long, value_name = "TEXT", default_value = "bench:")]
    prefix: String,

    /// The number of messages per second, in all channels together.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,

    /// The size of each message, at least 16B.
    #[arg(long, value_name = "BYTES", default_value = "128B", value_parser = parse_message_size)]
    size: usize,

    /// How long to publish: at most 1h.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    duration: Duration,

    /// Allow more load than a few people would cause on a server that is not on this machine. Ask its operator first.
    #[arg(long)]
    on_others: bool,
}

/// The end of `wirehub bench --help`.
pub(super) const NOTES: &str = "\
Latency is the time from when a message was due until a subscriber has it, so a delayed publisher does not make it
look better. Publisher and subscribers are in this process, so a load that uses all of its processor time measures this
program. The exit status is 1 if a message was refused or did not arrive within 5 s.

Examples:
  wirehub bench ws://127.0.0.1:8080/ws
  wirehub bench --sessions 1000 --rate 100 --duration 30s unix:/run/wirehub.sock
  wirehub bench --sessions 500 --channels 50 --size 1KiB --json ws://127.0.0.1:8080/ws | jq .latency_us.p99";

/// The messages received by the sessions.
struct Deliveries {
    /// Identifies the messages of this run.
    run: [u8; 8],
    origin: Instant,
    latencies: Latencies,
    /// Subscriptions that ended or lost messages.
    losses: AtomicU64,
}

/// The server's answers to the publisher.
struct Published {
    in_channels: Vec<u64>,
    refused: u64,
    /// The reason for the first refusal.
    why: Option<wirehub_client::Error>,
}

/// The result of a run.
struct Report {
    connecting: Duration,
    publishing: Duration,
    published: u64,
    refused: u64,
    expected: u64,
    losses: u64,
}

impl BenchOptions {
    /// Runs the command and returns the exit status.
    pub fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let done = runtime.map_err(Failure::from).and_then(|runtime| {
            let done = runtime.block_on(super::client::until_interrupted(self.carry_out()));
            runtime.shutdown_background();
            done
        });
        match done {
            Ok(Some(true)) => ExitCode::SUCCESS,
            // An interrupted run has no result.
            Ok(Some(false) | None) => ExitCode::FAILURE,
            Err(error) => {
                report_error(&error);
                ExitCode::FAILURE
            }
        }
    }

    /// Returns whether every message arrived.
    async fn carry_out(self) -> Result<bool, Failure> {
        self.check_others()?;
        let channels = (0..self.channels)
            .map(|number| ChannelName::new(&format!("{}{number}", self.prefix)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut run = [0; 8];
        getrandom::fill(&mut run)?;
        let deliveries = Arc::new(Deliveries {
            run,
            origin: Instant::now(),
            latencies: Latencies::new(),
            losses: AtomicU64::new(0),
        });

        let (mut clients, mut listening) = (Vec::new(), JoinSet::new());
        let subscribers = (0..self.sessions as usize).zip(channels.iter().cycle());
        let mut opening = stream::iter(subscribers)
            .map(|(_, channel)| self.subscriber(channel.clone()))
            .buffer_unordered(OPENING);
        while let Some((client, subscription)) = opening.try_next().await? {
            listening.spawn(Arc::clone(&deliveries).listen(subscription));
            clients.push(client);
        }
        drop(opening);
        let publisher = self.connect.client().await?;
        let connecting = deliveries.origin.elapsed();

        let start = Instant::now();
        let Published { in_channels, refused, why } =
            self.publish(&publisher, &channels, &deliveries).await?;
        let publishing = start.elapsed();
        let (published, expected) = (in_channels.iter().sum(), self.expected(&in_channels));
        match why {
            Some(error) if published == 0 => return Err(error.into()),
            Some(error) => report_error(&format_args!("some messages were refused; the first: {error}")),
            None => {}
        }
        let all_there = async {
            let mut tick = interval(LOOK);
            while deliveries.latencies.count() < expected && !listening.is_empty() {
                tick.tick().await;
            }
        };
        // Late messages count as lost.
        let _ = timeout(PATIENCE, all_there).await;

        let losses = deliveries.losses.load(Ordering::Relaxed);
        let report = Report { connecting, publishing, published, refused, expected, losses };
        self.print(&report, &deliveries.latencies)?;
        clients.push(publisher);
        for client in &clients {
            client.close(CloseCode::NORMAL, "");
        }
        for client in clients {
            client.closed().await;
        }
        Ok(refused == 0 && deliveries.latencies.count() >= expected)
    }

    /// Refuses a large load on the servers of others.
    fn check_others(&self) -> Result<(), Failure> {
        let host = self.connect.url.uri().host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = host == "localhost"
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback());
        let deliveries = u64::from(self.rate) * u64::from(self.sessions.div_ceil(self.channels));
        if !is_here && !self.on_others && (self.sessions > OTHERS_SESSIONS || deliveries > OTHERS_DELIVERIES)
        {
            return Err(format!(
                "{host} is not this machine: at most {OTHERS_SESSIONS} sessions and {OTHERS_DELIVERIES} deliveries per second \
                 without --on-others; add it if the operator of the server agrees"
            )
            .into());
        }
        Ok(())
    }

    async fn subscriber(&self, channel: ChannelName) -> Result<(Client, Subscription<Payload>), Failure> {
        let client = self.connect.client().await?;
        let mut subscription = client.subscribe_raw(channel)?;
        subscription.ready().await?;
        Ok((client, subscription))
    }

    /// Publishes at the configured rate, in all channels in turn. Returns the number of messages in each.
    async fn publish(
        &self,
        publisher: &Client,
        channels: &[ChannelName],
        deliveries: &Deliveries,
    ) -> Result<Published, Failure> {
        let mut published = Published { in_channels: vec![0; channels.len()], refused: 0, why: None };
        let total = self.duration.as_millis() * u128::from(self.rate) / 1000;
        let start = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut answers = FuturesUnordered::new();
        let mut turns = (0..channels.len()).cycle();
        let mut sent = 0_u128;
        while sent < total || !answers.is_empty() {
            tokio::select! {
                Some((turn, answer)) = answers.next() => {
                    let answer: Result<_, wirehub_client::Error> = answer;
                    match (answer, published.in_channels.get_mut(turn)) {
                        (Err(error), _) => {
                            published.refused += 1;
                            published.why.get_or_insert(error);
                        }
                        (Ok(_), count) => count.into_iter().for_each(|count| *count += 1),
                    }
                }
                _ = tick.tick(), if sent < total && answers.len() < UNANSWERED => {
                    let due = (start.elapsed().as_micros() * u128::from(self.rate) / 1_000_000).min(total);
                    while sent < due.max(1) && answers.len() < UNANSWERED {
                        let Some(turn) = turns.next() else { break };
                        let Some(channel) = channels.get(turn) else { break };
                        let wait = Duration::from_nanos(u64::try_from(sent * 1_000_000_000 / u128::from(self.rate))?);
                        let payload = deliveries.message(start + wait, self.size);
                        let channel = channel.clone();
                        answers.push(async move { (turn, publisher.publish_raw(channel, payload).await) });
                        sent += 1;
                    }
                }
            }
        }
        Ok(published)
    }

    /// The number of deliveries for these numbers of messages in each channel.
    fn expected(&self, published: &[u64]) -> u64 {
        let (each, more) = (self.sessions / self.channels, self.sessions % self.channels);
        let subscribers = |channel| u64::from(each) + u64::from(channel < more);
        (0..).zip(published).map(|(channel, count)| count * subscribers(channel)).sum()
    }

    fn print(&self, report: &Report, latencies: &Latencies) -> Result<(), Failure> {
        let Report { connecting, publishing, published, refused, expected, losses } = report;
        let delivered = latencies.count();
        let per_second = |count: u64| count as f64 / publishing.as_secs_f64();
        if self.connect.json {
            let latency: serde_json::Map<_, _> =
                latencies.summary().iter().map(|(name, micros)| ((*name).into(), (*micros).into())).collect();
            line(json!({
                "sessions": self.sessions,
                "channels": self.channels,
                "size": self.size,
                "connecting_ms": u64::try_from(connecting.as_millis())?,
                "publishing_ms": u64::try_from(publishing.as_millis())?,
                "published": published,
                "published_per_second": per_second(*published),
                "refused": refused,
                "delivered": delivered,
                "delivered_per_second": per_second(delivered),
                "missing": expected.saturating_sub(delivered),
                "broken_subscriptions": losses,
                "latency_us": latency,
            }))?;
            return Ok(());
        }
        let mut rows = vec![
            ("sessions", format!("{}, connected in {connecting:.1?}", self.sessions)),
            ("channels", self.channels.to_string()),
            (
                "published",
                format!("{published} of {} bytes, {:.0} per second", self.size, per_second(*published)),
            ),
            ("delivered", format!("{delivered}, {:.0} per second", per_second(delivered))),
        ];
        for (name, count) in [
            ("refused", *refused),
            ("missing", expected.saturating_sub(delivered)),
            ("broken subscriptions", *losses),
        ] {
            if count > 0 {
                rows.push((name, count.to_string()));
            }
        }
        let latency = latencies.summary();
        let latency =
            latency.iter().map(|(name, micros)| format!("{name} {:.2} ms", *micros as f64 / 1000.0));
        rows.push(("latency", latency.collect::<Vec<_>>().join(", ")));
        Ok(pairs(&rows)?)
    }
}

impl Deliveries {
    /// A message with the time at which it is due.
    fn message(&self, due: Instant, size: usize) -> Payload {
        let due = u64::try_from(due.duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = [self.run, due.to_be_bytes()].concat();
        bytes.resize(size, b'.');
        Payload::bytes(bytes)
    }

    async fn listen(self: Arc<Self>, mut subscription: Subscription<Payload>) {
        while let Some(update) = subscription.next().await {
            match update {
                Ok(Update::Publication(publication)) => self.take(&publication),
                Ok(_) | Err(_) => drop(self.losses.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    fn take(&self, publication: &Publication<Payload>) {
        let Some((run, rest)) = publication.message.data.split_first_chunk::<8>() else { return };
        let Some((due, _)) = rest.split_first_chunk::<8>() else { return };
        if *run == self.run {
            let due = Duration::from_nanos(u64::from_be_bytes(*due));
            self.latencies.record(self.origin.elapsed().saturating_sub(due));
        }
    }
}

fn parse_message_size(text: &str) -> Result<usize, String> {
    let size = parse_size(text)?;
    if (16..=1024 * 1024).contains(&size) { Ok(size) } else { Err("16B to 1MiB".into()) }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_time(text)?;
    let is_in_bounds = (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&duration);
    if is_in_bounds { Ok(duration) } else { Err("1ms to 1h".into()) }
}

/// The number of sessions that are opened at once.
const OPENING: usize = 50;

/// The most publications without an answer.
const UNANSWERED: usize = 5000;

/// The interval between groups of due messages.
const TICK: Duration = Duration::from_millis(1);

/// The interval between checks for missing messages, and their time limit.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(5);

/// The limits for servers on other machines.
const OTHERS_SESSIONS: u32 = 50;
const OTHERS_DELIVERIES: u64 = 1000;
