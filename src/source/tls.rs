//! TLS on an accepted connection: the handshake, reading, closing, and the certificate, which is reloaded when its file
//! changes.

use std::io::{self, BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use bytes::BytesMut;
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use super::Intake;
use super::end::ConnectionEnd;
use super::sizes::READ_SIZE;
use crate::poison;
use crate::tls::{self, TlsConfig};

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How often the log warns of a certificate that has to be renewed.
const WARN_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum time to close a connection. Its `close_notify` fits into any socket except that of a peer that reads
/// nothing.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time that a handshake may still take after a stop: a sender that has done its part of it has already sent
/// messages after it.
const LAST_HANDSHAKE: Duration = Duration::from_millis(250);

/// The first byte of a TLS record with a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// The first bytes of a RELP session.
const RELP_OPEN: &[u8] = b"1 open ";

/// The TLS configuration of a source, with its current certificate.
#[derive(Debug)]
pub(super) struct SourceTls {
    config: TlsConfig,
    server: RwLock<Arc<ServerConfig>>,
    /// Stamps of the files that were read at the start.
    stamps: Vec<FileStamp>,
}

/// The TLS configuration of one connection, with the certificate at the time when it was accepted.
pub(super) struct Offer {
    server: Arc<ServerConfig>,
    timeout: Duration,
}

/// The stamp of a file, which tells whether the file has changed since it was read: device, inode, size, seconds and
/// nanoseconds of its last change.
type FileStamp = Option<(u64, u64, u64, i64, i64)>;

impl SourceTls {
    pub(super) fn new(config: &TlsConfig) -> Result<Self, tls::Error> {
        let stamps = stamps(config);
        Ok(Self { config: config.clone(), server: RwLock::new(Arc::new(config.server()?)), stamps })
    }

    pub(super) fn offer(&self) -> Offer {
        let server = Arc::clone(&*poison::ignore(self.server.read()));
        Offer { server, timeout: self.config.handshake_timeout }
    }

    /// Reloads the files whenever they change, and on SIGHUP, for new connections. Logs a warning about certificates
    /// that have expired or soon will: now, after each reload, and every day. Never ends.
    pub(super) async fn follow_files(&self, source: &str) {
        let certificate = self.config.default.certificate.display();
        let mut last = self.stamps.clone();
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut warn = tokio::time::interval(WARN_INTERVAL);
        warn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = warn.tick() => {
                    for warning in self.config.warnings(crate::time::clock()) {
                        tracing::warn!(source, "{warning}");
                    }
                    continue;
                }
                () = tokio::time::sleep(CHECK_INTERVAL) => false,
                () = next(&mut hangup) => true,
            };
            // The stamps are taken before the files are read, so the next check sees a change in between.
            let stamps = stamps(&self.config);
            if stamps == last && !asked {
                continue;
            }
            last = stamps;
            match self.config.server() {
                Ok(server) => {
                    *poison::ignore(self.server.write()) = Arc::new(server);
                    tracing::info!(source, %certificate, "reloaded the TLS files; new connections use them");
                    warn.reset_immediately();
                }
                Err(error) => {
                    tracing::error!(source, %error, "cannot reload the TLS files; the previous ones stay in use");
                }
            }
        }
    }
}

/// Resolves at the next signal, or never if there is no handler.
async fn next(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

fn stamps(config: &TlsConfig) -> Vec<FileStamp> {
    let stamp = |path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    };
    config.files().map(stamp).collect()
}

/// Performs the TLS handshake on `socket`. Returns the connection with the subject of the client's certificate, or the
/// reason why there is none.
pub(super) async fn handshake(
    socket: TcpStream,
    offer: Offer,
    intake: &Intake,
) -> Result<(TlsSession, Option<String>), ConnectionEnd> {
    let handshake = async {
        let mut first = [0; 16];
        let first = match socket.peek(&mut first).await? {
            // This is a port scan, or a check whether the port is open.
            0 => return Ok(None),
            size => &first[..size],
        };
        if first[0] != HANDSHAKE {
            return Err(io::Error::other(plain(first)));
        }
        TlsAcceptor::from(offer.server).accept(socket).await.map(Some)
    };
    let stopped = async {
        intake.stop().cancelled().await;
        tokio::time::sleep(LAST_HANDSHAKE).await;
    };
    let session = tokio::select! {
        () = stopped => return Err(ConnectionEnd::Stopped),
        result = tokio::time::timeout(offer.timeout, handshake) => match result {
            Ok(Ok(Some(session))) => session,
            Ok(Ok(None)) => return Err(ConnectionEnd::Closed),
            Ok(Err(error)) => return Err(ConnectionEnd::Handshake(tls::reason(&error))),
            Err(_) => {
                return Err(ConnectionEnd::Handshake(format!("the handshake did not end within handshake_timeout ({:?})", offer.timeout)));
            }
        },
    };
    let (socket, tls) = session.into_inner();
    let subject = tls.peer_certificates().and_then(<[_]>::first).and_then(tls::subject);
    Ok((TlsSession { socket, tls: Mutex::new(tls) }, subject))
}

