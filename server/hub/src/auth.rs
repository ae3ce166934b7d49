//! Authentication and rights of clients.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use serde::Serialize;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, PayloadError, PayloadErrorKind};

use crate::Hub;
use crate::pattern::Pattern;
use crate::shared_state::SharedState;

pub use crate::hooks::PublishRequest;

/// The credentials of a client. See [`Builder::authenticate`](crate::Builder::authenticate).
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The token; empty if the client has none.
    pub token: String,
    /// The name of the client's program, as the program states it.
    pub client: String,
    /// The program's version.
    pub version: String,
    /// `true` if a connected client sends a new token, `false` if a client connects. Connecting clients go first if there is a
    /// choice.
    pub is_refresh: bool,
    /// The client's IP address, taken from the headers of [trusted proxies](crate::Builder::trust_proxy) if present; `None` if
    /// unknown.
    pub address: Option<IpAddr>,
    /// The headers of the WebSocket handshake, including cookies, when the client connects. They are dropped at the beginning
    /// of the session. So they are empty if the client sends a new token.
    pub headers: HeaderMap,
    /// Absent in a test of a hook.
    hub: Option<Hub>,
}

impl Credentials {
    /// The credentials of a connecting client, for instance for a test of a hook.
    pub fn new(token: String, client: String, version: String, address: Option<IpAddr>) -> Self {
        Self { token, client, version, is_refresh: false, address, headers: HeaderMap::new(), hub: None }
    }

    /// The credentials of a connected client with a new token.
    pub(crate) fn refreshing(token: String, address: Option<IpAddr>) -> Self {
        Self { is_refresh: true, ..Self::new(token, String::new(), String::new(), address) }
    }

    /// The same credentials with these headers, for instance for a test of a hook.
    #[must_use]
    pub fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// The same credentials at a hub that has [`state`](Self::state), for instance for a test of a hook.
    #[must_use]
    pub fn with_hub(self, hub: Hub) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// The value of a cookie from the header `Cookie`. If several cookies have the name, the first one is returned.
    ///
    /// A cookie proves nothing about the page that connects. See [cookies and other
    /// sites](crate::Builder::authenticate).
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let headers = self.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Returns the value of this type from [`Builder::state`](crate::Builder::state).
    ///
    /// # Errors
    /// [`UNAVAILABLE`](ErrorCode::UNAVAILABLE): there is no value of this type. The log names the type.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, Refusal> {
        let Some(hub) = &self.hub else {
            return Err(Refusal::unavailable(
                "the credentials are of no hub: add one by `Credentials::with_hub`",
            ));
        };
        hub.settings().shared().map_err(Refusal::unavailable)
    }
}

impl fmt::Debug for Credentials {
    /// Leaves out the token and the values of headers, because they must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client", &self.client)
            .field("version", &self.version)
            .field("is_refresh", &self.is_refresh)
            .field("address", &self.address)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The identity of a client: its user, the lifetime of its token, and its rights beyond the rules of namespaces.
///
/// ```
/// # extern crate wirehub_hub as wirehub_server;
/// use std::time::Duration;
/// use wirehub_server::auth::{Authenticated, Rights};
///
/// let ann = Authenticated::user("ann")
///     .expires_in(Duration::from_secs(3600))
///     .with_rights(Rights { publish: vec!["news:*".parse()?], ..Rights::default() });
/// # let _ = ann;
/// # Ok::<(), wirehub_server::PatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    pub(crate) user: Arc<str>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) rights: Rights,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) info: Option<Arc<str>>,
    pub(crate) state: Option<SharedState>,
}

impl Authenticated {
    /// A client of the user with this name. A name has at most 254 bytes and no control characters, and is not `all`. Another
    /// name is refused when the client connects. An empty name is an anonymous client.
    pub fn user(name: impl Into<Arc<str>>) -> Self {
        Self {
            user: name.into(),
            ttl: None,
            rights: Rights::default(),
            channels: Vec::new(),
            info: None,
            state: None,
        }
    }

    /// An anonymous client.
    pub fn anonymous() -> Self {
        Self::user("")
    }

