//! `[[source.unix]]`: a unix domain socket.

use std::path::{Path, PathBuf};

use super::stream::{self, FRAMING, IDLE_TIMEOUT, MAX_CONNECTIONS, StreamConfig};
use super::{Endpoint, SourceFacts, SourceKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Choice, Key, Type};
use crate::config::kind::Kind;
use crate::config::reader::Reader;
use crate::record::Transport;

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

static IS_STREAM: Choice<bool, 2> = Choice::new([("datagram", false), ("stream", true)]);

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "unix",
    doc: "A unix domain socket, such as /dev/log.",
    single: false,
    keys: &[
        Key::required("path", Type::Path, r#""/run/postrider/log""#, "Where the socket is made."),
        Key::default(
            "kind",
            Type::Word(IS_STREAM.words()),
            r#""datagram""#,
            "What syslog(3) writes to is `datagram`; the keys below are for `stream` alone.",
        ),
        Key::default("mode", Type::Mode, r#""0660""#, "Permission bits of the socket."),
        FRAMING,
        MAX_CONNECTIONS,
        IDLE_TIMEOUT,
    ],
    read: |table| {
        let (path, is_stream, mode, stream) =
            (table.path("path"), table.deciding_choice("kind", &IS_STREAM), table.mode("mode"), stream::read(table));
        let path = path.filter(|path| check_length(table, path));
        let stream = if is_stream? {
            Some(stream?)
        } else {
            refuse_stream_keys(table);
            None
        };
        Some(SourceKind::Unix(UnixConfig { path: path?, mode: mode?, stream }))
    },
};

impl SourceFacts for UnixConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Unix { path: &self.path, is_stream: self.stream.is_some() }
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

fn check_length(table: &mut Reader<'_, '_>, path: &Path) -> bool {
    let long = path.as_os_str().len() > LONGEST_SOCKET_PATH;
    if long {
        let message = format!("the path of a socket has at most {LONGEST_SOCKET_PATH} bytes");
        table.error(Diagnostic::at(table.place("path"), message));
    }
    !long
}

/// Reports keys of streams for a datagram socket: one datagram is one message, and has no connection.
fn refuse_stream_keys(table: &mut Reader<'_, '_>) {
    for key in [FRAMING, MAX_CONNECTIONS, IDLE_TIMEOUT] {
        if table.gives(key.name) {
            let error = Diagnostic::at(table.place(key.name), format!("a datagram socket has no `{}`", key.name));
            table.error(error.help("leave it out, or write kind = \"stream\""));
        }
    }
}
