//! The demo page's server
