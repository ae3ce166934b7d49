//! The Wirehub client for browsers
