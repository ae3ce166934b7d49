//! `/echo`: every message is sent back unchanged.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use wirehub_common::code::CloseCode;

use crate::Hub;
use crate::hub::connections::Phase;
use crate::hub::live::LiveSettings;
use crate::session::clock::{PONG_GRACE, later};
use crate::session::close_handshake::{self, CLOSE_TIMEOUT};
use crate::socket::{Fault, Socket};

/// Echoes until the connection or the hub ends, or until the client has been silent or idle for too long.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(hub: &Hub, mut socket: Socket<S>) {
    let mut timers = EchoTimers::new(&hub.live());
    let end = loop {
        let next = timers.next();
        let echoing = poll_fn(|cx| {
            let mut has_echoed = false;
            let end = socket.poll_echo(cx, &mut has_echoed).map(Some);
            let is_answer = socket.take_sign_of_life() && timers.note(Instant::now(), has_echoed);
            // The next deadline has changed.
            if is_answer && end.is_pending() { Poll::Ready(None) } else { end }
        });
        let end = tokio::select! {
            biased;
            end = echoing => end.map(|end| end.map_or_else(EchoEnd::Fault, |()| EchoEnd::Closed)),
            () = hub.connections().reached(Phase::Stopping) => Some(EchoEnd::Close(CloseCode::GOING_AWAY)),
            () = sleep_until(next) => None,
        };
        if let Some(end) = end {
            break end;
        }
        match timers.due(Instant::now()) {
            Some(EchoDue::End(code)) => break EchoEnd::Close(code),
            Some(EchoDue::Ping) => socket.queue_ping(),
            None => {}
        }
    };
    let closing = async {
        match end {
            EchoEnd::Closed => poll_fn(|cx| socket.poll_flush(cx)).await,
            EchoEnd::Close(code) => close_handshake::close(code, code.message(), &mut socket).await,
            EchoEnd::Fault(Fault::Violation(code, reason)) => {
                close_handshake::fail(code, &reason, &mut socket).await
            }
            EchoEnd::Fault(Fault::Gone) => Ok(()),
        }
    };
    tokio::select! {
        // The socket is dropped next in any case.
        _ = tokio::time::timeout(CLOSE_TIMEOUT, closing) => {}
        () = hub.connections().reached(Phase::Stopped) => {}
    }
}

enum EchoEnd {
    /// The client closed.
    Closed,
    /// The server closes.
    Close(CloseCode),
    Fault(Fault),
}

/// The deadlines of an echo connection. There are two differences to a session: the ping is that of RFC 6455, since an empty
/// message would be an echo, and the client need not send anything but the pong.
struct EchoTimers {
    connect_timeout: Duration,
    ping_interval: Duration,
    idle_timeout: Option<Duration>,
    /// The time of the last sign of life; at first that of the connection.
    heard: Instant,
    has_been_heard: bool,
    /// The time of the last echo.
    echoed: Instant,
    /// The time of the ping without an answer.
    unanswered: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum EchoDue {
    Ping,
    End(CloseCode),
}

impl EchoTimers {
    fn new(live: &LiveSettings) -> Self {
        let now = Instant::now();
        Self {
            connect_timeout: live.connect_timeout,
            ping_interval: live.limits.ping_interval,
            idle_timeout: live.idle_timeout,
            heard: now,
            has_been_heard: false,
            echoed: now,
            unanswered: None,
        }
    }

    /// The time of the next check. Earlier events are only noted.
    fn next(&self) -> Instant {
        let alive = match self.unanswered {
            Some(unanswered) => self.pong_deadline(unanswered),
            None => self.ping_due(),
        };
        let idle = self.idle_timeout.map(|timeout| later(self.echoed, timeout));
        idle.map_or(alive, |idle| idle.min(alive))
    }

    /// Notes a sign of life, and possibly an echo. Returns `true` if it answers a ping.
    fn note(&mut self, now: Instant, has_echoed: bool) -> bool {
        (self.heard, self.has_been_heard) = (now, true);
        if has_echoed {
            self.echoed = now;
        }
        self.unanswered.take().is_some()
    }