    /// The time for which the token is valid. After that and a [grace period](crate::Builder::token_grace) the session is
    /// closed, unless the client has sent a new token. Default: no limit.
    #[must_use]
    pub fn expires_in(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// The rights in channels, in addition to those by their [`Namespace`](crate::namespace::Namespace).
    #[must_use]
    pub fn with_rights(self, rights: Rights) -> Self {
        Self { rights, ..self }
    }

    /// The channels to which the server subscribes the session. The session may also subscribe to them itself.
    #[must_use]
    pub fn with_channels(self, channels: Vec<ChannelName>) -> Self {
        Self { channels, ..self }
    }

    /// The public information about the session, such as a display name. It is for clients that may see the members. It does
    /// not change during the session.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`]: the value can't be written as JSON, or takes more than 4 KiB.
    pub fn with_info(self, info: &impl Serialize) -> Result<Self, PayloadError> {
        let info = serde_json::to_string(info)
            .map_err(|error| PayloadError::new(PayloadErrorKind::Encode, Some(error.into())))?;
        if info.len() > Self::MAX_INFO_BYTES {
            let words = "the public information about a session takes at most 4 KiB: shorten it";
            return Err(PayloadError::new(PayloadErrorKind::Encode, Some(words.into())));
        }
        Ok(Self { info: Some(info.into()), ..self })
    }

    /// Keeps a value for the handlers and hooks of this session.
    /// [`CallContext::session_state`](crate::call::CallContext::session_state) returns it by its type. The value is that of the
    /// first token; a later token does not change it. It is dropped with the session and its calls. A second value replaces the
    /// first one.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::auth::Authenticated;
    /// use wirehub_server::call::CallError;
    /// use wirehub_server::{Hub, common::code::ErrorCode};
    ///
    /// wirehub_common::contract! {
    ///     contract Shop = "shop";
    ///     /// The tenant that the caller belongs to.
    ///     call Whose = "shop.whose": fn(()) -> String;
    /// }
    ///
    /// struct Tenant(String);
    ///
    /// let hub = Hub::builder()
    ///     .contract::<Shop>()
    ///     .authenticate(async |credentials| {
    ///         let tenant = Tenant(format!("tenant of {}", credentials.token));
    ///         Ok(Authenticated::user("ann").with_state(tenant))
    ///     })
    ///     .call(Whose, async |context, ()| {
    ///         let tenant = context.session_state::<Tenant>();
    ///         let tenant = tenant.ok_or_else(|| CallError::from_code(ErrorCode::PERMISSION_DENIED))?;
    ///         Ok(tenant.0.clone())
    ///     })
    ///     .build();
    /// # assert_eq!(hub.local_sessions(), 0);
    /// ```
    #[must_use]
    pub fn with_state<T: Send + Sync + 'static>(self, value: T) -> Self {
        Self { state: Some(SharedState::new(value)), ..self }
    }
}

impl Authenticated {
    /// The maximum size of [`Self::with_info`] in bytes of JSON.
    pub const MAX_INFO_BYTES: usize = 4096;

    /// The name of the user; empty for an anonymous client.
    pub fn user_name(&self) -> &str {
        &self.user
    }

    /// The time for which the token is valid: see [`Self::expires_in`].
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// The rights: see [`Self::with_rights`].
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The channels: see [`Self::with_channels`].
    pub fn channels(&self) -> &[ChannelName] {
        &self.channels
    }

    /// The info as JSON: see [`Self::with_info`].
    pub fn info(&self) -> Option<&str> {
        self.info.as_deref()
    }

    /// Returns the identity if the name of its user is valid. An anonymous identity has no name.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn checked(self) -> Result<Self, UserNameError> {
        match check_user(&self.user) {
            Err(UserNameError::Empty) | Ok(()) => Ok(self),
            Err(error) => Err(error),
        }
    }
}

/// Checks the name of a user.
pub(crate) fn check_user(name: &str) -> Result<(), UserNameError> {
    if name.is_empty() {
        Err(UserNameError::Empty)
    } else if name.len() > MAX_USER_BYTES {
        Err(UserNameError::TooLong)
    } else if name.contains(char::is_control) {
        Err(UserNameError::Control)
    } else if Hub::BROADCAST.strip_prefix('@') == Some(name) {
        Err(UserNameError::Reserved)
    } else {
        Ok(())
    }
}

/// The error of an invalid user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserNameError {
    /// The name is empty. An empty name stands for anonymous sessions, and an operation is never meant for all of them.
    Empty,
    /// The name has more than 254 bytes. The user's own channel is `@` and the name.
    TooLong,
    /// The name contains a control character.
    Control,
    /// The name is `all`. The channel `@all` belongs to every user.
    Reserved,
}

impl fmt::Display for UserNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name of the user is empty: name a user",
            Self::TooLong => "the name of the user is too long: it has at most 254 bytes",
            Self::Control => "the name of the user has a control character in it: leave it out",
            Self::Reserved => "the name `all` is reserved, because the channel `@all` belongs to every user: use another name",
        })
    }
}

