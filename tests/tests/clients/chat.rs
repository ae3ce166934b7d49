//! Native clients talk to each other through the demo's server.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use wirehub_client::common::code::{CloseCode, ErrorCode};
use wirehub_client::{Address, ClientState, Config, ErrorKind};
use wirehub_common::{ChannelName, Payload};
use wirehub_demo_contract::{
    ChatMessage, ChatRoom, Echo, EchoRequest, Rooms, RoomsRequest, Ticks, TicksRequest,
};
use wirehub_tests::{Server, next, publication, soon};

fn line(nick: &str, text: impl Into<String>) -> ChatMessage {
    ChatMessage { nick: nick.into(), text: text.into() }
}

#[tokio::test]
async fn a_message_reaches_another_client_with_sender_and_time() {
    let server = Server::demo().await;
    let (ann, bob) = (server.client().await, server.client().await);
    let lobby = ChatRoom::new("lobby").unwrap();
    let mut heard = bob.subscribe(&lobby).unwrap();
    soon(heard.ready()).await.unwrap();
    ann.publish(&lobby, &line("ann", "hi")).await.unwrap();
    let publication = publication(&mut heard).await;
    assert_eq!(publication.message, line("ann", "hi"));
    assert_eq!(&publication.channel, lobby.name());
    let publisher = publication.publisher.unwrap();
    assert_eq!(publisher.session, ann.session());
    assert_ne!(publisher.session, bob.session());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(now.abs_diff(publication.time).as_secs() < 60, "{:?}", publication.time);
}

#[tokio::test]
async fn everybody_hears_everything_in_the_same_order() {
    const CLIENTS: usize = 12;
    const LINES: usize = 150;
    let server = Server::demo().await;
    let room = ChatRoom::new("crowd").unwrap();
    let clients = join_all((0..CLIENTS).map(|_| server.client())).await;
    let subscriptions = join_all(clients.iter().map(|client| async {
        let mut subscription = client.subscribe(&room).unwrap();
        soon(subscription.ready()).await.unwrap();
        subscription
    }))
    .await;
    join_all(clients.iter().enumerate().map(|(who, client)| {
        let room = &room;
        async move {
            let lines =
                (0..LINES).map(|number| line(&who.to_string(), number.to_string())).collect::<Vec<_>>();
            for result in join_all(lines.iter().map(|line| client.publish(room, line))).await {
                result.unwrap();
            }
        }
    }))
    .await;
    let heard = join_all(subscriptions.into_iter().map(|subscription| async {
        let lines = subscription.publications().take(CLIENTS * LINES);
        soon(lines.map(|item| item.unwrap().message).collect::<Vec<_>>()).await
    }))
    .await;
    for others in &heard[1..] {
        assert_eq!(others, &heard[0], "one order for all");
    }
    for who in 0..CLIENTS {
        let said: Vec<_> = heard[0].iter().filter(|line| line.nick == who.to_string()).collect();
        let expected: Vec<_> = (0..LINES).map(|number| number.to_string()).collect();
        assert!(said.iter().map(|line| &line.text).eq(&expected), "and each speaker's own order in it");
    }
}

#[tokio::test]
async fn rooms_are_separate_and_a_client_that_left_receives_nothing() {
    let server = Server::demo().await;
    let client = server.client().await;
    let (red, blue) = (ChatRoom::new("red").unwrap(), ChatRoom::new("blue").unwrap());
    let mut heard = client.subscribe(&red).unwrap();
    soon(heard.ready()).await.unwrap();
    client.publish(&blue, &line("ann", "elsewhere")).await.unwrap();
    client.publish(&red, &line("ann", "here")).await.unwrap();
    assert_eq!(publication(&mut heard).await.message.text, "here");
    heard.unsubscribe();
    client.publish(&red, &line("ann", "gone")).await.unwrap();
    assert!(soon(heard.next()).await.is_none(), "the stream ends and brings nothing more");
    assert_eq!(server.hub.local_subscribers(red.name()), 0);
}

