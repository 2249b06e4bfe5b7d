//! The PROXY protocol, versions 1 and 2 (`doc/proxy-protocol.txt` in the sources of haproxy). In a header before the
//! first byte of a connection, a proxy names the peer of the connection.
//!
//! The header is read up to its last byte and no further. Later reads therefore see the connection as the peer sent it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{sockets, tls};

/// Maximum time for the whole header. The specification asks for at least 3 s, which allows for one lost packet.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The first bytes of version 1 (section 2.1).
const V1: &[u8] = b"PROXY ";

/// Maximum length of a header of version 1 in bytes, with its line end (section 2.1).
const V1_MOST: usize = 107;

/// The first bytes of version 2 (section 2.2).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Length of the fixed part of version 2 in bytes; its last two bytes hold the length of the rest.
const V2_FIXED: usize = 16;

/// Maximum length of an accepted header of version 2 in bytes; proxies send some hundreds with all their TLVs.
const V2_MOST: usize = 4096;

/// Minimum length of any header in bytes: `PROXY UNKNOWN` and its line end.
const LEAST: usize = 15;

/// Reason why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The connection ended before its first byte, as the health checks of some proxies do.
    #[error("closed before the first byte")]
    Silent,
    /// The connection ended inside of the header.
    #[error("closed before the end of the header")]
    Closed,
    /// The header took too long.
    #[error("no header within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// Reading failed.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// There is no header, or it is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Defect of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the connection does not begin with a PROXY header")]
    Other,
    #[error(
        "the connection begins with TLS; configure the proxy to send a PROXY header first, or remove its network from \
         proxy_protocol"
    )]
    Tls,
    #[error("the header of version 1 does not end in CR LF within 107 bytes")]
    Line,
    #[error("the protocol in the header of version 1 is not TCP4, TCP6 or UNKNOWN")]
    Protocol,
    #[error("the header of version 1 does not have exactly two addresses and two ports")]
    Addresses,
    #[error("the version of the header is unknown")]
    Version,
    #[error("the command in the header of version 2 is unknown")]
    Command,
    #[error("the address family or protocol in the header of version 2 is unknown")]
    Family,
    #[error("the header of version 2 is longer than 4096 bytes")]
    Long,
    #[error("the header of version 2 is too short for its addresses")]
    Short,
}

/// Progress in reading a header.
#[derive(Debug, PartialEq, Eq)]
enum HeaderProgress {
    /// At least this many more bytes belong to the header.
    More(usize),
    /// The header is complete and names the peer. Without a peer, the connection's own address applies.
    Whole(Option<SocketAddr>),
}

/// Reads the header from `socket`. Returns `None` if the header names no IP address: the proxy speaks for itself
/// (LOCAL, as in a health check), or does not know the peer (UNKNOWN, UNSPEC), or the peer is a unix socket.
pub(super) async fn read(socket: &TcpStream) -> Result<Option<SocketAddr>, Error> {
    timeout(TIMEOUT, read_all(socket)).await.unwrap_or(Err(Error::Timeout))
}

async fn read_all(socket: &TcpStream) -> Result<Option<SocketAddr>, Error> {
    let mut header = Vec::new();
    loop {
        let more = match parse(&header)? {
            HeaderProgress::Whole(peer) => return Ok(peer),
            HeaderProgress::More(more) => more,
        };
        socket.readable().await?;
        let begun = header.len();
        header.resize(begun + more, 0);
        let read = match socket.try_read(&mut header[begun..]) {
            Ok(0) if begun == 0 => return Err(Error::Silent),
            Ok(0) => return Err(Error::Closed),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if begun == 0 && error.kind() == io::ErrorKind::ConnectionReset => return Err(Error::Silent),
            Err(error) => return Err(error.into()),
        };
        header.truncate(begun + read);
    }
}

/// Parses as much of a header as is there.
fn parse(header: &[u8]) -> Result<HeaderProgress, Malformed> {
    let begins = |signature: &[u8]| header.iter().zip(signature).all(|(a, b)| a == b);
    match (begins(V1), begins(V2)) {
        (false, false) if header.starts_with(&tls::HANDSHAKE) => Err(Malformed::Tls),
        (false, false) => Err(Malformed::Other),
        _ if header.len() < LEAST => Ok(HeaderProgress::More(LEAST - header.len())),
        (true, _) => v1(header),
        (false, true) => v2(header),
    }
}

