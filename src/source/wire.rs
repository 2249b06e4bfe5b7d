//! A connection over TCP, plain or with TLS. It can be read and written at the same time, by the two halves of one
//! task.

use std::io;

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::stream::Readable;
use super::tls::Session;

/// What bytes come and go through.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<Session>),
}

impl Wire {
    /// The socket below.
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

    /// Says to the peer that this was all, where the protocol has a word for it.
    pub(super) async fn close(&self) {
        if let Self::Tls(session) = self {
            session.close_notify();
            // What is left is the alert, and what the socket would not take before.
            let _ = tokio::time::timeout(super::tls::CLOSE_TIMEOUT, self.write(&[])).await;
        }
    }
}

/// Moves what the socket takes out of `bytes`.
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
