//! The Schema derive of wirehub-common
