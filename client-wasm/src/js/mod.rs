//! The exports under the npm package. Its TypeScript, in `npm/`, is their only user: nothing here is for others.
//!
//! Rules that hold throughout:
//! - JavaScript is never called while something is borrowed, because it calls back.
//! - Payloads pass as bytes and as text; it is JavaScript that knows JSON.
//! - Nothing here says anything in words that TypeScript could say: words weigh.

mod batch;
mod client;
mod host;
mod socket;
