//! A restart in place: the server stops as by a signal, and the program then runs itself again.

use std::ffi::OsString;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wirehub_server::ListenAddress;

use crate::identity::Tokens;

/// The environment variable with the key of the tokens, which a server gives to the next one. So the pages keep their tokens.
pub const TOKEN_KEY: &str = "WIREHUB_DEMO_TOKEN_KEY";

/// The wish of a client to restart the server. Clones are the same wish.
#[derive(Debug, Clone, Default)]
pub struct RestartWish(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    made: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_made: bool,
    address: Option<ListenAddress>,
    key: Option<String>,
}

impl std::fmt::Debug for State {
    /// Omits the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("is_made", &self.is_made).finish_non_exhaustive()
    }
}

impl RestartWish {
    pub(crate) fn make(&self) {
        self.0.state.lock().is_made = true;
        self.0.made.notify_one();
    }

    pub(crate) async fn wished(&self) {
        self.0.made.notified().await;
    }

    pub(crate) fn listening(&self, address: &ListenAddress, tokens: &Tokens) {
        let mut state = self.0.state.lock();
        state.address = Some(address.clone());
        state.key = Some(tokens.key().into());
    }

    /// The address of the server that is to run again; `None` if nobody wished that.
    pub fn address(&self) -> Option<ListenAddress> {
        let state = self.0.state.lock();
        state.address.clone().filter(|_| state.is_made)
    }

    /// The key for the next server, for the variable [`TOKEN_KEY`].
    pub fn token_key(&self) -> Option<String> {
        self.0.state.lock().key.clone()
    }
}

/// The arguments of a program that is to listen at an address, from those of one that listened at any.
pub fn arguments_at(arguments: impl IntoIterator<Item = OsString>, address: &ListenAddress) -> Vec<OsString> {
    let mut rest = arguments.into_iter();
    let mut kept = Vec::new();
    while let Some(argument) = rest.next() {
        if argument == "--listen" {
            let _ = rest.next();
        } else if !argument.to_string_lossy().starts_with("--listen=") {
            kept.push(argument);
        }
    }
    kept.extend(["--listen".into(), address.to_string().into()]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_server_listens_where_this_one_does() {
        let address: ListenAddress = "127.0.0.1:4711".parse().unwrap();
        let all = |arguments: &[&str]| {
            let arguments = arguments_at(arguments.iter().map(OsString::from), &address);
            arguments.into_iter().map(|it| it.into_string().unwrap()).collect::<Vec<_>>().join(" ")
        };
        for arguments in [
            &["serve", "--demo", "--listen", "127.0.0.1:0"][..],
            &["serve", "--listen=127.0.0.1:0", "--demo"],
            &["serve", "--demo"],
            &["serve", "--demo", "--listen"],
        ] {
            assert_eq!(all(arguments), "serve --demo --listen 127.0.0.1:4711", "{arguments:?}");
        }
    }

    #[test]
    fn an_address_alone_is_no_wish() {
        let wish = RestartWish::default();
        wish.0.state.lock().address = Some("127.0.0.1:1".parse().unwrap());
        assert_eq!(wish.address(), None);
        wish.make();
        assert!(wish.address().is_some());
    }
}