/// Returns the error text for a connection that began with the bytes `first` instead of TLS.
fn plain(first: &[u8]) -> &'static str {
    if first.starts_with(RELP_OPEN) {
        "plain RELP came to a TLS port; enable TLS at the sender, or send to a port without TLS"
    } else if first[0] == b'<' || first[0].is_ascii_digit() {
        "plain syslog came to a TLS port; enable TLS at the sender, or send to a port without TLS"
    } else {
        "the sender sent data that is not TLS"
    }
}

/// A connection after its handshake. The two halves of one task may use it at the same time, so it is behind a lock.
/// The lock is taken a few times for each read or write and never held across a wait, and is therefore always free.
pub(super) struct TlsSession {
    socket: TcpStream,
    tls: Mutex<ServerConnection>,
}

/// One read takes the bytes that the socket has, and decrypts all of them. Between two reads, only the beginning of a
/// record can be left.
impl TlsSession {
    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn tls(&self) -> MutexGuard<'_, ServerConnection> {
        poison::ignore(self.tls.lock())
    }

    /// Waits until there is something to read or the connection has ended.
    pub(super) async fn readable(&self) -> io::Result<()> {
        // The first messages may have come with the last flight of the handshake.
        let state = self.tls().process_new_packets().map_err(io::Error::other)?;
        if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
            return Ok(());
        }
        self.socket.readable().await
    }

    /// Appends the available bytes. Returns 0 at the end.
    pub(super) fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut tls = self.tls();
        let before = buffer.len();
        let mut end = take(&mut tls, buffer)?;
        if buffer.len() > before || end {
            return Ok(buffer.len() - before);
        }
        let mut encrypted = BytesMut::with_capacity(READ_SIZE);
        let mut rest: &[u8] = match self.socket.try_read_buf(&mut encrypted)? {
            0 => {
                tls.read_tls(&mut io::empty())?;
                &[]
            }
            _ => &encrypted,
        };
        loop {
            if !rest.is_empty() {
                tls.read_tls(&mut rest)?;
            }
            let processed = tls.process_new_packets();
            // The records before the first bad one are valid data from the peer, and count.
            end = take(&mut tls, buffer)?;
            if let Err(error) = processed {
                // Sends an alert. The part that does not fit into the socket now goes with the next write, or never: a
                // syslog sender need not read.
                let _ = send(&self.socket, &mut tls);
                if buffer.len() > before {
                    break;
                }
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if rest.is_empty() || end {
                break;
            }
        }
        // Sends the answer to a key update.
        let _ = send(&self.socket, &mut tls);
        match buffer.len() - before {
            0 if !end => Err(io::ErrorKind::WouldBlock.into()),
            size => Ok(size),
        }
    }

    /// Writes `bytes` and removes what was taken of them. Data that is already encrypted goes first. Without an error,
    /// all bytes are written.
    pub(super) fn try_write(&self, bytes: &mut &[u8]) -> io::Result<()> {
        let mut tls = self.tls();
        loop {
            send(&self.socket, &mut tls)?;
            if bytes.is_empty() {
                return Ok(());
            }
            let taken = tls.writer().write(bytes)?;
            *bytes = &bytes[taken..];
        }
    }

    /// Makes the next write send the `close_notify`.
    pub(super) fn close_notify(&self) {
        self.tls().send_close_notify();
    }
}

/// Moves the decrypted bytes into `buffer`. Returns true if the peer has sent its `close_notify`, and an error of the
/// kind `UnexpectedEof` if its connection has ended without one.
fn take(tls: &mut ServerConnection, buffer: &mut BytesMut) -> io::Result<bool> {
    let before = buffer.len();
    let mut reader = tls.reader();
    loop {
        match reader.fill_buf() {
            Ok([]) => return Ok(true),
            Ok(chunk) => {
                let size = chunk.len();
                buffer.extend_from_slice(chunk);
                reader.consume(size);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // The next read returns the error again.
            Err(_) if buffer.len() > before => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Sends the encrypted data. Returns an error of the kind `WouldBlock` if not all of it fits into the socket.
fn send(socket: &TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    struct SocketWriter<'a>(&'a TcpStream);
    impl io::Write for SocketWriter<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.try_write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    while tls.wants_write() {
        tls.write_tls(&mut SocketWriter(socket))?;
    }
    Ok(())
}
