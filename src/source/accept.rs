//! An accept loop with limits, for every kind of listener.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tracing::Level;

use super::Intake;
use super::descriptors::Descriptor;
use super::end::ConnectionEnd;
use crate::crash::panic_point;
use crate::panics::{self, Panic};
use crate::sockets;
use crate::throttle::{LineOwner, Throttle};

/// Minimum and maximum backoff after a failed accept. The usual cause is that no file descriptor is left, and this
/// lasts until a connection ends.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listener, and how its connections are served.
pub(super) trait Accept {
    /// An accepted connection.
    type Connection: Send + 'static;
    /// The settings of a connection.
    type Config: Clone + Send;
    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
    /// Returns the reason to close a connection at once, if there is one.
    fn refusal(&self, _connection: &Self::Connection) -> Option<Refusal> {
        None
    }
    /// Returns the peer with the most connections, and how many connections it has.
    fn busiest(&self) -> Option<(String, usize)> {
        None
    }
    /// Reads a connection to its end.
    fn serve(
        connection: Self::Connection,
        config: Self::Config,
        intake: Intake,
    ) -> impl Future<Output = Ended> + Send + 'static;
}

/// Reason why a connection is closed at once, with the name of its peer.
pub(super) enum Refusal {
    /// The peer may not send.
    Denied(String),
    /// The peer has its maximum number of connections already.
    TooMany(String),
}

/// A connection that has ended.
pub(super) struct Ended {
    pub(super) peer: String,
    pub(super) end: ConnectionEnd,
}

const NOT_ACCEPTED: &str = "cannot accept a connection; backing off";
const REFUSED: &str = "connection closed: max_connections is reached";
const TOO_MANY: &str = "connection closed: its peer has reached max_connections_per_peer; raise it if many senders share \
                        the address (NAT), or set proxy_protocol if the peer is a load balancer";
const DENIED: &str = "connection closed: allow and deny do not permit its peer";
const NO_HEADER: &str = "connection closed: no valid PROXY header";
const IDLE: &str = "connection closed: silent for longer than idle_timeout";
const FAILED: &str = "connection failed";
const NO_TLS: &str = "TLS handshake failed";
const UNEXPECTED_TLS: &str = "a TLS handshake came to a port without TLS; set tls here, or disable TLS at the sender";
const PANICKED: &str = "connection closed: its task panicked, which is a defect in Postrider, please report it; other \
                        connections continue";
const EVICTED: &str = "session closed: the rest of a message came too slowly while the memory for unfinished messages (half of \
                       max_bytes_in_flight) was full; the sender must send the message again; raise max_bytes_in_flight if you \
                       trust the sender";

const FULL: &str = "no file descriptor is left; new connections wait until another one closes; raise the limit \
                    (LimitNOFILE= of systemd)";

/// Throttles for the log lines that a peer can cause by connecting again and again.
struct ConnectionLog {
    accept: Throttle,
    refused: Throttle,
    too_many: Throttle,
    denied: Throttle,
    header: Throttle,
    idle: Throttle,
    failed: Throttle,
    handshake: Throttle,
    unexpected_tls: Throttle,
    panicked: Throttle,
    evicted: Throttle,
}

