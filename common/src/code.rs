//! The table of codes: [`ErrorCode`] answers a command, [`CloseCode`] ends a connection.
//!
//! PROTOCOL.md's tables and the npm package's constants are checked against or generated from [`ERRORS`] and
//! [`CLOSES`]. A released code keeps its meaning.

use core::fmt;

/// The reason for which a command failed. 100 to 999 are Wirehub's own (the constants here); 1000 to 65535 belong to
/// applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u16);

/// The reason for which a connection ended: the close code of the WebSocket (RFC 6455, section 7.4).
///
/// | range | meaning |
/// | --- | --- |
/// | 1000 to 2999 | RFC 6455's own; the client reconnects, except after 1000 of its own and after 1009 |
/// | 3000 to 3499 | Wirehub's; the client reconnects |
/// | 3500 to 3999 | Wirehub's; the client does not reconnect |
/// | 4000 to 4499 | the application's; the client reconnects |
/// | 4500 to 4999 | the application's; the client does not reconnect |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

/// One row of the table of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorRow {
    /// The code.
    pub code: ErrorCode,
    /// Its name, as used for constants in other languages.
    pub name: &'static str,
    /// Whether the same command may succeed later.
    pub temporary: bool,
    /// The end that detects the error.
    pub origin: Origin,
    /// A description and its remedy.
    pub message: &'static str,
}

/// One row of the table of close codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseRow {
    /// The code.
    pub code: CloseCode,
    /// Its name, as used for constants in other languages.
    pub name: &'static str,
    /// The end that detects the reason.
    pub origin: Origin,
    /// A description and its remedy.
    pub message: &'static str,
}

/// The end that detects an error. A small client needs messages only for the errors that it detects itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The server alone. It sends the message with the code.
    Server,
    /// A client, perhaps a server too. A client that closes with one of the server's close codes also reports an error,
    /// which has the message.
    Client,
}

macro_rules! errors {
    ($($name:ident = $code:literal, $temporary:literal, $origin:ident, $message:literal;)*) => {
        impl ErrorCode {
            $(#[doc = $message] pub const $name: Self = Self($code);)*

            /// Whether the same command may succeed later; `false` for an application's code.
            // Without the table: a program that uses only this does not need its messages.
            pub const fn is_temporary(self) -> bool {
                match self.0 {
                    $($code => $temporary,)*
                    _ => false,
                }
            }
        }
        /// All of Wirehub's own error codes, ascending.
        pub const ERRORS: &[ErrorRow] = &[
            $(ErrorRow {
                code: ErrorCode::$name,
                name: stringify!($name),
                temporary: $temporary,
                origin: Origin::$origin,
                message: $message,
            },)*
        ];
    };
}

errors! {
    INTERNAL = 100, true, Server, "the server failed to process this: try again, and check its log";
    UNAUTHORIZED = 101, false, Client, "this needs a valid token: connect with one";
    UNKNOWN_CHANNEL = 102, false, Server, "there is no such channel: check the name against the contract";
    PERMISSION_DENIED = 103, false, Server, "the session may not do this: get a token with the right to it";
    UNKNOWN_CALL = 104, false, Server, "there is no such call: check the name against the contract";
    ALREADY_SUBSCRIBED = 105, false, Client, "the session is subscribed to the channel: unsubscribe first";
    LIMIT_EXCEEDED = 106, false, Server, "a limit of the session is reached: end something else first";
    BAD_REQUEST = 107, false, Server, "the command is invalid: correct it";
    NOT_AVAILABLE = 108, false, Server, "the server does not offer this for the channel: change its configuration";
    TOKEN_EXPIRED = 109, true, Server, "the token has expired: get a new one and refresh";
    UNKNOWN_ALARM = 110, false, Server, "the session has no such alarm, or it has ended: nothing has to be acknowledged";
    RATE_LIMITED = 111, true, Server, "too many commands in a short time: slow down";
    UNRECOVERABLE = 112, false, Server, "the messages since that position are lost: read the channel's state anew";
    NOT_SUBSCRIBED = 113, false, Server, "the session is not subscribed to the channel: subscribe first";
    PAYLOAD_MISMATCH = 114, false, Client, "the payload does not fit the contract: build both ends from the same one";
    TIMEOUT = 115, true, Client, "no answer came in time: try again, or allow more time";
    CANCELLED = 116, false, Client, "the command was cancelled";
    QUEUE_FULL = 117, true, Client, "the send queue is full: wait until some of it has gone out";
    CONNECTION_LOST = 118, true, Client, "the connection was lost before the answer: the command may or may not have been carried out";
    CLOSED = 119, false, Client, "the client is closed: make a new one";
    UNSUPPORTED = 120, false, Client, "the server does not know the command: use a version that both ends know";
    OVERFLOW = 121, false, Client, "the receive queue is full: read messages faster, or choose another policy";
    CONTRACT_MISMATCH = 122, false, Client, "the server has another contract: build both ends from the same one";
    BAD_FRAME = 123, false, Client, "the message is not one of the protocol: check that the address is a Wirehub server's";
    ABORTED = 124, false, Client, "the caller's signal aborted this";
    DEAD = 125, false, Client, "the client's WebAssembly module failed: make a new client";
    NOT_CONNECTED = 126, true, Client, "the client is not connected: wait for it, or let the command wait";
    TOKEN_UNAVAILABLE = 127, true, Client, "the token provider failed: see its error";
    UNAVAILABLE = 128, true, Server, "a service that the server needs is unavailable: try again later";
    NO_HISTORY = 129, false, Client, "the channel keeps no history, and the messages published meanwhile are lost: read its state anew";
    CONNECT_FAILED = 130, true, Client, "the server could not be reached";
}

macro_rules! closes {
    ($($name:ident = $code:literal, $origin:ident, $message:literal;)*) => {
        impl CloseCode {
            $(#[doc = $message] pub const $name: Self = Self($code);)*
        }
        /// The close codes that Wirehub itself uses, ascending.
        pub const CLOSES: &[CloseRow] = &[
            $(CloseRow {
                code: CloseCode::$name,
                name: stringify!($name),
                origin: Origin::$origin,
                message: $message,
            },)*
        ];
    };
}

closes! {
    NORMAL = 1000, Client, "closed on purpose by one end";
    GOING_AWAY = 1001, Client, "the page or the server goes away";
    PROTOCOL_ERROR = 1002, Server, "the WebSocket protocol was violated: see RFC 6455";
    UNSUPPORTED_DATA = 1003, Server, "the other end can't take this kind of WebSocket message";
    NO_STATUS = 1005, Client, "the peer closed without a code";
    ABNORMAL = 1006, Client, "the connection broke without a close";
    INVALID_DATA = 1007, Server, "a text message was not UTF-8";
    TOO_LARGE = 1009, Server, "a message is over the size limit: send smaller ones";
    INTERNAL_ERROR = 1011, Server, "the server failed: check its log";
    TRY_AGAIN_LATER = 1013, Server, "the server can't accept the client at the moment: reconnect";
    SHUTDOWN = 3000, Server, "the server is shutting down: reconnect";
    PONG_TIMEOUT = 3003, Server, "no answer to a ping came in time: reconnect";
    CONNECT_TIMEOUT = 3004, Server, "no connect command came in time: send it first";
    TOKEN_EXPIRED = 3005, Server, "the token has expired: reconnect with a new one";
    SLOW_CONSUMER = 3008, Server, "the client was too slow for its messages: reconnect and recover";
    SERVER_SILENT = 3009, Client, "the server was silent for too long: reconnect";
    SUPERSEDED = 3010, Client, "the attempt took too long: reconnect";
    BAD_FRAME = 3500, Server, "the message is not one of the protocol: check the client's codec and version";
    CONNECT_EXPECTED = 3501, Server, "the first command must be connect: send it before others";
    ALREADY_CONNECTED = 3502, Server, "connect was sent twice: send it once for each connection";
    UNAUTHORIZED = 3503, Server, "the token was refused: get a valid one";
    WRONG_MESSAGE_TYPE = 3504, Server, "a text message came although the subprotocol is binary, or the other way round";
    NOT_WIREHUB = 3505, Client, "the peer does not speak the protocol: check that the address is a Wirehub server's";
    DISCONNECTED = 3506, Server, "an operator or the application ended the session";
    CLIENT_FAILED = 3507, Client, "the client failed: make a new client";
    IDLE = 3508, Server, "the session sent nothing and had no subscriptions for too long: connect again when needed";
}

impl ErrorCode {
    /// The code with this number: 100 and above.
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 100 { Some(Self(number)) } else { None }
    }

    /// The code as a number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The name of one of Wirehub's own codes.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// A description and its remedy, for one of Wirehub's own codes; empty for an application's.
    pub fn message(self) -> &'static str {
        self.row().map_or("", |row| row.message)
    }

    fn row(self) -> Option<&'static ErrorRow> {
        ERRORS.iter().find(|row| row.code == self)
    }
}

