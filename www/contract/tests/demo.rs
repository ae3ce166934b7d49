//! The parts of the demo's contract that the page, in another language, relies on.

use wirehub_common::contract::Message as _;
use wirehub_common::{ChannelName, Payload, PayloadErrorKind};
use wirehub_demo_contract::{ChatMessage, ChatRoom, Demo, RoomInfo, RoomsRequest, RoomsResponse, Tick};

#[test]
fn the_contract_has_the_names_that_the_page_uses() {
    let names: Vec<_> = Demo::ITEMS.iter().map(|item| item.name).collect();
    assert_eq!(Demo::NAME, "demo");
    assert_eq!(
        names,
        [
            "chat:{room}",
            "demo.echo",
            "demo.rooms",
            "demo.ticks",
            "people:online",
            "@{user}",
            "demo.send",
            "demo.read",
            "rooms:list",
            "room:{room}",
            "typing:{room}",
            "images:{room}",
            "metrics:{source}",
            "latest:{source}",
            "trail:{source}",
            "demo.meters",
            "alarm:page",
            "demo.raise",
            "demo.withdraw",
            "demo.watch-alarm",
            "rules:threshold",
            "demo.set-rule",
            "cursors:{board}",
            "drawings:{board}",
            "lab:{run}",
            "demo.server",
            "demo.expire-token",
            "demo.cut",
            "demo.restart",
            "demo.load",
        ]
    );
}

#[test]
fn a_room_is_a_channel_and_the_other_way_round() {
    let kitchen = ChatRoom::new("kitchen-2").unwrap();
    assert_eq!(kitchen.name().as_str(), "chat:kitchen-2");
    assert_eq!(ChatRoom::parse(kitchen.name()).as_ref().map(ChatRoom::room), Some("kitchen-2"));
    for other in ["chat", "chat:", "chat:a:b", "chat:a/b", "news:a"] {
        assert_eq!(ChatRoom::parse(&ChannelName::new(other).unwrap()), None, "{other}");
    }
}

#[test]
fn messages_are_the_json_that_the_page_reads_and_writes() {
    let message = ChatMessage { nick: "ann".into(), text: "<b>hi</b>".into() };
    assert_eq!(message.to_payload().unwrap(), Payload::json(r#"{"nick":"ann","text":"<b>hi</b>"}"#));
    assert_eq!(RoomsRequest {}.to_payload().unwrap(), Payload::json("{}"));
    let rooms = RoomsResponse { rooms: vec![RoomInfo { name: "lobby".into(), people: 3 }] };
    assert_eq!(rooms.to_payload().unwrap(), Payload::json(r#"{"rooms":[{"name":"lobby","people":3}]}"#));
    let tick = Tick { number: 1, late: 0.25 };
    assert_eq!(tick.to_payload().unwrap(), Payload::json(r#"{"number":1,"late":0.25}"#));
}

#[test]
fn only_chat_messages_fit_into_a_room() {
    let room = Demo::ITEMS.iter().find(|item| item.name == "chat:{room}").unwrap();
    let check = |payload| (room.check)(&payload).map_err(|error| error.kind());
    assert_eq!(check(Payload::json(r#"{"nick":"ann","text":"hi","later":1}"#)), Ok(()));
    assert_eq!(check(Payload::json(r#"{"nick":"ann"}"#)), Err(PayloadErrorKind::Decode));
    assert_eq!(check(Payload::bytes("hi")), Err(PayloadErrorKind::Content));
}
