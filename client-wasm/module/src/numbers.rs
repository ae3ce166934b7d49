//! The numbers by which TypeScript and the module name their events, requests and rows. The package's
//! `generated/numbers.ts` is printed from here.

/// Declares constants, and a table of their names for TypeScript.
macro_rules! numbers {
    ($(#[$about:meta])* $table:ident { $($(#[doc = $words:literal])* $name:ident = $number:literal,)* }) => {
        $($(#[doc = $words])* pub(crate) const $name: u8 = $number;)*

        $(#[$about])*
        #[allow(dead_code, reason = "the generator of the TypeScript constants reads it")]
        pub(crate) const $table: &[(&str, u8, &str)] =
            &[$((stringify!($name), $number, concat!($($words, " "),*))),*];
    };
}

numbers! {
    /// The kinds of an input: requests, and what the application tells the client.
    INPUTS {
        /// Begins to connect.
        CONNECT = 0,
        /// Ends the subscription with this number.
        UNSUBSCRIBE = 1,
        /// Cancels the command with this number.
        CANCEL = 2,
        /// Replaces the token by the text.
        SET_TOKEN = 3,
        /// The text is the token that answers the question with this number.
        TOKEN = 4,
        /// There is no token for now.
        NO_TOKEN = 5,
        /// There will be no token any more.
        SIGNED_OUT = 6,
        /// Closes the client for good, with a code and a reason.
        CLOSE = 7,
        /// Subscribes to the channel named by the text, beginning with `number` messages of its history, or behind the
        /// offset and epoch. This kind and the following ones return their numbers.
        SUBSCRIBE = 8,
        /// Publishes with a key, if there is one. The data is to be read as JSON if the flag is set, and with a head it is
        /// an attachment; the same holds for the next three.
        PUBLISH = 9,
        /// Publishes now or never. Returns 1 if the message was sent, 0 if it was dropped.
        PUBLISH_VOLATILE = 10,
        /// Calls the procedure named by the text.
        CALL = 11,
        /// The same with a stream of responses.
        CALL_STREAM = 12,
        /// Reads up to `number` messages of a channel's history; the flag reverses the order. The start is an
        /// offset and, the second text, an epoch.
        HISTORY = 13,
        /// Asks for the members of a channel behind the session of the second text; with the flag only for their numbers.
        PRESENCE = 14,
        /// Acknowledges the alarm with this id.
        ACKNOWLEDGE = 15,
        /// Measures the round trip: the offset of the answer is in milliseconds.
        PING = 16,
        /// Sends what is queued, awaits the answers, and closes the client, at the latest after the timeout.
        DRAIN = 17,
        /// Keeps the list of the members of the channel of this subscription.
        WATCH_MEMBERS = 18,
    }
}

numbers! {
    /// The kinds of a row. A row has nine numbers: its kind, a number, three values that depend on the kind, and the
    /// lengths in bytes of its three texts and of its data.
    ROWS {
        /// A message: content, time in milliseconds since 1970, offset; session and user of its publisher, if any,
        /// and payload: a text of JSON, data, or both in an attachment.
        PUBLICATION = 0,
        /// The same for a part of the next answer: a response, an old message, a member.
        PART = 1,
        /// The same for a member that entered a channel, with the info of the session as the payload.
        JOINED = 2,
        /// The same for a member that left.
        LEFT = 3,
        /// An alarm: content, time in milliseconds since 1970, milliseconds until it ends, or -1 if it has ended;
        /// its id, channel and payload.
        ALARM = 4,
        /// The answer to a command: the parts before it, or the error before it. Whether more answers follow. For a
        /// publish the offset and the epoch; for a
        /// history the newest offset, whether it has more messages than the server returned, and the epoch. For
        /// members the numbers of sessions and users, and the session behind which there are more.
        ANSWER = 5,
        /// An error: whether it is temporary; its message, and the subject of the message of its code. The number
        /// is the code.
        ERROR = 6,
        /// A change of state; the number is the state. Close code or 0, milliseconds until the next attempt or -1;
        /// session, user, reason. An error before it is the reason for which the client ended, unless the code is.
        STATE = 7,
        /// A subscription is active: for the first time (0), with every message since it was last active (1),
        /// without them because the channel has no history (2), or because the history does not reach back so far
        /// (3).
        SUBSCRIBED = 8,
        /// A subscription ended, because of the error before it or by the application's wish.
        UNSUBSCRIBED = 9,
        /// A token is needed for the question with this number.
        TOKEN_NEEDED = 10,
        /// The error before it belongs to no command and no subscription.
        NOTICE = 11,
        /// The server made a subscription with this number to the channel of the third text.
        OFFERED = 12,
        /// An item of the server's contract: the number is the lower half of its hash, the value the upper one; its
        /// name.
        CONTRACT_ITEM = 13,
        /// The server's contract differs: it has the items before this row.
        CONTRACT = 14,
        /// Messages of an active subscription are missing, because they were lost (3, as above) or dropped (4).
        GAP = 15,
        /// The error before it is the reason for which the request that runs is refused.
        REFUSED = 16,
        /// The epoch of a subscription's messages is that of the third text from now on.
        EPOCH = 17,
        /// The list of members of a subscription's channel has changed: from the place of the first value on, as many as
        /// the second value says are replaced by the parts before it; or the list can't be read because of the error before it.
        MEMBERS = 18,
        /// More of a command in parts is sent: the bytes so far, and all.
        PROGRESS = 19,
    }
}

numbers! {
    /// The kinds of an event of a socket.
    SOCKET_EVENTS {
        /// It is open.
        SOCKET_OPEN = 0,
        /// A message arrived.
        SOCKET_MESSAGE = 1,
        /// An error; browsers do not report the reason.
        SOCKET_ERROR = 2,
        /// It is closed, or could not be opened.
        SOCKET_CLOSE = 3,
        /// The browser accepts more messages.
        SOCKET_WRITABLE = 4,
    }
}
