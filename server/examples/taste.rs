//! The server of the front page: a contract, and a hub with a page.
#![allow(missing_docs, unreachable_pub, reason = "a program in one file")]

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;
use wirehub_server::{Hub, Listener, router, run, shutdown_signal, static_files};

#[derive(Debug, Serialize, Deserialize, Schema)]
pub struct Line {
    pub nick: String,
    pub text: String,
}

wirehub_common::contract! {
    pub contract Chat = "chat";
    /// One room.
    channel Room { room } = "chat:{room}": Line;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::builder().contract::<Chat>().build();
    let app = router(&hub).fallback_service(static_files("dist"));
    let listener = Listener::bind(&"127.0.0.1:8080".parse()?).await?;
    run(listener, hub.clone(), app, shutdown_signal()).await;
    Ok(())
}