// === version 1 ===

/// Parses a header of version 1 (section 2.1): `PROXY TCP4 192.0.2.1 198.51.100.1 51234 514` and CR LF.
fn v1(header: &[u8]) -> Result<HeaderProgress, Malformed> {
    match memchr::memchr(b'\n', header) {
        Some(end) if end + 1 == header.len() && header.ends_with(b"\r\n") => {
            let fields = header[V1.len()..].strip_suffix(b"\r\n").unwrap_or_default();
            v1_peer(fields).map(HeaderProgress::Whole)
        }
        None if header.len() < V1_MOST => {
            let line_end = if header.ends_with(b"\r") { 1 } else { 2 };
            Ok(HeaderProgress::More(line_end.min(V1_MOST - header.len())))
        }
        _ => Err(Malformed::Line),
    }
}

fn v1_peer(fields: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let mut fields = fields.split(|byte| *byte == b' ');
    let is_v4 = match fields.next() {
        // The rest of the line is to be ignored.
        Some(b"UNKNOWN") => return Ok(None),
        Some(b"TCP4") => true,
        Some(b"TCP6") => false,
        _ => return Err(Malformed::Protocol),
    };
    let mut next = || fields.next().and_then(|field| str::from_utf8(field).ok());
    let address = |text: Option<&str>| text?.parse().ok().filter(|address: &IpAddr| address.is_ipv4() == is_v4);
    let (source, destination) = (address(next()), address(next()));
    let (source_port, destination_port) = (next().and_then(port), next().and_then(port));
    match (source, destination, source_port, destination_port, fields.next()) {
        (Some(address), Some(_), Some(port), Some(_), None) => {
            Ok(Some(sockets::canonical(SocketAddr::new(address, port))))
        }
        _ => Err(Malformed::Addresses),
    }
}

/// Parses a port: digits without a leading zero, up to 65535.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

// === version 2 ===

/// Parses a header of version 2 (section 2.2): the signature, version and command, family and protocol, the length of
/// the rest, the addresses, and TLVs, which are skipped.
fn v2(header: &[u8]) -> Result<HeaderProgress, Malformed> {
    let (Some(version_command), Some(family), Some(length)) = (header.get(12), header.get(13), header.get(14..16))
    else {
        return Ok(HeaderProgress::More(V2_FIXED - header.len()));
    };
    let is_local = match version_command {
        0x20 => true,
        0x21 => false,
        0x22..=0x2f => return Err(Malformed::Command),
        _ => return Err(Malformed::Version),
    };
    let whole = V2_FIXED + length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if whole > V2_MOST {
        return Err(Malformed::Long);
    }
    if header.len() < whole {
        return Ok(HeaderProgress::More(whole - header.len()));
    }
    // The content of a LOCAL header is to be ignored.
    let peer = if is_local { None } else { v2_peer(*family, &header[V2_FIXED..])? };
    Ok(HeaderProgress::Whole(peer))
}

/// Returns the source of an address block, which holds both addresses and then both ports, in network order.
fn v2_peer(family: u8, block: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    match family {
        // UNSPEC
        0x00..=0x02 => Ok(None),
        // IPv4
        0x10..=0x12 => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *first::<12>(block)?;
            let port = u16::from_be_bytes([high, low]);
            Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)))
        }
        // IPv6
        0x20..=0x22 => {
            let block = first::<36>(block)?;
            let address = Ipv6Addr::from(*first::<16>(block)?);
            let port = u16::from_be_bytes([block[32], block[33]]);
            Ok(Some(sockets::canonical(SocketAddr::new(address.into(), port))))
        }
        // Unix sockets: two paths of 108 bytes each
        0x30..=0x32 => first::<216>(block).map(|_| None),
        _ => Err(Malformed::Family),
    }
}

