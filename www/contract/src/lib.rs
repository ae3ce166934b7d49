//! The demo page's contract, shared by the page in TypeScript, the panel in Rust, and the server.
//!
//! ```
//! use wirehub_demo_contract::Room;
//!
//! let lobby = Room::new("lobby")?;
//! assert_eq!(lobby.name().as_str(), "room:lobby");
//! # Ok::<(), wirehub_common::ChannelNameError>(())
//! ```
//!
//! | what | items | history |
//! | --- | --- | --- |
//! | people | [`People`], [`Direct`] | private messages for a week |
//! | rooms | [`RoomList`], [`Room`], [`TypingIn`], [`Images`] | messages and images for a week |
//! | charts | [`Metrics`], [`Latest`], [`Trail`]: [`Frame`]s of columns | ten seconds; none; ten minutes |
//! | alarms | [`Alarms`], [`Rules`] | the present rule |
//! | canvas | [`Cursors`], [`Drawings`] | strokes for a week |
//! | lab | [`Lab`], [`ServerFacts`], [`ExpireToken`], [`Cut`], [`Restart`], [`Load`] | ten minutes |
//!
//! The publisher of a message is in the publication around it: the user and the session. A message has the sender's name only
//! where somebody who is gone may have written it.
//!
//! The page gets its token by HTTP before it connects: [`SessionRequest`].

mod alarms;
mod canvas;
mod charts;
mod chat;
pub mod codes;
mod image;
mod lab;
mod people;

pub use self::alarms::{
    AlarmId, AlarmMessage, AlarmProgress, AlarmRecipient, Progress, RaiseRequest, Rule, RuleRequest, Severity,
};
pub use self::canvas::{Cursor, CursorPoint, Drawing};
pub use self::charts::{Frame, FrameError, MeterSource, Meters, Series};
pub use self::chat::{
    ChatMessage, EchoRequest, EchoResponse, ImageReference, RoomInfo, RoomMessage, RoomsRequest,
    RoomsResponse, Tick, TicksRequest, Typing,
};
pub use self::image::{Image, ImageError, ImageHead};
pub use self::lab::{LabMessage, LoadRequest, LoadResponse, RestartResponse, ServerFactsResponse};
pub use self::people::{
    DirectMessage, NameChange, Nothing, Person, ReadRequest, SendRequest, SendResponse, SessionRequest,
    SessionResponse,
};

use wirehub_common::contract::Binary;

wirehub_common::contract! {
    /// The demo page's contract.
    pub contract Demo = "demo";

    /// The shortest chat room, for examples: the page itself uses [`Room`].
    channel ChatRoom { room } = "chat:{room}": ChatMessage;
    /// Returns the text it receives, to show the round trip through the hub.
    call Echo = "demo.echo": fn(EchoRequest) -> EchoResponse;
    /// The rooms with members, once. [`RoomList`] has them at each change.
    call Rooms = "demo.rooms": fn(RoomsRequest) -> RoomsResponse;
    /// The server's clock: a tick at each period, until the caller ends it.
    stream Ticks = "demo.ticks": fn(TicksRequest) -> Tick;

    /// Its members are the people with an open page. The server publishes here that somebody has another name.
    channel People = "people:online": NameChange;
    /// The private messages to a user, and copies of those that the user wrote. Only the server publishes here.
    channel Direct { user } = "@{user}": DirectMessage;
    /// Sends a private message.
    call SendDirect = "demo.send": fn(SendRequest) -> SendResponse;
    /// The caller has read the private messages of somebody, up to one of them.
    call ReadDirect = "demo.read": fn(ReadRequest) -> Nothing;

    /// The rooms with members, published by the server when they change. The history has the present list.
    channel RoomList = "rooms:list": RoomsResponse;
    /// A chat room, made by its first subscriber. Its members are the people in the room.
    channel Room { room } = "room:{room}": RoomMessage;
    /// The people who write in a room at the moment.
    channel TypingIn { room } = "typing:{room}": Typing;
    /// Images, each with its description. A page reads one from the history, by the [`ImageReference`] in a message.
    channel Images { room } = "images:{room}": Image;

    /// Readings of this machine or server, every one of them: a [`Frame`] for each reading. A slow reader is disconnected, and
    /// recovers what it missed.
    channel Metrics { source } = "metrics:{source}": Binary;
    /// The same frames, where a new one replaces a waiting one: a slow reader always gets the newest.
    channel Latest { source } = "latest:{source}": Binary;
    /// The same readings, one [`Frame`] for each second: the history of a chart.
    channel Trail { source } = "trail:{source}": Binary;
    /// The sources of readings, and the series of each.
    call DescribeMeters = "demo.meters": fn(Nothing) -> Meters;

    /// The message of an alarm. Nobody subscribes here: alarms reach every page.
    channel Alarms = "alarm:page": AlarmMessage;
    /// Raises an alarm.
    call Raise = "demo.raise": fn(RaiseRequest) -> AlarmId;
    /// Ends an alarm that the caller raised.
    call Withdraw = "demo.withdraw": fn(AlarmId) -> Nothing;
    /// The progress of an alarm, at each change, until it is over or the caller ends the call.
    stream WatchAlarm = "demo.watch-alarm": fn(AlarmId) -> AlarmProgress;
    /// The rule that raises an alarm by itself. Only the server publishes here, and the history has the present rule.
    channel Rules = "rules:threshold": Rule;
    /// Changes the rule, for everybody.
    call SetRule = "demo.set-rule": fn(RuleRequest) -> Rule;

    /// The pointers of the people at a board.
    channel Cursors { board } = "cursors:{board}": Cursor;
    /// The strokes on a board.
    channel Drawings { board } = "drawings:{board}": Drawing;

    /// Numbered messages of a run in the lab. A name of a run that nobody else has keeps the run to itself.
    channel Lab { run } = "lab:{run}": LabMessage;
    /// The server as it runs now: another one has answered if `started` has changed.
    call ServerFacts = "demo.server": fn(Nothing) -> ServerFactsResponse;
    /// Ends the caller's session as if its token had expired: the client gets a new one and comes back.
    call ExpireToken = "demo.expire-token": fn(Nothing) -> Nothing;
    /// Drops the caller's connection without a close, as a broken line does: the client comes back.
    call Cut = "demo.cut": fn(Nothing) -> Nothing;
    /// Restarts the server, if it allows that to the caller.
    call Restart = "demo.restart": fn(Nothing) -> RestartResponse;
    /// The server sends numbered messages in a run.
    call Load = "demo.load": fn(LoadRequest) -> LoadResponse;
}
