//! The WebAssembly module of the npm package `@wirehub/client`: the client's state machine, and nothing else.
//!
//! TypeScript has the WebSocket, the timers and the promises; here are the rules. It puts in what happened, and takes
//! out what is to be done and told. The package's `machine.ts` is the only user, and knows the numbers in here:
//! nothing is for others.
//!
//! Rules that hold throughout:
//! - The module imports nothing. It is never in the middle of something while JavaScript runs.
//! - Calls pass numbers and bytes, so that no code is needed at the border.
//! - Nothing here says anything in words that TypeScript could say: words weigh.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod output;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wasm_bindgen::prelude::wasm_bindgen;
use wirehub_client_core::{
    CommandId, Config, Core, Error, ErrorKind, SendOptions, SubscriptionId, Time, TokenRequest,
};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{ContractDigest, ContractId, History, Position};
use wirehub_common::{ChannelName, Payload};

use self::output::Output;

/// Without the standard library, whose way to panic, with words and places in the source, is a sixth of a module.
#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
mod allocator {
    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    /// A page's module has one thread, and its size counts.
    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);
}

/// A client. Moments are in milliseconds since one of JavaScript's own.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Client {
    core: Core<Output>,
    /// What is not for the one who takes events.
    aside: Output,
}

#[wasm_bindgen]
impl Client {
    /// A client that does nothing yet. The first two are 64 random bits. `contract` has name and hash of the contract and
    /// of each of its items, in turn, each in a line; it is empty for none.
    pub fn new(
        random_low: u32,
        random_high: u32,
        provides_tokens: bool,
        token: String,
        name: String,
        contract: &str,
    ) -> Self {
        let config = Config {
            token,
            provides_tokens,
            client: name,
            version: env!("CARGO_PKG_VERSION").into(),
            contract: contract_digest(contract),
            ..Config::default()
        };
        let seed = u64::from(random_low) | u64::from(random_high) << 32;
        Self { core: Core::with_listener(config, seed, Output::default()), aside: Output::default() }
    }

    /// Takes what happened, or is wished: `kind`, and what the others mean for it. Gives a number where the kind says so.
    /// A negative one: it failed, and the output with the reason is where that number is without its sign.
    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    pub fn input(
        &mut self,
        kind: u8,
        now: f64,
        number: u32,
        text: &str,
        data: Vec<u8>,
        flags: u8,
        timeout: f64,
        offset: f64,
    ) -> f64 {
        let options = SendOptions { timeout: Some(duration(timeout)), fail_fast: flags & FAIL_FAST != 0 };
        let extent = Extent { since: (offset >= 0.0).then_some(offset as u64), limit: number };
        let flag = flags & FLAG != 0;
        let now = moment(now);
        let result = if kind < SUBSCRIBE {
            self.take(kind, now, number, text, data);
            Ok(0)
        } else {
            self.begin(kind, now, text, data, flag, extent, options)
        };
        match result {
            Ok(number) => number.into(),
            Err(error) => {
                self.aside.failure(&error);
                -(self.aside.take(None) as usize as f64)
            }
        }
    }

    /// Gives where the `Output` is with all that is to be told if `events`, and else with what is to be done next. A
    /// message is to be sent only where the WebSocket is `writable`, and only one at a time. There is no more where the
    /// output is empty.
    pub fn poll(&mut self, now: f64, writable: bool, events: bool) -> *const f64 {
        let due = self.core.poll_timeout().map(|time| time.since(moment(now)));
        if events {
            return self.core.listener_mut().take(due);
        }
        if let Some(transmit) = self.core.poll_transmit(writable) {
            self.aside.transmit(transmit);
        }
        self.aside.take(due)
    }
}

