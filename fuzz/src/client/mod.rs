//! The client's state machine, driven by a script: an application, a network, a server and a clock with any behaviour.
//!
//! Only the driver is correct: it opens, sends and closes as instructed, and reports the true events of its WebSocket.

mod model;
mod script;
mod server;

use std::time::Duration;

use bytes::Bytes;
use wirehub_client_core::{ClientState, Error, SendOptions, SubscribeOptions, Time, Transmit};
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{History, Part, Position, ServerFrame};
use wirehub_common::{Codec, Limits, Payload, SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF};

use self::model::Model;
use self::script::{Operation, Options, Size, TokenAnswer};
use self::server::Server;

pub use self::script::Script;

/// Plays the script to its end and closes the client.
///
/// # Panics
/// The client breaks a promise: see [`Model`] and the assertions here.
pub fn play(script: Script) {
    let mut world = World {
        model: Model::new(script.settings, script.seed),
        server: Server::default(),
        now: Time::ZERO,
        writable: true,
        transport: Transport::None,
    };
    for operation in script.operations {
        world.carry_out(operation);
        world.settle();
    }
    world.model.core.close(CloseCode::NORMAL, "the script is at its end");
    world.settle();
    world.model.assert_over(world.now);
}

struct World {
    model: Model,
    server: Server,
    now: Time,
    writable: bool,
    transport: Transport,
}

#[derive(Debug, PartialEq)]
enum Transport {
    None,
    Opening,
    Open {
        /// Whether the client has sent its first message.
        greeted: bool,
        /// Whether a ping was sent that is not answered yet.
        pinged: bool,
    },
}

/// A smaller limit from the server is ignored.
const SMALLEST_MESSAGE: usize = 1024;

/// A driver with more rounds than this without a pause is in an endless loop.
const ROUNDS: usize = 10_000;

impl World {
    fn carry_out(&mut self, operation: Operation) {
        let now = self.now;
        let core = &mut self.model.core;
        match operation {
            Operation::Connect => core.connect(now),
            Operation::ReconnectNow => core.reconnect_now(now),
            Operation::CheckConnection => core.check_connection(now),
            Operation::Suspend => core.suspend(now),
            Operation::Drain { milliseconds } => {
                self.model.drains = true;
                core.drain(now, Duration::from_millis(milliseconds.into()));
            }
            Operation::Ping(options) => {
                let result = core.ping(now, options);
                self.model.commanded(result, false);
            }
            Operation::Close(reason) => core.close(CloseCode::NORMAL, &reason),
            Operation::Subscribe { channel, history, since } => {
                let since = since.map(|offset| Position { offset: offset.into(), epoch: "a".into() });
                let options = SubscribeOptions::new().history(history.into()).since(since);
                let result = core.subscribe_with(&channel.name(), options);
                self.model.subscribed(result);
            }
            Operation::Unsubscribe(which) => {
                if let Some(subscription) = self.model.subscription(which) {
                    self.model.core.unsubscribe(subscription);
                }
            }
            Operation::WatchMembers(which) => {
                if let Some(subscription) = self.model.subscription(which) {
                    self.model.core.watch_members(now, subscription);
                }
            }
            Operation::FailSubscription(which) => {
                if let Some(subscription) = self.model.subscription(which) {
                    self.model.core.fail_subscription(subscription, Error::signed_out());
                }
            }
            Operation::Publish { channel, bytes, options } => {
                let result = core.publish(now, &channel.name(), &payload(bytes), options);
                self.model.commanded(result, false);
            }
            Operation::PublishVolatile { channel, bytes } => {
                core.publish_volatile(&channel.name(), &payload(bytes));
            }
            Operation::Call { bytes, options } => {
                let result = core.call(now, "call", &payload(bytes), options);
                self.model.commanded(result, false);
            }
            Operation::CallStream { bytes, options } => {
                let result = core.call_stream(now, "stream", &payload(bytes), options);
                self.model.commanded(result, true);
            }
            Operation::History { channel, options } => {
                let history = History { channel: channel.name(), since: None, limit: 7, reverse: false };
                let result = core.history(now, &history, options);
                self.model.commanded(result, false);
            }
            Operation::Presence { channel, options } => {
                let result = core.presence(now, &channel.name(), options);
                self.model.commanded(result, false);
            }
            Operation::Acknowledge { alarm, options } => {
                let result = core.acknowledge(now, &alarm.to_string(), options);
                self.model.commanded(result, false);
            }
            Operation::Cancel(which) => {
                if let Some(command) = self.model.command(which) {
                    self.model.core.cancel(command);
                }
            }
            Operation::SetToken => core.set_token(now, "set".into()),
            Operation::Token { which, answer } => {
                if let Some(request) = self.model.token_request(which) {
                    self.model.core.handle_token(now, request, answer.into());
                }
            }
            Operation::Opened { speaks_wirehub } => self.open(speaks_wirehub),
            Operation::Closed { code, reason } => {
                if std::mem::replace(&mut self.transport, Transport::None) != Transport::None {
                    let code = CloseCode::new(code).unwrap_or(CloseCode::ABNORMAL);
                    core.handle_close(now, code, &reason);
                }
            }
            Operation::Text => {
                if matches!(self.transport, Transport::Open { .. }) {
                    core.handle_text(now);
                }
            }
            Operation::Receive(frames) => self.receive(&self.server.frames(frames)),
            Operation::ReceiveParts { frame, stream, bytes, parts } => {
                for frame in self.server.frames(vec![frame]) {
                    for part in cut(&frame, stream.into(), bytes).take(parts.into()) {
                        self.receive(&[part]);
                    }
                }
            }
            Operation::Drained => {
                core.handle_drained(now);
                core.handle_unsent(0);
            }
            Operation::ReceiveDamaged { frames, at, with } => {
                let mut message = encode(&self.server.frames(frames));
                if let Some(index) = usize::from(at).checked_rem(message.len()) {
                    message[index] ^= with;
                }
                self.receive_bytes(message.into());
            }
            Operation::ReceiveBytes(bytes) => self.receive_bytes(bytes.into()),
            Operation::Writable(writable) => self.writable = writable,
            Operation::WaitForDeadline => self.wait_for_deadline(),
            Operation::Sleep { milliseconds } => {
                self.now = now.after(Duration::from_millis(milliseconds.into()));
            }
        }
    }

