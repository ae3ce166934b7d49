//! End-to-end tests of Wirehub
