//! One room: its messages, and a box to write one.

use std::rc::Rc;

use futures_util::StreamExt as _;
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use wirehub_client_wasm::{Error, Gap, Publication, Update};
use wirehub_yew_contract::{ChatMessage, ChatRoom};
use yew::{
    Callback, Html, NodeRef, Properties, Reducible, SubmitEvent, UseReducerHandle, component, html,
    use_effect_with, use_node_ref, use_reducer,
};

use crate::client::{SharedClient, Task};

#[derive(PartialEq, Properties)]
pub(crate) struct RoomProperties {
    pub(crate) client: SharedClient,
    pub(crate) room: ChatRoom,
    /// The name of the person who writes.
    pub(crate) nick: String,
}

#[component]
pub(crate) fn Room(RoomProperties { client, room, nick }: &RoomProperties) -> Html {
    let log = use_reducer(Log::default);
    let field = use_node_ref();

    // Subscribed while this component is on the page. Dropping the task drops the subscription, which notifies the
    // server.
    let heard = log.clone();
    use_effect_with((client.clone(), room.clone()), move |(client, room)| {
        let task = Task::spawn(listen(client.clone(), room.clone(), heard));
        move || drop(task)
    });

    let onsubmit = say(client, room, nick, &field, &log);
    html! {
        <section aria-label={room.room().to_owned()}>
            <p class="status" role="status">{ &log.note }</p>
            <ol class="messages">
                { for log.lines.iter().map(|line| html! {
                    <li key={line.key}><b>{ &line.message.nick }</b>{ ": " }<span>{ &line.message.text }</span></li>
                }) }
            </ol>
            <form {onsubmit}>
                <input ref={field} aria-label="Message" autocomplete="off" />
                <button>{ "Send" }</button>
            </form>
        </section>
    }
}

/// Shows the room's messages until the client is closed or the server ends the subscription.
async fn listen(client: SharedClient, room: ChatRoom, log: UseReducerHandle<Log>) {
    let mut subscription = match client.subscribe(&room) {
        Ok(subscription) => subscription,
        Err(error) => return log.dispatch(Change::Failed(error)),
    };
    match subscription.ready().await {
        Ok(()) => log.dispatch(Change::Joined),
        Err(error) => return log.dispatch(Change::Failed(error)),
    }
    while let Some(update) = subscription.next().await {
        log.dispatch(match update {
            Ok(Update::Publication(publication)) => Change::Said(publication),
            Ok(Update::Gap(gap)) => Change::Missed(gap),
            Ok(_) => continue,
            // A message that does not fit the contract is such an error too; the next ones follow nevertheless.
            Err(error) => Change::Failed(error),
        });
    }
}

/// Publishes the text in the box. It is sent even if this room is left meanwhile, and waits while there is no
/// connection.
fn say(
    client: &SharedClient,
    room: &ChatRoom,
    nick: &str,
    field: &NodeRef,
    log: &UseReducerHandle<Log>,
) -> Callback<SubmitEvent> {
    let (client, room, nick) = (client.clone(), room.clone(), nick.to_owned());
    let (field, log) = (field.clone(), log.clone());
    Callback::from(move |event: SubmitEvent| {
        event.prevent_default();
        let Some(input) = field.cast::<HtmlInputElement>() else { return };
        let message = ChatMessage { nick: nick.clone(), text: input.value() };
        if message.text.is_empty() {
            return;
        }
        input.set_value("");
        let (client, room, log) = (client.clone(), room.clone(), log.clone());
        spawn_local(async move {
            if let Err(error) = client.publish(&room, &message).await {
                log.dispatch(Change::Failed(error));
            }
        });
    })
}

/// How many messages stay on the page.
const KEPT: usize = 200;

#[derive(Default, Clone)]
struct Log {
    lines: Vec<Line>,
    /// A notice about the room itself.
    note: String,
    next_key: u64,
}

#[derive(Clone)]
struct Line {
    /// Identifies the line, so that Yew adds to the list instead of rendering it again.
    key: u64,
    message: Rc<ChatMessage>,
}

enum Change {
    Joined,
    Said(Publication<ChatMessage>),
    Missed(Gap),
    Failed(Error),
}

impl Reducible for Log {
    type Action = Change;

    fn reduce(self: Rc<Self>, change: Change) -> Rc<Self> {
        let mut log = Rc::unwrap_or_clone(self);
        match change {
            Change::Joined => log.note = "You receive the messages of this room.".to_owned(),
            Change::Missed(gap) => log.note = gap.to_string(),
            Change::Failed(error) => log.note = error.to_string(),
            Change::Said(publication) => {
                let message = Rc::new(publication.message);
                log.lines.push(Line { key: log.next_key, message });
                log.next_key += 1;
                let surplus = log.lines.len().saturating_sub(KEPT);
                log.lines.drain(..surplus);
            }
        }
        Rc::new(log)
    }
}