/// What [`Client::input`] takes.
const CONNECT: u8 = 0;
/// The WebSocket is open; the text is the subprotocol.
const OPEN: u8 = 1;
/// A text message came.
const TEXT: u8 = 2;
/// The WebSocket is closed, with a code and a reason.
const CLOSED: u8 = 3;
/// The time is over that the output said.
const TIMEOUT: u8 = 4;
/// The page is shown, or runs, again.
const BACK: u8 = 5;
/// There is a network again, or another one.
const ONLINE: u8 = 6;
const OFFLINE: u8 = 7;
/// The page is put aside as it is, for when its user goes back to it.
const PUT_ASIDE: u8 = 8;
/// Ends the subscription with this number.
const UNSUBSCRIBE: u8 = 9;
/// Gives up on the command with this number.
const CANCEL: u8 = 10;
/// Replaces the token.
const SET_TOKEN: u8 = 11;
/// The token that was asked for with this number.
const TOKEN: u8 = 12;
/// There is none for now.
const NO_TOKEN: u8 = 13;
/// There is none any more.
const SIGNED_OUT: u8 = 14;
/// Closes the client for good, with a code and a reason.
const CLOSE: u8 = 15;
/// A binary message came.
const MESSAGE: u8 = 16;
/// Subscribes to the channel that the text names. This and those that follow give their numbers.
const SUBSCRIBE: u8 = 17;
/// The data is to be read as JSON if the flag says so; the same holds for the next three.
const PUBLISH: u8 = 18;
/// Publishes now or never; the number is 1 where it was not dropped, 2 where it was.
const PUBLISH_VOLATILE: u8 = 19;
const CALL: u8 = 20;
/// Calls for a stream of responses.
const CALL_STREAM: u8 = 21;
/// Reads a channel's history, as many messages as the number says; the flag reverses it. What it begins at is offset and,
/// in the data, epoch.
const HISTORY: u8 = 22;
/// Asks who is in a channel; with the flag only how many.
const PRESENCE: u8 = 23;
/// Acknowledges the alarm of this name.
const ACKNOWLEDGE: u8 = 24;

/// See the kinds.
const FLAG: u8 = 1;
/// Only where it can go out now.
const FAIL_FAST: u8 = 2;

/// Which part of a history.
#[derive(Clone, Copy)]
struct Extent {
    since: Option<u64>,
    limit: u32,
}

