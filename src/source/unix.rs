//! Syslog over unix domain sockets, datagram as `/dev/log` has it, or stream.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixListener, UnixStream};

use super::accept::{self, Accept, Ended};
use super::{Intake, datagrams, stream};
use crate::config::{StreamConfig, UnixConfig};
use crate::record::Peer;
use crate::systemd::Passed;

/// A bound socket. A path that was made for it is removed when it is dropped.
#[derive(Debug)]
pub(super) enum Unix {
    Datagram(Datagrams),
    Stream(Listener),
}

/// The senders of unix datagrams have no address: the record shows the path that they wrote to.
#[derive(Debug)]
pub(super) struct Datagrams {
    path: SocketPath,
    socket: UnixDatagram,
}

// The path goes first: while the socket is open, no other program takes the path for one that a crash left behind.
#[derive(Debug)]
pub(super) struct Listener {
    path: SocketPath,
    socket: UnixListener,
    config: StreamConfig,
}

/// A path that goes with its owner, if we made it.
#[derive(Debug)]
struct SocketPath {
    path: PathBuf,
    is_ours: bool,
}

impl Unix {
    pub(super) fn bind(config: &UnixConfig, passed: &mut Passed) -> io::Result<Self> {
        if let Some(unix) = Self::passed(config, passed)? {
            return Ok(unix);
        }
        remove_stale(&config.path)?;
        let owned = || SocketPath { path: config.path.clone(), is_ours: true };
        let unix = match &config.stream {
            None => Self::Datagram(Datagrams { socket: UnixDatagram::bind(&config.path)?, path: owned() }),
            Some(stream) => {
                let socket = UnixListener::bind(&config.path)?;
                Self::Stream(Listener { socket, path: owned(), config: stream.clone() })
            }
        };
        std::fs::set_permissions(&config.path, std::fs::Permissions::from_mode(config.mode))?;
        Ok(unix)
    }

    /// The socket of the service manager, whose path and permission bits are its own business.
    fn passed(config: &UnixConfig, passed: &mut Passed) -> io::Result<Option<Self>> {
        let path = SocketPath { path: config.path.clone(), is_ours: false };
        Ok(match &config.stream {
            None => match passed.datagram(&config.path) {
                Some(socket) => {
                    socket.set_nonblocking(true)?;
                    Some(Self::Datagram(Datagrams { socket: UnixDatagram::from_std(socket)?, path }))
                }
                None => None,
            },
            Some(stream) => match passed.stream(&config.path) {
                Some(socket) => {
                    socket.set_nonblocking(true)?;
                    let socket = UnixListener::from_std(socket)?;
                    Some(Self::Stream(Listener { socket, path, config: stream.clone() }))
                }
                None => None,
            },
        })
    }

    pub(super) fn address(&self) -> String {
        let (Self::Datagram(Datagrams { path, .. }) | Self::Stream(Listener { path, .. })) = self;
        format!("unix {}", path.text())
    }

    pub(super) async fn run(self, intake: Intake) {
        match self {
            Self::Datagram(socket) => datagrams::read(&socket, &intake).await,
            Self::Stream(listener) => {
                let config = listener.config.clone();
                accept::run(listener, config.max_connections, &config, &intake).await;
            }
        }
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl datagrams::Receive for Datagrams {
    type Address = ();

    async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    fn try_receive(&self, receive: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.socket.try_io(Interest::READABLE, receive)
    }

    fn name(&self, _: Option<()>) -> String {
        self.path.text()
    }
}

impl Accept for Listener {
    type Connection = (UnixStream, String);
    type Config = StreamConfig;

    async fn accept(&self) -> io::Result<Self::Connection> {
        let (socket, _) = self.socket.accept().await?;
        Ok((socket, self.path.text()))
    }

    async fn serve((mut socket, peer): Self::Connection, config: StreamConfig, intake: Intake) -> Ended {
        let end = stream::read(&mut socket, Peer::at(&peer), &config, None, &intake).await;
        Ended { peer, end }
    }
}

/// A crash leaves the socket file behind. One that somebody holds is left alone, and so is anything else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
        }
        Ok(_) => {}
    }
    // The kernel refuses this if nobody holds the socket, and only then: a socket of another type it names as such. It never
    // waits, as it would for a stream whose backlog is full.
    match std::os::unix::net::UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl SocketPath {
    fn text(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        if self.is_ours {
            // Nothing is lost if it stays: the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
