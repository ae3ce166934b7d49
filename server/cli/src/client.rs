//! `wirehub sub`, `pub`, `call`, `history`, `presence`: a client on the command line.

use std::future::{Future, ready};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;

use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use serde_json::json;
use tokio::sync::OnceCell;
use wirehub_client::{Address, Client, Config, Publication, Update};
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{History, Member, Position};
use wirehub_common::{ChannelName, Payload};
use wirehub_server::json_payload::JsonPayload;

use super::input::Lines;
use super::output::{is_unread, line, moment, shown, table, text_of};
use super::{note, report_error, runtime};

/// The server and the token.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectOptions {
    /// The server: ws://127.0.0.1:8080/ws, wss://… or unix:PATH.
    #[arg(value_name = "URL", value_parser = parse_address)]
    pub url: Address,

    /// The file with the token. Default: the token in the environment variable WIREHUB_TOKEN, if set.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Trust the certificate authorities in this PEM file, in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Write JSON, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// The commands of a client.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ClientCommand {
    /// Subscribe to channels and print publications, until Ctrl-C.
    #[command(after_help = SUB_NOTES)]
    Sub {
        /// The server and the token.
        #[command(flatten)]
        connect: ConnectOptions,
        /// The channels.
        #[arg(value_name = "CHANNEL", required = true, value_parser = parse_channel)]
        channels: Vec<ChannelName>,
    },
    /// Publish a message in a channel, or each line of standard input.
    #[command(after_help = PUB_NOTES)]
    Pub {
        /// The server and the token.
        #[command(flatten)]
        connect: ConnectOptions,
        /// The channel.
        #[arg(value_name = "CHANNEL", value_parser = parse_channel)]
        channel: ChannelName,
        /// The message, as JSON. Default: each line of standard input is a message.
        #[arg(value_name = "JSON")]
        message: Option<String>,
    },
    /// Call a procedure of the server and print its responses.
    #[command(after_help = CALL_NOTES)]
    Call {
        /// The server and the token.
        #[command(flatten)]
        connect: ConnectOptions,
        /// The name of the procedure.
        #[arg(value_name = "NAME")]
        name: String,
        /// The request, as JSON.
        #[arg(value_name = "JSON", default_value = "null")]
        request: String,
    },
    /// Print the history of a channel, oldest first.
    #[command(after_help = HISTORY_NOTES)]
    History {
        /// The server and the token.
        #[command(flatten)]
        connect: ConnectOptions,
        /// The channel.
        #[arg(value_name = "CHANNEL", value_parser = parse_channel)]
        channel: ChannelName,
        /// The maximum number of messages, counted from the newest. If there are more, standard error says so.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Print the members of a channel.
    #[command(after_help = PRESENCE_NOTES)]
    Presence {
        /// The server and the token.
        #[command(flatten)]
        connect: ConnectOptions,
        /// The channel.
        #[arg(value_name = "CHANNEL", value_parser = parse_channel)]
        channel: ChannelName,
    },
}

const SUB_NOTES: &str = "\
A lost connection is restored. Missed messages are recovered if the channel keeps history.

Examples:
  wirehub sub ws://127.0.0.1:8080/ws chat:lobby
  wirehub sub --token-file ann.token wss://app.example/ws chat:lobby @ann
  wirehub sub --json ws://127.0.0.1:8080/ws chat:lobby | jq .data.text";

const PUB_NOTES: &str = "\
Examples:
  wirehub pub ws://127.0.0.1:8080/ws chat:lobby '{\"text\":\"hi\"}'
  tail -f events.jsonl | wirehub pub unix:/run/wirehub.sock events:all";

const CALL_NOTES: &str = "\
The responses of a streaming call are printed one per line, until it ends.

Examples:
  wirehub call ws://127.0.0.1:8080/ws chat.names '{\"room\":\"lobby\"}'";

const HISTORY_NOTES: &str = "\
Examples:
  wirehub history ws://127.0.0.1:8080/ws chat:lobby
  wirehub history --json --limit 1 ws://127.0.0.1:8080/ws chat:lobby | jq .time";

