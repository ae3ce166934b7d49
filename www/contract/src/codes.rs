//! The error codes of the demo's calls and channels.

/// The period is not supported.
pub const NO_SUCH_PERIOD: u16 = 1000;
/// A text, a number or an image is out of its bounds. The message names the bound.
pub const OUT_OF_BOUNDS: u16 = 1001;
/// No user with this id has been here.
pub const NO_SUCH_USER: u16 = 1002;
/// The source has no such series.
pub const NO_SUCH_SERIES: u16 = 1003;
/// The alarm is unknown, or somebody else raised it.
pub const NO_SUCH_ALARM: u16 = 1004;
/// The server does not restart itself for this caller.
pub const NO_RESTART: u16 = 1005;
/// The caller, or everybody together, did this a moment ago. Temporary.
pub const TOO_OFTEN: u16 = 1006;
/// The session belongs to no user: connect with a token.
pub const NO_USER: u16 = 1007;
