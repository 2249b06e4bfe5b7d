//! TLS on an accepted connection: the handshake, reading, the end, and the certificate that is read anew when its file changes.

use std::io::{self, BufRead};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::BytesMut;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Intake;
use super::stream::{End, READ_SIZE, Readable};
use crate::tls::{self, TlsConfig};

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// So long may the end of a connection take: its `close_notify` fits into any socket but that of a peer that reads nothing.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// After a stop, a handshake has so long to end: a sender that has done its part has sent messages behind it.
const LAST_HANDSHAKE: Duration = Duration::from_millis(250);

/// The first byte of a TLS record with a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What a source serves TLS with.
#[derive(Debug)]
pub(super) struct Tls {
    config: TlsConfig,
    server: RwLock<Arc<ServerConfig>>,
    /// Of the files that were read at the start.
    stamps: Vec<Stamp>,
}

/// What one connection is served with: the certificate at the time when it was accepted.
pub(super) struct Offer {
    server: Arc<ServerConfig>,
    timeout: Duration,
}

/// What tells that a file is not the one that was read: device, inode, size, seconds and nanoseconds of its last change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Tls {
    pub(super) fn new(config: &TlsConfig) -> Result<Self, tls::Error> {
        let stamps = stamps(config);
        Ok(Self { config: config.clone(), server: RwLock::new(Arc::new(config.server()?)), stamps })
    }

    pub(super) fn offer(&self) -> Offer {
        let server = Arc::clone(&self.server.read().unwrap_or_else(PoisonError::into_inner));
        Offer { server, timeout: self.config.handshake_timeout }
    }

    /// Reads the files anew whenever they change, and on SIGHUP, for the connections that come after. Never ends.
    pub(super) async fn follow_files(&self, source: &str) {
        let certificate = self.config.certificate.display();
        let mut last = self.stamps.clone();
        let mut hangup = signal(SignalKind::hangup()).ok();
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(CHECK_INTERVAL) => false,
                () = next(&mut hangup) => true,
            };
            // Before they are read: a change in between shows at the next look.
            let stamps = stamps(&self.config);
            if stamps == last && !asked {
                continue;
            }
            last = stamps;
            match self.config.server() {
                Ok(server) => {
                    *self.server.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(server);
                    tracing::info!(source, %certificate, "the files of TLS are read anew, for new connections");
                }
                Err(error) => {
                    tracing::error!(source, %error, "cannot use the files of TLS as they are now; what was read before stays");
                }
            }
        }
    }
}

/// Resolves at the next signal; never without a handler.
async fn next(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

fn stamps(config: &TlsConfig) -> Vec<Stamp> {
    let stamp = |path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    };
    config.files().map(stamp).collect()
}

/// Makes a TLS connection of `socket`, and gives it with the subject of the client's certificate, or says why not.
pub(super) async fn handshake(
    socket: TcpStream,
    offer: Offer,
    intake: &Intake,
) -> Result<(TlsStream<TcpStream>, Option<String>), End> {
    let handshake = async {
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            // A port scan, or a check whether somebody listens.
            return Ok(None);
        }
        if first[0] != HANDSHAKE {
            return Err(io::Error::other(plain(first[0])));
        }
        TlsAcceptor::from(offer.server).accept(socket).await.map(Some)
    };
    let stopped = async {
        intake.stop().cancelled().await;
        tokio::time::sleep(LAST_HANDSHAKE).await;
    };
    let session = tokio::select! {
        () = stopped => return Err(End::Stopped),
        result = tokio::time::timeout(offer.timeout, handshake) => match result {
            Ok(Ok(Some(session))) => session,
            Ok(Ok(None)) => return Err(End::Closed),
            Ok(Err(error)) => return Err(End::Handshake(tls::reason(&error))),
            Err(_) => {
                return Err(End::Handshake(format!("it did not end within handshake_timeout, {:?}", offer.timeout)));
            }
        },
    };
    let certificate = session.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let subject = certificate.and_then(tls::subject);
    Ok((session, subject))
}

fn plain(first: u8) -> &'static str {
    if first == b'<' || first.is_ascii_digit() {
        "plain syslog came to a TLS port: set TLS at the sender, or send to a port without"
    } else {
        "what the sender sent is not TLS"
    }
}

/// Says to the peer that this was all.
pub(super) async fn close(mut session: TlsStream<TcpStream>) {
    // A peer that has gone does not want to know.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, session.shutdown()).await;
}

/// One read takes what the socket has, and decrypts all of it: between two reads nothing waits but the beginning of a record.
impl Readable for TlsStream<TcpStream> {
    async fn readable(&mut self) -> io::Result<()> {
        let (socket, session) = self.get_mut();
        // The last flight of the handshake may have brought the first messages.
        let state = session.process_new_packets().map_err(io::Error::other)?;
        if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
            return Ok(());
        }
        socket.readable().await
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let (socket, session) = self.get_mut();
        let before = buffer.len();
        let mut end = take(session, buffer)?;
        if buffer.len() > before || end {
            return Ok(buffer.len() - before);
        }
        let mut encrypted = BytesMut::with_capacity(READ_SIZE);
        let mut rest: &[u8] = match socket.try_read_buf(&mut encrypted)? {
            0 => {
                session.read_tls(&mut io::empty())?;
                &[]
            }
            _ => &encrypted,
        };
        loop {
            if !rest.is_empty() {
                session.read_tls(&mut rest)?;
            }
            let processed = session.process_new_packets();
            // What was good before the first bad record came from the peer, and counts.
            end = take(session, buffer)?;
            if let Err(error) = processed {
                answer(socket, session);
                if buffer.len() > before {
                    break;
                }
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if rest.is_empty() || end {
                break;
            }
        }
        answer(socket, session);
        match buffer.len() - before {
            0 if !end => Err(io::ErrorKind::WouldBlock.into()),
            size => Ok(size),
        }
    }
}

/// Moves what is decrypted into `buffer`. True when the peer has said that this was all; an error of the kind
/// `UnexpectedEof` if its connection has ended without that.
fn take(session: &mut ServerConnection, buffer: &mut BytesMut) -> io::Result<bool> {
    let before = buffer.len();
    let mut reader = session.reader();
    loop {
        match reader.fill_buf() {
            Ok([]) => return Ok(true),
            Ok(chunk) => {
                let size = chunk.len();
                buffer.extend_from_slice(chunk);
                reader.consume(size);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // It will say so again.
            Err(_) if buffer.len() > before => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Sends what the protocol demands: an alert, or the answer to a new key. What does not fit into the socket now goes with the
/// next, or never: a syslog sender need not read.
fn answer(socket: &TcpStream, session: &mut ServerConnection) {
    struct Writer<'a>(&'a TcpStream);
    impl io::Write for Writer<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.try_write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    while session.wants_write() && session.write_tls(&mut Writer(socket)).is_ok_and(|written| written > 0) {}
}
