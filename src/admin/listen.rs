//! Where the admin server listens: binding, and taking over what is bound already.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::guard::AdminGuard;
use super::routes::{AdminState, router};
use super::serve::{MOST_TCP, MOST_UNIX, serve};
use crate::config::{AdminConfig, AdminEndpoint};
use crate::sockets;

/// Permissions of the unix socket.
const MODE: u32 = 0o660;

/// The listeners of the admin server. They close when the last copy is dropped, and the server that was started last
/// ends.
#[derive(Clone, Debug, Default)]
pub struct AdminListeners {
    config: AdminConfig,
    tcp: Option<Arc<TcpListener>>,
    unix: Option<Arc<AdminSocket>>,
}

/// A bound unix socket. When it is dropped, its path is removed.
// The path is dropped first: while the socket is open, no other program mistakes the path for a leftover of a crash.
#[derive(Debug)]
pub(super) struct AdminSocket {
    path: SocketFile,
    pub(super) socket: UnixListener,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

/// Reason why the admin server cannot listen where the configuration says.
#[derive(Debug, thiserror::Error)]
#[error("the admin server cannot listen at {place}: {error}{help}; `{key} = \"none\"` in [admin] turns it off", help = self.help())]
pub struct AdminError {
    place: String,
    /// Key in the configuration.
    key: &'static str,
    error: io::Error,
}

impl AdminError {
    /// Returns what to do.
    fn help(&self) -> &'static str {
        match (self.key, self.error.kind()) {
            (_, io::ErrorKind::AddrInUse) => {
                "; another program listens there, perhaps another Postrider: give each its own"
            }
            ("socket", io::ErrorKind::NotFound) => "; create its directory for Postrider's user",
            ("socket", io::ErrorKind::PermissionDenied) => "; let Postrider's user write to its directory",
            (_, io::ErrorKind::PermissionDenied) => {
                "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
            }
            (_, io::ErrorKind::AddrNotAvailable) => "; this machine does not have the address",
            _ => "",
        }
    }
}

impl AdminListeners {
    /// Binds what `config` asks for; what `present` has at the same place stays. A default that cannot be bound is left
    /// out, and the log says why, once.
    ///
    /// # Errors
    ///
    /// A place that the configuration file names cannot be bound.
    pub fn bind(config: &AdminConfig, present: &Self) -> Result<Self, AdminError> {
        let (tcp, unix) = (present.tcp_of(config)?, present.unix_of(config)?);
        Ok(Self { config: config.clone(), tcp, unix })
    }

    /// Returns the TCP listener for `config`.
    fn tcp_of(&self, config: &AdminConfig) -> Result<Option<Arc<TcpListener>>, AdminError> {
        let Some(listen) = &config.listen else { return Ok(None) };
        let before = self.config.listen.as_ref();
        if let Some(tcp) = self.tcp.as_ref().filter(|_| before.is_some_and(|before| before.at == listen.at)) {
            return Ok(Some(Arc::clone(tcp)));
        }
        bound(listen, "listen", before == Some(listen), sockets::tcp_listener(listen.at).map(Arc::new))
    }

    /// Returns the unix socket for `config`.
    fn unix_of(&self, config: &AdminConfig) -> Result<Option<Arc<AdminSocket>>, AdminError> {
        let Some(socket) = &config.socket else { return Ok(None) };
        if let Some(unix) = self.unix.as_ref().filter(|unix| unix.path.0 == socket.at) {
            return Ok(Some(Arc::clone(unix)));
        }
        let is_told = self.config.socket.as_ref() == Some(socket);
        bound(&shown(socket), "socket", is_told, AdminSocket::bind(&socket.at).map(Arc::new))
    }

    /// Starts to answer, until the returned tasks are dropped. Requests that are being answered then are finished.
    pub fn start(&self, state: &AdminState) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let (Some(tcp), Some(listen)) = (&self.tcp, &self.config.listen) {
            let guard = AdminGuard::of_tcp(listen.at.ip(), self.config.token.clone());
            tasks.spawn(serve(Arc::clone(tcp), MOST_TCP, guard, router(state.clone())));
        }
        if let Some(unix) = &self.unix {
            tasks.spawn(serve(Arc::clone(unix), MOST_UNIX, AdminGuard::of_unix(), router(state.clone())));
        }
        tasks
    }

    /// Logs each listener that `before` does not have.
    pub fn log_new(&self, before: &Self) {
        let is_new = |place: &String| !before.places().contains(place);
        for place in self.places().iter().filter(|place| is_new(place)) {
            tracing::info!(place, "the admin server listens");
        }
    }

    fn places(&self) -> Vec<String> {
        let tcp = self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()).map(|address| format!("tcp {address}"));
        let unix = self.unix.as_ref().map(|unix| format!("unix {}", unix.path.0.display()));
        tcp.into_iter().chain(unix).collect()
    }
}

/// Returns what was bound. A default need not be: the log says so, unless it `is_told` already.
fn bound<T>(
    endpoint: &AdminEndpoint<impl fmt::Display>,
    key: &'static str,
    is_told: bool,
    bound: io::Result<T>,
) -> Result<Option<T>, AdminError> {
    let error = match bound {
        Ok(bound) => return Ok(Some(bound)),
        Err(error) => AdminError { place: endpoint.at.to_string(), key, error },
    };
    if endpoint.is_required {
        return Err(error);
    }
    // Somebody tries the program out, or a second one runs on the machine.
    if !is_told {
        tracing::info!("{error}; going on without it");
    }
    Ok(None)
}

/// Returns an endpoint with its path as text.
fn shown(socket: &AdminEndpoint<PathBuf>) -> AdminEndpoint<std::path::Display<'_>> {
    AdminEndpoint { at: socket.at.display(), is_required: socket.is_required }
}

impl AdminSocket {
    /// Binds a socket at `path`. One that a crash left there is replaced.
    fn bind(path: &Path) -> io::Result<Self> {
        sockets::remove_stale(path)?;
        let bound = Self { socket: UnixListener::bind(path)?, path: SocketFile(path.to_owned()) };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        Ok(bound)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nothing is lost if the file stays: the next start removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}
