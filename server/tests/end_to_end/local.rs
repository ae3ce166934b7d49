//! Subscriptions of the program that the hub is in.

use futures_util::StreamExt as _;
use wirehub_demo_contract::{ChatMessage, ChatRoom, Demo};
use wirehub_server::common::Payload;

use crate::support::{CODECS, Client, Server, in_time, open_hub, publish, until};

#[tokio::test]
async fn a_program_hears_what_clients_say_until_its_server_stops() {
    let server = Server::start(open_hub().contract::<Demo>().build()).await;
    let lobby = ChatRoom::new("lobby").unwrap();
    let mut heard = server.hub.subscribe(&lobby);
    let line = |text: &str| ChatMessage { nick: "ann".into(), text: text.into() };
    for codec in CODECS {
        let mut ann = Client::open(&server, codec).await;
        let session = ann.connected(Default::default()).await.session;
        let json = r#"{"nick":"ann","text":"hello"}"#;
        ann.ok(publish("chat:lobby", Payload::json(json))).await;
        let update = in_time(heard.next()).await.unwrap().unwrap();
        let publication = update.publication().unwrap();
        assert_eq!(publication.message, line("hello"));
        assert_eq!(publication.publisher.unwrap().session, session);
        assert_eq!(server.hub.local_subscribers(lobby.name()), 0, "a program is no session");
        ann.subscribe("chat:lobby").await;
        assert_eq!(server.hub.presence(lobby.name()).await.unwrap().len(), 1);
        drop(ann);
        until(|| server.hub.local_subscribers(lobby.name()) == 0).await;
    }
    drop(server.hub.publish(&lobby, &line("bye")).unwrap());
    let mut server = server;
    server.stop();
    server.stopped().await;
    let update = in_time(heard.next()).await.unwrap().unwrap();
    assert_eq!(update.publication().unwrap().message, line("bye"));
    assert!(in_time(heard.next()).await.is_none());
}