impl StdError for UserNameError {}

/// The name of the user's channel has an `@` more, and at most 255 bytes.
const MAX_USER_BYTES: usize = 254;

/// The rights of a session in channels, in addition to those by their namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// The channels in which the session may subscribe and read the history.
    pub subscribe: Vec<Pattern>,
    /// The channels in which the session may publish.
    pub publish: Vec<Pattern>,
    /// The channels in which the session may see the members.
    pub presence: Vec<Pattern>,
}

/// An action of a session in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Subscribe,
    Publish,
    Presence,
}

impl Rights {
    pub(crate) fn allow(&self, action: Action, channel: &ChannelName) -> bool {
        let patterns = match action {
            Action::Subscribe => &self.subscribe,
            Action::Publish => &self.publish,
            Action::Presence => &self.presence,
        };
        patterns.iter().any(|pattern| pattern.matches(channel.as_str()))
    }
}

/// The reason for the refusal of a client, as the client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub(crate) ErrorInfo);

impl Refusal {
    /// The token is invalid, or a required token is missing. The client does not try again.
    pub fn invalid() -> Self {
        Self(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED))
    }

    /// The token has expired. The client gets a new one from its provider and reconnects.
    pub fn expired() -> Self {
        Self(ErrorInfo::from_code(ErrorCode::TOKEN_EXPIRED))
    }

    /// The credentials can't be checked at the moment. The error goes to the log, and the client tries again later.
    pub fn unavailable(error: impl fmt::Display) -> Self {
        tracing::error!("authentication failed: {error}");
        Self(ErrorInfo::from_code(ErrorCode::UNAVAILABLE))
    }

    /// The same refusal with another message. The client gets the message, so it must not contain a secret.
    #[must_use]
    pub fn with_message(self, words: impl Into<String>) -> Self {
        Self(ErrorInfo { message: words.into(), ..self.0 })
    }

    /// The error code for the client.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }
}

impl From<ErrorInfo> for Refusal {
    fn from(info: ErrorInfo) -> Self {
        Self(info)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

impl StdError for Refusal {}

/// The hook that authenticates clients.
pub(crate) type Authenticator = Arc<
    dyn Fn(Credentials) -> Pin<Box<dyn Future<Output = Result<Authenticated, Refusal>> + Send>> + Send + Sync,
>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_that_is_bounded_printable_and_not_reserved() {
        for name in ["ann", "Ann Smith", "auth0|5f7c", "räume", "alls", &"x".repeat(254)] {
            assert_eq!(check_user(name), Ok(()), "{name}");
        }
        for (name, error) in [
            ("", UserNameError::Empty),
            (&*"x".repeat(255), UserNameError::TooLong),
            ("ann\nadmin", UserNameError::Control),
            ("\u{1}", UserNameError::Control),
            ("all", UserNameError::Reserved),
        ] {
            assert_eq!(check_user(name), Err(error), "{name:?}");
        }
        assert!(Authenticated::anonymous().checked().is_ok());
        assert_eq!(Authenticated::user("all").checked(), Err(UserNameError::Reserved));
    }

    fn shown(cookies: &[&str]) -> Credentials {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        Credentials::new("secret".into(), "app".into(), "1".into(), None).with_headers(headers)
    }

    #[test]
    fn neither_a_token_nor_a_header_is_shown() {
        let text = format!("{:?}", shown(&["sid=hidden"]));
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
        assert!(text.contains("cookie"), "names are no secrets: {text}");
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let credentials = shown(&["theme=dark; sid=a=b ;other", "sid=later; last=\"1\""]);
        assert_eq!(credentials.cookie("sid"), Some("a=b"), "the first one, up to the semicolon");
        assert_eq!(credentials.cookie("last"), Some("\"1\""));
        for none in ["si", "SID", "other", "", "dark"] {
            assert_eq!(credentials.cookie(none), None, "{none}");
        }
        assert_eq!(shown(&[]).cookie("sid"), None);
    }

    #[test]
    fn state_is_that_of_the_hub() {
        let credentials = shown(&[]).with_hub(Hub::builder().state(7_u8).build());
        assert_eq!(credentials.state::<u8>().as_deref(), Ok(&7));
        assert_eq!(credentials.state::<u16>().map_err(|refusal| refusal.code()), Err(ErrorCode::UNAVAILABLE));
        assert!(shown(&[]).state::<u8>().is_err());
    }
}
