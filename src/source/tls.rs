//! TLS on an accepted connection: the handshake, reading, the end, and the certificate that is read anew when its file
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
use super::stream::READ_SIZE;
use crate::poison;
use crate::tls::{self, TlsConfig};

/// How often the files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How often the operator is told of a certificate that has to be renewed.
const WARN_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// So long may the end of a connection take: its `close_notify` fits into any socket but that of a peer that reads
/// nothing.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// After a stop, a handshake has so long to end: a sender that has done its part has sent messages behind it.
const LAST_HANDSHAKE: Duration = Duration::from_millis(250);

/// The first byte of a TLS record with a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// How a RELP session begins.
const RELP_OPEN: &[u8] = b"1 open ";

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

/// What tells that a file is not the one that was read: device, inode, size, seconds and nanoseconds of its last
/// change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Tls {
    pub(super) fn new(config: &TlsConfig) -> Result<Self, tls::Error> {
        let stamps = stamps(config);
        Ok(Self { config: config.clone(), server: RwLock::new(Arc::new(config.server()?)), stamps })
    }

    pub(super) fn offer(&self) -> Offer {
        let server = Arc::clone(&*poison::ignore(self.server.read()));
        Offer { server, timeout: self.config.handshake_timeout }
    }

    /// Reads the files anew whenever they change, and on SIGHUP, for the connections that come after, and warns of
    /// certificates whose time is over or soon will be: now, after each reading, and every day. Never ends.
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
            // Before they are read: a change in between shows at the next look.
            let stamps = stamps(&self.config);
            if stamps == last && !asked {
                continue;
            }
            last = stamps;
            match self.config.server() {
                Ok(server) => {
                    *poison::ignore(self.server.write()) = Arc::new(server);
                    tracing::info!(source, %certificate, "the files of TLS are read anew, for new connections");
                    warn.reset_immediately();
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
) -> Result<(Session, Option<String>), ConnectionEnd> {
    let handshake = async {
        let mut first = [0; 16];
        let first = match socket.peek(&mut first).await? {
            // A port scan, or a check whether somebody listens.
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
                return Err(ConnectionEnd::Handshake(format!("it did not end within handshake_timeout, {:?}", offer.timeout)));
            }
        },
    };
    let (socket, tls) = session.into_inner();
    let subject = tls.peer_certificates().and_then(<[_]>::first).and_then(tls::subject);
    Ok((Session { socket, tls: Mutex::new(tls) }, subject))
}

/// What began so, in place of TLS.
fn plain(first: &[u8]) -> &'static str {
    if first.starts_with(RELP_OPEN) {
        "plain RELP came to a TLS port: set TLS at the sender, or send to a port without"
    } else if first[0] == b'<' || first[0].is_ascii_digit() {
        "plain syslog came to a TLS port: set TLS at the sender, or send to a port without"
    } else {
        "what the sender sent is not TLS"
    }
}

/// A connection after its handshake. The two halves of one task may use it at the same time, so it is behind a lock,
/// which is taken a few times for each read or write, never held across a wait, and so always free.
pub(super) struct Session {
    socket: TcpStream,
    tls: Mutex<ServerConnection>,
}

/// One read takes what the socket has, and decrypts all of it: between two reads nothing waits but the beginning of a
/// record.
impl Session {
    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn tls(&self) -> MutexGuard<'_, ServerConnection> {
        poison::ignore(self.tls.lock())
    }

    /// Waits until there is something to read, or the end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        // The last flight of the handshake may have brought the first messages.
        let state = self.tls().process_new_packets().map_err(io::Error::other)?;
        if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
            return Ok(());
        }
        self.socket.readable().await
    }

    /// Appends what is there; 0 at the end.
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
            // What was good before the first bad record came from the peer, and counts.
            end = take(&mut tls, buffer)?;
            if let Err(error) = processed {
                // An alert. What does not fit into the socket now goes with the next, or never: a syslog sender need
                // not read.
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
        // The answer to a new key.
        let _ = send(&self.socket, &mut tls);
        match buffer.len() - before {
            0 if !end => Err(io::ErrorKind::WouldBlock.into()),
            size => Ok(size),
        }
    }

    /// Moves out of `bytes` what the socket takes of them; what is encrypted already goes first. Without an error all
    /// are gone.
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

    /// Makes the next write tell the peer that this was all.
    pub(super) fn close_notify(&self) {
        self.tls().send_close_notify();
    }
}

/// Moves what is decrypted into `buffer`. True when the peer has said that this was all; an error of the kind
/// `UnexpectedEof` if its connection has ended without that.
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
            // It will say so again.
            Err(_) if buffer.len() > before => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Sends what is encrypted; an error of the kind `WouldBlock` if not all of it fits into the socket.
fn send(socket: &TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    struct Writer<'a>(&'a TcpStream);
    impl io::Write for Writer<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.try_write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    while tls.wants_write() {
        tls.write_tls(&mut Writer(socket))?;
    }
    Ok(())
}
