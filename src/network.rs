//! Networks of IP addresses, and access rules based on them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Addresses that share a prefix, `192.0.2.0/24`, `2001:db8::/32`, or a single one, `192.0.2.1`.
///
/// Peers are compared in the form of [`IpAddr::to_canonical`], so an IPv4 network also contains the IPv4 peers of a
/// dual-stack socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(
    /// The network; all bits after the prefix are zero.
    IpNet,
);

/// Error: a text is not a network. It says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Fault of the text.
    pub message: String,
    /// Form to write instead.
    pub help: String,
}

/// Peers that may send: `deny` takes precedence, and if `allow` names any network, all other peers are denied.
///
/// The lists are searched from the front: for some dozens of networks that is cheaper than any index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Networks that may send; if empty, all may send.
    pub allow: Vec<Network>,
    /// Networks that may not send, whatever `allow` says.
    pub deny: Vec<Network>,
}

/// Returns true if any of `networks` contains `peer`.
pub fn holds(networks: &[Network], peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    networks.iter().any(|Network(network)| network.contains(&peer))
}

// === impl Network ===

impl FromStr for Network {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(ParseError::new(format!("not a network: \"{text}\""), EXAMPLES));
        };
        if address.to_canonical() != address {
            let help =
                format!("write it as IPv4, e.g. \"{}\"; an IPv4 network includes such peers", address.to_canonical());
            return Err(ParseError::new("an IPv4 address in the form of IPv6", help));
        }
        let single = IpNet::from(address);
        let network = match prefix {
            None => single,
            Some(digits) => with_prefix(address, digits).ok_or_else(|| {
                let longest = single.max_prefix_len();
                let help = format!("write {address}/N with N from 0 to {longest}; a netmask is not accepted");
                ParseError::new(format!("not a prefix length: \"{digits}\""), help)
            })?,
        };
        if network != network.trunc() {
            let (prefix, whole) = (network.prefix_len(), network.trunc());
            let help = format!("write \"{whole}\" for the network, or \"{address}\" for the single address");
            return Err(ParseError::new(format!("{address} has bits after its prefix of {prefix}"), help));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const EXAMPLES: &str = "write a network or an address, e.g. \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.1\"";

/// Returns the address with the length of its prefix: digits only, without a leading zero.
fn with_prefix(address: IpAddr, digits: &str) -> Option<IpNet> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let length = digits.parse().ok().filter(|_| plain)?;
    IpNet::new(address, length).ok()
}

// === impl ParseError ===

impl ParseError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

// === impl Access ===

impl Access {
    /// Returns true if `peer` may send.
    pub fn admits(&self, peer: IpAddr) -> bool {
        !holds(&self.deny, peer) && (self.allow.is_empty() || holds(&self.allow, peer))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_network_holds_its_addresses_alone() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.0 192.0.2.255 ::ffff:192.0.2.7", "192.0.3.0 192.0.1.255 ::192.0.2.7"),
            ("192.0.2.1", "192.0.2.1 ::ffff:192.0.2.1", "192.0.2.0 192.0.2.2"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4", ":: 2001:db8::1"),
            ("2001:db8::/32", "2001:db8:: 2001:db8:ffff::1", "2001:db9:: 192.0.2.1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::/0", ":: 2001:db8::1", "192.0.2.1 ::ffff:192.0.2.1"),
        ] {
            let network = network(text);
            for peer in inside.split(' ') {
                assert!(holds(&[network], peer.parse().unwrap()), "{text} {peer}");
            }
            for peer in outside.split(' ') {
                assert!(!holds(&[network], peer.parse().unwrap()), "{text} {peer}");
            }
        }
    }

    #[test]
    fn an_error_says_what_to_write() {
        for (text, message, help) in [
            ("mx1.example", "not a network: \"mx1.example\"", "\"192.0.2.0/24\""),
            ("", "not a network: \"\"", "\"192.0.2.0/24\""),
            ("192.0.2.0/33", "not a prefix length: \"33\"", "write 192.0.2.0/N with N from 0 to 32"),
            ("192.0.2.0/255.255.255.0", "not a prefix length: \"255.255.255.0\"", "a netmask is not accepted"),
            ("192.0.2.0/+8", "not a prefix length: \"+8\"", "N from 0 to 32"),
            ("2001:db8::/129", "not a prefix length: \"129\"", "N from 0 to 128"),
            ("192.0.2.5/24", "192.0.2.5 has bits after its prefix of 24", "write \"192.0.2.0/24\""),
            ("::ffff:192.0.2.1", "an IPv4 address in the form of IPv6", "\"192.0.2.1\""),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error.message, message);
            assert!(error.help.contains(help), "{}", error.help);
        }
    }

    #[test]
    fn deny_wins_and_allow_denies_all_others() {
        let list = |text: &str| text.split_whitespace().map(network).collect::<Vec<_>>();
        for (allow, deny, peer, admitted) in [
            ("", "", "192.0.2.1", true),
            ("", "192.0.2.0/24", "192.0.2.1", false),
            ("", "192.0.2.0/24", "198.51.100.1", true),
            ("192.0.2.0/24", "", "192.0.2.1", true),
            ("192.0.2.0/24", "", "2001:db8::1", false),
            ("192.0.2.0/24", "192.0.2.1", "192.0.2.1", false),
            ("192.0.2.0/24 2001:db8::/32", "192.0.2.1", "::ffff:192.0.2.2", true),
        ] {
            let access = Access { allow: list(allow), deny: list(deny) };
            assert_eq!(access.admits(peer.parse().unwrap()), admitted, "{allow} / {deny} / {peer}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(address: IpAddr, prefix in 0_u8..=128) {
            let prefix = if address.is_ipv4() { prefix.min(32) } else { prefix };
            let written = Network(IpNet::new(address, prefix).unwrap().trunc());
            prop_assume!(written.0.addr().to_canonical() == written.0.addr());
            prop_assert_eq!(written.to_string().parse::<Network>(), Ok(written));
            // Bit by bit, as an operator would compare them.
            let bits = |address: IpAddr| match address {
                IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
                IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
            };
            let peer = address.to_canonical();
            let shared = peer.is_ipv4() == address.is_ipv4()
                && bits(peer)[..prefix.into()] == bits(written.0.addr())[..prefix.into()];
            prop_assert_eq!(holds(&[written], address), shared);
        }

        #[test]
        fn any_text_is_a_network_or_an_error_with_help(text in "[0-9a-f:./]{0,24}|\\PC{0,16}") {
            match text.parse::<Network>() {
                Ok(network) => prop_assert!(holds(&[network], network.0.addr())),
                Err(error) => prop_assert!(error.help.contains("write ")),
            }
        }
    }
}