    fn open(&mut self, speaks_wirehub: bool) {
        if self.transport == Transport::Opening {
            self.transport = Transport::Open { greeted: false, pinged: false };
            self.server.connection_opened();
            let subprotocol = if speaks_wirehub { SUBPROTOCOL_PROTOBUF } else { SUBPROTOCOL_JSON };
            self.model.core.handle_open(subprotocol);
        }
    }

    fn receive(&mut self, frames: &[ServerFrame]) {
        self.receive_bytes(encode(frames).into());
    }

    fn receive_bytes(&mut self, message: Bytes) {
        if let Transport::Open { pinged, .. } = &mut self.transport {
            *pinged |= message.is_empty();
            self.model.core.handle_message(self.now, &message);
        }
    }

    /// Advances the time to the next deadline.
    fn wait_for_deadline(&mut self) {
        let Some(deadline) = self.model.core.poll_timeout() else { return };
        self.now = self.now.max(deadline);
        self.model.core.handle_timeout(self.now);
        let transmits = self.settle();
        let next = self.model.core.poll_timeout();
        assert!(
            transmits > 0 || next.is_none_or(|next| next > self.now),
            "a timer for {next:?} at {:?}, and nothing came of the last one",
            self.now
        );
    }

    /// Carries out every instruction of the client, and records its events.
    fn settle(&mut self) -> usize {
        self.model.take_events();
        for transmits in 0..ROUNDS {
            let Some(transmit) = self.model.core.poll_transmit(self.writable) else {
                self.model.take_events();
                if self.model.core.state() == ClientState::Closed {
                    self.model.assert_over(self.now);
                    assert_eq!(self.transport, Transport::None, "a closed client keeps no transport");
                }
                return transmits;
            };
            self.transmit(transmit);
        }
        panic!("the client never stops sending");
    }

    fn transmit(&mut self, transmit: Transmit) {
        match transmit {
            Transmit::Open => {
                assert_eq!(self.transport, Transport::None, "one transport at a time");
                self.transport = Transport::Opening;
            }
            Transmit::Close { code, reason } => {
                assert_ne!(self.transport, Transport::None, "there is nothing to close");
                assert!(code.is_sendable() && reason.len() <= 123, "{code:?} {reason}");
                self.transport = Transport::None;
            }
            Transmit::Send(message) => {
                let Transport::Open { greeted, pinged } = &mut self.transport else {
                    panic!("there is nothing to send over: {:?}", self.transport)
                };
                if message.is_empty() {
                    assert!(std::mem::take(pinged), "an answer without a ping");
                    return;
                }
                let first = !std::mem::replace(greeted, true);
                assert!(first || self.writable, "more than the transport takes");
                let limit = match self.model.core.limits().batch_bytes as usize {
                    0 => Limits::BATCH_BYTES,
                    limit => limit.clamp(SMALLEST_MESSAGE, Limits::BATCH_BYTES),
                };
                assert!(first || message.len() <= limit, "more than goes into a message");
                let commands: Vec<_> = Codec::Protobuf
                    .decode_commands(&message)
                    .collect::<Result<_, _>>()
                    .expect("a client's commands can be decoded");
                let limit = self.model.core.limits().message_bytes;
                self.server.receive(first, commands, if first { 0 } else { limit });
            }
        }
    }
}

/// A JSON text of this size.
fn payload(size: Size) -> Payload {
    Payload::json(vec![b'1'; size.bytes()])
}

/// The parts of a frame, of `bytes` bytes each.
fn cut(frame: &ServerFrame, stream: u32, bytes: u8) -> impl Iterator<Item = ServerFrame> {
    let mut rest = Codec::Protobuf.undelimited(&Codec::Protobuf.encode_frame(frame));
    std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let data = rest.split_to(rest.len().min(usize::from(bytes.max(1))));
            ServerFrame::Part(Part { stream, data, left: rest.len() as u64 })
        })
    })
}

fn encode(frames: &[ServerFrame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| Codec::Protobuf.encode_frame(frame)).collect()
}

impl From<Options> for SendOptions {
    fn from(Options { timeout, fail_fast }: Options) -> Self {
        let timeout = timeout.map(|milliseconds| Duration::from_millis(milliseconds.into()));
        Self::new(timeout, fail_fast)
    }
}

impl From<TokenAnswer> for Result<String, Error> {
    fn from(answer: TokenAnswer) -> Self {
        match answer {
            TokenAnswer::Token => Ok("token".into()),
            TokenAnswer::NotNow => Err(Error::token_unavailable("not now")),
            TokenAnswer::SignedOut => Err(Error::signed_out()),
        }
    }
}
