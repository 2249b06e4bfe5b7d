//! A connection over TCP, plain or with TLS. The two halves of one task can read and write it at the same time.

use std::io;

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::stream::Readable;
use super::tls::TlsSession;

/// The connection through which bytes are read and written.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsSession>),
}

impl Wire {
    /// Returns the underlying socket.
    pub(super) const fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.socket(),
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let written = match self {
                Self::Plain(socket) => try_write(socket, &mut bytes),
                Self::Tls(session) => session.try_write(&mut bytes),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket().writable().await?,
                written => return written,
            }
        }
    }

    /// Tells the peer that there is no more data, if the protocol has a message for it.
    pub(super) async fn close(&self) {
        if let Self::Tls(session) = self {
            session.close_notify();
            // Writes the alert, and the data that the socket did not take before.
            let _ = tokio::time::timeout(super::tls::CLOSE_TIMEOUT, self.write(&[])).await;
        }
    }
}

/// Writes as much of `bytes` as the socket takes, and removes it from `bytes`.
fn try_write(socket: &TcpStream, bytes: &mut &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = socket.try_write(bytes)?;
        *bytes = &bytes[written..];
    }
    Ok(())
}

impl Readable for &Wire {
    async fn readable(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.readable().await,
            Wire::Tls(session) => session.readable().await,
        }
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.try_read_buf(buffer),
            Wire::Tls(session) => session.try_read(buffer),
        }
    }
}
