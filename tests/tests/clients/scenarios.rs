//! The table of scenarios with the client on tokio.

use futures_util::{SinkExt as _, StreamExt as _, future};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use wirehub_client::Address;
use wirehub_tests::scenarios::{self, TABLE};

#[tokio::test]
async fn the_client_on_tokio_does_as_the_table_says() {
    let stage = scenarios::start().await;
    // All at once: most of their time is waiting.
    let plays = TABLE.iter().map(async |scenario| {
        let address = format!("ws://{stage}/{}", scenario.name);
        let stream = TcpStream::connect(stage).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(address, stream).await.unwrap();
        let socket = socket
            .filter_map(|message| {
                future::ready(
                    message.ok().and_then(|message| message.into_text().ok()).map(|text| text.to_string()),
                )
            })
            .with(|line: String| future::ready(Ok::<_, Error>(Message::text(line))));
        wirehub_test_player::play(Box::pin(socket), |url, config, tokens| {
            let address = Address::parse(url).unwrap();
            match tokens {
                Some(tokens) => wirehub_client::client_with_tokens(address, config, tokens),
                None => wirehub_client::client(address, config),
            }
        })
        .await
    });
    let failures = future::join_all(plays).await.concat();
    assert!(failures.is_empty(), "{failures}");
}
