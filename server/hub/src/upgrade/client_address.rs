//! The address of a client, also behind proxies.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, header};

use crate::accept::Admission;

/// A trusted proxy, or a network of them: `10.0.0.5`, `10.0.0.0/8`, `fd00::/8`, or `unix` for every peer on a Unix socket. The
/// server believes its statement about the client's address. See [`Builder::trust_proxy`](crate::Builder::trust_proxy).
///
/// ```
/// # extern crate wirehub_hub as wirehub_server;
/// use wirehub_server::accept::TrustedProxy;
///
/// let proxy: TrustedProxy = "10.0.0.0/8".parse()?;
/// assert_eq!(proxy.to_string(), "10.0.0.0/8");
/// assert!("10.0.0.0/33".parse::<TrustedProxy>().is_err());
/// # Ok::<(), wirehub_server::accept::TrustedProxyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(ProxyPattern);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyPattern {
    Unix,
    Network { address: IpAddr, prefix: u8 },
}

impl TrustedProxy {
    fn covers(&self, peer: PeerAddress) -> bool {
        match (self.0, peer) {
            (ProxyPattern::Unix, PeerAddress::Unix) => true,
            (ProxyPattern::Network { address, prefix }, PeerAddress::Tcp(ip)) => is_in(ip, address, prefix),
            _ => false,
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unix" {
            return Ok(Self(ProxyPattern::Unix));
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| TrustedProxyError)?;
        let longest = bits(address);
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| TrustedProxyError)?,
            None => longest,
        };
        if prefix > longest {
            return Err(TrustedProxyError);
        }
        Ok(Self(ProxyPattern::Network { address, prefix }))
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ProxyPattern::Unix => f.write_str("unix"),
            ProxyPattern::Network { address, prefix } if prefix == bits(address) => write!(f, "{address}"),
            ProxyPattern::Network { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

/// The text is not a [`TrustedProxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxyError;

impl fmt::Display for TrustedProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a proxy is an IP address, a network, or unix: write 127.0.0.1, 10.0.0.0/8, fd00::/8 or unix",
        )
    }
}

impl std::error::Error for TrustedProxyError {}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAddress {
    /// An IP address in its canonical form: an IPv4 address within IPv6 becomes an IPv4 address.
    Tcp(IpAddr),
    /// A Unix socket, which has no address.
    Unix,
}

impl PeerAddress {
    /// The peer of a request, from its [`Admission`] or from axum's `into_make_service_with_connect_info`.
    fn of(request: &Request) -> Option<Self> {
        let extensions = request.extensions();
        let told = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| Self::from(info.0));
        extensions.get::<Admission>().map(Admission::peer).or_else(told)
    }
}

/// The client's address: the peer, or, if the peer is a trusted proxy, the address in the proxy's header. `None` if unknown,
/// for a Unix socket without a proxy.
pub(crate) fn client_address(request: &Request, proxies: &[TrustedProxy]) -> Option<IpAddr> {
    PeerAddress::of(request).and_then(|peer| address_of(peer, request.headers(), proxies))
}

/// The address that is charged with a connection. Trusted proxies are not charged, because they connect for others.
pub(crate) fn charged_address(peer: PeerAddress, proxies: &[TrustedProxy]) -> Option<IpAddr> {
    match peer {
        PeerAddress::Tcp(address) if !proxies.iter().any(|proxy| proxy.covers(peer)) => Some(address),
        _ => None,
    }
}

/// Each proxy appends its own peer to the header. Entries to the left of the first untrusted one may be forged.
fn address_of(peer: PeerAddress, headers: &HeaderMap, proxies: &[TrustedProxy]) -> Option<IpAddr> {
    let is_trusted = |peer| proxies.iter().any(|proxy| proxy.covers(peer));
    let mut peer = peer;
    let mut hops = headers.get_all(FORWARDED_FOR).iter().rev().flat_map(hops_from_the_right);
    while is_trusted(peer) {
        // An invalid entry has no address.
        let Some(Some(hop)) = hops.next() else { break };
        peer = PeerAddress::Tcp(hop);
    }
    match peer {
        PeerAddress::Tcp(address) => Some(address),
        PeerAddress::Unix => None,
    }
}

