//! What of a hub's settings can change while it runs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use wirehub_common::Limits;

use super::addresses::AddressLimits;
use crate::auth::Authenticator;
use crate::call::{CallPattern, Handler};
use crate::hooks::Hooks;
use crate::readiness::Need;
use crate::upgrade::client_address::TrustedProxy;
use crate::upgrade::origin::Origins;

/// The number of connections that are open at once, of all kinds, unless
/// [`Builder::max_connections`](crate::Builder::max_connections) says otherwise; more wait in the system's queue until others end.
pub const MAX_CONNECTIONS: usize = 100_000;

/// The settings that can change. A session keeps those of the moment when it was opened, for it has told them to its
/// client; hooks are those of the moment when they are asked.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) limits: Limits,
    pub(crate) queue_bytes: usize,
    pub(crate) alarm_bytes: usize,
    pub(crate) commands_per_second: Option<u32>,
    /// Where it is not said, as many as each session.
    pub(crate) user_commands_per_second: Option<u32>,
    pub(crate) sessions_per_user: Option<u32>,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) drain_delay: Duration,
    /// Of all kinds, at once. Looked at when a server begins.
    pub(crate) max_connections: usize,
    pub(crate) addresses: AddressLimits,
    pub(crate) proxies: Vec<TrustedProxy>,
    pub(crate) origins: Origins,
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) token_grace: Duration,
    pub(crate) hooks: Hooks,
    /// For the calls that have no handler of their own: the first pattern that fits.
    pub(crate) other_calls: Vec<(CallPattern, Handler)>,
    pub(crate) needs: Vec<Need>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            queue_bytes: 1024 * 1024,
            alarm_bytes: 64 * 1024 * 1024,
            commands_per_second: Some(10_000),
            user_commands_per_second: None,
            sessions_per_user: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            drain_delay: Duration::ZERO,
            max_connections: MAX_CONNECTIONS,
            addresses: AddressLimits::default(),
            proxies: Vec::new(),
            origins: Origins::default(),
            authenticator: None,
            token_grace: Duration::from_secs(25),
            hooks: Hooks::default(),
            other_calls: Vec::new(),
            needs: Vec::new(),
        }
    }
}

impl Live {
    /// How many commands all sessions of a user may send in a second; nothing for no bound.
    pub(crate) fn of_each_user(&self) -> Option<u32> {
        self.user_commands_per_second.or(self.commands_per_second).filter(|per_second| *per_second > 0)
    }
}

/// The [`Live`] settings of the moment.
#[derive(Default)]
pub(super) struct Current(RwLock<Arc<Live>>);

impl Current {
    pub(super) fn new(live: Live) -> Self {
        Self(RwLock::new(Arc::new(live)))
    }

    pub(super) fn get(&self) -> Arc<Live> {
        Arc::clone(&self.0.read())
    }

    pub(super) fn set(&self, live: Live) {
        *self.0.write() = Arc::new(live);
    }
}
