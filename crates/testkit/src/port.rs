//! Loopback ports that stay a test's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback port that nobody else is given while this value lives, whether or not its server runs.
///
/// The socket that holds it is bound but never listens: with `SO_REUSEADDR`, which every server here sets, the server
/// binds beside it, while the kernel gives the number neither to another such port nor to an outgoing connection. A
/// server can thus be killed and started again on its port. As long as no server listens, connecting is refused.
pub struct Port {
    number: u16,
    _held: Socket,
}

impl Port {
    /// Reserves a port that is free for TCP and for UDP. Panics after 100 ports that UDP uses.
    pub fn reserve() -> Self {
        // Free for UDP too, so that a test can use one number for both. A taken number is kept until the search has
        // ended, or it would be offered again.
        let mut taken = Vec::new();
        for _ in 0..100 {
            let port = Self::reserve_tcp();
            if is_free_for_udp(port.number) {
                return port;
            }
            taken.push(port);
        }
        panic!("no loopback port is free for both TCP and UDP");
    }

    fn reserve_tcp() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a TCP socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free loopback port");
        let address = socket.local_addr().expect("the address of a bound socket");
        let number = address.as_socket().expect("an IP address").port();
        Self { number, _held: socket }
    }

    /// Returns the number of the port.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Returns the port with the address 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// Read rather than tried with a socket: of that, a process just being started would have a copy until its exec, and
/// for so long the port would be taken.
fn is_free_for_udp(number: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/udp").expect("the UDP sockets");
    // The local address is the second column, in hexadecimal: 0100007F:0035.
    let port = format!(":{number:04X}");
    !sockets.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|address| address.ends_with(&port)))
}
