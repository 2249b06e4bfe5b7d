//! Connections: how many there may be, and for how long.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::Level;

use super::guard::AdminGuard;
use super::listen::AdminSocket;
use super::routes;
use crate::panics;
use crate::throttle::{LineOwner, Throttle};

/// Maximum number of connections over TCP.
pub const MOST_TCP: usize = 48;
/// Maximum number of connections over the unix socket: strangers that take all others leave these to the operator.
pub const MOST_UNIX: usize = 16;
/// Maximum time until the request is complete.
const REQUEST: Duration = Duration::from_secs(5);
/// Maximum time for a connection. It has one request.
const CONNECTION: Duration = Duration::from_secs(30);
/// Size of the buffer for a request, in bytes: its maximum.
const BUFFER: usize = 16 << 10;
/// Maximum number of headers.
const HEADERS: usize = 64;
/// Time after an error of the kernel until the next attempt to accept a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Answer to a connection that is one too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"error\":\"too many connections; close some, or try again later\"}\n";

/// A listener for connections of the admin server.
pub(super) trait AdminListener: Send + Sync + 'static {
    type Connection: AdminConnection;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// A connection to the admin server.
pub(super) trait AdminConnection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Returns the address of this machine to which the client connected.
    fn local(&self) -> Option<IpAddr>;

    /// Writes what the kernel takes at once.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize>;
}

impl AdminListener for TcpListener {
    type Connection = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(connection, _)| connection)
    }
}

impl AdminListener for AdminSocket {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await.map(|(connection, _)| connection)
    }
}

impl AdminConnection for TcpStream {
    fn local(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip())
    }

    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

impl AdminConnection for UnixStream {
    fn local(&self) -> Option<IpAddr> {
        None
    }

    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

/// Answers connections for ever, `most` at a time.
pub(super) async fn serve<L: AdminListener>(listener: Arc<L>, most: usize, guard: AdminGuard, router: Router) {
    let (places, guard) = (Arc::new(Semaphore::new(most)), Arc::new(guard));
    let failures = Throttle::new(Level::WARN, LineOwner::Named, "the admin server cannot accept a connection");
    let crowds = Throttle::new(Level::WARN, LineOwner::Named, "the admin server has too many connections");
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                if let Some(suppressed) = failures.pass(Instant::now()) {
                    tracing::warn!(suppressed, "the admin server cannot accept a connection: {error}");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if let Some(suppressed) = crowds.pass(Instant::now()) {
                tracing::warn!(suppressed, most, "the admin server has too many connections; closing another one");
            }
            // It is closed even if its client does not listen.
            let _ = connection.write_now(FULL);
            continue;
        };
        let (guard, router) = (Arc::clone(&guard), router.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Err(panic) = panics::catch_in(answer(connection, guard, router)).await {
                tracing::error!("a defect in Postrider, please report it: the admin server: {panic}");
            }
        });
    }
}

/// Answers the request of a connection.
async fn answer(connection: impl AdminConnection, guard: Arc<AdminGuard>, router: Router) {
    let local = connection.local();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let (guard, router) = (Arc::clone(&guard), router.clone());
        async move {
            let response = match guard.check(request.uri(), request.headers(), local) {
                Ok(()) => router.call(request.map(Body::new)).await?,
                Err(refusal) => routes::refused(refusal),
            };
            Ok::<Response<Body>, Infallible>(routes::protected(response))
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST).keep_alive(false);
    server.max_buf_size(BUFFER).max_headers(HEADERS);
    // An error is the client's: it went away, was too slow, or wrote something else.
    let _ = timeout(CONNECTION, server.serve_connection(TokioIo::new(connection), service)).await;
}
