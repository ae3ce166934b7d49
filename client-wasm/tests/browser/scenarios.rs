//! The table of scenarios, which every driver plays.

use futures_util::{SinkExt as _, StreamExt as _, future};
use wasm_bindgen_test::wasm_bindgen_test;
use wirehub_client_wasm::{Message, Socket, SocketError};

use crate::support::stage;

#[wasm_bindgen_test]
async fn the_client_for_browsers_does_as_the_table_says() {
    let Some(Ok(Message::Text(names))) = Socket::connect(&stage(""), &[]).await.unwrap().next().await else {
        panic!("the stage has no table");
    };
    // All at once: most of their time is waiting.
    let failures = future::join_all(names.split(' ').map(play)).await.concat();
    assert!(failures.is_empty(), "{failures}");
}

async fn play(scenario: &str) -> String {
    let socket = Socket::connect(&stage(scenario), &[]).await.unwrap();
    let socket = socket
        .map(|message| match message.unwrap() {
            Message::Text(text) => text,
            Message::Binary(bytes) => panic!("an order of bytes: {bytes:?}"),
        })
        .with(|line: String| future::ready(Ok::<_, SocketError>(Message::Text(line))));
    wirehub_test_player::play(socket, |url, config, tokens| {
        match tokens {
            Some(tokens) => wirehub_client_wasm::client_with_tokens(url, config, tokens),
            None => wirehub_client_wasm::client(url, config),
        }
        .unwrap()
    })
    .await
}
