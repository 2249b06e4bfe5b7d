//! Syslog over unix domain sockets: datagram sockets, like `/dev/log`, or stream sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::net::{UnixDatagram, UnixListener, UnixStream};

use super::accept::{self, Accept, Ended};
use super::{Bound, Intake, Running, Sockets, datagrams, stream};
use crate::config::{StreamConfig, UnixConfig};
use crate::record::Peer;
use crate::sockets::remove_stale;
use crate::systemd::Passed;

/// A bound socket. When it is dropped, the path that was created for it is removed.
#[derive(Debug)]
pub(super) struct Unix {
    socket: SocketType,
    mode: u32,
}

#[derive(Debug)]
enum SocketType {
    Datagram(Arc<Datagrams>),
    Stream(SocketListener),
}

/// A datagram socket. Its senders have no address, so the record shows the path that they wrote to.
#[derive(Debug)]
struct Datagrams {
    path: SocketPath,
    socket: UnixDatagram,
}

// The path is dropped first: while the socket is open, no other program mistakes the path for a leftover of a crash.
#[derive(Debug)]
struct Streams {
    path: SocketPath,
    socket: UnixListener,
}

#[derive(Debug)]
struct SocketListener {
    streams: Arc<Streams>,
    config: StreamConfig,
}

/// The path of a socket, removed when this value is dropped if Postrider created it.
#[derive(Debug)]
struct SocketPath {
    path: PathBuf,
    is_ours: bool,
}

impl Unix {
    pub(super) fn bind(config: &UnixConfig, passed: &mut Passed, inherited: Option<&Sockets>) -> io::Result<Self> {
        let path = |is_ours| SocketPath { path: config.path.clone(), is_ours };
        let socket = match &config.stream {
            None => SocketType::Datagram(match inherited.and_then(Sockets::upgrade_one) {
                Some(socket) => socket,
                None => Arc::new(Datagrams::bind(config, passed, path)?),
            }),
            Some(stream) => {
                let streams = match inherited.and_then(Sockets::upgrade_one) {
                    Some(streams) => streams,
                    None => Arc::new(Streams::bind(config, passed, path)?),
                };
                SocketType::Stream(SocketListener { streams, config: stream.clone() })
            }
        };
        Ok(Self { socket, mode: config.mode })
    }

    fn path(&self) -> &SocketPath {
        match &self.socket {
            SocketType::Datagram(socket) => &socket.path,
            SocketType::Stream(listener) => &listener.streams.path,
        }
    }
}

impl Bound for Unix {
    fn address(&self) -> String {
        format!("unix {}", self.path().text())
    }

    fn sockets(&self) -> Sockets {
        match &self.socket {
            SocketType::Datagram(socket) => Sockets::one(socket),
            SocketType::Stream(listener) => Sockets::one(&listener.streams),
        }
    }

    /// Applies the configured mode to a socket inherited from a predecessor.
    fn adapt(&mut self, source: &str) {
        if let Err(error) = self.path().permit(self.mode) {
            tracing::warn!(source, %error, "cannot set the mode of the socket");
        }
    }

    fn run(self: Box<Self>, intake: Intake) -> Running {
        Box::pin(async move {
            match self.socket {
                SocketType::Datagram(socket) => datagrams::read(&*socket, &intake).await,
                SocketType::Stream(listener) => {
                    let config = listener.config.clone();
                    accept::run(listener, config.max_connections, &config, &intake).await;
                }
            }
            Ok(())
        })
    }
}

// The path and the permission bits of a socket that the service manager passed are left alone.

impl Datagrams {
    fn bind(config: &UnixConfig, passed: &mut Passed, path: impl Fn(bool) -> SocketPath) -> io::Result<Self> {
        if let Some(socket) = passed.datagram(&config.path) {
            socket.set_nonblocking(true)?;
            return Ok(Self { socket: UnixDatagram::from_std(socket)?, path: path(false) });
        }
        remove_stale(&config.path)?;
        let bound = Self { socket: UnixDatagram::bind(&config.path)?, path: path(true) };
        bound.path.permit(config.mode)?;
        Ok(bound)
    }
}

impl Streams {
    fn bind(config: &UnixConfig, passed: &mut Passed, path: impl Fn(bool) -> SocketPath) -> io::Result<Self> {
        if let Some(socket) = passed.stream(&config.path) {
            socket.set_nonblocking(true)?;
            return Ok(Self { socket: UnixListener::from_std(socket)?, path: path(false) });
        }
        remove_stale(&config.path)?;
        let bound = Self { socket: UnixListener::bind(&config.path)?, path: path(true) };
        bound.path.permit(config.mode)?;
        Ok(bound)
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

impl Accept for SocketListener {
    type Connection = (UnixStream, String);
    type Config = StreamConfig;

    async fn accept(&self) -> io::Result<Self::Connection> {
        let (socket, _) = self.streams.socket.accept().await?;
        Ok((socket, self.streams.path.text()))
    }

    async fn serve((mut socket, peer): Self::Connection, config: StreamConfig, intake: Intake) -> Ended {
        let end = stream::read(&mut socket, Peer::at(&peer), &config, None, &intake).await;
        Ended { peer, end }
    }
}

impl SocketPath {
    fn text(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    fn permit(&self, mode: u32) -> io::Result<()> {
        if self.is_ours { std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(mode)) } else { Ok(()) }
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        if self.is_ours {
            // Nothing is lost if the file stays: the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