/// `true` if a proxy claims to connect for another client, trusted or not.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED_FOR) || headers.contains_key(header::FORWARDED)
}

const FORWARDED_FOR: &str = "x-forwarded-for";

fn hops_from_the_right(value: &HeaderValue) -> impl Iterator<Item = Option<IpAddr>> {
    value.to_str().unwrap_or("?").rsplit(',').map(|hop| parse_hop(hop.trim()))
}

/// An address; some proxies add the port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok();
    let address = bare().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The unit of counting: an IPv4 address, or in IPv6 the network of 64 bits that one customer has.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(masked(address.to_bits(), 128, 64))),
    }
}

fn is_in(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            masked(address.to_bits().into(), 32, prefix) == masked(network.to_bits().into(), 32, prefix)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            masked(address.to_bits(), 128, prefix) == masked(network.to_bits(), 128, prefix)
        }
        _ => false,
    }
}

/// The first `prefix` of `length` bits.
fn masked(bits: u128, length: u8, prefix: u8) -> u128 {
    let rest = u32::from(length.saturating_sub(prefix));
    bits.checked_shr(rest).and_then(|network| network.checked_shl(rest)).unwrap_or_default()
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Option<String> {
        let peer = if peer == "unix" {
            PeerAddress::Unix
        } else {
            PeerAddress::from(SocketAddr::new(peer.parse().unwrap(), 1))
        };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let proxies: Vec<TrustedProxy> = trusted.iter().map(|proxy| proxy.parse().unwrap()).collect();
        address_of(peer, &headers, &proxies).map(|address| address.to_string())
    }

    #[test]
    fn headers_of_untrusted_peers_are_ignored() {
        assert_eq!(address("192.0.2.1", &["198.51.100.1"], &[]).unwrap(), "192.0.2.1");
        assert_eq!(address("192.0.2.1", &["198.51.100.1"], &["10.0.0.0/8", "unix"]).unwrap(), "192.0.2.1");
        assert_eq!(address("unix", &["198.51.100.1"], &["127.0.0.1"]), None);
    }

    #[test]
    fn the_header_is_read_from_the_right_and_only_through_trusted_proxies() {
        let trusted = ["10.0.0.0/8", "unix", "::1"];
        for (peer, forwarded, expected) in [
            ("10.0.0.1", &["198.51.100.1"][..], "198.51.100.1"),
            ("unix", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // An entry that the client itself had written.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.2.2.2,::1"], "198.51.100.1"),
            // Some proxies add a header of their own.
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1", "10.2.2.2"], "198.51.100.1"),
            // With a port.
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            // The address beyond the proxy is unknown.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", &["198.51.100.1,"], "10.0.0.1"),
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ] {
            assert_eq!(address(peer, forwarded, &trusted).as_deref(), Some(expected), "{peer} {forwarded:?}");
        }
        assert_eq!(address("unix", &[], &trusted), None);
    }

    #[test]
    fn networks_have_as_many_addresses_as_their_prefix_says() {
        let covers = |proxy: &str, ip: &str| {
            proxy.parse::<TrustedProxy>().unwrap().covers(PeerAddress::Tcp(ip.parse().unwrap()))
        };
        for (proxy, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("192.0.2.128/25", "192.0.2.129", "192.0.2.127"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("fd00::/8", "fdff::1", "fc00::1"),
            ("::/0", "2001:db8::1", "127.0.0.1"),
        ] {
            assert!(covers(proxy, inside), "{proxy} {inside}");
            assert!(!covers(proxy, outside), "{proxy} {outside}");
            assert_eq!(proxy.parse::<TrustedProxy>().unwrap().to_string(), proxy);
        }
        for bad in
            ["", "proxy.example", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/256", "Unix"]
        {
            assert_eq!(bad.parse::<TrustedProxy>(), Err(TrustedProxyError), "{bad}");
        }
    }

    #[test]
    fn connections_are_counted_by_address_or_in_ipv6_by_network() {
        let network_of = |address: &str| network_of(address.parse().unwrap()).to_string();
        assert_eq!(network_of("192.0.2.1"), "192.0.2.1");
        assert_eq!(network_of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
