//! `[[source.unix]]`: a unix domain socket.

use std::path::PathBuf;

use super::stream::{self, StreamConfig, StreamKeys};
use super::{SourceEndpoint, SourceFacts, SourceKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{Choice, MODE, PATH};
use crate::config::key::{Given, default, keys, required};
use crate::config::kind::{Kind, Section};
use crate::record::Transport;

static IS_STREAM: Choice<bool, 2> = Choice::new([("datagram", false), ("stream", true)]);

keys! {
    /// Keys of `[[source.unix]]`.
    struct UnixKeys {
        /// Path at which the socket is created.
        path: PathBuf = required(PATH, r#""/run/postrider/log""#),
        /// Kind of socket. syslog(3) writes to a datagram socket. A stream socket accepts connections; `framing`,
        /// `max_connections` and `idle_timeout` are for stream sockets only.
        kind: bool = default(&IS_STREAM, r#""datagram""#),
        /// Permission bits of the socket.
        mode: u32 = default(MODE, r#""0660""#),
        ..stream: StreamKeys,
    }
}

pub(super) const KIND: Kind<SourceKind> = Kind::of::<UnixKeys>("unix", "A unix domain socket, such as /dev/log.");

/// `[[source.unix]]`: a unix domain socket.
#[derive(Clone, Debug, PartialEq)]
pub struct UnixConfig {
    /// Path at which the socket is created.
    pub path: PathBuf,
    /// Permission bits of the socket.
    pub mode: u32,
    /// `Some` for a stream socket, `None` for datagrams.
    pub stream: Option<StreamConfig>,
}

impl Section for UnixKeys {
    type Config = SourceKind;

    fn config(self, found: &mut Diagnostics) -> Option<SourceKind> {
        let path = short_path(self.path, found);
        let stream = if *self.kind.certain()? {
            Some(self.stream.config()?)
        } else {
            refuse_stream_keys(&self.stream, found);
            None
        };
        Some(SourceKind::Unix(UnixConfig { path: path?, mode: self.mode.value?, stream }))
    }
}

impl SourceFacts for UnixConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> SourceEndpoint<'_> {
        SourceEndpoint::Unix { path: &self.path, is_stream: self.stream.is_some() }
    }

    fn transport(&self) -> Transport {
        Transport::Unix
    }

    fn max_connections(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.max_connections)
    }

    fn descriptors(&self) -> usize {
        if self.stream.is_some() { stream::DESCRIPTORS } else { 1 }
    }
}

/// Maximum length of a socket's path, which is that of the kernel (unix(7), `sun_path`).
const LONGEST_SOCKET_PATH: usize = 107;

/// Returns the path unless it is too long.
fn short_path(path: Given<PathBuf>, found: &mut Diagnostics) -> Option<PathBuf> {
    let long = path.value.as_ref()?.as_os_str().len() > LONGEST_SOCKET_PATH;
    if long {
        let message = format!("the path of a socket has at most {LONGEST_SOCKET_PATH} bytes");
        found.push(Diagnostic::at(path.place, message));
        return None;
    }
    path.value
}

/// Reports keys of streams for a datagram socket: one datagram is one message, and has no connection.
fn refuse_stream_keys(stream: &StreamKeys, found: &mut Diagnostics) {
    let StreamKeys { framing, idle_timeout, limit } = stream;
    for (name, place) in [
        ("framing", framing.written()),
        ("max_connections", limit.max_connections.written()),
        ("idle_timeout", idle_timeout.written()),
    ] {
        if let Some(place) = place {
            let error = Diagnostic::at(place, format!("a datagram socket has no `{name}`"));
            found.push(error.help("leave it out, or write kind = \"stream\""));
        }
    }
}
