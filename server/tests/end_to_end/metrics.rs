//! What a hub counts.

use wirehub_common::Payload;
use wirehub_common::frame::{Connect, Request};
use wirehub_server::Hub;

use crate::support::{CODECS, Client, Server, call, http_at, publish, until};

async fn scrape(server: &Server) -> String {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let response = http_at(&server.host(), request).await;
    assert!(response.contains("application/openmetrics-text"), "{response}");
    assert!(response.trim_end().ends_with("# EOF"), "{response}");
    response
}

#[track_caller]
fn expect(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} in:\n{text}");
    }
}

#[tokio::test]
async fn commands_messages_and_ends_are_counted() {
    let hub = Hub::builder().build();
    let app = hub.router().merge(hub.metrics());
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let mut clients = Vec::new();
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    clients[0].ok(publish("a", Payload::json("1"))).await;
    // No WebSocket is asked for.
    http_at(&server.host(), "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(clients[0].error(call("none", Payload::json("1"))).await, 104);
    expect(
        &scrape(&server).await,
        &[
            "wirehub_commands_total{command=\"connect\"} 2",
            "wirehub_commands_total{command=\"subscribe\"} 2",
            "wirehub_commands_total{command=\"publish\"} 1",
            "wirehub_commands_total{command=\"history\"} 0",
            "wirehub_errors_total{code=\"104\"} 1",
            "wirehub_publications_total 1",
            "wirehub_deliveries_total 2",
            "wirehub_connections_opened_total 2",
            "wirehub_handshakes_refused_total{status=\"426\"} 1",
            "wirehub_sessions 2",
            "wirehub_channels 1",
            "wirehub_subscriptions 2",
        ],
    );
    // One breaks a rule, the other goes.
    let again = clients[0].command(Request::Connect(Connect::default()));
    clients[0].send([again]).await;
    clients[0].closed().await;
    drop(clients);
    until(|| server.hub.sessions() == 0).await;
    let ended = async || {
        let text = scrape(&server).await;
        let count =
            |code: &str| text.contains(&format!("wirehub_connections_ended_total{{code=\"{code}\"}} 1"));
        count("3502") && count("none")
    };
    while !ended().await {}
}
