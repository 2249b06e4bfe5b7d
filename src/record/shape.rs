//! The shapes that several events share.

use crate::postfix::dsn::Dsn;

/// A host, a socket or a service: the other end of a connection or a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The host name, or the name of a delivery service; `None` for `unknown`.
    pub name: Option<&'a str>,
    /// The IP address, without brackets; `None` for `unknown`.
    pub ip: Option<&'a str>,
    /// The TCP port.
    pub port: Option<u16>,
    /// The path of a unix socket, as configured.
    pub path: Option<&'a str>,
}

/// `delays=a/b/c/d`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays<'a> {
    /// From arrival to the active queue.
    pub before_queue_manager: Decimal<'a>,
    /// From the active queue to the delivery agent.
    pub in_queue_manager: Decimal<'a>,
    /// DNS, TCP, EHLO, STARTTLS and AUTH.
    pub connection_setup: Decimal<'a>,
    /// From MAIL FROM to the final reply, or the run time of a local agent.
    pub transmission: Decimal<'a>,
}

/// A number with the digits that Postfix logged. Its text is always a valid JSON number without sign and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a>(&'a str);

/// What a server said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reply<'a> {
    /// The SMTP reply code, 200 to 599.
    pub code: Option<u16>,
    /// The enhanced status code that follows it.
    pub dsn: Option<Dsn<'a>>,
    /// What follows the codes.
    pub text: &'a str,
    /// The phase in `(in reply to PHASE)`, without the word "command".
    pub command: Option<&'a str>,
    /// Who said it, where the text names the server.
    pub server: Option<Endpoint<'a>>,
}

/// How a client authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sasl<'a> {
    /// The mechanism: `PLAIN`.
    pub method: Option<&'a str>,
    /// The user.
    pub username: Option<&'a str>,
    /// The AUTH parameter of MAIL FROM.
    pub sender: Option<&'a str>,
}

/// The properties of a TLS connection, as the summary line has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// `Anonymous`, `Untrusted`, `Trusted` or `Verified`; `None` before Postfix 2.5.
    pub trust: Option<&'a str>,
    /// `outbound` for a client, `inbound` for a server.
    pub direction: &'static str,
    /// Whether an open connection was used again.
    pub reused: bool,
    /// The name that the client asked for.
    pub sni: Option<&'a str>,
    /// `TLSv1.3`.
    pub protocol: Option<&'a str>,
    /// The cipher suite.
    pub cipher: Option<&'a str>,
    /// The bits of the key in use.
    pub bits: Option<u32>,
    /// The bits of the algorithm.
    pub algorithm_bits: Option<u32>,
    /// The key exchange with its group.
    pub key_exchange: Option<&'a str>,
    /// The server's signature algorithm with its parameters.
    pub server_signature: Option<&'a str>,
    /// Its digest.
    pub server_digest: Option<&'a str>,
    /// The client's signature algorithm with its parameters.
    pub client_signature: Option<&'a str>,
    /// Its digest.
    pub client_digest: Option<&'a str>,
}

/// How often a client used each command: `ehlo=1 mail=1 rcpt=0/1 commands=2/3`, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commands<'a>(pub &'a str);

/// Figures by name: `hits=1 miss=0 success=100%`, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures<'a>(pub &'a str);

impl<'a> Commands<'a> {
    /// Each command with how often it succeeded and how often it was used; `all` for the sum.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, u32, u32)> {
        pairs(self.0).filter_map(|(name, counts)| {
            let (ok, total) = counts.split_once('/').unwrap_or((counts, counts));
            let name = if name == "commands" { "all" } else { name };
            Some((name, ok.parse().ok()?, total.parse().ok()?))
        })
    }
}

impl<'a> Figures<'a> {
    /// Each figure; a percentage without its sign.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, u32)> {
        pairs(self.0).filter_map(|(name, value)| Some((name, value.trim_end_matches('%').parse().ok()?)))
    }
}

/// `name=value` pairs with spaces between them, the names in lower case.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let named = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split(' ').filter_map(|pair| pair.split_once('=')).filter(move |(name, _)| named(name))
}

impl<'a> Decimal<'a> {
    /// The number in `text`, if it is digits with at most one point between them, and a valid JSON number.
    pub fn new(text: &'a str) -> Option<Self> {
        Self::split(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
    }

    /// The number that `text` begins with, and what follows it.
    #[inline]
    pub(crate) fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (bytes, mut end) = (text.as_bytes(), digits(text.as_bytes()));
        if end == 0 || (end > 1 && bytes[0] == b'0') {
            return None;
        }
        if let [b'.', fraction @ ..] = &bytes[end..] {
            let fraction = digits(fraction);
            if fraction == 0 {
                return None;
            }
            end += 1 + fraction;
        }
        let (number, rest) = text.split_at(end);
        Some((Self(number), rest))
    }

    /// The digits as logged.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_figures_are_read_pair_by_pair() {
        let commands = Commands("ehlo=1 rcpt=0/2 UNKNOWN=1 x commands=1/3");
        assert!(commands.iter().eq([("ehlo", 1, 1), ("rcpt", 0, 2), ("all", 1, 3)]));
        assert!(Figures("hits=3 miss=1 success=75%").iter().eq([("hits", 3), ("miss", 1), ("success", 75)]));
    }

    #[test]
    fn decimals_are_json_numbers() {
        for good in ["0", "0.11", "10", "123456", "9.9", "0.000111"] {
            assert_eq!(Decimal::new(good).map(Decimal::as_str), Some(good));
        }
        for bad in ["", ".", "1.", ".1", "01", "-1", "1e3", "1.2.3", " 1", "٣"] {
            assert_eq!(Decimal::new(bad), None, "{bad:?}");
        }
    }
}
