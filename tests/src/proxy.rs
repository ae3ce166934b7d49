//! A proxy between a client and its server that can break.

use std::net::SocketAddr;

use wirehub_client::Address;
use wirehub_test_redis::Line;

/// A TCP proxy on a free port. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    line: Line,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        Self { line: Line::to(server).await }
    }

    /// The address for clients.
    pub fn address(&self) -> Address {
        Address::parse(&format!("ws://{}/ws", self.line.address())).unwrap()
    }

    /// Closes every connection: messages in flight are lost.
    pub fn cut(&self) {
        self.line.cut();
    }

    /// Loses messages from the server from now on, or stops doing so.
    pub fn mute(&self, mute: bool) {
        self.line.mute(mute);
    }

    /// Makes connections, also new ones, wait from now on, or stops doing so.
    pub fn hold(&self, held: bool) {
        self.line.hold(held);
    }
}