/// Accepts and serves connections, at most `max_connections` at a time, until told to stop. Then waits until the last
/// connection has ended.
pub(super) async fn run<A: Accept>(listener: A, max_connections: usize, config: &A::Config, intake: &Intake) {
    let mut served =
        Served { connections: JoinSet::new(), max_connections, config, intake, log: ConnectionLog::new(intake.name()) };
    let mut backoff = BACKOFF.0;
    let full = Throttle::new(Level::WARN, LineOwner::Source(intake.name().to_owned()), FULL);
    loop {
        panic_point("accept");
        let (descriptor, accepted) = tokio::select! {
            biased;
            () = intake.stop().cancelled() => break,
            () = intake.succeeded().cancelled() => break,
            Some(ended) = served.connections.join_next() => {
                served.log.ended(ended, intake);
                continue;
            }
            accepted = accept(&listener, &full, intake) => accepted,
        };
        match accepted {
            Ok(connection) => {
                backoff = BACKOFF.0;
                served.admit(&listener, connection, descriptor);
            }
            Err(error) => {
                served.log.not_accepted(&error, intake);
                tokio::select! {
                    () = intake.stop().cancelled() => break,
                    () = intake.succeeded().cancelled() => break,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
    if intake.stop().is_cancelled() {
        served.admit_waiting(&listener).await;
    }
    // Unless a successor has the listener too, a sender is refused at once from now on, and does not write what would
    // never be read.
    drop(listener);
    while let Some(ended) = served.connections.join_next().await {
        served.log.ended(ended, intake);
    }
}

/// Waits for the next connection. While no file descriptor is left for a connection, it stays in the kernel's accept
/// queue: the descriptors that the sinks need are not taken. `full` throttles the log line about that.
async fn accept<A: Accept>(listener: &A, full: &Throttle, intake: &Intake) -> (Descriptor, io::Result<A::Connection>) {
    let descriptors = intake.descriptors();
    let descriptor = if let Some(descriptor) = descriptors.try_take() {
        descriptor
    } else {
        if let Some(suppressed) = full.pass(Instant::now()) {
            tracing::warn!(source = intake.name(), connections = descriptors.connections(), suppressed, "{FULL}");
        }
        descriptors.take().await
    };
    (descriptor, listener.accept().await)
}

/// The connections of a listener.
struct Served<'c, A: Accept> {
    connections: JoinSet<Result<Ended, Panic>>,
    max_connections: usize,
    config: &'c A::Config,
    intake: &'c Intake,
    log: ConnectionLog,
}

impl<A: Accept> Served<'_, A> {
    /// Serves a connection, unless its peer may not send or there are too many connections.
    fn admit(&mut self, listener: &A, connection: A::Connection, descriptor: Descriptor) {
        if let Some(refusal) = listener.refusal(&connection) {
            match refusal {
                Refusal::Denied(peer) => self.log.denied(&peer, self.intake),
                Refusal::TooMany(peer) => self.log.too_many(&peer, self.intake),
            }
        } else if self.connections.len() < self.max_connections {
            self.intake.ledger().connections.fetch_add(1, Relaxed);
            let serve = A::serve(connection, self.config.clone(), self.intake.clone());
            self.connections.spawn(panics::catch_in(async move {
                let ended = serve.await;
                drop(descriptor);
                ended
            }));
        } else {
            // Dropped at once, because it must not count towards the connections of its peer.
            drop(connection);
            self.log.refused(self.max_connections, listener, self.intake);
        }
    }

    /// Accepts the connections that are still in the accept queue after a stop: they were opened before their senders
    /// could know of the shutdown. Data that they have already sent is drained like that of the other connections.
    async fn admit_waiting(&mut self, listener: &A) {
        for _ in 0..sockets::BACKLOG {
            // The open connections end soon and free their descriptors.
            let descriptor = tokio::select! {
                biased;
                descriptor = self.intake.descriptors().take() => descriptor,
                () = self.intake.over().cancelled() => return,
            };
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = std::future::ready(()) => return,
            };
            let Ok(connection) = accepted else { return };
            self.admit(listener, connection, descriptor);
            // Without this yield, the runtime would soon report that no connection waits, to let other tasks run.
            tokio::task::yield_now().await;
        }
    }
}

// === impl ConnectionLog ===

impl ConnectionLog {
    fn new(source: &str) -> Self {
        let of = |level, what| Throttle::new(level, LineOwner::Source(source.to_owned()), what);
        Self {
            accept: of(Level::WARN, NOT_ACCEPTED),
            refused: of(Level::WARN, REFUSED),
            too_many: of(Level::WARN, TOO_MANY),
            denied: of(Level::WARN, DENIED),
            header: of(Level::WARN, NO_HEADER),
            idle: of(Level::INFO, IDLE),
            failed: of(Level::INFO, FAILED),
            handshake: of(Level::WARN, NO_TLS),
            unexpected_tls: of(Level::WARN, UNEXPECTED_TLS),
            panicked: of(Level::ERROR, PANICKED),
            evicted: of(Level::WARN, EVICTED),
        }
    }

    fn not_accepted(&mut self, error: &io::Error, intake: &Intake) {
        intake.ledger().errors.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.accept.pass(Instant::now()) {
            tracing::warn!(source = intake.name(), %error, suppressed, "{NOT_ACCEPTED}");
        }
    }

    /// Counts and logs the panic of a connection task; other connections continue. A peer may be able to trigger the
    /// defect again and again, so the log line is throttled.
    fn panicked(&mut self, panic: &Panic, intake: &Intake) {
        intake.ledger().errors.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.panicked.pass(Instant::now()) {
            tracing::error!(source = intake.name(), %panic, suppressed, "{PANICKED}");
        }
    }

    fn refused(&mut self, max_connections: usize, listener: &impl Accept, intake: &Intake) {
        intake.ledger().connections_refused.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.refused.pass(Instant::now()) {
            let source = intake.name();
            let (busiest_peer, connections) = listener.busiest().unzip();
            tracing::warn!(source, max_connections, busiest_peer, connections, suppressed, "{REFUSED}");
        }
    }

    fn too_many(&mut self, peer: &str, intake: &Intake) {
        intake.ledger().connections_refused_per_peer.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.too_many.pass(Instant::now()) {
            tracing::warn!(source = intake.name(), peer, suppressed, "{TOO_MANY}");
        }
    }

    fn denied(&mut self, peer: &str, intake: &Intake) {
        intake.ledger().connections_denied.fetch_add(1, Relaxed);
        if let Some(suppressed) = self.denied.pass(Instant::now()) {
            tracing::warn!(source = intake.name(), peer, suppressed, "{DENIED}");
        }
    }

    /// Counts how a connection ended, and logs what an operator can act on.
    fn ended(&mut self, ended: Result<Result<Ended, Panic>, JoinError>, intake: &Intake) {
        let source = intake.name();
        let (peer, end) = match ended {
            Ok(Ok(Ended { peer, end })) => (peer, end),
            Ok(Err(panic)) => return self.panicked(&panic, intake),
            // The whole source is being aborted.
            Err(_) => return,
        };
        match end {
            ConnectionEnd::Closed | ConnectionEnd::Cut | ConnectionEnd::Stopped => {
                tracing::debug!(source, peer, ?end, "connection ended");
            }
            ConnectionEnd::Denied => self.denied(&peer, intake),
            ConnectionEnd::TooMany => self.too_many(&peer, intake),
            ConnectionEnd::Header(error) => {
                intake.ledger().proxy_errors.fetch_add(1, Relaxed);
                if let Some(suppressed) = self.header.pass(Instant::now()) {
                    tracing::warn!(source, proxy = peer, %error, suppressed, "{NO_HEADER}");
                }
            }
            ConnectionEnd::Idle => {
                intake.ledger().connections_idle.fetch_add(1, Relaxed);
                if let Some(suppressed) = self.idle.pass(Instant::now()) {
                    tracing::info!(source, peer, suppressed, "{IDLE}");
                }
            }
            ConnectionEnd::Failed(error) => {
                intake.ledger().errors.fetch_add(1, Relaxed);
                if let Some(suppressed) = self.failed.pass(Instant::now()) {
                    tracing::info!(source, peer, %error, suppressed, "{FAILED}");
                }
            }
            ConnectionEnd::Handshake(reason) => {
                intake.ledger().errors.fetch_add(1, Relaxed);
                if let Some(suppressed) = self.handshake.pass(Instant::now()) {
                    tracing::warn!(source, peer, reason, suppressed, "{NO_TLS}");
                }
            }
            ConnectionEnd::Evicted => {
                intake.ledger().errors.fetch_add(1, Relaxed);
                if let Some(suppressed) = self.evicted.pass(Instant::now()) {
                    tracing::warn!(source, peer, suppressed, "{EVICTED}");
                }
            }
            ConnectionEnd::UnexpectedTls => {
                intake.ledger().errors.fetch_add(1, Relaxed);
                if let Some(suppressed) = self.unexpected_tls.pass(Instant::now()) {
                    tracing::warn!(source, peer, suppressed, "{UNEXPECTED_TLS}");
                }
            }
        }
    }
}
