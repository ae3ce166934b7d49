//! The requests of TypeScript.

use core::time::Duration;

use wirehub_client_core::{
    CommandId, Core, Error, ErrorKind, Listener, SendOptions, SubscribeOptions, SubscriptionId, Time,
    TokenRequest,
};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{History, Position};
use wirehub_common::view::Payload;
use wirehub_common::{ChannelName, Content};

use crate::numbers::{
    ACKNOWLEDGE, CALL, CALL_STREAM, CANCEL, CLOSE, CONNECT, DRAIN, HISTORY, NO_TOKEN, PING, PRESENCE,
    PUBLISH, PUBLISH_VOLATILE, SET_TOKEN, SIGNED_OUT, SUBSCRIBE, TOKEN, UNSUBSCRIBE, WATCH_MEMBERS,
};

/// The arguments of a request. Their meaning depends on its kind.
#[derive(Default)]
pub(crate) struct Input<'a> {
    pub(crate) number: u32,
    pub(crate) text: &'a str,
    pub(crate) second: &'a str,
    pub(crate) data: &'a [u8],
    /// The data is an attachment: it begins with its head.
    pub(crate) is_attachment: bool,
    pub(crate) flag: bool,
    pub(crate) since: Option<u64>,
    pub(crate) options: SendOptions,
}

/// Carries out a request; returns its number, or 0 if it has none.
pub(crate) fn act<L: Listener>(
    core: &mut Core<L>,
    kind: u8,
    now: Time,
    input: &Input<'_>,
) -> Result<u32, Error> {
    let &Input { number, text, second, data, is_attachment, flag, since, options } = input;
    let since = || since.map(|offset| Position { offset, epoch: second.into() });
    let close_code = || u16::try_from(number).ok().and_then(CloseCode::new);
    match kind {
        CONNECT => core.connect(now),
        UNSUBSCRIBE => core.unsubscribe(SubscriptionId::from_number(number)),
        WATCH_MEMBERS => core.watch_members(now, SubscriptionId::from_number(number)),
        CANCEL => core.cancel(CommandId::from_number(number)),
        SET_TOKEN => core.set_token(now, text.into()),
        TOKEN | NO_TOKEN | SIGNED_OUT => {
            let token = match kind {
                TOKEN => Ok(text.into()),
                NO_TOKEN => Err(ErrorCode::TOKEN_UNAVAILABLE),
                _ => Err(ErrorCode::UNAUTHORIZED),
            };
            let token = token.map_err(|code| Error::from_code(ErrorKind::Usage, code));
            core.handle_token(now, TokenRequest::from_number(number), token);
        }
        DRAIN => core.drain(now, options.timeout.unwrap_or(Duration::MAX)),
        CLOSE => core.close(close_code().unwrap_or(CloseCode::NORMAL), text),
        _ => {
            let content = match flag {
                true => Content::Json,
                false if is_attachment => Content::Attachment,
                false => Content::Bytes,
            };
            let payload = Payload { content, data };
            let command = match kind {
                CALL => core.call(now, text, payload, options),
                CALL_STREAM => core.call_stream(now, text, payload, options),
                ACKNOWLEDGE => core.acknowledge(now, text, options),
                PING => core.ping(now, options),
                _ => {
                    let channel = &ChannelName::new(text)?;
                    match kind {
                        SUBSCRIBE => {
                            let options = SubscribeOptions::new().history(number).since(since());
                            return Ok(core.subscribe_with(channel, options)?.number());
                        }
                        PUBLISH_VOLATILE => return Ok(core.publish_volatile(channel, payload).into()),
                        PUBLISH => core.publish_with_key(now, channel, payload, second, options),
                        HISTORY => {
                            let history = History {
                                channel: channel.clone(),
                                since: since(),
                                limit: number,
                                reverse: flag,
                            };
                            core.history(now, &history, options)
                        }
                        PRESENCE if flag => core.presence_counts(now, channel, options),
                        PRESENCE => core.presence_after(now, channel, second, options),
                        _ => Err(Error::from_code(ErrorKind::Usage, ErrorCode::UNSUPPORTED)),
                    }
                }
            };
            return Ok(command?.number());
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use wirehub_client_core::{Config, Events};

    use super::*;

    fn core() -> Core<Events> {
        Core::new(Config::new(), 1)
    }

    fn put(core: &mut Core<Events>, kind: u8, text: &str, data: &[u8]) -> Result<u32, Error> {
        act(core, kind, Time::ZERO, &Input { text, data, ..Input::default() })
    }

    #[test]
    fn a_request_returns_its_number_or_its_error() {
        let mut core = core();
        assert!(put(&mut core, SUBSCRIBE, "chat:a", &[]).unwrap() > 0);
        assert!(put(&mut core, SUBSCRIBE, "no name", &[]).is_err());
        let error = put(&mut core, SUBSCRIBE, "chat:a", &[]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ALREADY_SUBSCRIBED);
        assert!(put(&mut core, PUBLISH, "chat", b"hi").unwrap() > 0);
        assert!(put(&mut core, PUBLISH, "", b"hi").is_err(), "to nowhere");
    }

    #[test]
    fn kinds_that_are_not_known_change_nothing() {
        let mut core = core();
        for kind in [WATCH_MEMBERS + 1, u8::MAX] {
            assert!(put(&mut core, kind, "chat:a", &[]).is_err());
        }
        put(&mut core, CONNECT, "", &[]).unwrap();
        assert!(core.poll_transmit(true).is_some(), "it still wants to connect");
    }

    #[test]
    fn numbers_out_of_range_are_replaced() {
        let mut core = core();
        let input = Input { number: u32::MAX, since: Some(u64::MAX), ..Input::default() };
        for kind in [UNSUBSCRIBE, CANCEL, TOKEN, WATCH_MEMBERS, CLOSE] {
            assert_eq!(act(&mut core, kind, Time::ZERO, &input).unwrap(), 0);
        }
    }
}
