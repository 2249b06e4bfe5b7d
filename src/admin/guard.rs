//! Permission to ask: the rules that keep strangers and other web sites away.
//!
//! A browser sends requests for any page that it shows. Such a page must not read the answers, whatever name it gives
//! this address (DNS rebinding): the server answers only to names and addresses that are its own, and only to its own
//! pages. It sends no cookies and permits no other origin anything.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};

use crate::config::AdminToken;

/// The rules of one listener.
#[derive(Clone, Debug)]
pub(super) struct AdminGuard(AdminRules);

#[derive(Clone, Debug)]
enum AdminRules {
    /// The file system decides who may connect.
    Unix,
    Tcp {
        configured: IpAddr,
        token: Option<AdminToken>,
    },
}

/// A request that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestRefusal {
    /// It has no `Host`, or several.
    NoHost,
    /// It asks for a host that this is not.
    OtherHost,
    /// The page of another site sent it.
    OtherOrigin,
    /// It lacks the token.
    NoToken,
}

impl RequestRefusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::OtherOrigin => StatusCode::FORBIDDEN,
            Self::NoToken => StatusCode::UNAUTHORIZED,
        }
    }

    /// Returns what is wrong, and what to do.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::NoHost => "the request needs one header `Host`",
            Self::OtherHost => {
                "this host has another name; ask for `localhost`, or for the address in `listen` of [admin]"
            }
            Self::OtherOrigin => "a page of another site must not ask; open this address itself",
            Self::NoToken => {
                "the request needs the token in `token_file` of [admin]; send `Authorization: Bearer TOKEN`"
            }
        }
    }
}

impl AdminGuard {
    pub(super) const fn of_unix() -> Self {
        Self(AdminRules::Unix)
    }

    /// Returns the rules of the listener at the address `configured`.
    pub(super) const fn of_tcp(configured: IpAddr, token: Option<AdminToken>) -> Self {
        Self(AdminRules::Tcp { configured, token })
    }

    /// Checks a request that came to the address `local` of this machine.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap, local: Option<IpAddr>) -> Result<(), RequestRefusal> {
        let host = one(headers, HOST);
        check_origin(headers, host)?;
        let AdminRules::Tcp { configured, token } = &self.0 else { return Ok(()) };
        let host = host.and_then(|host| host.parse::<Authority>().ok()).ok_or(RequestRefusal::NoHost)?;
        let is_own = |authority: &Authority| is_own(authority.host(), *configured, local);
        // A request to a proxy has its host in its first line.
        if !is_own(&host) || !uri.authority().is_none_or(is_own) {
            return Err(RequestRefusal::OtherHost);
        }
        let is_permitted = |token: &AdminToken| bearer(headers).is_some_and(|given| token.is(given));
        if token.as_ref().is_none_or(is_permitted) { Ok(()) } else { Err(RequestRefusal::NoToken) }
    }
}

/// Checks that no page of another site sent the request.
fn check_origin(headers: &HeaderMap, host: Option<&str>) -> Result<(), RequestRefusal> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = one(headers, ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    let is_own = origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
    if is_own { Ok(()) } else { Err(RequestRefusal::OtherOrigin) }
}

/// Returns true if a name or an address is one of this server.
fn is_own(host: &str, configured: IpAddr, local: Option<IpAddr>) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            let is = |own: IpAddr| own.to_canonical() == address && !own.is_unspecified();
            address.is_loopback() || is(configured) || local.is_some_and(is)
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Returns the value of a header that the request has once.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Returns the token of a request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1";

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn check(guard: &AdminGuard, list: &[(&'static str, &str)], local: &str) -> Result<(), RequestRefusal> {
        guard.check(&Uri::from_static("/ready"), &headers(list), local.parse().ok())
    }

    fn tcp(configured: &str) -> AdminGuard {
        AdminGuard::of_tcp(configured.parse().unwrap(), None)
    }

    #[test]
    fn only_names_and_addresses_of_its_own_are_answered() {
        let own = ["localhost", "LOCALHOST:9514", "127.0.0.1:9514", "127.1.2.3", "[::1]:9514", "[::ffff:127.0.0.1]:80"];
        for host in own {
            assert_eq!(check(&tcp(LOOPBACK), &[("host", host)], LOOPBACK), Ok(()), "{host}");
        }
        let others =
            ["evil.example", "localhost.evil.example:9514", "127.0.0.1.evil.example", "192.0.2.1", "0.0.0.0", "[::]:1"];
        for host in others {
            assert_eq!(check(&tcp(LOOPBACK), &[("host", host)], LOOPBACK), Err(RequestRefusal::OtherHost), "{host}");
        }
        // The address of the configuration, or the one to which the client connected.
        assert_eq!(check(&tcp("192.0.2.1"), &[("host", "192.0.2.1:9514")], ""), Ok(()));
        assert_eq!(check(&tcp("0.0.0.0"), &[("host", "192.0.2.7")], "192.0.2.7"), Ok(()));
        assert_eq!(check(&tcp("::"), &[("host", "192.0.2.7")], "::ffff:192.0.2.7"), Ok(()));
        assert_eq!(check(&tcp("0.0.0.0"), &[("host", "0.0.0.0")], "192.0.2.7"), Err(RequestRefusal::OtherHost));
    }

    #[test]
    fn a_request_names_one_host() {
        for list in [&[][..], &[("host", "localhost"), ("host", "localhost")], &[("host", "")], &[("host", "a b")]] {
            assert_eq!(check(&tcp(LOOPBACK), list, LOOPBACK), Err(RequestRefusal::NoHost), "{list:?}");
            assert_eq!(check(&AdminGuard::of_unix(), list, ""), Ok(()));
        }
        let uri = Uri::from_static("http://evil.example/ready");
        let refused = tcp(LOOPBACK).check(&uri, &headers(&[("host", "localhost")]), None);
        assert_eq!(refused, Err(RequestRefusal::OtherHost));
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        for guard in [tcp(LOOPBACK), AdminGuard::of_unix()] {
            let with = |origin| check(&guard, &[("host", "localhost:9514"), ("origin", origin)], LOOPBACK);
            assert_eq!(with("http://localhost:9514"), Ok(()));
            for origin in
                ["null", "http://evil.example", "http://localhost", "http://localhost:95", "https://localhost:9514", ""]
            {
                assert_eq!(with(origin), Err(RequestRefusal::OtherOrigin), "{origin}");
            }
        }
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert_eq!(check(&tcp(LOOPBACK), &twice, LOOPBACK), Err(RequestRefusal::OtherOrigin));
    }

    #[test]
    fn with_a_token_each_request_over_tcp_needs_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let text = format!("[admin]\ntoken_file = \"{}\"\n[[source.stdin]]\n[[sink.stdout]]\n", path.display());
        let token = crate::config::parse(&text, "test").unwrap().admin.token;
        let guard = AdminGuard::of_tcp(LOOPBACK.parse().unwrap(), token);
        let with = |value| check(&guard, &[("host", "localhost"), ("authorization", value)], LOOPBACK);
        for value in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert_eq!(with(value), Ok(()), "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert_eq!(with(value), Err(RequestRefusal::NoToken), "{value}");
        }
        assert_eq!(check(&guard, &[("host", "localhost")], LOOPBACK), Err(RequestRefusal::NoToken));
        // A stranger is not even asked for it.
        assert_eq!(check(&guard, &[("host", "evil.example")], LOOPBACK), Err(RequestRefusal::OtherHost));
        assert_eq!(check(&AdminGuard::of_unix(), &[("host", "localhost")], ""), Ok(()));
    }
}
