//! The script that is made from the fuzzer's bytes.

use arbitrary::Arbitrary;
use wirehub_common::ChannelName;

/// Everything that happens to one client.
#[derive(Debug, Arbitrary)]
pub struct Script {
    pub(super) seed: u64,
    pub(super) settings: Settings,
    pub(super) operations: Vec<Operation>,
}

#[derive(Debug, Arbitrary)]
pub(super) struct Settings {
    pub(super) token: bool,
    pub(super) provides_tokens: bool,
    pub(super) connect_timeout: u16,
    pub(super) command_timeout: u16,
    pub(super) send_queue: u16,
    pub(super) max_commands: u8,
    pub(super) contract: bool,
    /// The bound in bytes for the server's frames that come in parts.
    pub(super) frame_bytes: u16,
}

/// `which` and similar fields are an index into the existing ones, modulo their number. Times are milliseconds.
#[derive(Debug, Arbitrary)]
pub(super) enum Operation {
    Connect,
    ReconnectNow,
    CheckConnection,
    Suspend,
    Drain {
        milliseconds: u16,
    },
    Ping(Options),
    Close(String),
    Subscribe {
        channel: Channel,
        history: u8,
        since: Option<u8>,
    },
    Unsubscribe(u8),
    FailSubscription(u8),
    WatchMembers(u8),
    Publish {
        channel: Channel,
        bytes: Size,
        options: Options,
    },
    PublishVolatile {
        channel: Channel,
        bytes: Size,
    },
    Call {
        bytes: Size,
        options: Options,
    },
    CallStream {
        bytes: Size,
        options: Options,
    },
    History {
        channel: Channel,
        options: Options,
    },
    Presence {
        channel: Channel,
        options: Options,
    },
    Acknowledge {
        alarm: u8,
        options: Options,
    },
    Cancel(u8),
    SetToken,
    Token {
        which: u8,
        answer: TokenAnswer,
    },
    Opened {
        speaks_wirehub: bool,
    },
    Closed {
        code: u16,
        reason: String,
    },
    Text,
    Receive(Vec<Frame>),
    /// A frame in parts of this many bytes; only this many of the parts are sent.
    ReceiveParts {
        frame: Frame,
        stream: u8,
        bytes: u8,
        parts: u8,
    },
    Drained,
    ReceiveDamaged {
        frames: Vec<Frame>,
        at: u16,
        with: u8,
    },
    ReceiveBytes(Vec<u8>),
    Writable(bool),
    WaitForDeadline,
    Sleep {
        milliseconds: u32,
    },
}

#[derive(Debug, Arbitrary)]
pub(super) struct Options {
    pub(super) timeout: Option<u16>,
    pub(super) fail_fast: bool,
}

/// The size of a payload.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Size {
    Small(u8),
    /// In units of 1024 bytes; a payload that goes out in parts has over 64 of them.
    Large(u8),
}

impl Size {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Small(bytes) => bytes.into(),
            Self::Large(units) => usize::from(units).saturating_mul(1024),
        }
    }
}

#[derive(Debug, Arbitrary)]
pub(super) enum TokenAnswer {
    Token,
    NotNow,
    SignedOut,
}

/// Few channels, so that operations meet in the same one.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Channel {
    Lobby,
    Chart,
    User,
    Everybody,
}

impl Channel {
    pub(super) fn name(self) -> ChannelName {
        let name = match self {
            Self::Lobby => "chat:lobby",
            Self::Chart => "chart",
            Self::User => "@ann",
            Self::Everybody => "@all",
        };
        ChannelName::new(name).expect("a channel's name")
    }
}

/// The frames of the server.
#[derive(Debug, Arbitrary)]
pub(super) enum Frame {
    /// The right answer to one of the commands of this connection.
    Answer {
        which: u8,
        answer: Answer,
    },
    /// An answer to any command.
    Stray {
        id: u32,
        answer: Answer,
    },
    Refusal {
        which: u8,
        code: u16,
        temporary: bool,
    },
    Publication {
        channel: Channel,
        offset: u8,
    },
    Movement(Channel),
    /// The position of a subscription, or the announcement of one.
    Subscribed {
        channel: Channel,
        number: u8,
        /// With this index, the number of one of the client's subscriptions is used instead.
        which: Option<u8>,
        offset: Option<u8>,
    },
    Unsubscribed {
        which: u8,
        code: u16,
        temporary: bool,
    },
    Alarm {
        id: u8,
        withdrawn: bool,
    },
    RefreshDue,
    Disconnect {
        code: u16,
        retry_after: Option<u32>,
    },
    Unknown,
}

/// The variations of the answers to one command.
#[derive(Debug, Arbitrary)]
pub(super) struct Answer {
    /// The kind of another command, if the answer is of the wrong kind.
    pub(super) kind: Option<Kind>,
    pub(super) offset: u8,
    pub(super) epoch: bool,
    pub(super) recovering: u8,
    pub(super) complete: bool,
    pub(super) more: bool,
    pub(super) empty: bool,
    pub(super) greeting: Greeting,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Kind {
    Connected,
    Subscribed,
    Unsubscribed,
    Published,
    History,
    Presence,
    Called,
    Cancelled,
    Refreshed,
    Acknowledged,
    Unknown,
}

/// The server's settings.
#[derive(Debug, Arbitrary)]
pub(super) struct Greeting {
    pub(super) session: bool,
    pub(super) message_bytes: u32,
    pub(super) batch_bytes: u32,
    pub(super) ping_interval: u32,
    pub(super) reconnect_window: u32,
    pub(super) token_ttl: u32,
    pub(super) contract: bool,
    /// The subscriptions that it refuses, or does not mention.
    pub(super) refused: u8,
    pub(super) forgotten: u8,
    pub(super) idempotency: Option<Idempotency>,
}

#[derive(Debug, Arbitrary)]
pub(super) struct Idempotency {
    pub(super) other_scope: bool,
    pub(super) window: u32,
    pub(super) clock: u64,
}