impl CloseCode {
    /// The code with this number: 1000 to 4999.
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 1000 && number <= 4999 { Some(Self(number)) } else { None }
    }

    /// The code as a number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The name of one of the codes in [`CLOSES`].
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// A description and its remedy, for one of the codes in [`CLOSES`]; empty for others.
    pub fn message(self) -> &'static str {
        self.row().map_or("", |row| row.message)
    }

    /// Whether a client that was closed with this code reconnects.
    pub const fn reconnects(self) -> bool {
        match self.0 {
            // The same message would be sent and refused again.
            1009 => false,
            3500..=3999 | 4500..=4999 => false,
            _ => true,
        }
    }

    /// Whether an endpoint may put the code into a close frame. (RFC 6455, section 7.4.1 reserves 1004 to 1006 and 1015
    /// for connections that end without one.)
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    fn row(self) -> Option<&'static CloseRow> {
        CLOSES.iter().find(|row| row.code == self)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_ascend_and_name_each_code_once() {
        assert!(ERRORS.is_sorted_by(|a, b| a.code < b.code));
        assert!(CLOSES.is_sorted_by(|a, b| a.code < b.code));
        assert!(ERRORS.iter().all(|row| (100..1000).contains(&row.code.number()) && !row.message.is_empty()));
        assert_eq!(ErrorCode::TIMEOUT.name(), Some("TIMEOUT"));
        assert_eq!(CloseCode::SLOW_CONSUMER.number(), 3008);
    }

    #[test]
    fn the_range_of_a_close_code_decides_whether_to_reconnect() {
        let reconnects = |number| CloseCode::new(number).unwrap().reconnects();
        for number in [1000, 1006, 1011, 3000, 3499, 4000, 4499] {
            assert!(reconnects(number), "{number}");
        }
        for number in [1009, 3500, 3999, 4500, 4999] {
            assert!(!reconnects(number), "{number}");
        }
        assert_eq!(CloseCode::new(999), None);
        assert_eq!(CloseCode::new(5000), None);
    }
}
