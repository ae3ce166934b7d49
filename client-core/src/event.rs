//! What a core tells.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{Alarm, HistoryPage, Member, Position, PresenceList, Publication};
use wirehub_common::{ChannelName, Payload};

use crate::{CommandId, Error, SubscriptionId, TokenRequest};

/// Something that the application may want to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The client entered another state, or the next attempt has got a time.
    State(StateChange),
    /// A subscription is in force: for the first time, or again after a reconnect.
    Subscribed {
        /// Which one.
        subscription: SubscriptionId,
        /// What became of the messages since it was in force last.
        recovery: Recovery,
    },
    /// Messages of a subscription that is in force are missing: they will not come. It goes on with what comes next.
    Gap {
        /// Which one.
        subscription: SubscriptionId,
        /// Why.
        reason: Gap,
    },
    /// A subscription ended, and will not come back.
    Unsubscribed {
        /// Which one.
        subscription: SubscriptionId,
        /// Why; nothing where the application itself ended it.
        error: Option<Error>,
    },
    /// A message in a channel.
    Publication {
        /// The subscription it belongs to.
        subscription: SubscriptionId,
        /// The message.
        publication: Publication,
    },
    /// Somebody entered a channel: the first session of a user, or an anonymous one.
    Joined {
        /// The subscription to the channel.
        subscription: SubscriptionId,
        /// Who it is.
        member: Member,
    },
    /// Somebody left a channel: the last session of a user, or an anonymous one.
    Left {
        /// The subscription to the channel.
        subscription: SubscriptionId,
        /// Who it was. Without a session: more came and went than this client took in time, and who is there has to be asked for
        /// anew.
        member: Member,
    },
    /// The server subscribed this client to a channel. Its other events follow, as if the application had subscribed.
    Offered {
        /// The subscription.
        subscription: SubscriptionId,
        /// The channel.
        channel: ChannelName,
    },
    /// A message of the server to everybody.
    Broadcast(Publication),
    /// Something that has to be [acknowledged](crate::Core::acknowledge), once however often the server sends it. Or that it
    /// is over, and was not acknowledged here: the server withdrew it, its time is over, or the server does not know it any more.
    Alarm(Box<Alarm>),
    /// A command ended.
    Completed {
        /// Which one.
        command: CommandId,
        /// What came of it.
        result: Result<Outcome, Error>,
    },
    /// One response of a [streaming call](crate::Core::call_stream), of which more may follow.
    Response {
        /// Which call.
        command: CommandId,
        /// The response.
        payload: Payload,
    },
    /// The token provider has to be asked; its answer goes to [`Core::handle_token`](crate::Core::handle_token).
    TokenNeeded(TokenRequest),
    /// Something is wrong that belongs to no command and no subscription.
    Error(Error),
}

/// What became of the messages of a channel while its subscription was not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// It is in force for the first time: there were none to receive.
    First,
    /// All of them come, before what is live.
    Complete,
    /// The channel keeps no history: what was published meanwhile is gone.
    NoHistory,
    /// The channel's history does not reach back so far, or was lost: some are gone, and it is not known how many.
    Lost,
}

impl Recovery {
    /// Whether messages may be missing.
    pub const fn is_gap(self) -> bool {
        self.gap().is_some()
    }

    /// Why messages may be missing, if they may.
    pub const fn gap(self) -> Option<Gap> {
        match self {
            Self::First | Self::Complete => None,
            Self::NoHistory => Some(Gap::NoHistory),
            Self::Lost => Some(Gap::Lost),
        }
    }
}

/// Why messages of a subscription may be missing: after a reconnect, or in one that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gap {
    /// The channel keeps no history: what was published while this client was away is gone.
    NoHistory,
    /// The channel's history was lost, or does not reach back to the last message that this client has.
    Lost,
    /// This client is slower than the channel, whose overflow policy dropped messages.
    Dropped,
}

impl Gap {
    /// The code for this in the [one table](wirehub_common::code): [`NO_HISTORY`](ErrorCode::NO_HISTORY), or else
    /// [`UNRECOVERABLE`](ErrorCode::UNRECOVERABLE).
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NoHistory => ErrorCode::NO_HISTORY,
            Self::Lost | Self::Dropped => ErrorCode::UNRECOVERABLE,
        }
    }

    /// What happened and what to do, for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NoHistory => {
                "the channel keeps no history, and messages from the time without a connection are missing: read the \
                 channel's state anew"
            }
            Self::Lost => {
                "the channel's history does not reach back to the last message, and messages are missing: read the \
                 channel's state anew"
            }
            Self::Dropped => {
                "this client is slower than the channel, which dropped messages: take them faster, or read the channel's \
                 state anew"
            }
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// What comes of a command that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Of a publish: where it went, in a channel that keeps history.
    Published(Option<Position>),
    /// Of a call: the response.
    Called(Payload),
    /// Of a streaming call: all responses have come.
    Streamed,
    /// Of reading a channel's history.
    History(HistoryPage),
    /// Of asking who is in a channel.
    Presence(PresenceList),
    /// Of acknowledging an alarm.
    Acknowledged,
}

/// What a client is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// Nothing yet.
    Disconnected,
    /// The first attempt, and those after it until one succeeds.
    Connecting,
    /// Connected: there is a session, and the subscriptions have got what they missed meanwhile. Where that takes longer than
    /// 30 s, it goes on to come while the client is called connected. Messages are sent as soon as there is a session.
    Connected,
    /// The connection was lost: waiting for, or making, the next attempt.
    Reconnecting,
    /// It is over: by the application's wish, or with a code that says not to come back.
    Closed,
}

impl ClientState {
    /// The state's name, lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Closed => "closed",
        }
    }
}

/// A change of [`ClientState`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateChange {
    /// The state from now on.
    pub state: ClientState,
    /// The code of the connection that ended, if one did.
    pub code: Option<CloseCode>,
    /// Why it ended, for people. From a [`Core`](crate::Core) what was said; from a [`Client`](crate::Client) the words
    /// of the code, where nothing was.
    pub reason: String,
    /// How long it is until the next attempt.
    pub retry_in: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_recoveries_say_what_they_are() {
        let states = [
            ClientState::Disconnected,
            ClientState::Connecting,
            ClientState::Connected,
            ClientState::Reconnecting,
            ClientState::Closed,
        ];
        let names = ["disconnected", "connecting", "connected", "reconnecting", "closed"];
        assert_eq!(states.map(ClientState::as_str), names);
        let recoveries = [Recovery::First, Recovery::Complete, Recovery::NoHistory, Recovery::Lost];
        assert_eq!(recoveries.map(Recovery::is_gap), [false, false, true, true]);
        let gaps = [None, None, Some(Gap::NoHistory), Some(Gap::Lost)];
        assert_eq!(recoveries.map(Recovery::gap), gaps);
        for (gap, code, words) in [
            (Gap::NoHistory, ErrorCode::NO_HISTORY, "keeps no history"),
            (Gap::Lost, ErrorCode::UNRECOVERABLE, "does not reach back"),
            (Gap::Dropped, ErrorCode::UNRECOVERABLE, "slower than the channel"),
        ] {
            assert_eq!(gap.code(), code);
            assert!(gap.to_string().contains(words), "{gap}");
        }
    }
}
