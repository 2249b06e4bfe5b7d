//! The sources: sockets, files and the standard input, read into frames. A source never looks inside a frame.

mod accept;

mod batch;
mod datagrams;
mod descriptors;
mod drops;
mod end;
mod file;
mod intake;
mod listener;
mod peers;
mod proxy;
mod rate;
mod relp;
mod stdin;
mod stream;
mod tcp;
mod tls;
mod udp;
mod unfinished;
mod unix;
mod wire;

pub use descriptors::Descriptors;
pub use file::OPEN_FILES;
pub use intake::{Intake, Stop};

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use tokio::net::TcpListener;

use crate::config::{RelpConfig, SourceKind, TcpConfig};
use crate::panics::{self, Panic};
use crate::standard;
use crate::systemd::Passed;

/// A source with its socket bound, ready to be read.
#[derive(Debug)]
pub struct Source {
    intake: Intake,
    kind: Bound,
}

#[derive(Debug)]
enum Bound {
    Udp(udp::Udp),
    Tcp(tcp::Tcp),
    Relp(relp::Relp),
    Unix(unix::Unix),
    File(file::Files),
    Stdin(stdin::Stdin),
}

/// What a source reads, for its successor at the same address. It keeps nothing open.
#[derive(Clone, Debug)]
pub struct Sockets(Handle);

#[derive(Clone, Debug)]
enum Handle {
    Udp(Vec<Weak<udp::Socket>>),
    Tcp(Weak<TcpListener>),
    Unix(unix::Handle),
    File(file::Handle),
    Stdin,
}

/// What a start could not do, and to what.
#[derive(Debug, thiserror::Error)]
#[error("source {name}: {what}: {error}{help}")]
pub struct BindError {
    name: String,
    what: String,
    error: io::Error,
    help: &'static str,
}