const PRESENCE_NOTES: &str = "\
Examples:
  wirehub presence ws://127.0.0.1:8080/ws chat:lobby
  wirehub presence --json ws://127.0.0.1:8080/ws chat:lobby | jq -r .user | sort -u";

/// The reason for a failure, for people.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

impl ClientCommand {
    /// Runs the command and returns the exit status: 0, or 1 for a failure.
    pub fn run(self) -> ExitCode {
        let done = runtime().and_then(|runtime| {
            runtime.block_on(async {
                let opened = OnceCell::new();
                let done = until_interrupted(self.carry_out(&opened)).await;
                // The client says goodbye to the server in every case.
                if let Some(client) = opened.into_inner() {
                    close(client).await;
                }
                done
            })
        });
        match done {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) if is_unread(&*error) => ExitCode::SUCCESS,
            Err(error) => {
                report_error(&error);
                ExitCode::FAILURE
            }
        }
    }

    async fn carry_out(self, opened: &OnceCell<Client>) -> Result<(), Failure> {
        match self {
            Self::Sub { connect, channels } => {
                let client = connect.open(opened).await?;
                let mut subscriptions = Vec::new();
                for channel in channels {
                    let mut subscription = client.subscribe_raw(channel)?;
                    subscription.ready().await?;
                    subscriptions.push(subscription);
                }
                let mut updates = select_all(subscriptions);
                let mut expired = pin!(expired(client));
                loop {
                    let update = tokio::select! {
                        update = updates.next() => update,
                        failure = &mut expired => return Err(failure),
                    };
                    match update {
                        Some(Ok(Update::Publication(publication))) => connect.write(&publication)?,
                        Some(Ok(update)) => drop(update.gap().map(|gap| report_error(&gap))),
                        Some(Err(error)) => report_error(&error),
                        None => break,
                    }
                }
                Err(client.connect().await.err().map_or_else(|| "the subscriptions ended".into(), Into::into))
            }
            Self::Pub { connect, channel, message } => {
                let client = connect.open(opened).await?;
                match message {
                    Some(message) => drop(client.publish_raw(channel, Payload::json(message)).await?),
                    None => {
                        let mut lines = Lines::of_standard_input();
                        while let Some(line) = lines.next().await {
                            client.publish_raw(channel.clone(), Payload::json(line?)).await?;
                        }
                    }
                }
                Ok(())
            }
            Self::Call { connect, name, request } => {
                let client = connect.open(opened).await?;
                let mut responses = client.call_stream_raw(&name, Payload::json(request))?;
                while let Some(response) = responses.next().await {
                    line(shown(&text_of(&response?)))?;
                }
                Ok(())
            }
            Self::History { connect, channel, limit } => {
                let client = connect.open(opened).await?;
                let (publications, more) = newest(client, channel, limit).await?;
                if connect.json {
                    for publication in publications {
                        connect.write_frame(publication)?;
                    }
                } else {
                    let rows: Vec<_> = publications.iter().map(row).collect();
                    table(["OFFSET", "TIME", "USER", "MESSAGE"], &rows)?;
                }
                if more {
                    note("there are earlier messages: use a larger --limit");
                }
                Ok(())
            }
            Self::Presence { connect, channel } => {
                let client = connect.open(opened).await?;
                let members = client.presence(channel).await?;
                if connect.json {
                    for member in members {
                        line(member_json(&member))?;
                    }
                } else {
                    let rows =
                        members.into_iter().map(|Member { session, user, info }| [session, user, info]);
                    table(["SESSION", "USER", "INFO"], &rows.collect::<Vec<_>>())?;
                }
                Ok(())
            }
        }
    }
}

