//! The demo page's contract