/// Why a source can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A defect.
    #[error("it panicked, which is a defect in Postrider, please report it: {0}")]
    Panicked(#[from] Panic),
    /// The standard input can't be read.
    #[error("cannot read the standard input: {0}")]
    Read(#[from] io::Error),
}

impl Source {
    /// Binds what `kind` listens on, unless a predecessor that listens there has left it, or it is among the sockets that were
    /// `passed`. Of a predecessor's socket nothing is changed before [`Source::adapt`].
    pub fn bind(
        kind: &SourceKind,
        passed: &mut Passed,
        inherited: Option<&Sockets>,
        intake: Intake,
    ) -> Result<Self, BindError> {
        let inherited = inherited.map(|Sockets(handle)| handle);
        let listener = inherited.and_then(Handle::listener);
        let bound = match kind {
            SourceKind::Udp(config) => {
                udp::Udp::bind(config, passed, inherited.and_then(Handle::udp), intake.name()).map(Bound::Udp)
            }
            SourceKind::Tcp(config) => tcp::Tcp::bind(config, passed, listener, intake.name()).map(Bound::Tcp),
            SourceKind::Relp(config) => relp::Relp::bind(config, passed, listener, intake.name()).map(Bound::Relp),
            SourceKind::Unix(config) => {
                unix::Unix::bind(config, passed, inherited.and_then(Handle::unix)).map(Bound::Unix)
            }
            SourceKind::File(config) => {
                file::Files::bind(config, intake.name(), inherited.and_then(Handle::file)).map(Bound::File)
            }
            SourceKind::Stdin(config) => standard::input().map(|()| Bound::Stdin(stdin::Stdin::new(config))),
        };
        match bound {
            Ok(kind) => Ok(Self { intake, kind }),
            Err(error) => {
                Err(BindError { name: intake.name().to_owned(), what: wanted(kind), help: help(kind, &error), error })
            }
        }
    }

    /// Where it listens, as logged: with the port that the kernel chose where port 0 was asked for.
    pub fn address(&self) -> String {
        match &self.kind {
            Bound::Udp(udp) => udp.address(),
            Bound::Tcp(tcp) => tcp.address(),
            Bound::Relp(relp) => relp.address(),
            Bound::Unix(unix) => unix.address(),
            Bound::File(files) => files.address(),
            Bound::Stdin(_) => "the standard input".to_owned(),
        }
    }

    /// Does with sockets of a predecessor what its own configuration asks for.
    pub fn adapt(&mut self) {
        match &mut self.kind {
            Bound::Udp(udp) => udp.adapt(self.intake.name()),
            Bound::Unix(unix) => unix.adapt(self.intake.name()),
            Bound::Tcp(_) | Bound::Relp(_) | Bound::File(_) | Bound::Stdin(_) => {}
        }
    }

    /// What it reads, for a successor.
    pub fn sockets(&self) -> Sockets {
        Sockets(match &self.kind {
            Bound::Udp(udp) => Handle::Udp(udp.sockets()),
            Bound::Tcp(tcp) => Handle::Tcp(tcp.listener()),
            Bound::Relp(relp) => Handle::Tcp(relp.listener()),
            Bound::Unix(unix) => Handle::Unix(unix.handle()),
            Bound::File(files) => Handle::File(files.handle()),
            Bound::Stdin(_) => Handle::Stdin,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        self.intake.name()
    }

    /// Reads until told to stop, or until the input ends, which only the standard input does.
    ///
    /// # Errors
    ///
    /// It can't go on, by a defect or because the standard input can't be read. It has read no more since then.
    pub async fn run(self) -> Result<(), Failed> {
        let run = async {
            match self.kind {
                Bound::Udp(udp) => return udp.run(self.intake).await,
                Bound::Tcp(tcp) => tcp.run(self.intake).await,
                Bound::Relp(relp) => relp.run(self.intake).await,
                Bound::Unix(unix) => unix.run(self.intake).await,
                Bound::File(files) => return files.run(self.intake).await,
                Bound::Stdin(stdin) => return stdin.run(self.intake).await,
            }
            Ok(())
        };
        panics::catch_in(run).await?
    }
}

/// Runs `work` on a thread of its own, as it blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panic> {
    match tokio::task::spawn_blocking(|| panics::catch(AssertUnwindSafe(work))).await {
        Ok(result) => result,
        // Its panic is caught, and nobody aborts it.
        Err(error) => unreachable!("a thread of the runtime did not run: {error}"),
    }
}

// === impl Handle ===

impl Handle {
    fn listener(&self) -> Option<Arc<TcpListener>> {
        if let Self::Tcp(listener) = self { listener.upgrade() } else { None }
    }

    fn udp(&self) -> Option<Vec<Arc<udp::Socket>>> {
        if let Self::Udp(sockets) = self { sockets.iter().map(Weak::upgrade).collect() } else { None }
    }

    const fn unix(&self) -> Option<&unix::Handle> {
        if let Self::Unix(handle) = self { Some(handle) } else { None }
    }

    const fn file(&self) -> Option<&file::Handle> {
        if let Self::File(handle) = self { Some(handle) } else { None }
    }
}

/// What a start tries.
fn wanted(kind: &SourceKind) -> String {
    match kind {
        SourceKind::Udp(config) => format!("cannot listen on udp {}", config.listen),
        SourceKind::Tcp(TcpConfig { listener, .. }) if listener.tls.is_some() => {
            format!("cannot listen on tls {}", listener.listen)
        }
        SourceKind::Tcp(TcpConfig { listener, .. }) => format!("cannot listen on tcp {}", listener.listen),
        SourceKind::Relp(RelpConfig { listener, .. }) => format!("cannot listen on relp {}", listener.listen),
        SourceKind::Unix(config) => format!("cannot listen on unix {}", config.path.display()),
        SourceKind::File(config) => format!("cannot keep a cursor in {}", config.state.display()),
        SourceKind::Stdin(_) => "cannot read the standard input".to_owned(),
    }
}

fn help(kind: &SourceKind, error: &io::Error) -> &'static str {
    use io::ErrorKind::*;
    match (kind, error.kind()) {
        (SourceKind::Unix(_), AddrInUse) => "; another program listens there: `ss -lxp` names it",
        (SourceKind::Unix(_), PermissionDenied) => "; its directory must be writable for Postrider's user",
        (SourceKind::Unix(_), NotFound) => "; make its directory first",
        (SourceKind::File(_), Unsupported) => {
            "; start that version, or remove the cursor and all files are begun as `start` says"
        }
        (SourceKind::File(_), WouldBlock) => "; another process of Postrider has it: give each a `state` of its own",
        (SourceKind::File(_), _) => "; it must be a directory that Postrider's user may write to",
        (_, AddrInUse) => "; another program listens there: `ss -lntup` names it",
        (_, PermissionDenied) => "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE",
        (_, AddrNotAvailable) => "; this machine does not have the address: `ip addr` shows those that it has",
        _ => "",
    }
}