#[tokio::test]
async fn a_room_can_be_left_and_entered_again() {
    let server = Server::demo().await;
    let client = server.client().await;
    let room = ChatRoom::new("revolving").unwrap();
    for round in 0..20 {
        let mut heard = client.subscribe(&room).unwrap();
        soon(heard.ready()).await.unwrap();
        client.publish(&room, &line("ann", round.to_string())).await.unwrap();
        assert_eq!(publication(&mut heard).await.message.text, round.to_string());
    }
}

#[tokio::test]
async fn calls_are_answered_each_with_its_own_response() {
    let server = Server::demo().await;
    let client = server.client().await;
    let requests: Vec<_> = (0..20).map(|number| EchoRequest { text: format!("number {number}") }).collect();
    let responses = soon(join_all(requests.iter().map(|request| client.call::<Echo>(request)))).await;
    for (request, response) in requests.iter().zip(responses) {
        assert_eq!(response.unwrap().text, request.text);
    }
}

#[tokio::test]
async fn the_list_of_rooms_counts_their_members() {
    let server = Server::demo().await;
    let (ann, bob) = (server.client().await, server.client().await);
    let (tea, coffee) = (ChatRoom::new("tea").unwrap(), ChatRoom::new("coffee").unwrap());
    let mut subscriptions =
        vec![ann.subscribe(&tea).unwrap(), bob.subscribe(&tea).unwrap(), bob.subscribe(&coffee).unwrap()];
    for subscription in &mut subscriptions {
        soon(subscription.ready()).await.unwrap();
    }
    let rooms = soon(ann.call::<Rooms>(&RoomsRequest {})).await.unwrap().rooms;
    let rooms: Vec<_> = rooms.iter().map(|room| (room.name.as_str(), room.people)).collect();
    assert_eq!(rooms, [("coffee", 1), ("tea", 2)]);
}

#[tokio::test]
async fn a_message_outside_the_contract_is_refused_and_reaches_no_other_client() {
    let server = Server::demo().await;
    let (offender, other) = (server.client().await, server.client().await);
    let room = ChatRoom::new("strict").unwrap();
    let mut heard = other.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    let name = room.name();
    for (channel, payload, code) in [
        (name, Payload::json(r#"{"nick":"ann"}"#), ErrorCode::PAYLOAD_MISMATCH),
        (name, Payload::bytes("raw"), ErrorCode::PAYLOAD_MISMATCH),
        (name, Payload::json("{broken"), ErrorCode::BAD_REQUEST),
        (&ChannelName::new("no:such").unwrap(), Payload::json("1"), ErrorCode::UNKNOWN_CHANNEL),
    ] {
        let error = offender.publish_raw(channel.clone(), payload).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, code), "{error}");
        assert!(!error.message().is_empty());
    }
    let error = offender.call_raw("demo.nothing", Payload::json("{}")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNKNOWN_CALL);
    let error = offender.call_raw("demo.echo", Payload::json("7")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PAYLOAD_MISMATCH);
    let mut refused = offender.subscribe_raw(ChannelName::new("no:such").unwrap()).unwrap();
    assert_eq!(soon(refused.ready()).await.unwrap_err().code(), ErrorCode::UNKNOWN_CHANNEL);

    offender.publish(&room, &line("ann", "right")).await.unwrap();
    assert_eq!(publication(&mut heard).await.message.text, "right");
}

#[tokio::test]
async fn the_server_can_speak_in_a_channel_and_end_a_session_for_good() {
    let server = Server::demo().await;
    let client = server.client().await;
    let room = ChatRoom::new("news").unwrap();
    let mut heard = client.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    server.hub.publish(&room, &line("server", "hello")).unwrap();
    let publication = publication(&mut heard).await;
    assert_eq!((publication.message.nick.as_str(), publication.publisher), ("server", None));

    let session = client.session().parse().unwrap();
    assert!(server.hub.disconnect(session, CloseCode::DISCONNECTED, "enough").await.unwrap());
    soon(client.closed()).await;
    assert_eq!(client.state(), ClientState::Closed);
    assert_eq!(client.connect().await.unwrap_err().message(), "enough");
    assert_eq!(next(&mut heard).await.unwrap_err().code(), ErrorCode::CLOSED);
}

