//! The page: the connection's state, a choice of rooms, the open room.

use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use wirehub_client_wasm::ClientState;
use wirehub_yew_contract::ChatRoom;
use yew::{
    Callback, Html, InputEvent, Properties, TargetCast as _, component, html, use_effect_with, use_state,
};

use crate::client::{SharedClient, use_client_state};
use crate::room::Room;

const ROOMS: [&str; 2] = ["lobby", "kitchen"];

#[derive(PartialEq, Properties)]
pub(crate) struct AppProperties {
    pub(crate) client: SharedClient,
}

#[component]
pub(crate) fn App(AppProperties { client }: &AppProperties) -> Html {
    let state = use_client_state(client);
    let nick = use_state(|| "guest".to_owned());
    let open = use_state(|| None::<ChatRoom>);

    // Runs once, when the page is loaded, and nothing waits for it. Subscriptions and messages from before wait until
    // it succeeds, and the client's state shows the progress.
    use_effect_with(client.clone(), |client| {
        let client = client.clone();
        spawn_local(async move {
            let _ = client.connect().await;
        });
    });

    let rename = {
        let nick = nick.clone();
        Callback::from(move |event: InputEvent| {
            nick.set(event.target_unchecked_into::<HtmlInputElement>().value());
        })
    };
    let choose = |room: Option<&str>| {
        let (open, room) = (open.clone(), room.and_then(|name| ChatRoom::new(name).ok()));
        Callback::from(move |_| open.set(room.clone()))
    };
    html! {
        <main>
            <h1>{ "Wirehub in Yew" }</h1>
            <p class="connection" role="status">{ words(state) }</p>
            <label>{ "Your name " }<input class="nick" value={(*nick).clone()} oninput={rename} /></label>
            <nav aria-label="Rooms">
                { for ROOMS.map(|name| {
                    let is_open = open.as_ref().is_some_and(|room| room.room() == name);
                    let pressed = is_open.to_string();
                    html! { <button aria-pressed={pressed} onclick={choose(Some(name))}>{ name }</button> }
                }) }
                <button disabled={open.is_none()} onclick={choose(None)}>{ "Leave" }</button>
            </nav>
            if let Some(room) = &*open {
                // The key makes another room another component, with an empty list and a subscription of its own.
                <Room key={room.room()} client={client.clone()} room={room.clone()} nick={(*nick).clone()} />
            }
        </main>
    }
}

fn words(state: ClientState) -> &'static str {
    match state {
        ClientState::Connected => "Connected",
        ClientState::Reconnecting => "The connection was lost: reconnecting",
        ClientState::Closed => "Closed by the server",
        _ => "Connecting",
    }
}
