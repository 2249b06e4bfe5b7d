//! The sources: sockets, files and the standard input, read into frames. A source never looks inside a frame.

mod accept;

mod batch;
mod datagrams;
mod descriptors;
mod drops;
mod end;
mod file;
mod frames;
mod intake;
mod listener;
mod outcomes;
mod peers;
mod proxy;
mod rate;
mod relp;
mod sizes;
mod stdin;
mod stream;
mod tcp;
mod tls;
mod udp;
mod unfinished;
mod unix;
mod wire;

pub use descriptors::Descriptors;
pub use intake::{Intake, Stop};

use std::any::Any;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use crate::config::SourceKind;
use crate::panics::{self, Panic};
use crate::systemd::Passed;

/// A source with its socket bound, ready to be read.
#[derive(Debug)]
pub struct Source {
    intake: Intake,
    bound: Box<dyn Bound>,
}

/// A bound source of any kind.
trait Bound: fmt::Debug + Send {
    /// Returns the address on which the source listens, as logged.
    fn address(&self) -> String;

    /// Returns what the source reads, for a successor.
    fn sockets(&self) -> Sockets;

    /// Applies the source's own configuration to sockets inherited from a predecessor.
    fn adapt(&mut self, _source: &str) {}

    /// Reads until told to stop, or until the input ends.
    fn run(self: Box<Self>, intake: Intake) -> Running;
}

/// The future of a running source.
type Running = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

/// The sockets or the cursor of a source, for its successor at the same address. Weak references: they keep nothing
/// open.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Vec<Weak<dyn Any + Send + Sync>>);

/// Error of a start: which operation failed, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("source {name}: {what}: {error}{help}")]
pub struct BindError {
    name: String,
    what: String,
    error: io::Error,
    help: &'static str,
}

/// Reason why a source cannot continue.
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
    /// Binds the address that `kind` listens on. Takes the socket that a predecessor at the same address has left, or
    /// one of the sockets that were `passed`, if there is one. A predecessor's socket is not changed before
    /// [`Source::adapt`].
    pub fn bind(
        kind: &SourceKind,
        passed: &mut Passed,
        inherited: Option<&Sockets>,
        intake: Intake,
    ) -> Result<Self, BindError> {
        let name = intake.name();
        let bound = match kind {
            SourceKind::Udp(config) => boxed(udp::Udp::bind(config, passed, inherited, name)),
            SourceKind::Tcp(config) => boxed(tcp::Tcp::bind(config, passed, inherited, name)),
            SourceKind::Relp(config) => boxed(relp::Relp::bind(config, passed, inherited, name)),
            SourceKind::Unix(config) => boxed(unix::Unix::bind(config, passed, inherited)),
            SourceKind::File(config) => boxed(file::Files::bind(config, inherited, name)),
            SourceKind::Stdin(config) => boxed(stdin::Stdin::bind(config)),
        };
        match bound {
            Ok(bound) => Ok(Self { intake, bound }),
            Err(error) => {
                let (facts, name) = (kind.facts(), name.to_owned());
                Err(BindError { name, what: facts.failure(), help: facts.endpoint().help(error.kind()), error })
            }
        }
    }

    /// Returns the address on which the source listens, as logged: where port 0 was asked for, with the port that the
    /// kernel chose.
    pub fn address(&self) -> String {
        self.bound.address()
    }

    /// Applies the source's own configuration to sockets inherited from a predecessor.
    pub fn adapt(&mut self) {
        self.bound.adapt(self.intake.name());
    }

    /// Returns what the source reads, for a successor.
    pub fn sockets(&self) -> Sockets {
        self.bound.sockets()
    }

    /// Returns the name of the source in the configuration.
    pub fn name(&self) -> &str {
        self.intake.name()
    }

    /// Reads until told to stop, or until the input ends, which only the standard input does.
    ///
    /// # Errors
    ///
    /// The source cannot continue, because of a defect or because the standard input cannot be read. It has not read
    /// anything since the failure.
    pub async fn run(self) -> Result<(), Failed> {
        panics::catch_in(self.bound.run(self.intake)).await?
    }
}

impl Sockets {
    fn one<T: Any + Send + Sync>(socket: &Arc<T>) -> Self {
        Self::all(std::slice::from_ref(socket))
    }

    fn all<T: Any + Send + Sync>(sockets: &[Arc<T>]) -> Self {
        Self(sockets.iter().map(|socket| Arc::downgrade(socket) as Weak<dyn Any + Send + Sync>).collect())
    }

    /// Returns the sockets if they are of type `T` and all of them are still open.
    fn upgrade<T: Any + Send + Sync>(&self) -> Option<Vec<Arc<T>>> {
        let sockets: Option<Vec<_>> = self.0.iter().map(|socket| socket.upgrade()?.downcast().ok()).collect();
        sockets.filter(|sockets| !sockets.is_empty())
    }

    /// Returns the socket of a source that has only one, like `upgrade`.
    fn upgrade_one<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.upgrade()?.pop()
    }
}

fn boxed<B: Bound + 'static>(bound: io::Result<B>) -> io::Result<Box<dyn Bound>> {
    bound.map(|bound| Box::new(bound) as Box<dyn Bound>)
}
