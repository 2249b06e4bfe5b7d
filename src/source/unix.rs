//! Syslog over unix domain sockets, datagram as `/dev/log` has it, or stream.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixDatagram, UnixListener, UnixStream};

use super::accept::{self, Accept};
use super::{Intake, stream, udp};
use crate::config::{StreamConfig, UnixConfig};

/// A bound socket. Its path is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Unix {
    socket: Socket,
    path: OwnedPath,
}

#[derive(Debug)]
enum Socket {
    Datagram(UnixDatagram),
    Stream(Listener),
}

#[derive(Debug)]
struct Listener {
    listener: UnixListener,
    config: StreamConfig,
}

/// A path that goes with its owner.
#[derive(Debug)]
struct OwnedPath(PathBuf);

impl Unix {
    pub(super) fn bind(config: &UnixConfig) -> io::Result<Self> {
        remove_stale(&config.path)?;
        let socket = match &config.stream {
            None => Socket::Datagram(UnixDatagram::bind(&config.path)?),
            Some(stream) => {
                Socket::Stream(Listener { listener: UnixListener::bind(&config.path)?, config: stream.clone() })
            }
        };
        let path = OwnedPath(config.path.clone());
        std::fs::set_permissions(&config.path, std::fs::Permissions::from_mode(config.mode))?;
        Ok(Self { socket, path })
    }

    pub(super) fn address(&self) -> String {
        format!("unix {}", self.path.0.display())
    }

    pub(super) async fn run(self, intake: Intake) {
        match &self.socket {
            Socket::Stream(listener) => accept::run(listener, &listener.config, &intake).await,
            Socket::Datagram(socket) => {
                let peer = self.path.0.to_string_lossy().into_owned();
                udp::read(&Datagrams { socket, peer }, &intake).await;
            }
        }
    }
}

/// The senders of unix datagrams have no address: the record shows the path that they wrote to.
struct Datagrams<'s> {
    socket: &'s UnixDatagram,
    peer: String,
}

impl udp::Receive for Datagrams<'_> {
    type Peer = ();

    async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, ())> {
        self.socket.try_recv(buffer).map(|size| (size, ()))
    }

    fn name(&self, (): ()) -> String {
        self.peer.clone()
    }
}

impl Accept for Listener {
    type Connection = (UnixStream, String);

    async fn accept(&self) -> io::Result<Self::Connection> {
        let (socket, _) = self.listener.accept().await?;
        let path = self.listener.local_addr()?;
        let peer = path.as_pathname().map(|path| path.to_string_lossy().into_owned());
        Ok((socket, peer.unwrap_or_default()))
    }

    async fn serve((socket, peer): Self::Connection, config: StreamConfig, intake: Intake) {
        let end = stream::read(&socket, Some(&peer), config.framing, config.idle_timeout, &intake).await;
        stream::log_end(&end, intake.name(), &peer, intake.ledger());
    }
}

/// A crash leaves the socket file behind. One that somebody answers on is left alone, and so is anything else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"))
        }
        Ok(_) => {
            let stream = std::os::unix::net::UnixStream::connect(path);
            let datagram = std::os::unix::net::UnixDatagram::unbound()?.connect(path);
            if stream.is_ok() || datagram.is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)
        }
    }
}

impl Drop for OwnedPath {
    fn drop(&mut self) {
        // Nothing is lost if it stays: the next start removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}
