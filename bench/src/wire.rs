//! The load's end of a connection, with as little code as possible: it sends messages and counts the received ones.

mod counter;

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wirehub_common::frame::{Command, Connect, Publish, Reply, ReplyBody, Request, ServerFrame, Subscribe};
use wirehub_common::{ChannelName, Codec, Payload, SUBPROTOCOL_PROTOBUF};

pub(crate) use self::counter::Counter;

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The bytes of the messages; the first byte of the connection is the role.
    Raw,
    /// WebSocket messages; the path is the role.
    WebSocket,
    Wirehub,
}

/// The role of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Subscriber,
    Publisher,
    Echo,
    /// Subscribes and leaves. With servers that have no subscribe command it receives echoes instead.
    Visitor,
}

const ROLES: [(Role, u8, &str); 4] = [
    (Role::Subscriber, b's', "/subscribe"),
    (Role::Publisher, b'p', "/publish"),
    (Role::Echo, b'e', "/echo"),
    (Role::Visitor, b'v', "/echo"),
];

impl Role {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        ROLES.iter().find(|(_, it, _)| *it == byte).map(|(role, ..)| *role)
    }

    pub(crate) fn from_path(path: &str) -> Option<Self> {
        ROLES.iter().find(|(.., it)| *it == path).map(|(role, ..)| *role)
    }

    pub(crate) fn byte(self) -> u8 {
        ROLES.iter().find(|(it, ..)| *it == self).map_or(0, |(_, byte, _)| *byte)
    }

    fn path(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Wirehub if self != Self::Echo => "/ws",
            _ => ROLES.iter().find(|(it, ..)| *it == self).map_or("/", |(.., path)| path),
        }
    }
}

/// The channel for loads with only one. The other servers have no other channel.
pub(crate) const CHANNEL: &str = "chat:bench";

/// Opens a connection and does everything that comes before messages. With Wirehub a subscriber is connected and
/// subscribed, a publisher connected.
pub(crate) async fn open(dialect: Dialect, address: SocketAddr, role: Role) -> Result<TcpStream> {
    let mut stream = connect(address).await?;
    begin(&mut stream, dialect, role, CHANNEL).await?;
    Ok(stream)
}

pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// See [`open`]; a subscriber subscribes to `channel`.
pub(crate) async fn begin<S>(stream: &mut S, dialect: Dialect, role: Role, channel: &str) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if dialect == Dialect::Raw {
        stream.write_all(&[role.byte()]).await?;
        ensure!(stream.read_u8().await? == role.byte(), "the floor did not take the connection");
        return Ok(());
    }
    let protocol = match (dialect, role) {
        (Dialect::Wirehub, Role::Subscriber | Role::Publisher | Role::Visitor) => {
            format!("Sec-WebSocket-Protocol: {SUBPROTOCOL_PROTOBUF}\r\n")
        }
        _ => String::new(),
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n",
        role.path(dialect)
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(stream.read_u8().await.context("the server closed in the handshake")?);
    }
    let response = String::from_utf8_lossy(&response);
    ensure!(response.starts_with("HTTP/1.1 101 "), "the handshake was refused: {response}");
    if dialect == Dialect::Wirehub && role != Role::Echo {
        ask(stream, Command { id: 1, request: Request::Connect(Connect::default()) }).await?;
        if role != Role::Publisher {
            let subscribe =
                Subscribe { channel: ChannelName::new(channel)?, number: 2, position: None, history: 0 };
            ask(stream, Command { id: 2, request: Request::Subscribe(subscribe) }).await?;
        }
    }
    Ok(())
}

/// Reads until `messages` messages have arrived.
pub(crate) async fn receive<S>(stream: &mut S, dialect: Dialect, messages: u64) -> Result<()>
where
    S: AsyncRead + Unpin,
{
    let mut counter = Counter::new(dialect);
    let mut buffer = [0; 1024];
    let mut came = 0;
    while came < messages {
        let length = stream.read(&mut buffer).await?;
        ensure!(length > 0, "the server closed after {came} messages of {messages}");
        came += counter.count(&buffer[..length]);
    }
    Ok(())
}

/// A message as the publisher sends it.
pub(crate) fn publish(dialect: Dialect, payload: &[u8]) -> Result<Vec<u8>> {
    publish_in(dialect, CHANNEL, 0, payload)
}

/// The same in any channel. With Wirehub it is answered if `id` is not 0; with the others there are no answers.
pub(crate) fn publish_in(dialect: Dialect, channel: &str, id: u32, payload: &[u8]) -> Result<Vec<u8>> {
    Ok(match dialect {
        Dialect::Raw => unmasked(payload),
        Dialect::WebSocket => masked(payload),
        Dialect::Wirehub => masked(&publish_command(channel, id, payload)?),
    })
}

/// A WebSocket message full of messages, or separate messages with as many bytes in total; also returns their
/// number.
pub(crate) fn flood(dialect: Dialect, channel: &str, payload: &[u8]) -> Result<(Vec<u8>, u64)> {
    let one = match dialect {
        Dialect::Wirehub => publish_command(channel, 0, payload)?,
        _ => publish_in(dialect, channel, 0, payload)?.into(),
    };
    let messages = MESSAGE_BYTES / one.len();
    let all = one.repeat(messages);
    Ok((if dialect == Dialect::Wirehub { masked(&all) } else { all }, messages as u64))
}

/// The largest WebSocket message, minus the longest header.
const MESSAGE_BYTES: usize = 64 * 1024 - 14;

fn publish_command(channel: &str, id: u32, payload: &[u8]) -> Result<Bytes> {
    let payload = Payload::bytes(Bytes::copy_from_slice(payload));
    let publish = Publish { channel: ChannelName::new(channel)?, payload, key: String::new() };
    Ok(Codec::Protobuf.encode_command(&Command { id, request: Request::Publish(publish) }))
}

/// A message for an echo, and the expected answer.
pub(crate) fn echo(dialect: Dialect, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let answer = unmasked(payload);
    let question = if dialect == Dialect::Raw { answer.clone() } else { masked(payload) };
    (question, answer)
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, command: Command) -> Result<()> {
    stream.write_all(&masked(&Codec::Protobuf.encode_command(&command))).await?;
    stream.flush().await?;
    loop {
        let message = read_message(stream).await.context("the server closed instead of an answer")?;
        for frame in Codec::Protobuf.decode_frames(&message) {
            match frame.with_context(|| format!("{message:?} can't be decoded"))? {
                ServerFrame::Reply(Reply {
                    id,
                    result: Ok(ReplyBody::Connected(_) | ReplyBody::Subscribed(_)),
                }) if id == command.id => {
                    return Ok(());
                }
                ServerFrame::Reply(reply) => bail!("{command:?} was answered by {reply:?}"),
                ServerFrame::Push(_) | ServerFrame::Part(_) => {}
            }
        }
    }
}

/// One message of a server that sends nothing longer than 64 KiB before the load begins.
async fn read_message<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Bytes> {
    let _kind = stream.read_u8().await?;
    let length = match stream.read_u8().await? {
        126 => stream.read_u16().await?,
        length => length.into(),
    };
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message.into())
}

/// A server's binary message.
fn unmasked(payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), 0)[..], payload].concat()
}

/// A client's binary message. The mask is zero, which makes no difference to a server that removes it.
fn masked(payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), 0x80)[..], &[0; 4], payload].concat()
}

fn header(length: usize, mask: u8) -> Vec<u8> {
    let mut header = vec![0x82];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => header.push(mask | length),
        (_, Ok(length)) => {
            header.push(mask | 126);
            header.extend(length.to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header
}
