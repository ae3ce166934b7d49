//! The load's end of a connection: as little code as gets messages out and counts those that come in.

use std::io;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wirehub_common::frame::{Answer, Command, Connect, Publish, Reply, Request, ServerFrame, Subscribe};
use wirehub_common::{ChannelName, Codec, Payload, SUBPROTOCOL_PROTOBUF};

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The bytes of the messages, with a byte before the first that says the role.
    Raw,
    /// WebSocket messages; the path says the role.
    WebSocket,
    Wirehub,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Subscriber,
    Publisher,
    Echo,
}

const ROLES: [(Role, u8, &str); 3] = [
    (Role::Subscriber, b's', "/subscribe"),
    (Role::Publisher, b'p', "/publish"),
    (Role::Echo, b'e', "/echo"),
];

impl Role {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        ROLES.iter().find(|(_, it, _)| *it == byte).map(|(role, ..)| *role)
    }

    pub(crate) fn from_path(path: &str) -> Option<Self> {
        ROLES.iter().find(|(.., it)| *it == path).map(|(role, ..)| *role)
    }

    fn byte(self) -> u8 {
        match self {
            Self::Subscriber => b's',
            Self::Publisher => b'p',
            Self::Echo => b'e',
        }
    }

    fn path(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Echo, _) => "/echo",
            (_, Dialect::Wirehub) => "/ws",
            (Self::Subscriber, _) => "/subscribe",
            (Self::Publisher, _) => "/publish",
        }
    }
}

const CHANNEL: &str = "chat:bench";

/// Opens a connection and does all that comes before messages. With Wirehub a subscriber is connected and subscribed, a
/// publisher connected.
pub(crate) async fn open(dialect: Dialect, address: std::net::SocketAddr, role: Role) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    if dialect == Dialect::Raw {
        stream.write_all(&[role.byte()]).await?;
        ensure!(stream.read_u8().await? == role.byte(), "the floor did not take the connection");
        return Ok(stream);
    }
    let protocol = match (dialect, role) {
        (Dialect::Wirehub, Role::Subscriber | Role::Publisher) => {
            format!("Sec-WebSocket-Protocol: {SUBPROTOCOL_PROTOBUF}\r\n")
        }
        _ => String::new(),
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n",
        role.path(dialect)
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(stream.read_u8().await.context("the server closed in the handshake")?);
    }
    let response = String::from_utf8_lossy(&response);
    ensure!(response.starts_with("HTTP/1.1 101 "), "the handshake was refused: {response}");
    if dialect == Dialect::Wirehub && role != Role::Echo {
        ask(&mut stream, Command { id: 1, request: Request::Connect(Connect::default()) }).await?;
        if role == Role::Subscriber {
            let subscribe = Subscribe { channel: channel()?, number: 2, position: None };
            ask(&mut stream, Command { id: 2, request: Request::Subscribe(subscribe) }).await?;
        }
    }
    Ok(stream)
}

/// A message as the publisher writes it.
pub(crate) fn publish(dialect: Dialect, payload: &[u8]) -> Result<Vec<u8>> {
    Ok(match dialect {
        Dialect::Raw => unmasked(payload),
        Dialect::WebSocket => masked(payload),
        Dialect::Wirehub => {
            let payload = Payload::bytes(Bytes::copy_from_slice(payload));
            let publish = Publish { channel: channel()?, payload, key: String::new() };
            // Without an id there is no answer, as there is none with the others.
            masked(&Codec::Protobuf.encode_command(&Command { id: 0, request: Request::Publish(publish) }))
        }
    })
}

/// A message for an echo, and what comes back.
pub(crate) fn echo(dialect: Dialect, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let answer = unmasked(payload);
    let question = if dialect == Dialect::Raw { answer.clone() } else { masked(payload) };
    (question, answer)
}

async fn ask(stream: &mut TcpStream, command: Command) -> Result<()> {
    stream.write_all(&masked(&Codec::Protobuf.encode_command(&command))).await?;
    loop {
        let message = read_message(stream).await.context("the server closed instead of an answer")?;
        for frame in Codec::Protobuf.decode_frames(&message) {
            match frame? {
                ServerFrame::Reply(Reply {
                    id,
                    result: Ok(Answer::Connected(_) | Answer::Subscribed(_)),
                }) if id == command.id => {
                    return Ok(());
                }
                ServerFrame::Reply(reply) => bail!("{command:?} was answered by {reply:?}"),
                ServerFrame::Push(_) => {}
            }
        }
    }
}