    /// The event that is due now.
    fn due(&mut self, now: Instant) -> Option<EchoDue> {
        if self.idle_timeout.is_some_and(|timeout| later(self.echoed, timeout) <= now) {
            return Some(EchoDue::End(CloseCode::IDLE));
        }
        match self.unanswered {
            Some(unanswered) if self.pong_deadline(unanswered) <= now => {
                Some(EchoDue::End(if self.has_been_heard {
                    CloseCode::PONG_TIMEOUT
                } else {
                    CloseCode::CONNECT_TIMEOUT
                }))
            }
            None if self.ping_due() <= now => {
                self.unanswered = Some(now);
                Some(EchoDue::Ping)
            }
            _ => None,
        }
    }

    fn ping_due(&self) -> Instant {
        let patience = if !self.has_been_heard {
            self.connect_timeout.checked_div(2).unwrap_or_default()
        } else if self.ping_interval.is_zero() {
            Duration::MAX
        } else {
            self.ping_interval
        };
        later(self.heard, patience)
    }

    fn pong_deadline(&self, unanswered: Instant) -> Instant {
        if self.has_been_heard {
            later(unanswered, self.ping_interval.saturating_add(PONG_GRACE))
        } else {
            later(self.heard, self.connect_timeout)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use bytes::Bytes;
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    // Time is paused: the clock advances only when all tasks wait.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_not_read_from() {
        let (server, client) = duplex(10_000);
        tokio::spawn(async move {
            let socket = Socket::new(server, &Bytes::new(), 1 << 20);
            serve(&Hub::builder().build(), socket).await;
        });
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let message = Message::Binary(vec![7; 1000].into());
        let mut sent = 0_usize;
        while tokio::time::timeout(Duration::from_secs(1), client.send(message.clone())).await.is_ok() {
            sent += 1;
        }
        // The content of the pipe in both directions, and one batch.
        assert!((20..100).contains(&sent), "{sent}");
        for _ in 0..sent {
            assert_eq!(client.next().await.unwrap().unwrap(), message);
        }
    }

    fn connected(hub: &Hub) -> (DuplexStream, JoinHandle<Duration>) {
        let (server, client) = duplex(10_000);
        let (hub, begun) = (hub.clone(), Instant::now());
        let serving = tokio::spawn(async move {
            serve(&hub, Socket::new(server, &Bytes::new(), 1 << 20)).await;
            begun.elapsed()
        });
        (client, serving)
    }

    const INTERVAL: Duration = Duration::from_secs(25);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_says_anything_is_closed_in_time() {
        let hub = Hub::builder().connect_timeout(Duration::from_secs(10)).build();
        let (mut client, serving) = connected(&hub);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        let code = CloseCode::CONNECT_TIMEOUT.number().to_be_bytes();
        assert_eq!((&heard[..2], heard[2], &heard[4..6]), (&[0x89, 0][..], 0x88, &code[..]), "{heard:?}");
        // The server waits for the answer to the close.
        assert_eq!(serving.await.unwrap(), Duration::from_secs(10) + CLOSE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_only_answers_pings_stays_and_one_that_stops_is_closed() {
        let (client, serving) = connected(&Hub::builder().build());
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        for _ in 0..10 {
            // During this read tungstenite answers the ping.
            assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
            client.flush().await.unwrap();
        }
        let (mut client, last) = (client.into_inner(), Instant::now());
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        let code = CloseCode::PONG_TIMEOUT.number().to_be_bytes();
        assert!(heard.windows(2).any(|window| window == code), "{heard:?}");
        assert_eq!(last.elapsed(), INTERVAL * 2 + PONG_GRACE + CLOSE_TIMEOUT);
        serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_is_closed_if_there_is_an_idle_timeout() {
        let idle = Duration::from_secs(60);
        let (client, serving) = connected(&Hub::builder().idle_timeout(idle).build());
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        client.send(Message::Text("hi".into())).await.unwrap();
        let code = loop {
            match client.next().await.unwrap().unwrap() {
                Message::Close(Some(frame)) => break u16::from(frame.code),
                other => drop(other),
            }
        };
        assert_eq!(code, CloseCode::IDLE.number());
        let _ = client.next().await;
        assert_eq!(serving.await.unwrap(), idle);
    }
}
