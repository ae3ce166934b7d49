//! Choosing the subprotocol of a connection (RFC 6455, section 1.9), which is the server's task. A server speaks both.

use std::fmt;

use crate::Codec;

/// Picks the codec for a client that offers `offered`, the values of its `Sec-WebSocket-Protocol` headers. The client's
/// first known name wins. A client without an offer gets JSON, and no name is echoed.
///
/// # Errors
/// Every name is unknown: the handshake has to be refused.
///
/// ```
/// use wirehub_common::{Codec, negotiate};
///
/// let (codec, name) = negotiate(["graphql-ws, wirehub.v1.protobuf"])?;
/// assert_eq!((codec, name), (Codec::Protobuf, Some("wirehub.v1.protobuf")));
/// assert_eq!(negotiate([])?, (Codec::Json, None));
/// assert!(negotiate(["soap"]).is_err());
/// # Ok::<(), wirehub_common::UnknownSubprotocol>(())
/// ```
pub fn negotiate<'a>(
    offered: impl IntoIterator<Item = &'a str>,
) -> Result<(Codec, Option<&'static str>), UnknownSubprotocol> {
    let mut any = false;
    for name in offered.into_iter().flat_map(|value| value.split(',')).map(str::trim) {
        if let Some(codec) = Codec::from_subprotocol(name) {
            return Ok((codec, Some(codec.subprotocol())));
        }
        any |= !name.is_empty();
    }
    if any { Err(UnknownSubprotocol) } else { Ok((Codec::Json, None)) }
}

/// The client named subprotocols, and none of them is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSubprotocol;

impl fmt::Display for UnknownSubprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "none of the offered subprotocols is known here: offer wirehub.v1.protobuf or wirehub.v1.json in \
             Sec-WebSocket-Protocol",
        )
    }
}

impl std::error::Error for UnknownSubprotocol {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SUBPROTOCOL_PROTOBUF;

    #[test]
    fn the_first_known_name_wins_over_several_headers() {
        assert_eq!(negotiate(["a", "b,wirehub.v1.json", SUBPROTOCOL_PROTOBUF]).unwrap().0, Codec::Json);
        assert_eq!(negotiate([""]).unwrap(), (Codec::Json, None));
        assert_eq!(negotiate(["WIREHUB.V1.JSON"]), Err(UnknownSubprotocol), "names are case-sensitive");
    }
}
