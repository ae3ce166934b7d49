//! A connection between two programs that breaks.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// The pieces of up to 16 KiB in each direction that a line holds. A sender waits for room.
const ON_THE_WAY: usize = 64;

/// A TCP proxy on a free port of the loopback interface, whose connections can break. They end with this value.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// The number of cuts: connections with an older number are closed.
    cuts: u64,
    /// New connections are closed at once.
    closed: bool,
    /// Nothing moves.
    held: bool,
    /// Bytes from the target are lost without notice.
    mute: bool,
    delay: Duration,
}

impl Line {
    /// A line to an address. Whether anything listens there is of interest with the first connection only.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(State::default());
        tokio::spawn(async move {
            let mut ended = watched.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { return };
                        if !watched.borrow().closed {
                            tokio::spawn(forward(stream, target, watched.clone()));
                        }
                    }
                    // The sender is gone.
                    _ = ended.wait_for(|_| false) => return,
                }
            }
        });
        Self { address, state }
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection: bytes on their way are lost. New connections work.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts = state.cuts.wrapping_add(1));
    }

    /// Closes every connection, and each new one at once, until the line is [healed](Self::heal).
    pub fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
        self.cut();
    }

    /// From now on, no byte moves and nothing is closed, as if a cable were pulled out; or everything moves on. New
    /// connections are accepted.
    pub fn hold(&self, held: bool) {
        self.state.send_modify(|state| state.held = held);
    }

    /// From now on, each byte takes that much longer, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Loses bytes from the target from now on, or stops doing so. Only a [cut](Self::cut) makes sense after that.
    pub fn mute(&self, mute: bool) {
        self.state.send_modify(|state| state.mute = mute);
    }

    /// Ends every fault. Closed connections stay closed.
    pub fn heal(&self) {
        self.state.send_modify(|state| *state = State { cuts: state.cuts, ..State::default() });
    }
}

async fn forward(stream: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    let mut cut = state.clone();
    let work = async {
        // A line that is held does not reach its target.
        state.wait_for(|state| !state.held).await.ok()?;
        let target = TcpStream::connect(target).await.ok()?;
        // The delay is that of the line, not that of the system.
        target.set_nodelay(true).ok()?;
        stream.set_nodelay(true).ok()?;
        let (from_client, to_client) = stream.into_split();
        let (from_target, to_target) = target.into_split();
        let there = copy(from_client, to_target, state.clone(), false);
        let back = copy(from_target, to_client, state.clone(), true);
        tokio::join!(there, back);
        Some(())
    };
    tokio::select! {
        _ = work => {}
        _ = cut.wait_for(|state| state.cuts != cuts) => {}
    }
}

/// Moves bytes until the sender's end, which is passed on.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    is_back: bool,
) {
    let (put, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let watched = state.clone();
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let now = *watched.borrow();
            let is_lost = is_back && now.mute;
            if !is_lost && put.send((Instant::now() + now.delay, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = take.recv().await {
            tokio::time::sleep_until(at).await;
            if state.wait_for(|state| !state.held).await.is_err() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The end waits like a byte.
        if state.wait_for(|state| !state.held).await.is_ok() {
            let _ = to.shutdown().await;
        }
    };
    tokio::join!(read, write);
}
