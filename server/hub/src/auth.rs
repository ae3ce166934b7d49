//! Who may connect, and what they may do.

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

/// What a client shows to be let in. See [`Builder::authenticate`](crate::Builder::authenticate).
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The token; empty where the client has none.
    pub token: String,
    /// The name that the client's program gives itself.
    pub client: String,
    /// The program's version.
    pub version: String,
    /// The client is there already, and shows a new token. Not so when it connects, which goes first where there is a choice.
    pub is_refresh: bool,
    /// Where the client is, also behind [proxies that are trusted](crate::Builder::trust_proxy); absent where nobody says.
    pub address: Option<IpAddr>,
    /// The headers of the WebSocket handshake, cookies among them, when the client connects. A session forgets them when it is
    /// let in: with a new token there are none.
    pub headers: HeaderMap,
    /// Absent in a test of a hook.
    hub: Option<Hub>,
}

impl Credentials {
    /// The credentials of a client that connects, as for a test of a hook.
    pub fn new(token: String, client: String, version: String, address: Option<IpAddr>) -> Self {
        Self { token, client, version, is_refresh: false, address, headers: HeaderMap::new(), hub: None }
    }

    /// What a client shows that is there already.
    pub(crate) fn refreshing(token: String, address: Option<IpAddr>) -> Self {
        Self { is_refresh: true, ..Self::new(token, String::new(), String::new(), address) }
    }

    /// The same credentials with these headers, as for a test of a hook.
    #[must_use]
    pub fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// The same credentials, shown at a hub that has [`state`](Self::state), as for a test of a hook.
    #[must_use]
    pub fn with_hub(self, hub: Hub) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// The value of a cookie, as the header `Cookie` has it; the first one where there are several of the name.
    ///
    /// A cookie proves nothing about the page that connects: see
    /// [cookies and other sites](crate::Builder::authenticate#cookies-and-other-sites).
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let headers = self.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The value of this type that [`Builder::state`](crate::Builder::state) keeps.
    ///
    /// # Errors
    /// [`UNAVAILABLE`](ErrorCode::UNAVAILABLE): nothing of this type is kept. The log names it.
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
    /// Without the token and the values of headers: they must not get into a log.
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

/// Who a client is, for how long that is certain, and what it may do beyond what its channels' namespaces allow to all.
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
/// # Ok::<(), wirehub_server::auth::PatternError>(())
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
    /// The user of this name: at most 254 bytes without control characters, and not `all`. A name that is none of these is
    /// refused when the client connects. An empty one is anonymous.
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

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::user("")
    }

    /// The token is good for so long: then, and a [grace](crate::Builder::token_grace) later, the session is closed unless
    /// the client has shown a new one. Without this it is good for ever.
    #[must_use]
    pub fn expires_in(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// What the client may do in which channels, beyond what their [`Namespace`](crate::namespace::Namespace) allows.
    #[must_use]
    pub fn with_rights(self, rights: Rights) -> Self {
        Self { rights, ..self }
    }

    /// The channels that the server subscribes the session to, and that it may subscribe to by itself.
    #[must_use]
    pub fn with_channels(self, channels: Vec<ChannelName>) -> Self {
        Self { channels, ..self }
    }

    /// What is shown of the session to those who see who is there: a name, say. It stays what it was when the session
    /// began.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`]: it can't be written as JSON, or takes more than 4 KiB.
    pub fn with_info(self, info: &impl Serialize) -> Result<Self, PayloadError> {
        let info = serde_json::to_string(info)
            .map_err(|error| PayloadError::new(PayloadErrorKind::Encode, Some(error.into())))?;
        if info.len() > Self::MAX_INFO_BYTES {
            let words = "what is shown of a session takes at most 4 KiB: shorten it";
            return Err(PayloadError::new(PayloadErrorKind::Encode, Some(words.into())));
        }
        Ok(Self { info: Some(info.into()), ..self })
    }

    /// Keeps a value for the handlers and hooks of this session, which take it by its type:
    /// [`CallContext::session_state`](crate::call::CallContext::session_state). It stays that of the moment when the session
    /// began, also where a later token is shown, and goes with the session and its calls. A second value takes the first one's
    /// place.
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
    ///     .call::<Whose, _, _>(async |context, ()| {
    ///         let tenant = context.session_state::<Tenant>();
    ///         let tenant = tenant.ok_or_else(|| CallError::from_code(ErrorCode::PERMISSION_DENIED))?;
    ///         Ok(tenant.0.clone())
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    #[must_use]
    pub fn with_state<T: Send + Sync + 'static>(self, value: T) -> Self {
        Self { state: Some(SharedState::new(value)), ..self }
    }
}

impl Authenticated {
    /// The most bytes that [`Self::with_info`] takes, as JSON.
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

    /// The identity, where its user can have this name. An anonymous one has none.
    ///
    /// # Errors
    /// No user can have the name.
    pub fn checked(self) -> Result<Self, UserNameError> {
        match check_user(&self.user) {
            Err(UserNameError::Empty) | Ok(()) => Ok(self),
            Err(error) => Err(error),
        }
    }
}

/// Whether there can be a user of this name.
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

/// A text that is no user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserNameError {
    /// It is empty. That stands for anonymous sessions, which are no user's: all of them are never meant.
    Empty,
    /// It has more than 254 bytes: the user's own channel is `@` and the name.
    TooLong,
    /// It has a control character in it.
    Control,
    /// It is `all`: the channel `@all` is everybody's.
    Reserved,
}

impl fmt::Display for UserNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name of the user is empty: say whom you mean",
            Self::TooLong => "the name of the user is too long: it has at most 254 bytes",
            Self::Control => "the name of the user has a control character in it: leave it out",
            Self::Reserved => "no user is called `all`: the channel `@all` is everybody's",
        })
    }
}

impl StdError for UserNameError {}

/// With `@` before it a name is a channel's, of 255 bytes at most.
const MAX_USER_BYTES: usize = 254;

/// The channels in which a session may do what their namespaces do not allow to all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Where it may subscribe and read the history.
    pub subscribe: Vec<Pattern>,
    /// Where it may publish.
    pub publish: Vec<Pattern>,
    /// Where it may see who is there.
    pub presence: Vec<Pattern>,
}

/// What a session wants to do in a channel.
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

/// Why a client is not let in, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub(crate) ErrorInfo);

impl Refusal {
    /// The token is not valid, or there is none where one is needed. The client ends.
    pub fn invalid() -> Self {
        Self(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED))
    }

    /// The token has expired. The client gets a new one from its provider and comes back.
    pub fn expired() -> Self {
        Self(ErrorInfo::from_code(ErrorCode::TOKEN_EXPIRED))
    }

    /// It can't be found out at the moment. What went wrong goes to the log, and the client tries again later.
    pub fn unavailable(error: impl fmt::Display) -> Self {
        tracing::error!("authentication failed: {error}");
        Self(ErrorInfo::from_code(ErrorCode::UNAVAILABLE))
    }

    /// The same refusal in other words. They go to the client: no secret may be in them.
    #[must_use]
    pub fn with_message(self, words: impl Into<String>) -> Self {
        Self(ErrorInfo { message: words.into(), ..self.0 })
    }

    /// The code that the client is told.
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

/// The hook that knows who a client is.
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
