//! Clean-ups of the caches of postscreen and verify (`src/util/dict_cache.c`).
//!
//! ```text
//! cache TYPE:PATH full|partial cleanup: retained=N dropped=N entries
//! ```

use super::reader::Writers::Of;
use super::reader::{Line, Reader, Verbose};
use crate::decimal;
use crate::record::{CacheCleanup, Event};

/// Reader of the clean-ups of caches. Two programs write them in the same words.
pub(super) const READER: Reader = Reader {
    verbose: Verbose {
        shapes: &[("PUT ", " status="), ("GOT ", " status="), ("PROBE ", " status=")],
        functions: &["verify"],
    },
    ..Reader::new(Of(&["postscreen", "verify"]), read)
};

/// Returns the event that a line describes.
fn read<'a>(line: &Line<'a>) -> Option<Event<'a>> {
    if line.level.is_some() {
        return None;
    }
    let (head, figures) = line.text.strip_prefix("cache ")?.split_once(" cleanup: ")?;
    let (cache, full) = match head.strip_suffix(" full") {
        Some(cache) => (cache, true),
        None => (head.strip_suffix(" partial")?, false),
    };
    let figure = |name: &str| {
        let mut pairs = figures.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).and_then(|(_, value)| decimal::whole(value))
    };
    Some(Event::CacheCleanup(CacheCleanup { cache, retained: figure("retained"), dropped: figure("dropped"), full }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleanups() {
        let read = |text| read(&Line { level: None, has_queue_id: false, text });
        let of =
            |cache, retained, dropped, full| Some(Event::CacheCleanup(CacheCleanup { cache, retained, dropped, full }));
        #[rustfmt::skip]
        let vectors = [
            ("cache btree:/var/lib/postfix/postscreen_cache full cleanup: retained=120 dropped=7 entries", of("btree:/var/lib/postfix/postscreen_cache", Some(120), Some(7), true)),
            ("cache lmdb:/var/lib/größe x/verify_cache partial cleanup: retained=1 dropped=0 entries", of("lmdb:/var/lib/größe x/verify_cache", Some(1), Some(0), false)),
            ("cache proxy:btree:/x full full cleanup: retained=+1 dropped=", of("proxy:btree:/x full", None, None, true)),
            ("cache btree:/x full cleanup: ", of("btree:/x", None, None, true)),
            ("cache btree:/x cleanup: retained=1 dropped=0 entries", None),
            ("cache btree:/x full cleanup", None),
            ("", None),
        ];
        for (text, expected) in vectors {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
