//! Addresses in DNS lists (`src/dnsblog/dnsblog.c`): `addr A listed by domain D as R`.

use super::endpoint;
use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{Dnsbl, Event};

/// Reader of the lines of dnsblog.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new("dnsblog", &[("addr ", " listed by domain ")])]],
    verbose: Verbose { shapes: &[], functions: &["dnsblog"] },
    ..Reader::new(Of(&["dnsblog"]), read)
};

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let (ip, rest) = line.text.strip_prefix("addr ")?.split_once(" listed by domain ")?;
    let (domain, result) = rest.split_once(" as ")?;
    let whole = [ip, domain, result].iter().all(|part| !part.is_empty()) && !ip.contains(' ');
    let ip = Some(ip).filter(|ip| endpoint::is_ip(ip));
    whole.then_some(Event::Dnsbl(Dnsbl { ip, domain, result }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings() {
        let read = |text| read(&Line { level: None, has_queue_id: false, text });
        #[rustfmt::skip]
        let vectors = [
            ("addr 192.0.2.1 listed by domain bl.example.org as 127.0.0.2", Some("192.0.2.1"), "bl.example.org", "127.0.0.2"),
            ("addr 2001:db8::1 listed by domain bl.example.org as 127.0.0.4", Some("2001:db8::1"), "bl.example.org", "127.0.0.4"),
            ("addr 192.0.2.1 listed by domain bücher.example as x as y", Some("192.0.2.1"), "bücher.example", "x as y"),
            // Anonymised.
            ("addr 192.0.2.xxx listed by domain bl.example.org as 127.0.0.2", None, "bl.example.org", "127.0.0.2"),
        ];
        for (text, ip, domain, result) in vectors {
            assert_eq!(read(text), Some(Event::Dnsbl(Dnsbl { ip, domain, result })), "{text}");
        }
        for text in [
            "",
            "addr 192.0.2.1 not listed by domain bl.example.org",
            "addr 192.0.2.1 listed by domain bl.example.org",
            "addr 192.0.2.1 listed by domain bl.example.org as ",
            "addr  listed by domain  as ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
