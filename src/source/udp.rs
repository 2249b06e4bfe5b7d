//! Syslog over UDP (RFC 5426).

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::sys::socket::SockaddrStorage;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::{Intake, datagrams};
use crate::config::UdpConfig;
use crate::net;

/// The sockets of one address, each read by its own task. The kernel spreads senders over them (`SO_REUSEPORT`), by the
/// addresses and ports of both ends: what one sender sends from one port stays on one socket, however much it is.
#[derive(Debug)]
pub(super) struct Udp {
    sockets: Vec<UdpSocket>,
}

impl Udp {
    pub(super) fn bind(config: &UdpConfig) -> io::Result<Self> {
        Ok(Self { sockets: net::udp_sockets(config.listen, config.receive_buffer, config.workers)? })
    }

    pub(super) fn address(&self) -> String {
        let address = self.sockets.first().and_then(|socket| socket.local_addr().ok());
        address.map_or_else(|| "udp".to_owned(), |address| format!("udp {address}"))
    }

    pub(super) async fn run(self, intake: Intake) {
        let mut workers = JoinSet::new();
        for socket in self.sockets {
            let intake = intake.clone();
            workers.spawn(async move { datagrams::read(&socket, &intake).await });
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(source = intake.name(), %error, "the reading of a socket failed; the others go on");
            }
        }
    }
}

impl datagrams::Receive for UdpSocket {
    type Address = SockaddrStorage;

    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_receive(&self, receive: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.try_io(Interest::READABLE, receive)
    }

    fn name(&self, address: Option<SockaddrStorage>) -> String {
        address.and_then(internet).map(|address| net::canonical(address).to_string()).unwrap_or_default()
    }

    fn kernel_drops(&self) -> io::Result<u32> {
        net::kernel_drops(self)
    }
}

fn internet(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}