impl ConnectOptions {
    /// A connected client.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let client = self.begin()?;
        connected(&client).await?;
        Ok(client)
    }

    /// The same. `opened` has the client from the start, so that an interrupt during the connection attempt also closes
    /// it properly.
    async fn open<'a>(&self, opened: &'a OnceCell<Client>) -> Result<&'a Client, Failure> {
        let client = opened.get_or_try_init(async || self.begin()).await?;
        connected(client).await?;
        Ok(client)
    }

    fn begin(&self) -> Result<Client, Failure> {
        let token = match &self.token_file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read the token in {}: {error}", path.display()))?,
            None => std::env::var("WIREHUB_TOKEN").unwrap_or_default(),
        };
        let mut address = self.url.clone();
        if let Some(path) = &self.ca {
            let pem =
                std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            address = address.with_root_certificates(&pem)?;
        }
        let config = Config::new().token(token.trim_end());
        Ok(wirehub_client::client(address, config))
    }

    fn write(&self, publication: &Publication<Payload>) -> io::Result<()> {
        let Publication { channel, message, time, publisher, offset, .. } = publication;
        if !self.json {
            return line(shown(&format!("{channel}\t{}", text_of(message))));
        }
        let publisher = publisher.as_ref().map(member_json);
        let whole = Line {
            channel: channel.as_str(),
            payload: JsonPayload::data_or_bytes(message),
            time: time.as_millis(),
            publisher,
            offset: *offset,
        };
        line(serde_json::to_string(&whole).unwrap_or_default())
    }

    fn write_frame(&self, publication: wirehub_common::frame::Publication) -> io::Result<()> {
        self.write(&publication.into())
    }
}

/// The JSON of a publication, for `--json`.
#[derive(serde::Serialize)]
struct Line<'a> {
    channel: &'a str,
    #[serde(flatten)]
    payload: JsonPayload,
    time: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

/// The JSON of a member, for `--json`.
fn member_json(Member { session, user, info }: &Member) -> serde_json::Value {
    let mut member = json!({ "session": session, "user": user });
    // The data of a session is JSON.
    if let (Ok(info), Some(fields)) = (serde_json::from_str(info), member.as_object_mut()) {
        fields.insert("info".into(), info);
    }
    member
}

/// The newest publications of a channel, oldest first, read page by page; and whether there are earlier ones.
async fn newest(
    client: &Client,
    channel: ChannelName,
    limit: u32,
) -> Result<(Vec<wirehub_common::frame::Publication>, bool), Failure> {
    let mut publications = Vec::new();
    let mut since = None;
    loop {
        let read = u32::try_from(publications.len()).unwrap_or(u32::MAX);
        let left = limit.saturating_sub(read);
        let request = History { channel: channel.clone(), since, limit: left, reverse: true };
        let page = client.history_raw(request).await?;
        let oldest = page.publications.last().map(|oldest| oldest.offset);
        publications.extend(page.publications);
        match oldest {
            Some(offset) if page.more && publications.len() < limit as usize => {
                since = Some(Position { offset, ..page.position });
            }
            _ => {
                publications.reverse();
                return Ok((publications, page.more));
            }
        }
    }
}

fn row(publication: &wirehub_common::frame::Publication) -> [String; 4] {
    let user = publication.publisher.as_ref().map(|member| member.user.clone());
    let offset = publication.offset.to_string();
    [offset, moment(publication.time), user.unwrap_or_default(), text_of(&publication.payload)]
}

/// Waits for the first connection.
async fn connected(client: &Client) -> Result<(), Failure> {
    // A person waits for it: an unreachable server is an error and is not retried.
    let changes = client.state_changes();
    let mut failures = changes.filter(|change| ready(change.retry_in.is_some()));
    tokio::select! {
        connected = client.connect() => Ok(connected?),
        Some(failure) = failures.next() => Err(format!("no connection: {}", failure.reason).into()),
    }
}

/// Ends when the token has expired: a token from a file is never renewed.
async fn expired(client: &Client) -> Failure {
    let mut changes = client.state_changes();
    while !client.needs_token() {
        if changes.next().await.is_none() {
            // The subscriptions have ended too and report the reason.
            std::future::pending::<()>().await;
        }
    }
    "the token has expired: start again with a new one".into()
}

async fn close(client: Client) {
    client.close(CloseCode::NORMAL, "");
    // After a second interrupt, the server's answer is not awaited.
    tokio::select! {
        () = client.closed() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// The result of the work; `None` if it was interrupted.
pub(super) async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        done = work => done.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
    }
}

pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

fn parse_channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::new(text).map_err(|error| error.to_string())
}
