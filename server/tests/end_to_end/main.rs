//! The server over real sockets, met by clients that are nothing but tungstenite and the codec.

#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod alarms;
mod api;
mod backend;
mod bench;
mod binary;
mod calls;
mod commands;
mod connect;
mod contract;
mod deploy;
mod echo;
mod example_backend;
mod fan_out;
mod history;
mod hooks;
mod http;
mod identity;
mod key_sets;
mod lifecycle;
mod limits;
mod metrics;
mod mounting;
mod operate;
mod own_subscriptions;
mod panics;
mod presence;
mod program;
mod reload;
mod stop;
mod support;
mod tokens;
mod webhooks;
