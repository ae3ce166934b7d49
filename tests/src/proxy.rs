//! A proxy between a client and its server that can break.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wirehub_client::Address;

/// A TCP proxy on a free port. It ends with its last connection after it was dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
}

/// The state of the line.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// The number of cuts: connections with an older number are closed.
    cuts: u64,
    /// Messages from the server are lost without notice.
    mute: bool,
    /// New connections wait.
    held: bool,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, watched) = watch::channel(Line::default());
        tokio::spawn(async move {
            let mut ended = watched.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { return };
                        let Ok(server) = TcpStream::connect(server).await else { continue };
                        tokio::spawn(forward(client, server, watched.clone()));
                    }
                    // The sender is gone.
                    Err(_) = async { loop { if let Err(gone) = ended.changed().await { break Err::<(), _>(gone) } } } => return,
                }
            }
        });
        Self { address, line }
    }

    /// The address for clients.
    pub fn address(&self) -> Address {
        Address::parse(&format!("ws://{}/ws", self.address)).unwrap()
    }

    /// Closes every connection: messages in flight are lost.
    pub fn cut(&self) {
        self.line.send_modify(|line| line.cuts = line.cuts.wrapping_add(1));
    }

    /// Loses messages from the server from now on, or stops doing so.
    pub fn mute(&self, mute: bool) {
        self.line.send_modify(|line| line.mute = mute);
    }

    /// Makes new connections wait from now on, or stops doing so.
    pub fn hold(&self, held: bool) {
        self.line.send_modify(|line| line.held = held);
    }
}

async fn forward(client: TcpStream, server: TcpStream, mut line: watch::Receiver<Line>) {
    let now = match line.wait_for(|line| !line.held).await {
        Ok(line) => *line,
        Err(_) => return,
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let watched = line.clone();
    tokio::select! {
        () = copy(from_client, to_server, || false) => {}
        () = copy(from_server, to_client, move || watched.borrow().mute) => {}
        _ = line.wait_for(|line| line.cuts != now.cuts) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lose: impl Fn() -> bool) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Some(read) = buffer.get(..length) else { return };
        if !lose() && to.write_all(read).await.is_err() {
            return;
        }
    }
}