/// One message of a server that sends nothing longer than 64 KiB before the load begins.
async fn read_message(stream: &mut TcpStream) -> io::Result<Bytes> {
    let _kind = stream.read_u8().await?;
    let length = match stream.read_u8().await? {
        126 => stream.read_u16().await?,
        length => length.into(),
    };
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message.into())
}

fn channel() -> Result<ChannelName> {
    Ok(ChannelName::new(CHANNEL)?)
}

/// A server's binary message.
fn unmasked(payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), 0)[..], payload].concat()
}

/// A client's binary message. The mask is zero, which is as good as any other for a server that undoes it.
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

/// Counts the messages in what a subscriber reads.
#[derive(Debug)]
pub(crate) struct Counter {
    /// Whether a WebSocket message holds any number of messages, each with its length before it.
    batched: bool,
    header: Vec<u8>,
    /// What is still to come of a WebSocket message.
    rest: u64,
    /// What is still to come of a message in a batch, or the part of its length that came.
    inner_rest: u64,
    inner_length: (u64, u32),
}

impl Counter {
    pub(crate) fn new(dialect: Dialect) -> Self {
        // The floor sends what its publisher sent: WebSocket messages as they are.
        let batched = dialect == Dialect::Wirehub;
        Self { batched, header: Vec::with_capacity(10), rest: 0, inner_rest: 0, inner_length: (0, 0) }
    }

    /// How many messages end in these bytes.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while !bytes.is_empty() {
            if self.rest == 0 {
                let (first, others) = bytes.split_at(1);
                self.header.extend(first);
                bytes = others;
                let Some(length) = self.length() else { continue };
                self.header.clear();
                self.rest = length;
                continue;
            }
            let here = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            let (payload, others) = bytes.split_at(here);
            bytes = others;
            self.rest -= here as u64;
            messages += if self.batched { self.count_inner(payload) } else { u64::from(self.rest == 0) };
        }
        messages
    }

    /// What the header of a WebSocket message says, once it is there.
    fn length(&self) -> Option<u64> {
        let bytes = |count: usize| {
            let bytes = self.header.get(2..2 + count)?;
            Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
        };
        match self.header.get(1)? {
            126 => bytes(2),
            127 => bytes(8),
            length => Some(u64::from(*length)),
        }
    }

    fn count_inner(&mut self, mut payload: &[u8]) -> u64 {
        let mut messages = 0;
        while let Some((first, others)) = payload.split_first() {
            if self.inner_rest == 0 {
                let (length, shift) = &mut self.inner_length;
                *length |= u64::from(first & 0x7f) << *shift;
                *shift += 7;
                if first & 0x80 == 0 {
                    self.inner_rest = *length;
                    self.inner_length = (0, 0);
                }
                payload = others;
                continue;
            }
            let here = payload.len().min(usize::try_from(self.inner_rest).unwrap_or(usize::MAX));
            payload = &payload[here..];
            self.inner_rest -= here as u64;
            messages += u64::from(self.inner_rest == 0);
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_in_pieces(dialect: Dialect, bytes: &[u8], size: usize) -> u64 {
        let mut counter = Counter::new(dialect);
        bytes.chunks(size).map(|piece| counter.count(piece)).sum()
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let lengths = [1, 125, 126, 300, 70_000];
        let plain: Vec<u8> = lengths.iter().flat_map(|&length| unmasked(&vec![7; length])).collect();
        let frame = |length: usize| {
            let answer = ServerFrame::Reply(Reply {
                id: 1,
                result: Ok(Answer::Called(wirehub_common::frame::Called {
                    payload: Payload::bytes(vec![7; length]),
                    more: false,
                })),
            });
            Codec::Protobuf.encode_frame(&answer).to_vec()
        };
        let batch: Vec<u8> = [3, 0, 200, 70_000].into_iter().flat_map(frame).collect();
        let batched = [unmasked(&batch), unmasked(&[]), unmasked(&frame(5))].concat();
        for size in [1, 2, 3, 7, 1000, usize::MAX] {
            assert_eq!(count_in_pieces(Dialect::WebSocket, &plain, size), 5);
            assert_eq!(count_in_pieces(Dialect::Wirehub, &batched, size), 5);
        }
    }
}
