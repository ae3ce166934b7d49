//! Messages written by hand from PROTOCOL.md alone.

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use wirehub_common::{Codec, Payload};

use crate::support::{Client, Server, name, open_hub};

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

async fn open(server: &Server) -> Client<TcpStream> {
    Client::open(server, Codec::Json).await
}

async fn connected(server: &Server) -> Client<TcpStream> {
    let mut client = open(server).await;
    say(&mut client, CONNECT).await;
    assert_eq!(client.reply().await, (1, None));
    client
}

async fn say(client: &mut Client<TcpStream>, text: &str) {
    client.send_raw(Message::Text(text.into())).await;
}

/// Checks that nothing was sent before the answer to this.
async fn nothing_came(client: &mut Client<TcpStream>) {
    say(client, r#"{"id":99,"cancel":{"command":99}}"#).await;
    assert_eq!(client.reply().await, (99, None));
}

async fn start() -> Server {
    Server::start(open_hub().build()).await
}

#[tokio::test]
async fn batches_may_be_joined_if_the_first_one_ends_with_a_line_feed() {
    let server = start().await;
    let subscribe = r#"{"id":2,"subscribe":{"channel":"a","number":1}}"#;
    let mut client = open(&server).await;
    say(&mut client, &format!("{CONNECT}\n{subscribe}\n")).await;
    assert_eq!((client.reply().await, client.reply().await), ((1, None), (2, None)));

    let mut client = open(&server).await;
    say(&mut client, &format!("{CONNECT}{subscribe}")).await;
    assert_eq!(client.closed().await.0, 3500);
}

#[tokio::test]
async fn a_connect_without_an_id_is_carried_out_and_gets_no_reply() {
    let server = start().await;
    let mut client = open(&server).await;
    say(&mut client, r#"{"connect":{}}"#).await;
    say(&mut client, r#"{"id":2,"subscribe":{"channel":"a","number":1}}"#).await;
    assert_eq!(client.reply().await, (2, None));
    server.hub.publish_raw(&name("a"), Payload::json("1")).unwrap();
    assert_eq!(client.publication().await.payload, Payload::json("1"));
}

#[tokio::test]
async fn an_error_of_a_command_without_an_id_is_not_sent() {
    let server = start().await;
    let mut client = connected(&server).await;
    for line in [
        r#"{"subscribe":{"channel":"two words"}}"#,
        r#"{"id":0,"unsubscribe":{"channel":"never"}}"#,
        r#"{"later":{}}"#,
        "{}",
    ] {
        say(&mut client, line).await;
    }
    nothing_came(&mut client).await;
}

#[tokio::test]
async fn a_publish_without_data_has_no_json_text_and_is_refused() {
    let server = start().await;
    let mut client = connected(&server).await;
    for (line, error) in [
        (r#"{"id":2,"publish":{"channel":"a"}}"#, Some(107)),
        (r#"{"id":2,"publish":{"channel":"a","content":"bytes"}}"#, Some(107)),
        (r#"{"id":2,"publish":{"channel":"a","content":"bytes","data":""}}"#, None),
        (r#"{"id":2,"publish":{"channel":"a","data":null}}"#, None),
    ] {
        say(&mut client, line).await;
        assert_eq!(client.reply().await, (2, error), "{line}");
    }
}

#[tokio::test]
async fn a_subscription_with_the_number_0_is_lower_than_any_other() {
    let server = start().await;
    let mut client = connected(&server).await;
    for (line, error) in [
        (r#"{"id":2,"subscribe":{"channel":"a"}}"#, None),
        (r#"{"id":2,"subscribe":{"channel":"a","number":0}}"#, Some(105)),
        (r#"{"id":2,"subscribe":{"channel":"a","number":7}}"#, None),
        // It concerns an older one.
        (r#"{"id":2,"unsubscribe":{"channel":"a"}}"#, None),
    ] {
        say(&mut client, line).await;
        assert_eq!(client.reply().await, (2, error), "{line}");
    }
    server.hub.publish_raw(&name("a"), Payload::json("1")).unwrap();
    assert_eq!(client.publication().await.payload, Payload::json("1"), "the one with the number 7 goes on");
}

#[tokio::test]
async fn a_message_of_white_space_is_not_a_ping_and_has_no_frames() {
    let server = start().await;
    let mut client = open(&server).await;
    for blank in ["", " ", "\n", " \r\n\t\n"] {
        say(&mut client, blank).await;
    }
    say(&mut client, CONNECT).await;
    assert_eq!(client.reply().await, (1, None), "also before connect");
    for blank in ["", "\n \n"] {
        say(&mut client, blank).await;
    }
    nothing_came(&mut client).await;
}
