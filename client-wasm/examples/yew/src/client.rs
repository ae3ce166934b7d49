//! The client, adapted to Yew.

use std::ops::Deref;
use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, abortable};
use wasm_bindgen_futures::spawn_local;
use wirehub_client_wasm::{Client, ClientState};
use yew::{hook, use_effect_with, use_state_eq};

/// The page's client as a property of components. Yew compares properties; this one is equal only to itself.
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

/// A task that ends when this is dropped: an effect starts it, and its cleanup drops it. The values that the task holds
/// are dropped with it, and dropping a subscription unsubscribes.
pub(crate) struct Task(AbortHandle);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> Self {
        let (future, handle) = abortable(future);
        spawn_local(async move {
            // An aborted task has no result.
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

/// The state of the client. The component is rendered again when it changes.
#[hook]
pub(crate) fn use_client_state(client: &SharedClient) -> ClientState {
    let state = use_state_eq(|| client.state());
    let shown = state.clone();
    use_effect_with(client.clone(), move |client| {
        let mut changes = client.state_changes();
        // It may have changed since the component was rendered.
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