impl Client {
    fn take(&mut self, kind: u8, now: Time, number: u32, text: &str, data: Vec<u8>) {
        let core = &mut self.core;
        let close_code = u16::try_from(number).ok().and_then(CloseCode::new);
        match kind {
            CONNECT => core.connect(now),
            OPEN => core.handle_open(text),
            TEXT => core.handle_text(now),
            MESSAGE => core.handle_message(now, &data.into()),
            CLOSED => core.handle_close(now, close_code.unwrap_or(CloseCode::ABNORMAL), text),
            TIMEOUT => core.handle_timeout(now),
            BACK => core.reconnect_now(now),
            ONLINE => {
                core.check_connection(now);
                core.reconnect_now(now);
            }
            OFFLINE => core.check_connection(now),
            PUT_ASIDE => core.suspend(now),
            UNSUBSCRIBE => core.unsubscribe(SubscriptionId::from_number(number)),
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
            CLOSE => core.close(close_code.unwrap_or(CloseCode::NORMAL), text),
            _ => {}
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what came in, taken apart")]
    fn begin(
        &mut self,
        kind: u8,
        now: Time,
        name: &str,
        data: Vec<u8>,
        flag: bool,
        extent: Extent,
        options: SendOptions,
    ) -> Result<u32, Error> {
        let core = &mut self.core;
        let payload = |data| if flag { Payload::json(data) } else { Payload::bytes(data) };
        let command = match kind {
            CALL => core.call(now, name, payload(data), options),
            CALL_STREAM => core.call_stream(now, name, payload(data), options),
            ACKNOWLEDGE => core.acknowledge(now, name, options),
            _ => {
                let channel = ChannelName::new(name)?;
                match kind {
                    SUBSCRIBE => return Ok(core.subscribe(now, &channel)?.number()),
                    PUBLISH_VOLATILE => {
                        let sent = core.publish_volatile(channel, payload(data));
                        return Ok(if sent { 1 } else { 2 });
                    }
                    PUBLISH => core.publish(now, channel, payload(data), options),
                    HISTORY => {
                        // `from_utf8` is twice the code, and who gives an epoch has it from a server.
                        let epoch = data.utf8_chunks().next().map_or("", |chunk| chunk.valid()).into();
                        let since = extent.since.map(|offset| Position { offset, epoch });
                        let history = History { channel, since, limit: extent.limit, reverse: flag };
                        core.history(now, history, options)
                    }
                    PRESENCE if flag => core.presence_counts(now, channel, options),
                    PRESENCE => core.presence(now, channel, options),
                    _ => Err(Error::from_code(ErrorKind::Usage, ErrorCode::UNSUPPORTED)),
                }
            }
        };
        Ok(command?.number())
    }
}

/// Whole microseconds: browsers give no more. The cast takes what is negative or no number as 0.
fn duration(milliseconds: f64) -> Duration {
    Duration::from_micros((milliseconds * 1000.0) as u64)
}

fn moment(milliseconds: f64) -> Time {
    Time::since_origin(duration(milliseconds))
}

/// Reads pairs of a name and a hash; the first is the contract's own.
fn contract_digest(mut text: &str) -> Option<ContractDigest> {
    let id = contract_id(&mut text)?;
    let mut items = Vec::new();
    while let Some(item) = contract_id(&mut text) {
        items.push(item);
    }
    Some(ContractDigest { id, items })
}

fn contract_id(text: &mut &str) -> Option<ContractId> {
    let (name, hash) = (line(text)?, line(text)?);
    // No contract has this one: what can't be read differs from everything.
    Some(ContractId { name: name.into(), hash: ContractHash::from_hex(hash).unwrap_or_default() })
}

/// Takes a line off the front. Not by `lines`: that is ten times the code.
fn line<'a>(text: &mut &'a str) -> Option<&'a str> {
    if text.is_empty() {
        return None;
    }
    let end = text.bytes().position(|byte| byte == b'\n').unwrap_or(text.len());
    let line = text.get(..end)?;
    *text = text.get(end.saturating_add(1)..).unwrap_or_default();
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new(1, 2, false, String::new(), "a test".into(), "")
    }

    #[test]
    fn a_contract_is_a_name_and_a_hash_in_turn() {
        let digest = contract_digest("demo\n00000000000000ff\nchat\n0000000000000001\ncut short").unwrap();
        assert_eq!((digest.id.name.as_str(), digest.id.hash), ("demo", ContractHash(255)));
        assert_eq!(digest.items.len(), 1);
        assert_eq!(contract_digest(""), None);
    }

    #[test]
    fn a_request_gives_its_number_or_where_its_error_is() {
        let mut client = client();
        let mut subscribe = |channel| client.input(SUBSCRIBE, 0.0, 0, channel, Vec::new(), 0, 1000.0, -1.0);
        assert!(subscribe("chat:a") > 0.0);
        assert!(subscribe("no name") < 0.0);
        assert!(subscribe("chat:a") < 0.0, "it has a subscription");
    }

    #[test]
    fn kinds_that_are_not_known_change_nothing() {
        let mut client = client();
        for kind in [ACKNOWLEDGE + 1, u8::MAX] {
            assert!(client.input(kind, 0.0, 0, "chat:a", Vec::new(), 0, 0.0, -1.0) < 0.0);
        }
        client.input(CONNECT, 0.0, 0, "", Vec::new(), 0, 0.0, -1.0);
        client.input(MESSAGE, f64::NAN, u32::MAX, "", vec![0xff; 3], u8::MAX, f64::INFINITY, f64::NAN);
        assert!(client.core.poll_transmit(true).is_some(), "it still wants to connect");
    }
}
