//! The Wirehub server: library and binary
