//! The servers for tests, each kind by itself.

mod cluster;
mod line;
mod sentinels;
mod server;
