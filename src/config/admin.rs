//! `[admin]`: the server that tells the state of Postrider over HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::form::{ADDRESS_OR_NONE, PATH, PATH_OR_NONE};
use super::key::{default, keys, optional};
use super::kind::Section;
use crate::small_file;

keys! {
    /// Keys of `[admin]`.
    pub(super) struct AdminKeys {
        /// TCP address of the server. If the default address is in use, Postrider runs without; an address that stands
        /// here must be free. Any other address than one of this machine alone needs a `token_file`.
        listen: Option<SocketAddr> = default(ADDRESS_OR_NONE, r#""127.0.0.1:9514""#),
        /// Unix socket of the server, for Postrider's user and group. If the directory of the default is missing,
        /// Postrider runs without; a socket that stands here must be possible.
        socket: Option<PathBuf> = default(PATH_OR_NONE, r#""/var/lib/postrider/admin.sock""#),
        /// File with a token. Each request over TCP must then have it: `Authorization: Bearer TOKEN`.
        token_file: PathBuf = optional(PATH, r#""/etc/postrider/admin.token""#),
    }
}

/// `[admin]`: the server that tells the state of Postrider over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// TCP address; `None` if the server does not listen there.
    pub listen: Option<AdminEndpoint<SocketAddr>>,
    /// Path of the unix socket; `None` if there is none.
    pub socket: Option<AdminEndpoint<PathBuf>>,
    /// Token that each request over TCP must have.
    pub token: Option<AdminToken>,
}

/// An address or a path of the admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEndpoint<T> {
    /// The address, or the path.
    pub at: T,
    /// True if the file names it. Postrider does not start without.
    pub is_required: bool,
}

/// A secret that a request must have.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(Box<str>);

/// Least number of characters of a token.
const LEAST_TOKEN: usize = 16;
/// Maximum number of characters of a token.
const MOST_TOKEN: usize = 1024;

impl AdminToken {
    /// Reads the token in the content of a file: one line of printable ASCII without spaces.
    fn parse(content: &[u8]) -> Result<Self, String> {
        let text = content.trim_ascii();
        if text.len() < LEAST_TOKEN || text.len() > MOST_TOKEN {
            return Err(format!("the token has {} characters, and not {LEAST_TOKEN} to {MOST_TOKEN}", text.len()));
        }
        let text = str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        text.map(|text| Self(text.into())).ok_or_else(|| "the token has other characters than printable ASCII".into())
    }

    /// Reads the token in a file.
    fn load(path: &Path) -> Result<Self, String> {
        Self::parse(&small_file::read(path).map_err(|error| error.to_string())?)
    }

    /// Returns true if `other` is the token. The time that this takes does not depend on the place of a difference.
    pub fn is(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl Section for AdminKeys {
    type Config = AdminConfig;

    /// Also reads the file of the token.
    fn config(self, found: &mut Diagnostics) -> Option<AdminConfig> {
        let Self { listen, socket, token_file } = self;
        let token = match (&token_file.value, token_file.written()) {
            (Some(path), Some(place)) => match AdminToken::load(path) {
                Ok(token) => Some(token),
                Err(message) => {
                    let error = Diagnostic::at(place, format!("the token cannot be read: {message}"));
                    found.push(
                        error.help("write a token with `openssl rand -hex 32`, and let Postrider's user read it"),
                    );
                    return None;
                }
            },
            // A wrong value is reported.
            (None, Some(_)) => return None,
            (_, None) => None,
        };
        let is_open = |address: &Option<SocketAddr>| address.is_some_and(|address| !address.ip().is_loopback());
        if token.is_none() && listen.certain().is_some_and(is_open) {
            let error = Diagnostic::at(
                listen.place,
                "the admin server would tell its peers about all mail without asking who they are",
            );
            found.push(error.help("set `token_file`, or listen at 127.0.0.1"));
            return None;
        }
        let (is_listen_written, is_socket_written) = (listen.is_written(), socket.is_written());
        let (listen, socket) = (listen.value?, socket.value?);
        Some(AdminConfig {
            listen: endpoint(listen, is_listen_written),
            socket: endpoint(socket, is_socket_written),
            token,
        })
    }
}

/// Returns the endpoint of a key, if it has one.
fn endpoint<T>(at: Option<T>, is_required: bool) -> Option<AdminEndpoint<T>> {
    at.map(|at| AdminEndpoint { at, is_required })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_that_no_log_shows() {
        let token = AdminToken::parse(b"0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [&b""[..], b"0123456789abcdeg", b"0123456789abcde", b"0123456789abcdef0", b"0123456789abcdef\n"] {
            assert!(!token.is(other), "{other:?}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken(…)");
    }

    #[test]
    fn a_file_that_holds_no_token_is_refused_without_its_text() {
        for content in [
            &b"\n"[..],
            b"secret",
            &[b'x'; 1025],
            b"two words of it are",
            b"one line..........\nanother line",
            b"secret\xff...........................",
        ] {
            let error = AdminToken::parse(content).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("words"), "{error}");
        }
    }
}
