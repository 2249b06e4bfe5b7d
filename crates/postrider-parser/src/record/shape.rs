//! The shapes that several events share.

use super::provider::Provider;
use crate::decimal;
use crate::dsn::Dsn;

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

/// Seconds with the digits that Postfix logged, without a sign. At least one digit stands before the point, and if
/// there is a point, at least one digit follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    text: &'a str,
    /// The number of digits before the point.
    whole: usize,
}

/// Reply of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reply<'a> {
    /// The SMTP reply code, 200 to 599.
    pub code: Option<u16>,
    /// The enhanced status code that follows it.
    pub dsn: Option<Dsn<'a>>,
    /// Text after the codes.
    pub text: &'a str,
    /// The phase in `(in reply to PHASE)`, without the word "command".
    pub command: Option<&'a str>,
    /// Server that replied, if the text names it.
    pub server: Option<Endpoint<'a>>,
    /// Operator or maker of the server or filter that refuses, if known.
    pub provider: Option<Provider>,
    /// The provider's own code for the reason, as the provider prints it.
    pub provider_code: Option<&'a str>,
}

/// SASL authentication of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sasl<'a> {
    /// The mechanism: `PLAIN`.
    pub method: Option<&'a str>,
    /// The user.
    pub username: Option<&'a str>,
    /// The AUTH parameter of MAIL FROM.
    pub sender: Option<&'a str>,
}

/// Properties of a TLS connection, as the summary line gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// `anonymous`, `untrusted`, `trusted` or `verified`; `None` before Postfix 2.5.
    pub trust: Option<&'static str>,
    /// `outbound` for a client, `inbound` for a server.
    pub direction: &'static str,
    /// True if an open connection was reused.
    pub reused: bool,
    /// The name that the client asked for.
    pub sni: Option<&'a str>,
    /// `TLSv1.3`.
    pub protocol: Option<&'a str>,
    /// The cipher suite.
    pub cipher: Option<&'a str>,
    /// The bits of the key in use.
    pub bits: Option<u64>,
    /// The bits of the algorithm.
    pub algorithm_bits: Option<u64>,
    /// The key exchange with its group.
    pub key_exchange: Option<&'a str>,
    /// The server's signature algorithm with its parameters.
    pub server_signature: Option<&'a str>,
    /// Digest of that signature.
    pub server_digest: Option<&'a str>,
    /// The client's signature algorithm with its parameters.
    pub client_signature: Option<&'a str>,
    /// Digest of that signature.
    pub client_digest: Option<&'a str>,
}

/// Number of uses of each command by a client: `ehlo=1 mail=1 rcpt=0/1 commands=2/3`, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commands<'a>(pub &'a str);

/// Figures by name: `hits=1 miss=0 success=100%`, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures<'a>(pub &'a str);

/// Names of the counters of smtpd, as it logs them (`smtpd_cmd_table` in `src/smtpd/smtpd.c`). `unknown` counts all
/// commands that smtpd does not know, and `commands` is the sum.
const COMMANDS: [&str; 18] = [
    "helo", "ehlo", "xclient", "xforward", "starttls", "auth", "mail", "rcpt", "data", "bdat", "rset", "noop", "vrfy",
    "etrn", "quit", "help", "unknown", "commands",
];

/// The figures of scache (`src/scache/scache.c`).
const FIGURES: [&str; 6] = ["hits", "miss", "success", "domains", "addresses", "connection"];

impl<'a> Commands<'a> {
    /// Returns each command with the number of its successes and of its uses. The sum is named `all`.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, u64, u64)> + use<'a> {
        pairs(self.0, &COMMANDS).filter_map(|(name, counts)| {
            let (ok, total) = counts.split_once('/').unwrap_or((counts, counts));
            let name = if name == "commands" { "all" } else { name };
            Some((name, decimal::whole(ok)?, decimal::whole(total)?))
        })
    }

    /// True if one of the numbers is too large for a record.
    pub fn exceed(self) -> bool {
        may_exceed(self.0) && self.iter().any(|(_, ok, total)| ok.max(total) > decimal::LARGEST)
    }
}

impl<'a> Figures<'a> {
    /// Returns each figure; a percentage is without its sign.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, u64)> + use<'a> {
        pairs(self.0, &FIGURES)
            .filter_map(|(name, value)| Some((name, decimal::whole(value.strip_suffix('%').unwrap_or(value))?)))
    }

    /// True if one of the numbers is too large for a record.
    pub fn exceed(self) -> bool {
        may_exceed(self.0) && self.iter().any(|(_, value)| value > decimal::LARGEST)
    }
}

