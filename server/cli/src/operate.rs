//! `wirehub sessions`, `channels`: what operators ask a server, by its HTTP API.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use wirehub_client::Address;
use wirehub_server::api::ApiKey;

use super::client::Failure;
use super::output::{line, moment, table};
use super::{complain, note, runtime};

/// Where to, and by which right.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiOptions {
    /// The server: http://127.0.0.1:8080, https://… or unix:FILE.
    #[arg(value_name = "URL", value_parser = parse_address)]
    pub url: Address,

    /// The file with a key of the HTTP API. Without this it is in the environment variable WIREHUB_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Trust the authorities in this PEM file, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// At most so many. Standard error says when there are more, and how to read on.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: usize,

    /// Begin behind this one: the last one of the list before.
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,

    /// Write JSON, an object a line.
    #[arg(long)]
    pub json: bool,
}

/// What can be asked.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ApiCommand {
    /// List the sessions of a server.
    #[command(after_help = SESSIONS_NOTES)]
    Sessions {
        /// Where to, and by which right.
        #[command(flatten)]
        api: ApiOptions,
        /// Only those of this user.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// List the channels of a server that somebody is subscribed to.
    #[command(after_help = CHANNELS_NOTES)]
    Channels {
        /// Where to, and by which right.
        #[command(flatten)]
        api: ApiOptions,
        /// Only those whose name begins so.
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
    },
}

const SESSIONS_NOTES: &str = "\
Examples:
  wirehub sessions --key-file api.key http://127.0.0.1:8080
  wirehub sessions --json --user ann https://app.example | jq -r .session";

const CHANNELS_NOTES: &str = "\
Examples:
  wirehub channels --key-file api.key http://127.0.0.1:8080
  wirehub channels --json --prefix chat: unix:/run/wirehub.sock | jq -s 'map(.subscribers) | add'";

/// A session as the API shows it, without what a table has no room for.
#[derive(Deserialize)]
struct Session {
    session: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    address: String,
    connected: u64,
    channels: u32,
    queue_bytes: u64,
}

#[derive(Deserialize)]
struct Channel {
    name: String,
    subscribers: u64,
    publications: u64,
    history: bool,
}

impl ApiCommand {
    /// Does it, and gives the process's status: 0, or 1 for what went wrong.
    pub fn run(self) -> ExitCode {
        match runtime().and_then(|runtime| runtime.block_on(self.carry_out())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    async fn carry_out(self) -> Result<(), Failure> {
        match self {
            Self::Sessions { api, user } => {
                let sessions = api.list("sessions", ("user", user)).await?;
                if api.json {
                    return Ok(sessions.iter().try_for_each(line)?);
                }
                let mut rows = Vec::with_capacity(sessions.len());
                for session in sessions {
                    let Session { session, user, address, connected, channels, queue_bytes } =
                        serde_json::from_value(session)?;
                    let (channels, queue) = (channels.to_string(), queue_bytes.to_string());
                    rows.push([session, user, address, moment(connected), channels, queue]);
                }
                Ok(table(["SESSION", "USER", "ADDRESS", "CONNECTED", "CHANNELS", "QUEUED"], &rows)?)
            }
            Self::Channels { api, prefix } => {
                let channels = api.list("channels", ("prefix", prefix)).await?;
                if api.json {
                    return Ok(channels.iter().try_for_each(line)?);
                }
                let mut rows = Vec::with_capacity(channels.len());
                for channel in channels {
                    let Channel { name, subscribers, publications, history } =
                        serde_json::from_value(channel)?;
                    let history = if history { "kept" } else { "" };
                    rows.push([name, subscribers.to_string(), publications.to_string(), history.into()]);
                }
                Ok(table(["CHANNEL", "SUBSCRIBERS", "MESSAGES", "HISTORY"], &rows)?)
            }
        }
    }
}

impl ApiOptions {
    /// Reads a list, page by page.
    async fn list(&self, what: &str, filter: (&str, Option<String>)) -> Result<Vec<Value>, Failure> {
        let key = self.key()?;
        let mut address = self.url.clone();
        if let Some(path) = &self.ca {
            let pem =
                std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            address = address.with_root_certificates(&pem)?;
        }
        let mut items = Vec::new();
        if self.limit == 0 {
            return Ok(items);
        }
        let mut after = self.after.clone();
        loop {
            let limit = self.limit.saturating_sub(items.len()).clamp(1, PAGE);
            let query = [(filter.0, filter.1.as_deref()), ("after", after.as_deref())];
            let query =
                query.iter().filter_map(|(name, value)| Some(format!("&{name}={}", escaped((*value)?))));
            let path = format!("/api/v1/{what}?limit={limit}{}", query.collect::<String>());
            let mut page = timeout(PATIENCE, ask(&address, &path, &key))
                .await
                .map_err(|_| format!("the server did not answer within {PATIENCE:?}"))??;
            let Some(Value::Array(found)) = page.get_mut(what).map(Value::take) else {
                return Err("what answers is not the HTTP API of this version: check the address".into());
            };
            items.extend(found);
            match page.get("next").and_then(Value::as_str) {
                Some(next) if items.len() >= self.limit => {
                    note(&format!("there are more: give a larger --limit, or read on by --after {next}"));
                    return Ok(items);
                }
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    /// The key; it is shown nowhere.
    fn key(&self) -> Result<String, Failure> {
        let key = match &self.key_file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read the key in {}: {error}", path.display()))?,
            None => std::env::var("WIREHUB_API_KEY").map_err(
                |_| "this takes a key of the server's HTTP API: give --key-file FILE, or set WIREHUB_API_KEY",
            )?,
        };
        ApiKey::new(key.trim_end())?;
        Ok(key.trim_end().to_owned())
    }
}

async fn ask(address: &Address, path: &str, key: &str) -> Result<Value, Failure> {
    let stream = address.dial().await.map_err(|error| format!("no connection: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, address.uri().authority().map_or("localhost", |authority| authority.as_str()))
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .body(Empty::<Bytes>::new())?;
    // It drives the exchange, which fails with it, and ends when the sender is gone.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
    if status == StatusCode::OK {
        return Ok(serde_json::from_slice(&body)?);
    }
    let problem: Option<Value> = serde_json::from_slice(&body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")).and_then(Value::as_str);
    Err(detail.map_or_else(|| format!("the server said {status}: is its HTTP API on?"), Into::into).into())
}

fn parse_address(text: &str) -> Result<Address, String> {
    // Addresses of clients are those of WebSockets.
    let address = match text.split_once("://") {
        Some(("http", rest)) => Address::parse(&format!("ws://{rest}")),
        Some(("https", rest)) => Address::parse(&format!("wss://{rest}")),
        Some(_) => return Err("write http://HOST:PORT, https://HOST or unix:FILE".into()),
        None => Address::parse(text),
    };
    address.map_err(|_| "this is no address: write http://HOST:PORT, https://HOST or unix:FILE".into())
}

/// A text in a query.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// How many items are asked for at once: what the API gives at most.
const PAGE: usize = 1000;

/// The most that is read of an answer, and how long that may take.
const MAX_BODY: usize = 16 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_http() {
        for good in ["http://127.0.0.1:8080", "https://app.example", "unix:/run/wirehub.sock"] {
            assert!(parse_address(good).is_ok(), "{good}");
        }
        for bad in ["ws://127.0.0.1", "127.0.0.1:8080", "", "http://"] {
            assert!(parse_address(bad).unwrap_err().contains("http://HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn whatever_is_asked_for_stays_in_its_place() {
        assert_eq!(escaped("a&b=c d/ü"), "a%26b%3Dc%20d%2F%C3%BC");
    }
}
