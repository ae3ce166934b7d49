//! The server over real sockets, with minimal clients of tungstenite and the codec.

#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod alarms;
mod api;
mod backend;
mod by_hand;
mod calls;
mod commands;
mod contract;
mod echo;
mod fan_out;
mod history;
mod hooks;
mod http;
mod identity;
mod lifecycle;
mod limits;
mod local;
mod metrics;
mod mounting;
mod own_subscriptions;
mod panics;
mod presence;
mod slow_engine;
mod stop;
mod support;
mod tokens;
mod webhooks;
