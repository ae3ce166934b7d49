//! One table of scenarios for every driver: the client on tokio, the one for browsers, and the npm package. A driver
//! that differs from the table fails.
//!
//! The server, its faults and the comparison are here, the client is played elsewhere: in Rust by
//! [`wirehub_test_player`], in JavaScript by `client-wasm/npm/tests/scenarios`. A player connects to the stage by a
//! WebSocket whose path is the scenario, gets orders, and sends a line for each event. At the path `/` it gets the names.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wirehub_test_player::{Begin as Settings, Order};

use self::house::House;
use crate::PATIENCE;

mod house;
mod table;

pub use self::table::TABLE;

/// One row of the table.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, in the address.
    pub name: &'static str,
    /// A description, for people.
    pub what: &'static str,
    /// The acts in their order.
    pub acts: &'static [Act],
}

/// One act of a scenario.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// The client is made: `tokens` for a token provider, or `token`, `queue` and `overflow` with their values;
    /// `foreign` for another program in the place of the server.
    Begin(&'static str),
    /// The client connects.
    Connect,
    /// The client subscribes and reads.
    Subscribe(&'static str),
    /// The client subscribes, and reads nothing before [`Act::Read`].
    SubscribeUnread(&'static str),
    /// The client reads.
    Read(&'static str),
    /// The client unsubscribes.
    Unsubscribe(&'static str),
    /// The client publishes a text.
    Publish(&'static str, &'static str),
    /// The client publishes bytes.
    PublishBytes(&'static str, &'static [u8]),
    /// The same with an attachment: a text as its head, and bytes.
    PublishAttachment(&'static str, &'static str, &'static [u8]),
    /// The client publishes a text of that many characters.
    PublishBig(&'static str, usize),
    /// The client calls.
    Call(&'static str, &'static str),
    /// The token provider answers.
    Token(&'static str),
    /// The token provider answers that the user has signed out.
    TokenSignedOut,
    /// The client closes.
    Close(u16, &'static str),
    /// The client reports an event.
    Sees(&'static str),
    /// The client reports the messages of [`Act::ServerFloods`].
    SeesFlood(&'static str, usize, usize),
    /// The server publishes.
    ServerPublishes(&'static str, &'static str),
    /// The server publishes a number of texts of that many characters.
    ServerFloods(&'static str, usize, usize),
    /// The call `count` has been carried out so many times.
    ServerCounts(&'static str),
    /// The server closes the client's connection.
    ServerDisconnects(u16, &'static str),
    /// The server ends the client's subscription.
    ServerUnsubscribes(&'static str, u16),
    /// The server stops in order, and another one takes its address.
    ServerRestarts,
    /// The connections break.
    LineCuts,
    /// The connections break, and new ones are refused.
    LineCloses,
    /// No byte moves.
    LineHolds,
    /// Bytes from the server are lost.
    LineMutes,
    /// The line works again.
    LineHeals,
}

/// Plays scenarios with players that connect to a listener.
pub async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(welcome(stream));
    }
}

/// A stage in this process.
pub async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    address
}

async fn welcome(stream: TcpStream) {
    let mut name = String::new();
    #[allow(clippy::result_large_err, reason = "the signature is the library's")]
    let note = |request: &Request, response: Response| {
        request.uri().path().trim_start_matches('/').clone_into(&mut name);
        Ok(response)
    };
    // A mere check for a listener does not shake hands.
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, note).await else { return };
    let last = match TABLE.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => {
            let failure = match Stage::play(&mut socket, scenario).await {
                Ok(()) => String::new(),
                Err(failure) => format!("{name}: {failure}"),
            };
            serde_json::to_string(&Order::End { failure }).unwrap()
        }
        None => TABLE.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(" "),
    };
    // A player that failed by itself is gone.
    let _ = socket.send(Message::text(last)).await;
    while let Some(Ok(_)) = socket.next().await {}
}

/// A scenario that is played.
struct Stage<'a> {
    player: &'a mut WebSocketStream<TcpStream>,
    house: House,
    /// The lines that have not been compared yet, by source.
    lines: HashMap<String, VecDeque<String>>,
    /// Every line and act, for a report.
    log: String,
    /// The last state.
    state: String,
}

impl<'a> Stage<'a> {
    async fn play(player: &'a mut WebSocketStream<TcpStream>, scenario: &Scenario) -> Result<(), String> {
        let house = House::open().await;
        let mut stage =
            Self { player, house, lines: HashMap::new(), log: String::new(), state: String::new() };
        for act in scenario.acts {
            let _ = writeln!(stage.log, "  {act:?}");
            stage.act(*act).await.map_err(|problem| format!("{problem}\n{}", last_lines(&stage.log)))?;
        }
        let rest: Vec<String> = stage.lines.into_values().flatten().collect();
        if rest.is_empty() {
            Ok(())
        } else {
            Err(format!("not in the table: {rest:?}\n{}", last_lines(&stage.log)))
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), String> {
        let order = match act {
            Act::Begin(words) => Order::Begin(self.settings(words)),
            Act::Connect => Order::Connect,
            Act::Subscribe(channel) => Order::Subscribe { channel: channel.into(), unread: false },
            Act::SubscribeUnread(channel) => Order::Subscribe { channel: channel.into(), unread: true },
            Act::Read(channel) => Order::Read { channel: channel.into() },
            Act::Unsubscribe(channel) => Order::Unsubscribe { channel: channel.into() },
            Act::Publish(channel, text) => Order::Publish { channel: channel.into(), text: text.into() },
            Act::PublishAttachment(channel, head, bytes) => {
                Order::PublishAttachment { channel: channel.into(), head: head.into(), bytes: bytes.into() }
            }
            Act::PublishBytes(channel, bytes) => {
                Order::PublishBytes { channel: channel.into(), bytes: bytes.into() }
            }
            Act::PublishBig(channel, size) => Order::Publish { channel: channel.into(), text: big(0, size) },
            Act::Call(name, text) => Order::Call { name: name.into(), text: text.into() },
            Act::Token(token) => Order::Token { token: Some(token.into()) },
            Act::TokenSignedOut => Order::Token { token: None },
            Act::Close(code, reason) => Order::Close { code, reason: reason.into() },
            Act::Sees(line) => return self.expect(line, |seen| seen == line).await,
            Act::SeesFlood(channel, count, size) => {
                for number in 0..count {
                    let line = format!("{channel}: {}", big(number, size));
                    let what = format!("{channel}: message {number} of {size} characters");
                    self.expect(&what, |seen| seen == line).await?;
                }
                return Ok(());
            }
            of_the_house => {
                self.house.act(of_the_house).await;
                return Ok(());
            }
        };
        let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
        self.player.send(Message::text(order)).await.map_err(|error| error.to_string())
    }

    fn settings(&self, words: &'static str) -> Settings {
        let mut words = words.split(' ');
        let mut settings = Settings::default();
        let mut address = self.house.address();
        while let Some(word) = words.next() {
            match word {
                "tokens" => settings.token = None,
                "token" => settings.token = words.next().map(Into::into),
                "foreign" => address = self.house.foreign_address(),
                "queue" => settings.queue = words.next().map(|bytes| bytes.parse().unwrap()),
                "overflow" => words.next().unwrap().clone_into(&mut settings.overflow),
                other => panic!("there is no setting {other}"),
            }
        }
        settings.url = format!("ws://{address}/ws");
        settings
    }

    /// Waits for a line of the same source.
    async fn expect(&mut self, what: &str, is_right: impl Fn(&str) -> bool) -> Result<(), String> {
        let source = source(what);
        let seen = loop {
            if let Some(line) = self.lines.get_mut(source).and_then(VecDeque::pop_front) {
                break line;
            }
            let next = tokio::time::timeout(PATIENCE, self.player.next()).await;
            let message =
                next.map_err(|_| format!("expected {what:?}, and nothing happened for {PATIENCE:?}"))?;
            let Some(Ok(message)) = message else {
                return Err(format!("expected {what:?}, and the player ended"));
            };
            if let Message::Text(line) = message {
                self.note(line.as_str());
            }
        };
        // Big texts are in the table by their length.
        if is_right(&seen) || format!("{source}: {}", size_of_big(&seen, source)) == what {
            return Ok(());
        }
        Err(format!("expected {what:?}, and the client reports {:?}", shortened(&seen)))
    }

    fn note(&mut self, line: &str) {
        let source = source(line);
        if source == "state" && std::mem::replace(&mut self.state, line.to_owned()) == line {
            return;
        }
        let _ = writeln!(self.log, "    {}", shortened(line));
        self.lines.entry(source.to_owned()).or_default().push_back(line.to_owned());
    }
}

/// The source of a line: the part before the first colon with a space behind it.
fn source(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(source, _)| source)
}

/// A text of `size` characters that is different for each number.
fn big(number: usize, size: usize) -> String {
    let pattern = format!("{number} ");
    pattern.chars().cycle().take(size).collect()
}

/// The length of the text of a line in words, if it is [`big`] with the number 0.
fn size_of_big(line: &str, source: &str) -> String {
    let text = line.strip_prefix(source).and_then(|rest| rest.strip_prefix(": ")).unwrap_or_default();
    let is_whole = text == big(0, text.len());
    if is_whole { format!("{} characters", text.len()) } else { String::new() }
}

fn shortened(line: &str) -> String {
    let mut text: String = line.chars().take(60).collect();
    if text.len() < line.len() {
        let _ = write!(text, "… ({} characters)", line.chars().count());
    }
    text
}

/// The end of a log.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(60)).flat_map(|line| [*line, "\n"]).collect()
}
