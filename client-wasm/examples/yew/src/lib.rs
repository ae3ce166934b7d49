//! A chat room in Yew: an example of a Rust front end with `wirehub-client-wasm`.
//!
//! [`client`] can be reused in any Yew program: the client as a property of components, its state as a hook, and a task
//! that ends with its component. [`token`] asks the site for tokens. [`room`] subscribes, shows and publishes. [`app`]
//! combines them.

mod app;
mod client;
mod room;
mod token;

use wasm_bindgen::prelude::{JsError, wasm_bindgen};
use wirehub_client_wasm::Config;

use crate::app::App;
use crate::app::AppProperties;
use crate::client::SharedClient;

/// Runs in the page as soon as it has loaded the module.
///
/// # Errors
/// The page has no address from which a server address can be derived.
#[wasm_bindgen(start)]
pub fn start() -> Result<(), JsError> {
    let config = Config::new().client("wirehub-yew-example", env!("CARGO_PKG_VERSION"));
    let client =
        SharedClient::new(wirehub_client_wasm::client_with_tokens(&server()?, config, token::fetch)?);
    yew::Renderer::<App>::with_props(AppProperties { client }).render();
    Ok(())
}

/// The address of the server that the page came from.
fn server() -> Result<String, JsError> {
    let location =
        web_sys::window().ok_or_else(|| JsError::new("this module runs in a page only"))?.location();
    let (Ok(protocol), Ok(host)) = (location.protocol(), location.host()) else {
        return Err(JsError::new("the page has no address"));
    };
    let scheme = if protocol == "https:" { "wss" } else { "ws" };
    Ok(format!("{scheme}://{host}/ws"))
}
