//! The example of the README as a page. `cargo xtask size` measures it.

use futures_util::StreamExt as _;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};
use wirehub_demo_contract::ChatMessage;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn log(line: &str);
}

/// Runs as soon as the page has loaded the module.
///
/// # Errors
/// Those of the client.
#[cfg(not(feature = "socket"))]
#[wasm_bindgen(start)]
pub async fn start() -> Result<(), JsError> {
    use wirehub_client_wasm::Config;
    use wirehub_demo_contract::ChatRoom;

    let client = wirehub_client_wasm::client("ws://127.0.0.1:8080/ws", Config::default())?;
    let lobby = ChatRoom::new("lobby")?;
    let mut lines = client.subscribe(&lobby)?.publications();
    client.connect().await?;
    client.publish(&lobby, &ChatMessage { nick: "ann".into(), text: "hi".into() }).await?;
    while let Some(line) = lines.next().await {
        let line = line?.message;
        log(&format!("{}: {}", line.nick, line.text));
    }
    Ok(())
}

/// The same with a socket.
///
/// # Errors
/// Those of the socket.
#[cfg(feature = "socket")]
#[wasm_bindgen(start)]
pub async fn start() -> Result<(), JsError> {
    use futures_util::SinkExt as _;
    use wirehub_client_wasm::Socket;

    let mut socket = Socket::connect("ws://127.0.0.1:8080/echo", &[]).await?.typed::<ChatMessage>();
    socket.send(ChatMessage { nick: "ann".into(), text: "hi".into() }).await?;
    while let Some(line) = socket.next().await {
        let line = line?;
        log(&format!("{}: {}", line.nick, line.text));
    }
    Ok(())
}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
mod allocator {
    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    /// A page has one thread, and the standard library's allocator is larger.
    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);
}