#[tokio::test]
async fn closing_a_client_leaves_nothing_behind_on_the_server() {
    let server = Server::demo().await;
    let client = server.client().await;
    let room = ChatRoom::new("brief").unwrap();
    let mut heard = client.subscribe(&room).unwrap();
    soon(heard.ready()).await.unwrap();
    assert_eq!((server.hub.local_sessions(), server.hub.local_channels().len()), (1, 1));
    client.close(CloseCode::NORMAL, "done");
    // The server answers the close, so it has noticed it when this ends.
    soon(client.closed()).await;
    soon(async {
        while server.hub.local_sessions() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(server.hub.local_channels().is_empty());
    let error = client.publish(&room, &line("ann", "late")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CLOSED);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let file = std::env::temp_dir().join(format!("wirehub-{}.sock", std::process::id()));
    let server = Server::start(wirehub_demo::builder().build(), &format!("unix:{}", file.display())).await;
    let client = server.client().await;
    let response = soon(client.call::<Echo>(&EchoRequest { text: "hi".into() })).await.unwrap();
    assert_eq!(response.text, "hi");
    client.close(CloseCode::NORMAL, "");
    soon(client.closed()).await;
    server.stop().await;
    assert!(!file.exists(), "the socket's file goes with the server");
}

#[tokio::test]
async fn an_address_that_is_no_wirehub_server_ends_the_client_with_the_reason() {
    let server = Server::demo().await;
    for (path, says) in [("/nothing", "404"), ("/health", ""), ("/echo", "")] {
        let base = server.listen_address();
        let address = Address::parse(&format!("ws://{base}{path}")).unwrap();
        let client = wirehub_client::client(address, Config::default());
        let error = soon(client.connect()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CLOSED, "{path}");
        assert!(error.message().contains(says) && !error.message().is_empty(), "{path}: {error}");
        assert_eq!(client.state(), ClientState::Closed);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again_until_it_is() {
    let placeholder = Server::demo().await;
    let (listen, address) = (placeholder.listen_address(), placeholder.address());
    placeholder.stop().await;
    let client = wirehub_client::client(address, Config::default());
    let mut changes = client.state_changes();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    assert_eq!(next(&mut changes).await.state, ClientState::Connecting);
    let change = next(&mut changes).await;
    assert_eq!((change.state, change.code), (ClientState::Connecting, Some(CloseCode::ABNORMAL)));
    assert!(change.retry_in.is_some() && !change.reason.is_empty(), "{change:?}");
    let server = Server::start(wirehub_demo::builder().build(), &listen).await;
    soon(connecting).await.unwrap().unwrap();
    assert_eq!(server.hub.local_sessions(), 1);
}

#[tokio::test]
async fn the_clock_ticks_while_it_is_read() {
    let server = Server::demo().await;
    let client = server.client().await;
    let mut ticks = client.call_stream::<Ticks>(&TicksRequest { every: 20 }).unwrap();
    for number in 1..=5 {
        let tick = next(&mut ticks).await.unwrap();
        assert_eq!(tick.number, number);
        assert!((0.0..10_000.0).contains(&tick.late), "{}", tick.late);
    }
    drop(ticks);
    // Each call has a clock of its own.
    let mut again = client.call_stream::<Ticks>(&TicksRequest { every: 20 }).unwrap();
    assert_eq!(next(&mut again).await.unwrap().number, 1);

    for every in [0, 19, 60_001] {
        let mut refused = client.call_stream::<Ticks>(&TicksRequest { every }).unwrap();
        let error = next(&mut refused).await.unwrap_err();
        assert_eq!(error.code().number(), wirehub_demo::NO_SUCH_PERIOD);
        assert_eq!(error.message(), "use a period of 20 to 60000 ms");
    }
}
