//! `wirehub sessions`, `wirehub channels`, `wirehub nodes`: inspect a server through its HTTP API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use wirehub_client::Address;
use wirehub_server::api::ApiKey;

use super::client::Failure;
use super::output::{line, moment, table};
use super::{note, report_error, runtime};

/// The server and the API key.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiOptions {
    /// The server: http://127.0.0.1:8080, https://… or unix:FILE.
    #[arg(value_name = "URL", value_parser = parse_address)]
    pub url: Address,

    /// The file with a key of the HTTP API. Default: the environment variable WIREHUB_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Trust the certificate authorities in this PEM file, in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The maximum number of items. If there are more, standard error says how to continue.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: usize,

    /// Continue after this item, the last one of the previous list.
    #[arg(long, value_name = "NAME")]
    pub after: Option<String>,

    /// Write JSON, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// The commands for operators.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ApiCommand {
    /// List the sessions of a server.
    #[command(after_help = SESSIONS_NOTES)]
    Sessions {
        /// The server and the API key.
        #[command(flatten)]
        api: ApiOptions,
        /// Only sessions of this user.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// List the channels of a server that have subscribers.
    #[command(after_help = CHANNELS_NOTES)]
    Channels {
        /// The server and the API key.
        #[command(flatten)]
        api: ApiOptions,
        /// Only channels whose names begin with this.
        #[arg(long, value_name = "TEXT")]
        prefix: Option<String>,
    },
    /// List the nodes: the servers that share an engine.
    #[command(after_help = NODES_NOTES)]
    Nodes {
        /// The server and the API key.
        #[command(flatten)]
        api: ApiOptions,
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

const NODES_NOTES: &str = "\
Examples:
  wirehub nodes --key-file api.key http://127.0.0.1:8080
  wirehub nodes --json https://app.example | jq -r 'select(.state == \"stopping\") | .name'";

/// The fields of a session in the table.
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

#[derive(Deserialize)]
struct Node {
    node: String,
    name: String,
    version: String,
    started: u64,
    sessions: u64,
    channels: u64,
    state: String,
}

impl ApiCommand {
    /// Runs the command and returns the exit status: 0, or 1 for a failure.
    pub fn run(self) -> ExitCode {
        match runtime().and_then(|runtime| runtime.block_on(self.carry_out())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report_error(&error);
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
            Self::Nodes { api } => {
                let nodes = api.list("nodes", ("prefix", None)).await?;
                if api.json {
                    return Ok(nodes.iter().try_for_each(line)?);
                }
                let mut rows = Vec::with_capacity(nodes.len());
                for node in nodes {
                    let Node { node, name, version, started, sessions, channels, state } =
                        serde_json::from_value(node)?;
                    let (sessions, channels) = (sessions.to_string(), channels.to_string());
                    rows.push([node, name, version, moment(started), sessions, channels, state]);
                }
                Ok(table(["NODE", "NAME", "VERSION", "STARTED", "SESSIONS", "CHANNELS", "STATE"], &rows)?)
            }
        }
    }
}

impl ApiOptions {
    /// Reads a list, page by page.
    async fn list(&self, what: &str, filter: (&str, Option<String>)) -> Result<Vec<Value>, Failure> {
        let key = self.key()?;
        let address = trusting(&self.url, self.ca.as_deref())?;
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
            let mut page = ask(&address, Method::GET, &path, &key, None).await?;
            let Some(Value::Array(found)) = page.get_mut(what).map(Value::take) else {
                return Err(
                    "the answer does not come from the HTTP API of this version: check the address".into()
                );
            };
            items.extend(found);
            if let Some(Value::Array(missing)) = page.get("missing_nodes") {
                let missing: Vec<_> = missing.iter().filter_map(Value::as_str).collect();
                note(&format!(
                    "the list is incomplete: no answer from the nodes {}; try again",
                    missing.join(", ")
                ));
            }
            match page.get("next").and_then(Value::as_str) {
                Some(next) if items.len() >= self.limit => {
                    note(&format!("there are more: use a larger --limit, or continue with --after {next}"));
                    return Ok(items);
                }
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
    }

    fn key(&self) -> Result<String, Failure> {
        read_key(self.key_file.as_deref())
    }
}

/// The address, with other certificate authorities if there is a file of them.
pub(crate) fn trusting(address: &Address, ca: Option<&Path>) -> Result<Address, Failure> {
    let Some(path) = ca else { return Ok(address.clone()) };
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(address.clone().with_root_certificates(&pem)?)
}

/// Reads the key, which never appears in output.
pub(crate) fn read_key(file: Option<&Path>) -> Result<String, Failure> {
    let key = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the key in {}: {error}", path.display()))?,
        None => std::env::var("WIREHUB_API_KEY").map_err(
            |_| "this needs a key of the server's HTTP API: add --key-file FILE, or set WIREHUB_API_KEY",
        )?,
    };
    ApiKey::new(key.trim_end())?;
    Ok(key.trim_end().to_owned())
}

/// Makes a request of the API.
pub(crate) async fn ask(
    address: &Address,
    method: Method,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let answer = timeout(PATIENCE, exchange(address, method, path, key, body)).await;
    answer.map_err(|_| format!("the server did not answer within {PATIENCE:?}"))?
}

async fn exchange(
    address: &Address,
    method: Method,
    path: &str,
    key: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let stream = address.dial().await.map_err(|error| format!("no connection: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.uri().authority().map_or("localhost", |authority| authority.as_str()))
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    // Drives the exchange. It ends when the sender is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
    if matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
        return Ok(serde_json::from_slice(&body)?);
    }
    let problem: Option<Value> = serde_json::from_slice(&body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")).and_then(Value::as_str);
    Err(detail
        .map_or_else(|| format!("the server answered {status}: is its HTTP API enabled?"), Into::into)
        .into())
}

pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    // The parser expects the schemes of WebSockets.
    let address = match text.split_once("://") {
        Some(("http", rest)) => Address::parse(&format!("ws://{rest}")),
        Some(("https", rest)) => Address::parse(&format!("wss://{rest}")),
        Some(_) => return Err("invalid address: write http://HOST:PORT, https://HOST or unix:FILE".into()),
        None => Address::parse(text),
    };
    address.map_err(|_| "invalid address: write http://HOST:PORT, https://HOST or unix:FILE".into())
}

/// Escapes a text for a query.
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

/// The page size: the maximum of the API.
const PAGE: usize = 1000;

/// The limits of an answer, in bytes and in time.
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
    fn any_text_stays_within_its_query_parameter() {
        assert_eq!(escaped("a&b=c d/ü"), "a%26b%3Dc%20d%2F%C3%BC");
    }
}
