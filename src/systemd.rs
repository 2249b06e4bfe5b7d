//! Requests of a service manager to a program (`sd_notify(3)`, `sd_listen_fds(3)`). Without a service manager, these
//! functions do nothing.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener};
use std::path::Path;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Sockets that the service manager has already bound. A source that is to listen at the address of one of them takes
/// it, so the same configuration works with and without socket activation.
#[derive(Default)]
pub struct Passed {
    tcp: Vec<(Option<SocketAddr>, TcpListener)>,
    udp: Vec<(Option<SocketAddr>, UdpSocket)>,
    streams: Vec<(Option<UnixAddr>, UnixListener)>,
    datagrams: Vec<(Option<UnixAddr>, UnixDatagram)>,
}

impl Passed {
    /// Takes the sockets that the environment names, and removes the variables. Call it before the first thread starts.
    pub fn from_environment() -> Self {
        let mut given = ListenFd::from_env();
        let mut passed = Self::default();
        for n in 0..given.len() {
            // The calls leave a socket of another kind in place.
            if let Ok(Some(socket)) = given.take_unix_listener(n) {
                passed.streams.push((socket.local_addr().ok(), socket));
            } else if let Ok(Some(socket)) = given.take_unix_datagram(n) {
                passed.datagrams.push((socket.local_addr().ok(), socket));
            } else if let Ok(Some(socket)) = given.take_tcp_listener(n) {
                passed.tcp.push((socket.local_addr().ok(), socket));
            } else if let Ok(Some(socket)) = given.take_udp_socket(n) {
                passed.udp.push((socket.local_addr().ok(), socket));
            } else {
                tracing::warn!(
                    descriptor = 3 + n,
                    "systemd passed a descriptor that is neither an IP nor a unix socket; ignoring it"
                );
            }
        }
        passed
    }

    /// Takes the listener at `address`.
    pub fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        take(&mut self.tcp, |bound| *bound == address)
    }

    /// Takes the datagram socket at `address`.
    pub fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        take(&mut self.udp, |bound| *bound == address)
    }

    /// Takes the unix listener at `path`.
    pub fn stream(&mut self, path: &Path) -> Option<UnixListener> {
        take(&mut self.streams, |bound| bound.as_pathname() == Some(path))
    }

    /// Takes the unix datagram socket at `path`.
    pub fn datagram(&mut self, path: &Path) -> Option<UnixDatagram> {
        take(&mut self.datagrams, |bound| bound.as_pathname() == Some(path))
    }

    /// Logs the sockets that no source has taken, and closes them, so that their senders notice.
    pub fn finish(self) {
        let ip =
            self.tcp.iter().map(|(bound, _)| ("tcp", bound)).chain(self.udp.iter().map(|(bound, _)| ("udp", bound)));
        let ip = ip.map(|(kind, bound)| (kind, bound.map(|bound| bound.to_string())));
        let streams = self.streams.iter().map(|(bound, _)| bound);
        let unix = streams.chain(self.datagrams.iter().map(|(bound, _)| bound));
        let unix = unix.map(|bound| ("unix", bound.as_ref().map(|bound| format!("{bound:?}"))));
        for (kind, address) in ip.chain(unix) {
            let address = address.unwrap_or_default();
            tracing::warn!(kind, address, "systemd passed a socket, but no source has exactly its address; closing it");
        }
    }
}

fn take<A, S>(sockets: &mut Vec<(Option<A>, S)>, is_it: impl Fn(&A) -> bool) -> Option<S> {
    let n = sockets.iter().position(|(address, _)| address.as_ref().is_some_and(&is_it))?;
    Some(sockets.swap_remove(n).1)
}

/// Notifies the service manager that all sources listen.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Notifies the service manager that the configuration is being read again, until [`ready`].
pub fn reloading() {
    let now = NotifyState::monotonic_usec_now().ok();
    tell(&[Some(NotifyState::Reloading), now].into_iter().flatten().collect::<Vec<_>>());
}

/// Notifies the service manager that the shutdown has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Notifies the service manager that the program is alive, twice as often as it asks for, if it asks. A task does this,
/// so that the notifications also stop if the runtime no longer runs its tasks.
pub fn watch() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    tokio::spawn(async move {
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager at $NOTIFY_SOCKET");
    }
}
