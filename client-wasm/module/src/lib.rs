//! The WebAssembly module of the npm package `@wirehub/client`: the client's state machine, and nothing else.
//!
//! TypeScript has the WebSocket, the timers and the promises; the rules are here. It passes events in, and takes
//! actions and events out. The package's `machine.ts` is the only user, and knows the numbers used here: nothing is
//! meant for others.
//!
//! Rules that hold throughout:
//! - The module imports nothing. It is never in the middle of something while JavaScript runs.
//! - Calls pass numbers and bytes, so that no conversion code is needed.
//! - Texts that TypeScript can produce are not in the module, because texts add to its size.

#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod output;

use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use spin::{Mutex, MutexGuard};
use wasm_bindgen::prelude::wasm_bindgen;
use wirehub_client_core::{
    CommandId, Core, Error, ErrorKind, SendOptions, SubscriptionId, Time, TokenRequest,
};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{ContractDigest, ContractId, History, Position};
use wirehub_common::view::Payload;
use wirehub_common::{ChannelName, Content, utf8};

use self::output::Output;

/// Built without the standard library, whose panics, with messages and source locations, are a sixth of a module.
#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
mod allocator {
    use talc::cell::TalcSyncCell;
    use talc::wasm::{WasmBinning, WasmGrowAndClaim};

    /// A page's module has one thread, and its size matters.
    #[global_allocator]
    static ALLOCATOR: TalcSyncCell<WasmGrowAndClaim, WasmBinning> = TalcSyncCell::new_wasm(WasmGrowAndClaim);
}

/// The client of this instance. A call during another call, or after a failed one, fails as well.
static CLIENT: Mutex<Client> = Mutex::new(Client::new());

#[allow(clippy::unwrap_used, reason = "such a call is a mistake of the caller, and a panic reports it")]
fn client() -> MutexGuard<'static, Client> {
    CLIENT.try_lock().unwrap()
}

/// Reserves room for the text and data of the next [`input`]; returns its address.
#[wasm_bindgen]
pub fn reserve(length: usize) -> *const u8 {
    client().reserve(length)
}

/// Takes an event or a request: `kind`, and arguments whose meaning depends on it. The reserved room begins with a text
/// of `text` bytes; the rest of it is data. `now` is in milliseconds since an origin chosen by JavaScript. Returns a
/// number for some kinds. A negative number is a failure: without its sign it is the address of the output with the
/// reason.
#[wasm_bindgen]
pub fn input(kind: u32, now: f64, number: u32, text: usize, flags: u32, timeout: f64, offset: f64) -> f64 {
    client().input(kind, now, number, text, flags, timeout, offset)
}

/// Returns the address of the `Output`: every pending event if `events`, and the next action otherwise. A message is
/// returned only if the WebSocket is `writable`, and only one at a time. An empty output means that there is nothing
/// more.
#[wasm_bindgen]
pub fn poll(now: f64, writable: bool, events: bool) -> *const f64 {
    client().poll(now, writable, events)
}

struct Client {
    core: Core<Output>,
    reserved: Vec<u8>,
    /// The output for callers other than the reader of events.
    aside: Output,
}

impl Client {
    const fn new() -> Self {
        Self { core: Core::idle(Output::new()), reserved: Vec::new(), aside: Output::new() }
    }

    fn reserve(&mut self, length: usize) -> *const u8 {
        self.reserved = vec![0; length];
        self.reserved.as_ptr()
    }

    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    fn input(
        &mut self,
        kind: u32,
        now: f64,
        number: u32,
        text: usize,
        flags: u32,
        timeout: f64,
        offset: f64,
    ) -> f64 {
        let reserved = mem::take(&mut self.reserved);
        let (text, data) = reserved.split_at_checked(text).unwrap_or_default();
        let text = text_of(text);
        let flag = flags & FLAG != 0;
        let options = SendOptions::new(Some(duration(timeout)), flags & FAIL_FAST != 0);
        let since = (offset >= 0.0).then_some(offset as u64);
        let result = act(&mut self.core, kind, moment(now), number, text, data, flag, since, options);
        match result {
            Ok(number) => number.into(),
            Err(error) => {
                self.aside.failure(&error);
                -(self.aside.take(None) as usize as f64)
            }
        }
    }

