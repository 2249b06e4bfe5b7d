//! Sockets: binding with the right options.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use nix::libc;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Maximum number of connections that wait in the kernel to be accepted.
pub const BACKLOG: i32 = 1024;

/// Socket option for the memory of a socket and its drops (`SO_MEMINFO`); `libc::SK_MEMINFO_*` are the indices.
#[derive(Clone, Copy, Debug)]
struct MemInfo;

nix::getsockopt_impl!(
    MemInfo,
    libc::SOL_SOCKET,
    libc::SO_MEMINFO,
    [u32; 9],
    nix::sys::socket::sockopt::GetStruct<[u32; 9]>
);

/// Returns a listener for `address`; `[::]` takes IPv4 too.
pub fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    bind(&socket, address)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Returns `count` sockets for `address`, each with a receive buffer of `receive_buffer` bytes as far as the kernel
/// grants it; `[::]` takes IPv4 too.
///
/// The first socket is bound as if it were the only one, and only then permits the others to share its address.
/// Otherwise two programs that both permit sharing would share the address silently, and each would get a part of the
/// messages.
pub fn udp_sockets(address: SocketAddr, receive_buffer: usize, count: usize) -> io::Result<Vec<UdpSocket>> {
    let first = udp_socket(address, receive_buffer, false)?;
    let others = more_udp_sockets(&first, receive_buffer, count - 1)?;
    Ok(std::iter::once(first).chain(others).collect())
}

/// Returns `count` more sockets at the address of `first`.
pub fn more_udp_sockets(first: &UdpSocket, receive_buffer: usize, count: usize) -> io::Result<Vec<UdpSocket>> {
    if count > 0 {
        SockRef::from(first).set_reuse_port(true)?;
    }
    // If port 0 was requested, this address has the port that the kernel chose.
    let address = first.local_addr()?;
    (0..count).map(|_| udp_socket(address, receive_buffer, true)).collect()
}

/// Gives a bound socket a receive buffer of `receive_buffer` bytes, as far as the kernel grants it. The data in the
/// buffer stays.
pub fn resize_receive_buffer(socket: &UdpSocket, receive_buffer: usize, address: SocketAddr) -> io::Result<()> {
    set_receive_buffer(&SockRef::from(socket), receive_buffer, address)
}

fn udp_socket(address: SocketAddr, receive_buffer: usize, join: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    set_receive_buffer(&socket, receive_buffer, address)?;
    socket.set_reuse_port(join)?;
    bind(&socket, address)?;
    UdpSocket::from_std(socket.into())
}

/// Returns how many datagrams the kernel dropped because the receive buffer of `socket` was full, since the socket was
/// created. The count wraps to 0 after 2^32.
pub fn kernel_drops(socket: &impl AsFd) -> io::Result<u32> {
    let counts = nix::sys::socket::getsockopt(socket, MemInfo)?;
    Ok(counts[libc::SK_MEMINFO_DROPS as usize])
}

/// Returns a listener that the service manager has bound.
pub fn passed_tcp_listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Returns a datagram socket that the service manager has bound to `address`. It has the receive buffer of
/// [`udp_sockets`], or its own if that is larger.
pub fn passed_udp_socket(
    socket: std::net::UdpSocket,
    receive_buffer: usize,
    address: SocketAddr,
) -> io::Result<UdpSocket> {
    let socket = Socket::from(socket);
    if socket.recv_buffer_size()? / 2 < receive_buffer {
        set_receive_buffer(&socket, receive_buffer, address)?;
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Removes the file of a unix socket that a crash left at `path`.
///
/// # Errors
///
/// A process uses the socket, the path is something else, or the file cannot be removed. None of them is changed.
pub fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the path exists and is not a socket; set another path",
            ));
        }
        Ok(_) => {}
    }
    // The kernel refuses the connection if, and only if, no process holds the socket. If the socket has another type,
    // the error says so. This never blocks, unlike connecting to a stream whose backlog is full.
    match std::os::unix::net::UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())
}

fn set_receive_buffer(socket: &Socket, bytes: usize, address: SocketAddr) -> io::Result<()> {
    // Only root may exceed the limit of the kernel; without that right the limit applies.
    if nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    // The kernel doubles the number for its own bookkeeping, and returns the double.
    let granted = socket.recv_buffer_size()? / 2;
    if granted < bytes {
        tracing::warn!(
            %address, asked = bytes, granted,
            "the kernel grants a smaller receive buffer, so bursts may be lost; raise the sysctl net.core.rmem_max"
        );
    }
    Ok(())
}

/// Lets the kernel detect that a silent peer is gone: after 10 minutes of silence, six probes in 60 s.
pub fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(600)).with_interval(Duration::from_secs(10));
    SockRef::from(socket).set_tcp_keepalive(&probes.with_retries(6))
}

/// Returns an IPv4 peer of a dual-stack socket as an IPv4 address.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
