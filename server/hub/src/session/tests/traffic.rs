//! The counted bytes of sessions.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_byte_of_every_session_is_counted() {
    let mut first = Client::open(Builder::open(), 1 << 20).await;
    let hub = first.hub.clone();
    let mut second = Client::open_at(hub.clone(), 1 << 20).await;
    let (mut received, mut sent) = (0, 0);
    for client in [&mut first, &mut second] {
        let subscribe = Subscribe { channel: a(), number: 1, position: None, history: 0 };
        let connect = Request::Connect(Connect { subscriptions: vec![subscribe], ..Connect::default() });
        received += masked(CODEC.encode_command(&Command { id: 1, request: connect.clone() }).len());
        client.send(connect).await;
        sent += unmasked(client.next().await.len());
        client.socket.send(Message::Ping("alive".into())).await.unwrap();
        received += masked(5);
        assert_eq!(client.next().await, Message::Pong("alive".into()));
        sent += unmasked(5);
    }
    // A small message, and one in parts, with headers of other sizes.
    for bytes in [1, 100_000] {
        hub.publish_raw(&a(), Payload::bytes(vec![0; bytes])).unwrap();
        for client in [&mut first, &mut second] {
            let mut left = bytes;
            while left > 0 {
                let length = client.next().await.len();
                sent += unmasked(length);
                left = left.saturating_sub(length);
            }
        }
    }
    first.socket.close(None).await.unwrap();
    received += masked(0);
    assert_eq!(first.next().await, Message::Close(None));
    sent += unmasked(0);
    first.session.await.unwrap();
    let counts = hub.counts();
    assert_eq!((counts.received_bytes, counts.sent_bytes), (received, sent));
}

#[tokio::test]
async fn bytes_read_behind_the_handshake_are_counted_once() {
    let hub = Builder::open().build();
    let (server, mut client) = duplex(64);
    let mut stream = Metered::new(server, hub.connections().enter().unwrap(), b"early");
    client.write_all(b"late").await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    drop(client);
    assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
    let counts = hub.counts();
    assert_eq!((counts.received_bytes, counts.sent_bytes), (9, 0));
}

/// The bytes of a client's frame with this content.
fn masked(content: usize) -> u64 {
    unmasked(content) + 4
}

/// The bytes of a server's frame with this content (RFC 6455, section 5.2).
fn unmasked(content: usize) -> u64 {
    let header = match content {
        ..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    header + content as u64
}