/// Returns the `name=value` pairs, separated by spaces, whose name is in `names`: for each name the first pair only.
///
/// A name becomes a key of the record. Any other name is skipped; Postfix never writes one.
fn pairs<'a>(text: &'a str, names: &'static [&'static str]) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
    let (mut seen, mut next) = (0_u32, 0);
    text.split(' ').filter_map(move |pair| {
        let (logged, value) = pair.split_at_checked(memchr::memchr(b'=', pair.as_bytes())?)?;
        // Postfix writes them in the order of the names.
        let is_it = |place: &usize| names[*place] == logged;
        let place = (next..names.len()).find(is_it).or_else(|| (0..next).find(is_it))?;
        next = place + 1;
        let is_first = seen & 1 << place == 0;
        seen |= 1 << place;
        is_first.then_some((names[place], &value[1..]))
    })
}

/// True if one of the `name=value` pairs may hold a number that a record cannot show. Almost no text does, so only a
/// few bytes are checked. Such a number has at least `DIGITS` digits; of `DIGITS` adjacent digits, one is always at a
/// position that the loop visits.
fn may_exceed(pairs: &str) -> bool {
    const DIGITS: usize = decimal::LARGEST.ilog10() as usize + 1;
    pairs.as_bytes().iter().skip(DIGITS - 1).step_by(DIGITS).any(u8::is_ascii_digit)
}

impl Tls<'_> {
    /// Every level of trust in the peer, the lowest first.
    pub const TRUST: [&'static str; 4] = ["anonymous", "untrusted", "trusted", "verified"];
    /// Every direction.
    pub const DIRECTIONS: [&'static str; 2] = ["outbound", "inbound"];

    /// True if one of the numbers is too large for a record.
    pub fn exceeds(&self) -> bool {
        [self.bits, self.algorithm_bits].into_iter().flatten().any(|number| number > decimal::LARGEST)
    }
}

impl Delays<'_> {
    /// True if a record shows all of the delays.
    pub const fn fit(self) -> bool {
        self.before_queue_manager.fits()
            && self.in_queue_manager.fits()
            && self.connection_setup.fits()
            && self.transmission.fits()
    }
}

impl<'a> Decimal<'a> {
    /// Returns the number in `text` if `text` is digits with at most one point between them, and a valid JSON number.
    pub fn new(text: &'a str) -> Option<Self> {
        Self::split(text).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
    }

    /// Returns the number at the start of `text`, and the text after it.
    #[inline]
    pub(crate) fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let bytes = text.as_bytes();
        let whole = digits(bytes);
        if whole == 0 || (whole > 1 && bytes[0] == b'0') {
            return None;
        }
        let mut end = whole;
        if let [b'.', fraction @ ..] = &bytes[end..] {
            let fraction = digits(fraction);
            if fraction == 0 {
                return None;
            }
            end += 1 + fraction;
        }
        let (number, rest) = text.split_at(end);
        Some((Self { text: number, whole }, rest))
    }

    /// The digits as logged.
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// Returns the number in thousandths, without the rest. A number that is too large is the largest one.
    pub fn thousandths(self) -> u64 {
        let (whole, fraction) = self.parts();
        let digits = whole.iter().chain(fraction.iter().chain(b"000").take(3));
        digits.fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    }

    /// True if there is a point.
    pub(crate) const fn has_point(self) -> bool {
        self.whole < self.text.len()
    }

    /// Returns the digits before the point, and those after it.
    pub(crate) fn parts(self) -> (&'a [u8], &'a [u8]) {
        let bytes = self.text.as_bytes();
        (&bytes[..self.whole], bytes.get(self.whole + 1..).unwrap_or_default())
    }

    /// True if a record shows the number. A number with more digits than Postfix ever writes may be too long for a JSON
    /// reader.
    pub const fn fits(self) -> bool {
        self.text.len() <= decimal::LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_figures_are_read_pair_by_pair() {
        let commands = Commands("ehlo=1 rcpt=0/2 unknown=1 x commands=1/3");
        assert!(commands.iter().eq([("ehlo", 1, 1), ("rcpt", 0, 2), ("unknown", 1, 1), ("all", 1, 3)]));
        assert!(Figures("hits=3 miss=1 success=75%").iter().eq([("hits", 3), ("miss", 1), ("success", 75)]));
    }

    #[test]
    fn only_known_names_become_keys_and_each_once() {
        for strange in
            ["", "=1", "EHLO=1", "all=1", "evil=1", "hits=1", "ehlo", "ehlo=", "ehlo=-1", "ehlo=1/", "ehlo=1/2/3"]
        {
            assert_eq!(Commands(strange).iter().next(), None, "{strange}");
        }
        assert!(Commands("ehlo=1 ehlo=2 commands=3").iter().eq([("ehlo", 1, 1), ("all", 3, 3)]));
        assert!(Figures("ehlo=1 hits=2 hits=3 miss=4%%").iter().eq([("hits", 2)]));
    }

    #[test]
    fn numbers_that_exceed_are_suspected() {
        for before in 0..40 {
            let text = format!("{}=9223372036854775808 commands=1", "e".repeat(before));
            assert!(may_exceed(&text), "{text}");
        }
        assert!(!may_exceed("ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"));
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
