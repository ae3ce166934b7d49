//! Authentication of a client, when it connects and when it sends a new token.

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{Connect, ErrorInfo, Refresh, Refreshed, ReplyBody};

use super::commands::invalid;
use super::optional_state::UnconnectedClient;
use super::pending_answers::await_hook;
use super::{Session, Stage};
use crate::auth::{Action, Authenticated, Credentials, Refusal};

impl Session {
    /// Authenticates a connecting client.
    pub(super) fn authenticate(&mut self, id: u32, mut connect: Connect) {
        let Some(authenticator) = &self.hub.live().authenticator else {
            return self.connect(id, connect, Authenticated::anonymous());
        };
        let token = std::mem::take(&mut connect.token);
        let headers = self.unconnected().map(|client| client.headers.clone());
        let credentials =
            Credentials::new(token, connect.client.clone(), connect.version.clone(), self.peer.address)
                .with_headers(headers.unwrap_or_default())
                .with_hub(self.hub.clone());
        let identity = authenticator(credentials);
        self.stage = Stage::Connecting;
        self.wait_for(await_hook(identity), move |session, identity| {
            session.stage = Stage::New;
            match identified(identity) {
                Ok(identity) => session.connect(id, connect, identity),
                Err(error) => session.refuse(id, error),
            }
        });
    }

    /// Refuses a `connect`. The client may send another one, but not without end, because each one calls the hook.
    pub(super) fn refuse(&mut self, id: u32, error: ErrorInfo) {
        self.hub.counters().refusals().count_refused_session(&error);
        let code = match error.code {
            ErrorCode::TOKEN_EXPIRED => CloseCode::TOKEN_EXPIRED,
            _ if error.temporary => CloseCode::TRY_AGAIN_LATER,
            _ => CloseCode::UNAUTHORIZED,
        };
        let client = self.extras.get_or_insert_default().unconnected.get_or_insert_default();
        client.refused = client.refused.saturating_add(1);
        client.refusal = Some(code);
        let is_last = client.refused >= MAX_REFUSED;
        self.reply(id, Err(error));
        if is_last {
            // Later commands are ignored.
            self.stage = Stage::Connecting;
            self.peer.mailbox.end(code.into());
        }
    }

    /// The close code for a command that needs a session, without a session. After a refused `connect` it is the code of the
    /// refusal: a client that sent both together reconnects if the refusal is temporary.
    pub(super) fn not_connected(&self) -> CloseCode {
        let refusal = self.unconnected().and_then(|client| client.refusal);
        refusal.unwrap_or(CloseCode::CONNECT_EXPECTED)
    }

    fn unconnected(&self) -> Option<&UnconnectedClient> {
        self.extras.as_ref()?.unconnected.as_deref()
    }

    /// Drops the headers of the handshake when the client is admitted.
    pub(super) fn forget_unconnected(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.unconnected = None;
            if extras.is_empty() {
                self.extras = None;
            }
        }
    }

    /// Authenticates a connected client with a new token.
    pub(super) fn refresh(
        &mut self,
        id: u32,
        Refresh { token }: Refresh,
    ) -> Result<Option<ReplyBody>, ErrorInfo> {
        let live = self.hub.live();
        let Some(authenticator) = &live.authenticator else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE));
        };
        // One after the other. Otherwise one session could keep the hook busy, and other clients would not be admitted.
        let extras = self.extras.get_or_insert_default();
        if let Some(next) = &mut extras.refreshing {
            if let Some((older, _)) = next.replace((id, token)) {
                self.reply(older, Err(ErrorInfo::from_code(ErrorCode::CANCELLED)));
            }
            return Ok(None);
        }
        extras.refreshing = Some(None);
        let identity =
            authenticator(Credentials::refreshing(token, self.peer.address).with_hub(self.hub.clone()));
        self.wait_for(await_hook(identity), move |session, identity| {
            let identity = identified(identity)
                .inspect_err(|error| session.hub.counters().refusals().count_refused_session(error));
            let result = identity.and_then(|identity| session.refreshed(identity));
            session.reply(id, result);
            let next = session.extras.as_mut().and_then(|extras| extras.refreshing.take()).flatten();
            if let Some((id, token)) = next
                && let Err(error) = session.refresh(id, Refresh { token })
            {
                session.reply(id, Err(error));
            }
        });
        Ok(None)
    }

    /// Replaces the token. Subscriptions that the new one does not allow end.
    fn refreshed(&mut self, identity: Authenticated) -> Result<ReplyBody, ErrorInfo> {
        if identity.user != self.peer.user() {
            return Err(ErrorInfo {
                message: "the token belongs to another user: open a new connection with it".into(),
                ..ErrorInfo::from_code(ErrorCode::UNAUTHORIZED)
            });
        }
        let channels = identity.channels.clone();
        let token_ttl = self.take_rights(identity);
        let mut lost = Vec::new();
        for (name, subscription) in self.subscriptions.iter() {
            if !subscription.by_server && self.check(Action::Subscribe, name).is_err() {
                lost.push(name.clone());
            } else if self.hub.settings().namespaces.of(name).join_leave.is_some() {
                subscription.channel.set_observes_members(subscription.place, self.observes_members(name));
            }
        }
        for channel in lost {
            self.unsubscribe_by_server(&channel, ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED));
        }
        self.subscribe_by_server(channels);
        Ok(ReplyBody::Refreshed(Refreshed { token_ttl }))
    }
}

/// The result of the hook for a client.
fn identified(
    identity: Result<Result<Authenticated, Refusal>, ErrorInfo>,
) -> Result<Authenticated, ErrorInfo> {
    identity?.map_err(|refusal| refusal.0)?.checked().map_err(|error| {
        tracing::warn!("a client is refused: {error}");
        Refusal::invalid().with_message(error.to_string()).0
    })
}

/// Checks the names in `connect` of the client's program and version.
pub(super) fn check_client(Connect { client, version, .. }: &Connect) -> Result<(), ErrorInfo> {
    for (field, text) in [("client", client), ("version", version)] {
        if text.len() > MAX_CLIENT_BYTES || text.contains(char::is_control) {
            let words = "has at most 128 bytes, and no control characters: shorten it";
            return Err(invalid(format!("`{field}` in connect {words}")));
        }
    }
    Ok(())
}

/// The maximum number of refusals of `connect` on a connection. Then the connection is closed.
const MAX_REFUSED: u8 = 5;

/// The maximum length of the names of a client's program and version. Other clients get these names, and the log contains them.
const MAX_CLIENT_BYTES: usize = 128;
