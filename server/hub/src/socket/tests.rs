//! The socket against a tungstenite client, over a pipe of a few bytes.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wirehub_common::code::CloseCode;

use super::{Fault, Incoming, Kind, Socket};

type Client = WebSocketStream<DuplexStream>;

async fn pair(capacity: usize) -> (Socket<DuplexStream>, Client) {
    let (server, client) = duplex(capacity);
    let socket = Socket::new(server, &Bytes::new(), 1024 * 1024);
    (socket, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
}

fn queue(socket: &mut Socket<DuplexStream>, pieces: &[&'static str]) {
    socket.queue(Kind::Text, |take| {
        for piece in pieces {
            take(Bytes::from_static(piece.as_bytes()));
        }
    });
}

fn poll_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

async fn flush(socket: &mut Socket<DuplexStream>) {
    poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
}

async fn receive(socket: &mut Socket<DuplexStream>) -> Result<Incoming, Fault> {
    poll_fn(|cx| socket.poll_receive(cx)).await
}

/// Runs both ends at once.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    tokio::join!(one, other)
}

async fn next(client: &mut Client) -> Message {
    client.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn batches_and_pongs_arrive_complete_over_a_narrow_stream() {
    for capacity in 1..=7 {
        const MESSAGES: usize = 40;
        let (mut socket, mut client) = pair(capacity).await;
        let pieces = [vec![b'a'; 1], vec![b'b'; 124], vec![b'c'; 300]].map(Bytes::from);
        let whole = pieces.concat();

        let server = async {
            let mut sent = 0;
            let mut pings = 0;
            poll_fn(|cx| {
                loop {
                    if !socket.is_writing() && socket.queued_bytes() == 0 && sent < MESSAGES {
                        sent += 1;
                        socket.queue(Kind::Binary, |take| pieces.iter().cloned().for_each(take));
                    }
                    let flushed = socket.poll_flush(cx);
                    match socket.poll_receive(cx) {
                        Poll::Ready(Ok(Incoming::Control)) => pings += 1,
                        Poll::Ready(other) => panic!("{other:?}"),
                        Poll::Pending if flushed.is_pending() || sent == MESSAGES => break,
                        Poll::Pending => {}
                    }
                }
                if sent == MESSAGES && pings == MESSAGES && socket.poll_flush(cx).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        };
        let conversation = async {
            let (mut to_server, mut from_server) = (&mut client).split();
            let pinging = async {
                for number in 0..MESSAGES {
                    to_server.send(Message::Ping(number.to_be_bytes().to_vec().into())).await.unwrap();
                }
            };
            let reading = async {
                let (mut messages, mut pongs) = (0, 0_usize);
                while messages < MESSAGES || pongs < MESSAGES {
                    match from_server.next().await.unwrap().unwrap() {
                        Message::Binary(data) => {
                            assert_eq!(data, whole);
                            messages += 1;
                        }
                        Message::Pong(data) => {
                            assert_eq!(
                                data,
                                pongs.to_be_bytes()[..],
                                "pongs come one for each ping, in order"
                            );
                            pongs += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            };
            tokio::join!(pinging, reading);
        };
        both(server, conversation).await;
    }
}

#[tokio::test]
async fn messages_of_all_header_lengths_arrive() {
    let (mut socket, mut client) = pair(4096).await;
    for length in [1, 125, 126, 65_535, 65_536, 200_000] {
        let data = Bytes::from(vec![7; length]);
        socket.queue(Kind::Binary, |take| take(data.clone()));
        let (_, received) = both(flush(&mut socket), next(&mut client)).await;
        assert_eq!(received, Message::Binary(data));
    }
    socket.queue_empty(Kind::Text);
    let (_, received) = both(flush(&mut socket), next(&mut client)).await;
    assert_eq!(received, Message::Text("".into()));
}

#[tokio::test]
async fn a_pong_overtakes_data_that_is_not_begun() {
    let (mut socket, mut client) = pair(1024).await;
    client.send(Message::Ping("?".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Ok(Incoming::Control));
    queue(&mut socket, &["data"]);
    flush(&mut socket).await;
    assert_eq!(next(&mut client).await, Message::Pong("?".into()));
    assert_eq!(next(&mut client).await, Message::Text("data".into()));
}

#[tokio::test]
async fn a_pong_waits_for_the_batch_in_flight_and_for_nothing_else() {
    let (mut socket, mut client) = pair(8).await;
    queue(&mut socket, &["begun and ", "not at its end"]);
    assert!(poll_once(|cx| socket.poll_flush(cx)).is_pending());
    assert!(socket.is_writing());

    // A ping with six bytes of header and mask and one byte of content fits into the pipe.
    client.send(Message::Ping("?".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Ok(Incoming::Control));
    assert!(poll_once(|cx| socket.poll_receive(cx)).is_pending(), "nothing is read while a pong waits");

    let server = async {
        flush(&mut socket).await;
        queue(&mut socket, &["next"]);
        flush(&mut socket).await;
    };
    let (_, received) = both(server, async { [next(&mut client).await, next(&mut client).await] }).await;
    assert_eq!(received, [Message::Text("begun and not at its end".into()), Message::Pong("?".into())]);
    assert_eq!(next(&mut client).await, Message::Text("next".into()));
}

#[tokio::test]
async fn a_read_writes_the_batch_and_the_pong_first() {
    let (mut socket, mut client) = pair(8).await;
    queue(&mut socket, &["a batch that takes several turns"]);
    assert!(poll_once(|cx| socket.poll_flush(cx)).is_pending());
    client.send(Message::Ping("?".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Ok(Incoming::Control));

    let reading = async {
        assert_eq!(next(&mut client).await, Message::Text("a batch that takes several turns".into()));
        assert_eq!(next(&mut client).await, Message::Pong("?".into()));
        client.send(Message::Text("!".into())).await.unwrap();
    };
    let (received, ()) = both(receive(&mut socket), reading).await;
    assert_eq!(received, Ok(Incoming::Message(Kind::Text, Bytes::from_static(b"!"))));
}

#[tokio::test]
async fn nothing_follows_our_close() {
    let (mut socket, mut client) = pair(1024).await;
    socket.close(CloseCode::SHUTDOWN, "");
    socket.close(CloseCode::BAD_FRAME, "too late");
    client.send(Message::Ping("?".into())).await.unwrap();
    client.send(Message::Text("late".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Ok(Incoming::Control));
    assert!(matches!(receive(&mut socket).await, Ok(Incoming::Message(..))));
    flush(&mut socket).await;
    let Message::Close(Some(frame)) = next(&mut client).await else { panic!("no close") };
    assert_eq!(u16::from(frame.code), 3000);
    client.flush().await.unwrap();
    assert_eq!(receive(&mut socket).await, Ok(Incoming::Close));
    assert_eq!(receive(&mut socket).await, Err(Fault::Gone));
    drop(socket);
    let mut rest = Vec::new();
    client.get_mut().read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0_u8; 0]);
}

#[tokio::test]
async fn our_close_goes_behind_queued_messages() {
    for capacity in [3, 1024] {
        let (mut socket, mut client) = pair(capacity).await;
        queue(&mut socket, &["last words"]);
        socket.close(CloseCode::SHUTDOWN, "restart");
        let server = async {
            flush(&mut socket).await;
            receive(&mut socket).await
        };
        let reading = async {
            assert_eq!(next(&mut client).await, Message::Text("last words".into()));
            let Message::Close(Some(frame)) = next(&mut client).await else { panic!("no close") };
            assert_eq!((u16::from(frame.code), frame.reason.as_str()), (3000, "restart"));
            // Sends the answer.
            client.flush().await.unwrap();
        };
        let (answer, ()) = both(server, reading).await;
        assert_eq!(answer, Ok(Incoming::Close));
    }
}

#[tokio::test]
async fn the_answer_to_a_close_goes_behind_queued_messages() {
    let (mut socket, mut client) = pair(1024).await;
    client.send(Message::Text("request".into())).await.unwrap();
    client.send(Message::Close(None)).await.unwrap();
    assert!(matches!(receive(&mut socket).await, Ok(Incoming::Message(..))));
    queue(&mut socket, &["response"]);
    assert_eq!(receive(&mut socket).await, Ok(Incoming::Close));
    flush(&mut socket).await;
    assert_eq!(next(&mut client).await, Message::Text("response".into()));
    assert_eq!(next(&mut client).await, Message::Close(None));
}

#[tokio::test]
async fn the_reason_of_a_close_is_cut_between_characters() {
    let (mut socket, mut client) = pair(1024).await;
    socket.close(CloseCode::BAD_FRAME, &"ä".repeat(100));
    flush(&mut socket).await;
    let Message::Close(Some(frame)) = next(&mut client).await else { panic!("no close") };
    assert_eq!(frame.reason.as_str(), "ä".repeat(61));
}

#[tokio::test]
async fn violations_are_distinguished_from_lost_connections() {
    const UNMASKED: &[u8] = &[0x81, 0x01, b'x'];
    const BAD_TEXT: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, 0xff];
    const TOO_LONG: &[u8] = &[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0];
    for (bytes, expected) in [
        (UNMASKED, Some(CloseCode::PROTOCOL_ERROR)),
        (BAD_TEXT, Some(CloseCode::INVALID_DATA)),
        (TOO_LONG, Some(CloseCode::TOO_LARGE)),
        (b"", None),
    ] {
        let (server, mut client) = duplex(1024);
        let mut socket = Socket::new(server, &Bytes::new(), 1024 * 1024);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let code = match receive(&mut socket).await.unwrap_err() {
            Fault::Violation(code, _) => Some(code),
            Fault::Gone => None,
        };
        assert_eq!(code, expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_to_read_why_it_is_closed() {
    let (server, mut client) = duplex(64);
    let mut socket = Socket::new(server, &Bytes::new(), 1000);
    let reading = async {
        // A message of 2,000 bytes, masked with zeros.
        client.write_all(&[0x82, 0xfe, 0x07, 0xd0, 0, 0, 0, 0]).await.unwrap();
        client.write_all(&[0; 2000]).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        client.shutdown().await.unwrap();
        answer
    };
    let closing = async {
        let Err(Fault::Violation(code, reason)) = receive(&mut socket).await else { panic!("no violation") };
        socket.close(code, &reason);
        flush(&mut socket).await;
        poll_fn(|cx| socket.poll_linger(cx)).await;
    };
    let (answer, ()) = both(reading, closing).await;
    assert_eq!(answer[..1], [0x88]);
    assert_eq!(answer[2..4], 1009_u16.to_be_bytes());
}

#[tokio::test]
async fn bytes_read_behind_the_handshake_are_not_lost() {
    let (server, _client) = duplex(64);
    let leftover = Bytes::from_static(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let mut socket = Socket::new(server, &leftover, 0);
    let received = receive(&mut socket).now_or_never().unwrap();
    assert_eq!(received, Ok(Incoming::Message(Kind::Text, Bytes::from_static(b"hi"))));
}

#[test]
fn an_idle_connection_is_small() {
    // The size without the stream: a few pointers and flags.
    assert!(size_of::<Socket<()>>() <= 40, "{}", size_of::<Socket<()>>());
}
