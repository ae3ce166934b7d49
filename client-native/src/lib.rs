//! The Wirehub client on tokio