fn first<const N: usize>(block: &[u8]) -> Result<&[u8; N], Malformed> {
    block.first_chunk().ok_or(Malformed::Short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` as the reader does: never more than was asked for. Gives the result and what is left.
    fn feed(bytes: &[u8], at_most: usize) -> (Result<HeaderProgress, Malformed>, &[u8]) {
        let mut end = 0;
        loop {
            match parse(&bytes[..end]) {
                Ok(HeaderProgress::More(more)) if end < bytes.len() => end += more.min(at_most).min(bytes.len() - end),
                result => return (result, &bytes[end..]),
            }
        }
    }

    /// The same in one piece and byte by byte, with a message behind it that is left alone.
    #[track_caller]
    fn whole(header: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
        let bytes = [header, b"<13>x\n"].concat();
        let (result, rest) = feed(&bytes, usize::MAX);
        let (slow, slow_rest) = feed(&bytes, 1);
        assert_eq!((&slow, slow_rest), (&result, if result.is_ok() { rest } else { slow_rest }));
        match result? {
            HeaderProgress::Whole(peer) => {
                assert_eq!(rest, b"<13>x\n");
                // Without its last byte it is not whole.
                assert_eq!(feed(&header[..header.len() - 1], usize::MAX).0, Ok(HeaderProgress::More(1)));
                Ok(peer)
            }
            more @ HeaderProgress::More(_) => panic!("{more:?}"),
        }
    }

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn v2_header(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2, &[version_command, family], &length, block].concat()
    }

    #[test]
    fn version_1_names_the_peer() {
        let longest6 = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                        65535 65535\r\n";
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_MOST - 16));
        assert_eq!(longest.len(), V1_MOST);
        for (header, expected) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 514\r\n", Some(peer("192.0.2.1:51234"))),
            ("PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n", Some(peer("1.1.1.1:0"))),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 51234 514\r\n", Some(peer("[2001:db8::1]:51234"))),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", Some(peer("192.0.2.1:1"))),
            (longest6, Some(peer("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"))),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN whatever 1 2 3\r\n", None),
            (longest.as_str(), None),
        ] {
            assert_eq!(whole(header.as_bytes()), Ok(expected), "{header:?}");
        }
    }

    #[test]
    fn what_is_wrong_in_version_1_is_named() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_MOST - 15));
        for (header, expected) in [
            ("<13>Nov 24 02:10:35 mx1 app: x\n", Malformed::Other),
            ("PROXY\tTCP4 192.0.2.1 198.51.100.1 51234 514\r\n", Malformed::Other),
            ("proxy TCP4 192.0.2.1 198.51.100.1 51234 514\r\n", Malformed::Other),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 514\n", Malformed::Line),
            ("PROXY \r\n0123456789\r\n", Malformed::Line),
            (long.as_str(), Malformed::Line),
            ("PROXY TCP5 192.0.2.1 198.51.100.1 51234 514\r\n", Malformed::Protocol),
            ("PROXY UNKNOWNX\r\n", Malformed::Protocol),
            ("PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n", Malformed::Protocol),
            ("PROXY TCP4 192.0.2.1\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 51234\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 514 \r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1  198.51.100.1 51234 514\r\n", Malformed::Addresses),
            ("PROXY TCP4 2001:db8::1 2001:db8::2 51234 514\r\n", Malformed::Addresses),
            ("PROXY TCP6 192.0.2.1 198.51.100.1 51234 514\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.256 198.51.100.1 51234 514\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 514\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 514\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 01 514\r\n", Malformed::Addresses),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 1 514\r\r\n", Malformed::Addresses),
        ] {
            assert_eq!(whole(header.as_bytes()), Err(expected), "{header:?}");
        }
    }

    #[test]
    fn version_2_names_the_peer() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xc8, 0x22, 2, 2];
        let v6: [u8; 16] = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        let mapped: [u8; 16] = "::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets();
        let ports = [0xc8, 0x22, 2, 2];
        let tlvs = [3, 0, 4, 1, 2, 3, 4];
        let most = [&v4[..], &vec![0; V2_MOST - V2_FIXED - v4.len()]].concat();
        for (version_command, family, block, expected) in [
            (0x21, 0x11, v4.to_vec(), Some(peer("192.0.2.1:51234"))),
            (0x21, 0x12, v4.to_vec(), Some(peer("192.0.2.1:51234"))),
            (0x21, 0x11, [&v4[..], &tlvs].concat(), Some(peer("192.0.2.1:51234"))),
            (0x21, 0x11, most, Some(peer("192.0.2.1:51234"))),
            (0x21, 0x21, [&v6[..], &v6, &ports].concat(), Some(peer("[2001:db8::1]:51234"))),
            (0x21, 0x21, [&v6[..], &v6, &ports, &tlvs].concat(), Some(peer("[2001:db8::1]:51234"))),
            (0x21, 0x21, [&mapped[..], &v6, &ports].concat(), Some(peer("192.0.2.1:51234"))),
            (0x21, 0x31, vec![b'/'; 216], None),
            (0x21, 0x00, Vec::new(), None),
            (0x21, 0x00, tlvs.to_vec(), None),
            // LOCAL, whatever else it says
            (0x20, 0x00, Vec::new(), None),
            (0x20, 0x11, v4.to_vec(), None),
            (0x20, 0x77, vec![1], None),
        ] {
            let header = v2_header(version_command, family, &block);
            assert_eq!(whole(&header), Ok(expected), "{version_command:x} {family:x} {}", block.len());
        }
    }

    #[test]
    fn what_is_wrong_in_version_2_is_named() {
        for (version_command, family, size, expected) in [
            (0x11, 0x11, 12, Malformed::Version),
            (0x31, 0x11, 12, Malformed::Version),
            (0x22, 0x11, 12, Malformed::Command),
            (0x2f, 0x11, 12, Malformed::Command),
            (0x21, 0x41, 12, Malformed::Family),
            (0x21, 0x13, 12, Malformed::Family),
            (0x21, 0x11, 11, Malformed::Short),
            (0x21, 0x11, 0, Malformed::Short),
            (0x21, 0x21, 35, Malformed::Short),
            (0x21, 0x31, 215, Malformed::Short),
            (0x21, 0x11, V2_MOST - V2_FIXED + 1, Malformed::Long),
            (0x20, 0x00, 65_535, Malformed::Long),
        ] {
            let header = v2_header(version_command, family, &vec![0; size]);
            assert_eq!(whole(&header), Err(expected), "{version_command:x} {family:x} {size}");
        }
        // The signature alone decides at the first byte that differs.
        let mut header = v2_header(0x21, 0x11, &[0; 12]);
        header[11] = b'\r';
        assert_eq!(parse(&header[..12]), Err(Malformed::Other));
        assert_eq!(parse(b"\r\n\r\n\0\r\nX"), Err(Malformed::Other));
        assert_eq!(parse(b"<"), Err(Malformed::Other));
    }

    proptest! {
        #[test]
        fn any_address_is_read_as_it_was_written(source: SocketAddr, port: u16) {
            let source = SocketAddr::new(source.ip(), source.port());
            let (name, family) = if source.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            let text = format!("PROXY {name} {0} {0} {1} {port}\r\n", source.ip(), source.port());
            let octets = match source.ip() {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let block = [&octets[..], &octets, &source.port().to_be_bytes(), &port.to_be_bytes()].concat();
            let expected = Ok(Some(sockets::canonical(source)));
            prop_assert_eq!(whole(text.as_bytes()), expected);
            prop_assert_eq!(whole(&v2_header(0x21, family, &block)), expected);
        }

        #[test]
        fn any_bytes_come_to_an_end_within_the_limits(
            start in 0_usize..4,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            rest in 0_usize..9000,
        ) {
            let starts: [&[u8]; 4] = [b"", V1, b"PROXY TCP4 ", V2];
            let bytes = [starts[start], &bytes, &vec![b'0'; rest]].concat();
            let (result, left) = feed(&bytes, usize::MAX);
            match result {
                Ok(HeaderProgress::More(more)) => prop_assert!(left.is_empty() && bytes.len() + more <= V2_MOST),
                Ok(HeaderProgress::Whole(_)) | Err(_) => prop_assert!(bytes.len() - left.len() <= V2_MOST),
            }
            prop_assert_eq!(feed(&bytes, 1).0, result);
        }
    }
}
