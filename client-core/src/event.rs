//! The events of a core.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{Alarm, HistoryPage, Member, Position, PresenceList, Publication};
use wirehub_common::{ChannelName, Payload};

use crate::{CommandId, Error, SubscriptionId, TokenRequest};

/// An event for the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The client entered another state, or the next attempt has been planned.
    State(StateChange),
    /// From now on the offsets of a subscription's messages belong to the history with another epoch. Comes before the
    /// [`Subscribed`](Self::Subscribed) or [`Gap`](Self::Gap) with which it changes, and again if a
    /// subscription [begins anew](crate::Core::subscribe_with). In a channel without history there is none.
    Epoch {
        /// The subscription.
        subscription: SubscriptionId,
        /// The epoch; empty if the channel keeps no history any more.
        epoch: String,
    },
    /// A subscription became active: for the first time, or again after a reconnect.
    Subscribed {
        /// The subscription.
        subscription: SubscriptionId,
        /// Whether the messages since it was last active are complete.
        recovery: Recovery,
    },
    /// Messages of an active subscription are missing and will not come. It continues with the next message.
    Gap {
        /// The subscription.
        subscription: SubscriptionId,
        /// The reason.
        reason: Gap,
    },
    /// A subscription ended for good.
    Unsubscribed {
        /// The subscription.
        subscription: SubscriptionId,
        /// The reason; `None` if the application ended it.
        error: Option<Error>,
    },
    /// A message in a channel.
    Publication {
        /// The subscription it belongs to.
        subscription: SubscriptionId,
        /// The message.
        publication: Publication,
    },
    /// A user entered a channel with a first session, or an anonymous session entered.
    Joined {
        /// The subscription to the channel.
        subscription: SubscriptionId,
        /// The member.
        member: Member,
    },
    /// A user left a channel with the last session, or an anonymous session left.
    Left {
        /// The subscription to the channel.
        subscription: SubscriptionId,
        /// The member. One without a session stands for more changes than this client could take: read the members
        /// anew.
        member: Member,
    },
    /// A list of members has changed: [`Core::members`](crate::Core::members) returns it. See
    /// [`Core::watch_members`](crate::Core::watch_members).
    Members {
        /// The subscription to the channel.
        subscription: SubscriptionId,
        /// The reason for which the list can't be read; `None` if it has changed.
        error: Option<Error>,
    },
    /// The server subscribed this client to a channel. Its other events follow, as if the application had subscribed.
    /// If the application subscribes to the channel by itself, it [gets the same subscription](crate::Core::subscribe).
    Offered {
        /// The subscription.
        subscription: SubscriptionId,
        /// The channel.
        channel: ChannelName,
    },
    /// A message from the server to every session.
    Broadcast(Publication),
    /// A message that has to be [acknowledged](crate::Core::acknowledge). It comes once, however often the server sends
    /// it. A withdrawn one announces that an alarm has ended without an acknowledgement from this client: the server
    /// withdrew it, it expired, or the server does not know it any more.
    Alarm(Box<Alarm>),
    /// More of a command that goes out in parts is sent. Smaller commands, and those of which nobody awaits the answer,
    /// have no such event. `sent` increases up to `total`, which comes before the command's answer. If the connection
    /// breaks and the command goes out again, `sent` starts over.
    Progress {
        /// The command.
        command: CommandId,
        /// How many bytes the transport has sent.
        sent: usize,
        /// The size of the encoded command in bytes: a little more than that of its payload.
        total: usize,
    },
    /// A command ended.
    Completed {
        /// The command.
        command: CommandId,
        /// Its result.
        result: Result<Outcome, Error>,
    },
    /// One response of a [streaming call](crate::Core::call_stream); more may follow.
    Response {
        /// The call.
        command: CommandId,
        /// The response.
        payload: Payload,
    },
    /// A question to the token provider. Its answer goes to [`Core::handle_token`](crate::Core::handle_token).
    TokenNeeded(TokenRequest),
    /// An error that belongs to no command and no subscription.
    Error(Error),
}

/// The completeness of a channel's messages after the subscription was not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// It is active for the first time: no messages could be missed.
    First,
    /// All of them follow, before the live ones.
    Complete,
    /// The channel keeps no history: the messages published meanwhile are lost.
    NoHistory,
    /// The channel's history does not reach back so far, or was lost. An unknown number of messages is missing.
    Lost,
}

impl Recovery {
    /// Whether messages may be missing.
    pub const fn is_gap(self) -> bool {
        self.gap().is_some()
    }

    /// The reason for which messages may be missing, if any.
    pub const fn gap(self) -> Option<Gap> {
        match self {
            Self::First | Self::Complete => None,
            Self::NoHistory => Some(Gap::NoHistory),
            Self::Lost => Some(Gap::Lost),
        }
    }
}

/// The reason for which messages of a subscription may be missing, after a reconnect or while it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gap {
    /// The channel keeps no history: the messages published while this client was away are lost.
    NoHistory,
    /// The channel's history was lost, or does not reach back to the last message of this client.
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

    /// A description of the gap and its remedy, for people.
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
                "this client is slower than the channel, which dropped messages: read them faster, or read the channel's \
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

/// The result of a command that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Of a publish: the position of the message, in a channel that keeps history.
    Published(Option<Position>),
    /// Of a call: the response.
    Called(Payload),
    /// Of a streaming call: all responses have arrived.
    Streamed,
    /// Of reading a channel's history.
    History(HistoryPage),
    /// Of asking for the members of a channel.
    Presence(PresenceList),
    /// Of acknowledging an alarm.
    Acknowledged,
    /// Of a ping: the time until the answer.
    Answered(Duration),
}

/// The state of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// The client has not begun to connect.
    Disconnected,
    /// The first attempt is being made, or a later one before the first success.
    Connecting,
    /// There is a session, and the subscriptions have caught up. If catching up takes longer than 30 s, it goes on
    /// while the client is reported as connected. Commands are sent as soon as there is a session.
    Connected,
    /// The connection was lost. The next attempt is being made or waits for its time.
    Reconnecting,
    /// The client has ended: by the application's wish, or by a code that forbids reconnecting.
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
    /// The reason for which it ended, for people. A [`Core`](crate::Core) reports the reason as received. A
    /// [`Client`](crate::Client) reports the description of the code if there was no reason.
    pub reason: String,
    /// The time until the next attempt.
    pub retry_in: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_recoveries_have_names_and_codes() {
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
