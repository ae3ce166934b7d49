//! Lines that break.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use wirehub_test_redis::{Line, PATIENCE};

/// Long enough for a byte over the loopback interface to arrive, if it moves.
const A_MOMENT: Duration = Duration::from_millis(50);

/// A line, its listener, and both ends of its first connection.
async fn connected() -> (Line, TcpListener, TcpStream, TcpStream) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = Line::to(target.local_addr().unwrap()).await;
    let near = TcpStream::connect(line.address()).await.unwrap();
    let far = target.accept().await.unwrap().0;
    (line, target, near, far)
}

async fn passes(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"x").await.unwrap();
    arrives(to).await;
}

async fn arrives(to: &mut TcpStream) {
    assert_eq!(timeout(PATIENCE, to.read_u8()).await.unwrap().unwrap(), b'x');
}

async fn is_closed(stream: &mut TcpStream) {
    let end = timeout(PATIENCE, stream.read_u8()).await.unwrap();
    assert!(end.is_err(), "{end:?}");
}

#[tokio::test]
async fn bytes_and_ends_pass_in_both_directions() {
    let (_line, _, mut near, mut far) = connected().await;
    passes(&mut near, &mut far).await;
    passes(&mut far, &mut near).await;
    near.shutdown().await.unwrap();
    is_closed(&mut far).await;
    passes(&mut far, &mut near).await;
}

#[tokio::test]
async fn a_cut_closes_connections_and_new_ones_work() {
    let (line, target, mut near, mut far) = connected().await;
    line.cut();
    is_closed(&mut near).await;
    is_closed(&mut far).await;
    let mut near = TcpStream::connect(line.address()).await.unwrap();
    let mut far = target.accept().await.unwrap().0;
    passes(&mut near, &mut far).await;
}

#[tokio::test]
async fn a_closed_line_closes_new_connections_until_it_is_healed() {
    let (line, target, mut near, _far) = connected().await;
    line.close();
    is_closed(&mut near).await;
    is_closed(&mut TcpStream::connect(line.address()).await.unwrap()).await;
    line.heal();
    let mut near = TcpStream::connect(line.address()).await.unwrap();
    let mut far = target.accept().await.unwrap().0;
    passes(&mut near, &mut far).await;
}

#[tokio::test]
async fn a_held_line_moves_nothing_and_closes_nothing_until_it_is_healed() {
    let (line, target, mut near, mut far) = connected().await;
    line.hold(true);
    near.write_all(b"x").await.unwrap();
    far.write_all(b"x").await.unwrap();
    timeout(A_MOMENT, near.read_u8()).await.unwrap_err();
    timeout(A_MOMENT, far.read_u8()).await.unwrap_err();
    let mut second = TcpStream::connect(line.address()).await.unwrap();
    timeout(A_MOMENT, target.accept()).await.unwrap_err();
    line.heal();
    arrives(&mut near).await;
    arrives(&mut far).await;
    let mut second_far = target.accept().await.unwrap().0;
    passes(&mut second, &mut second_far).await;
}

#[tokio::test]
async fn an_end_waits_on_a_held_line_too() {
    let (line, _, near, mut far) = connected().await;
    line.hold(true);
    drop(near);
    timeout(A_MOMENT, far.read_u8()).await.unwrap_err();
    line.hold(false);
    is_closed(&mut far).await;
}

#[tokio::test]
async fn a_delay_is_that_of_each_byte_and_keeps_their_order() {
    let (line, _, mut near, mut far) = connected().await;
    let delay = Duration::from_millis(100);
    line.delay(delay);
    near.write_all(b"ab").await.unwrap();
    line.delay(Duration::ZERO);
    near.write_all(b"cd").await.unwrap();
    let mut read = [0; 4];
    timeout(PATIENCE, far.read_exact(&mut read)).await.unwrap().unwrap();
    assert_eq!(&read, b"abcd");
    line.delay(delay);
    let started = Instant::now();
    passes(&mut far, &mut near).await;
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_mute_line_loses_bytes_of_the_target_only() {
    let (line, _, mut near, mut far) = connected().await;
    line.mute(true);
    far.write_all(b"y").await.unwrap();
    passes(&mut near, &mut far).await;
    timeout(A_MOMENT, near.read_u8()).await.unwrap_err();
    line.mute(false);
    passes(&mut far, &mut near).await;
}

#[tokio::test]
async fn connections_end_with_the_line() {
    let (line, _, mut near, mut far) = connected().await;
    let address = line.address();
    drop(line);
    is_closed(&mut near).await;
    is_closed(&mut far).await;
    while TcpStream::connect(address).await.is_ok() {}
}