    fn poll(&mut self, now: f64, writable: bool, events: bool) -> *const f64 {
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

/// The kinds of [`input`]. This one comes before all others: see [`begin`].
const BEGIN: u32 = 0;
const CONNECT: u32 = 1;
/// The WebSocket is open; the text is the subprotocol.
const OPEN: u32 = 2;
/// A text message arrived.
const TEXT: u32 = 3;
/// The WebSocket is closed, with a code and a reason.
const CLOSED: u32 = 4;
/// The time announced by the output has come.
const TIMEOUT: u32 = 5;
/// The page is visible, or runs, again.
const BACK: u32 = 6;
/// The network is back, or has changed.
const ONLINE: u32 = 7;
const OFFLINE: u32 = 8;
/// The page is kept in memory for when its user goes back to it.
const PUT_ASIDE: u32 = 9;
/// Ends the subscription with this number.
const UNSUBSCRIBE: u32 = 10;
/// Cancels the command with this number.
const CANCEL: u32 = 11;
/// Replaces the token.
const SET_TOKEN: u32 = 12;
/// The token that answers the question with this number.
const TOKEN: u32 = 13;
/// There is no token for now.
const NO_TOKEN: u32 = 14;
/// There will be no token any more.
const SIGNED_OUT: u32 = 15;
/// Closes the client for good, with a code and a reason.
const CLOSE: u32 = 16;
/// A binary message arrived.
const MESSAGE: u32 = 17;
/// The WebSocket has sent some of the bytes it had been given.
const DRAINED: u32 = 18;
/// Subscribes to the channel named by the text. This kind and the following ones return their numbers.
const SUBSCRIBE: u32 = 19;
/// The data is to be read as JSON if the flag is set; the same holds for the next three.
const PUBLISH: u32 = 20;
/// Publishes now or never. Returns 1 if the message was sent, 0 if it was dropped.
const PUBLISH_VOLATILE: u32 = 21;
const CALL: u32 = 22;
/// Calls a procedure with a stream of responses.
const CALL_STREAM: u32 = 23;
/// Reads up to `number` messages of a channel's history; the flag reverses the order. The start is an offset and, in
/// the data, an epoch.
const HISTORY: u32 = 24;
/// Asks for the members of a channel; with the flag only for their numbers.
const PRESENCE: u32 = 25;
/// Acknowledges the alarm with this id.
const ACKNOWLEDGE: u32 = 26;

/// See the kinds.
const FLAG: u32 = 1;
/// Fails unless it can be sent now.
const FAIL_FAST: u32 = 2;

/// The text is the token; the flag announces a token provider. The data contains 64 random bits, the contract's hash in
/// eight bytes, its name of `number` bytes, and the client's name. An empty contract name stands for no contract. The
/// contract's items are known to TypeScript. The offset is the size of the send queue in bytes.
fn begin(
    core: &mut Core<Output>,
    name: usize,
    token: &str,
    data: &[u8],
    provides_tokens: bool,
    send_queue: Option<u64>,
) {
    let (random, data) = data.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let (hash, names) = data.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let (name, client) = names.split_at_checked(name).unwrap_or_default();
    let id = ContractId { name: text_of(name).into(), hash: ContractHash(u64::from_le_bytes(*hash)) };
    core.start(u64::from_le_bytes(*random), |config| {
        config.token = token.into();
        config.provides_tokens = provides_tokens;
        if let Some(bytes) = send_queue {
            config.send_queue = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        config.client = text_of(client).into();
        config.version = env!("CARGO_PKG_VERSION").into();
        config.contract = (!name.is_empty()).then_some(ContractDigest { id, items: Vec::new() });
    });
}

#[allow(clippy::too_many_arguments, reason = "they are the parts of the input")]
fn act(
    core: &mut Core<Output>,
    kind: u32,
    now: Time,
    number: u32,
    text: &str,
    data: &[u8],
    flag: bool,
    since: Option<u64>,
    options: SendOptions,
) -> Result<u32, Error> {
    let close_code = u16::try_from(number).ok().and_then(CloseCode::new);
    match kind {
        BEGIN => begin(core, number as usize, text, data, flag, since),
        CONNECT => core.connect(now),
        OPEN => core.handle_open(text),
        TEXT => core.handle_text(now),
        MESSAGE => core.handle_message(now, data),
        DRAINED => core.handle_drained(now),
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
        _ => {
            let payload = Payload { content: if flag { Content::Json } else { Content::Bytes }, data };
            let command = match kind {
                CALL => core.call(now, text, payload, options),
                CALL_STREAM => core.call_stream(now, text, payload, options),
                ACKNOWLEDGE => core.acknowledge(now, text, options),
                _ => {
                    let channel = &ChannelName::new(text)?;
                    match kind {
                        SUBSCRIBE => return Ok(core.subscribe(channel)?.number()),
                        PUBLISH_VOLATILE => return Ok(core.publish_volatile(channel, payload).into()),
                        PUBLISH => core.publish(now, channel, payload, options),
                        HISTORY => {
                            let epoch = text_of(data).into();
                            let since = since.map(|offset| Position { offset, epoch });
                            let history =
                                History { channel: channel.clone(), since, limit: number, reverse: flag };
                            core.history(now, &history, options)
                        }
                        PRESENCE if flag => core.presence_counts(now, channel, options),
                        PRESENCE => core.presence_after(now, channel, text_of(data), options),
                        _ => Err(Error::from_code(ErrorKind::Usage, ErrorCode::UNSUPPORTED)),
                    }
                }
            };
            return Ok(command?.number());
        }
    }
    Ok(0)
}

/// Whole microseconds, because browsers are not more precise. The cast turns negative numbers and NaN into 0.
fn duration(milliseconds: f64) -> Duration {
    Duration::from_micros((milliseconds * 1000.0) as u64)
}

fn moment(milliseconds: f64) -> Time {
    Time::from_micros((milliseconds * 1000.0) as u64)
}

/// A text from JavaScript, which is always UTF-8.
fn text_of(bytes: &[u8]) -> &str {
    utf8::text(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Client {
        begun_with(&[0; 8], "", "a test")
    }

    fn begun_with(hash: &[u8; 8], contract: &str, name: &str) -> Client {
        let mut client = Client::new();
        client.reserved =
            [b"a token".as_slice(), b"8 random", hash, contract.as_bytes(), name.as_bytes()].concat();
        assert_eq!(client.input(BEGIN, 0.0, contract.len() as u32, 7, 0, 0.0, -1.0), 0.0);
        client
    }

    fn put(client: &mut Client, kind: u32, number: u32, text: &str, data: &[u8]) -> f64 {
        client.reserved = [text.as_bytes(), data].concat();
        client.input(kind, 0.0, number, text.len(), 0, 1000.0, -1.0)
    }

    #[test]
    fn a_client_begins_with_its_contract_and_its_name() {
        let client = begun_with(&255_u64.to_le_bytes(), "demo", "a name");
        let config = client.core.config();
        let contract = config.contract.as_ref().unwrap();
        assert_eq!((contract.id.name.as_str(), contract.id.hash), ("demo", ContractHash(255)));
        assert_eq!((config.token.as_str(), config.client.as_str()), ("a token", "a name"));
        assert_eq!(begun().core.config().contract, None);
    }

    #[test]
    fn the_send_queue_is_as_large_as_the_application_says() {
        let mut client = Client::new();
        client.reserved = [0; 16].to_vec();
        client.input(BEGIN, 0.0, 0, 0, 0, 0.0, 4096.0);
        assert_eq!(client.core.config().send_queue, 4096);
        assert_eq!(begun().core.config().send_queue, 1024 * 1024, "the default");
    }

    #[test]
    fn text_and_data_are_read_from_the_reserved_room() {
        let mut client = begun();
        assert!(!client.reserve(6).is_null());
        client.reserved.copy_from_slice(b"chathi");
        assert!(client.input(PUBLISH, 0.0, 0, 4, 0, 1000.0, -1.0) > 0.0, "`hi` to `chat`");
        assert!(client.reserved.is_empty());
        assert!(client.input(PUBLISH, 0.0, 0, 4, 0, 1000.0, -1.0) < 0.0, "to nowhere");
    }

    #[test]
    fn a_request_returns_its_number_or_the_address_of_its_error() {
        let mut client = begun();
        let mut subscribe = |channel| put(&mut client, SUBSCRIBE, 0, channel, &[]);
        assert!(subscribe("chat:a") > 0.0);
        assert!(subscribe("no name") < 0.0);
        assert!(subscribe("chat:a") < 0.0, "it has a subscription");
    }

    #[test]
    fn kinds_that_are_not_known_change_nothing() {
        let mut client = begun();
        for kind in [ACKNOWLEDGE + 1, u32::MAX] {
            assert!(put(&mut client, kind, 0, "chat:a", &[]) < 0.0);
        }
        put(&mut client, CONNECT, 0, "", &[]);
        client.reserved = vec![0xff; 3];
        client.input(MESSAGE, f64::NAN, u32::MAX, usize::MAX, u32::MAX, f64::INFINITY, f64::NAN);
        assert!(client.core.poll_transmit(true).is_some(), "it still wants to connect");
    }

    #[test]
    #[should_panic(expected = "unwrap")]
    fn a_call_within_a_call_fails() {
        let _held = client();
        poll(0.0, true, true);
    }
}
