//! Free ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports of outgoing connections on every usual system. A stopped server would otherwise lose its port to such a
/// connection, or a client that reconnects to it would connect to itself.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;

/// The distance from a server's port to that of its cluster bus.
const BUS: u16 = 10_000;

/// A port that is free and stays reserved, also while nothing listens on it.
///
/// The reservation is a socket for UDP: tests in other processes see it, and it ends with this process.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// A port whose cluster bus has a free port too.
    pub fn reserve() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes begin at different places.
        let first = u16::try_from(process::id() % u32::from(COUNT)).unwrap_or_default();
        (0..COUNT)
            .map(|_| FIRST + (NEXT.fetch_add(1, Ordering::Relaxed) % COUNT + first) % COUNT)
            .find_map(|number| {
                let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                (is_free(number) && is_free(number + BUS))
                    .then_some(Self { number, _reservation: reservation })
            })
            .unwrap_or_else(|| panic!("no port of {COUNT} from {FIRST} is free"))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address on the loopback interface.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn a_reserved_port_is_not_given_away_twice() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}
