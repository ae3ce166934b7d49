//! Clients and servers. One program for all of them: each would be linked with every crate of the server, and
//! most of their time is waiting.

mod chat;
mod day;
mod hooks;
mod recovery;
mod restart;
mod scenarios;
mod tls;
mod tokens;
mod unasked;
