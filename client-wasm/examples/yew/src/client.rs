//! The client in Yew's words.

use std::ops::Deref;
use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, abortable};
use wasm_bindgen_futures::spawn_local;
use wirehub_client_wasm::{Client, ClientState};
use yew::{hook, use_effect_with, use_state_eq};

/// The page's client as components hand it on: Yew compares properties, and this is equal to itself only.
#[derive(Clone)]
pub(crate) struct SharedClient(Rc<Client>);

impl SharedClient {
    pub(crate) fn new(client: Client) -> Self {
        Self(Rc::new(client))
    }
}

impl Deref for SharedClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl PartialEq for SharedClient {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// A task that ends when this is dropped: what an effect starts, its cleanup drops. Whatever the task holds is dropped
/// with it, and a subscription that is dropped is unsubscribed.
pub(crate) struct Task(AbortHandle);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> Self {
        let (future, handle) = abortable(future);
        spawn_local(async move {
            // That it was aborted is nothing to tell.
            let _ = future.await;
        });
        Self(handle)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the client is doing; the component is drawn anew when that changes.
#[hook]
pub(crate) fn use_client_state(client: &SharedClient) -> ClientState {
    let state = use_state_eq(|| client.state());
    let shown = state.clone();
    use_effect_with(client.clone(), move |client| {
        let mut changes = client.state_changes();
        // It may have changed since the component was drawn.
        shown.set(client.state());
        let task = Task::spawn(async move {
            while let Some(change) = changes.next().await {
                shown.set(change.state);
            }
        });
        move || drop(task)
    });
    *state
}
