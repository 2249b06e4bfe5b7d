//! Statistics of the connection cache since the last report (`src/scache/scache.c`).
//!
//! ```text
//! statistics: start interval Mmm dd HH:MM:SS
//! statistics: domain|address lookup hits=N miss=N success=N%
//! statistics: max simultaneous domains=N addresses=N connection=N
//! ```

use super::reader::Writers::Of;
use super::reader::{Line, ProgramLines, Reader, Verbose};
use crate::record::{CacheStatistics, Event, Figures};

/// Reader of the lines of scache.
pub(super) const READER: Reader = Reader {
    lines: &[&[ProgramLines::new(
        "scache",
        &[
            ("statistics: domain lookup ", ""),
            ("statistics: address lookup ", ""),
            ("statistics: start interval ", ""),
            ("statistics: max simultaneous ", ""),
        ],
    )]],
    verbose: Verbose { shapes: &[], functions: &["scache"] },
    ..Reader::new(Of(&["scache"]), read)
};

/// Returns the event of a line.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let text = line.text.strip_prefix("statistics: ")?;
    if let Some(at) = text.strip_prefix("start interval ") {
        let at = Some(at).filter(|at| !at.is_empty());
        return Some(Event::CacheStatistics(CacheStatistics { kind: "interval", figures: Figures(""), at }));
    }
    let kinds = [
        ("domain lookup ", "domain_lookup"),
        ("address lookup ", "address_lookup"),
        ("max simultaneous ", "simultaneous"),
    ];
    let (kind, figures) = kinds.into_iter().find_map(|(words, kind)| Some((kind, text.strip_prefix(words)?)))?;
    Some(Event::CacheStatistics(CacheStatistics { kind, figures: Figures(figures), at: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        let read = |text| read(&Line { level: None, has_queue_id: false, text });
        let figures =
            |kind, figures| Some(Event::CacheStatistics(CacheStatistics { kind, figures: Figures(figures), at: None }));
        let interval =
            |at| Some(Event::CacheStatistics(CacheStatistics { kind: "interval", figures: Figures(""), at }));
        #[rustfmt::skip]
        let vectors = [
            ("statistics: start interval Nov 24 02:00:00", interval(Some("Nov 24 02:00:00"))),
            ("statistics: start interval ", interval(None)),
            ("statistics: domain lookup hits=3 miss=1 success=75%", figures("domain_lookup", "hits=3 miss=1 success=75%")),
            ("statistics: address lookup hits=0 miss=4 success=0%", figures("address_lookup", "hits=0 miss=4 success=0%")),
            ("statistics: max simultaneous domains=1 addresses=2 connection=3", figures("simultaneous", "domains=1 addresses=2 connection=3")),
            ("statistics: max cache size 1 at Nov 24 02:10:35", None),
            ("statistics: ", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
