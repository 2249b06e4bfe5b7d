//! The id of a record, and that of a message.

use std::fmt::{self, Display, Formatter, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::line::LineHash;
use crate::time::Timestamp;

/// The id of a record, a UUID version 7 (RFC 9562, section 5.7).
///
/// The upper half has, from the highest bit, 48 bits of milliseconds since 1970, the version, and 12 bits of the
/// millisecond's fraction. The lower half has the variant, 22 bits that are random per process, and 40 bits that count
/// the records of the process. Ids therefore sort by time of receipt, and within one read by the order of the stream.
/// Ids of two processes do not collide.
///
/// The id of a line of a file holds the line's own time, 10 bits of its millisecond's fraction, and 64 bits of
/// [`LineHash`]. It is the same each time that the file is read. For a line without a time, the time in the id is 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u128);

/// The id of a message, a UUID version 5 (RFC 9562, section 5.5): the hash of a text, so it is the same in every record
/// of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub [u8; 16]);

/// Assigns the ids of one process.
#[derive(Debug)]
pub struct RecordIds {
    process: u128,
    next: AtomicU64,
}

/// Ids reserved for the records of one read.
#[derive(Debug)]
pub struct Reserved {
    base: u128,
    next: u64,
}

/// Source of a record's id.
#[derive(Clone, Copy, Debug)]
pub enum NewId {
    /// Assigned at receipt.
    Received(RecordId),
    /// Computed from a line of a file.
    Line(LineHash),
}

const COUNT_BITS: u32 = 40;
const VERSION: u128 = 7 << 76;
const VARIANT: u128 = 0b10 << 62;

impl Default for RecordIds {
    fn default() -> Self {
        Self { process: u128::from(fastrand::u64(..) >> 42) << COUNT_BITS, next: AtomicU64::new(0) }
    }
}

impl RecordIds {
    /// Reserves `count` ids for records received at `received_at`.
    pub fn reserve(&self, received_at: Timestamp, count: usize) -> Reserved {
        let base = from_time(received_at, 4096) | self.process;
        Reserved { base, next: self.next.fetch_add(count as u64, Relaxed) }
    }
}

/// Returns an id that holds only a time. The millisecond is divided into `parts` parts, at most 4096.
fn from_time(time: Timestamp, parts: u32) -> u128 {
    let millis = u128::from(time.millis().max(0).cast_unsigned()) & ((1 << 48) - 1);
    let fraction = u128::from(time.micros() % 1000 * parts / 1000 * (4096 / parts));
    millis << 80 | VERSION | fraction << 64 | VARIANT
}

impl Reserved {
    /// Returns the next id.
    pub fn take(&mut self) -> RecordId {
        let count = self.next & ((1 << COUNT_BITS) - 1);
        self.next += 1;
        RecordId(self.base | u128::from(count))
    }
}

impl NewId {
    /// Returns the id of a record with this time.
    pub fn of(self, timestamp: Option<Timestamp>) -> RecordId {
        match self {
            Self::Received(id) => id,
            Self::Line(LineHash(hash)) => {
                let time = timestamp.unwrap_or(Timestamp::from_micros(0));
                let (high, low) = (u128::from(hash >> 62), u128::from(hash & (u64::MAX >> 2)));
                RecordId(from_time(time, 1024) | high << 64 | low)
            }
        }
    }
}

impl From<RecordId> for NewId {
    fn from(id: RecordId) -> Self {
        Self::Received(id)
    }
}

impl RecordId {
    /// Appends the id in the form of RFC 9562, section 4: 36 characters.
    pub fn print(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }

    /// Reads what [`Self::text`] writes, also in capitals.
    pub fn parse(text: &str) -> Option<Self> {
        let dashes = [8, 13, 18, 23];
        if text.len() != 36 || !text.bytes().enumerate().all(|(place, b)| dashes.contains(&place) == (b == b'-')) {
            return None;
        }
        let mut digits = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
        digits.try_fold(0, |id, digit| Some(id << 4 | u128::from(digit?))).map(Self)
    }

    /// Returns the id as 36 ASCII characters.
    pub fn text(self) -> [u8; 36] {
        uuid(self.0)
    }
}

impl Uid {
    /// Returns the id as 36 ASCII characters.
    pub fn text(self) -> [u8; 36] {
        uuid(u128::from_be_bytes(self.0))
    }
}

/// Returns a UUID in the form of RFC 9562, section 4.
fn uuid(bits: u128) -> [u8; 36] {
    let [a, b, c, d] = [96, 64, 32, 0].map(|shift| hex((bits >> shift) as u32));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&a);
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&d);
    text
}

/// Returns the eight hexadecimal digits of a number, computed all at once: each nibble gets a byte of its own.
const fn hex(number: u32) -> [u8; 8] {
    let mut nibbles = number as u64;
    nibbles = (nibbles << 16 | nibbles) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles << 8 | nibbles) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles << 4 | nibbles) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 where the digit is a letter: 6 more than 9 reaches the next nibble.
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

impl Display for RecordId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        show(self.text(), f)
    }
}

impl Display for Uid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        show(self.text(), f)
    }
}

fn show(text: [u8; 36], f: &mut Formatter<'_>) -> fmt::Result {
    text.iter().try_for_each(|byte| f.write_char(char::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7() {
        let ids = RecordIds { process: 0x2A_AAAA << COUNT_BITS, next: AtomicU64::new(0x12_3456_789A) };
        let mut reserved = ids.reserve(Timestamp::from_micros(1_645_557_742_000_500), 2);
        assert_eq!(reserved.take().to_string(), "017f22e2-79b0-7800-aaaa-aa123456789a");
        assert_eq!(reserved.take().to_string(), "017f22e2-79b0-7800-aaaa-aa123456789b");
    }

    #[test]
    fn the_id_of_a_line_has_its_time_and_64_bits_of_its_hash() {
        let time = Timestamp::from_micros(1_645_557_742_000_500);
        for (hash, time, expected) in [
            (u64::MAX, Some(time), "017f22e2-79b0-7803-bfff-ffffffffffff"),
            (0, Some(time), "017f22e2-79b0-7800-8000-000000000000"),
            (0x8123_4567_89ab_cdef, Some(Timestamp::from_micros(999)), "00000000-0000-7ffa-8123-456789abcdef"),
            (1, Some(Timestamp::from_micros(-1)), "00000000-0000-7ff8-8000-000000000001"),
            (1, None, "00000000-0000-7000-8000-000000000001"),
        ] {
            assert_eq!(NewId::Line(LineHash(hash)).of(time).to_string(), expected);
        }
    }

    #[test]
    fn ids_of_lines_and_of_receipts_sort_together_by_microsecond() {
        let received = RecordIds::default();
        let mut all = Vec::new();
        for micros in 0..2000 {
            let time = Timestamp::from_micros(micros);
            all.push(NewId::Line(LineHash(micros.cast_unsigned() << 54)).of(Some(time)));
            if micros % 2 == 0 {
                all.push(received.reserve(Timestamp::from_micros(micros + 1), 1).take());
            }
        }
        let millis = |id: &RecordId| id.0 >> 66;
        assert!(all.is_sorted_by_key(millis), "{all:?}");
    }

    /// The example of RFC 9562, appendix A.4.
    #[test]
    fn the_id_of_a_message_is_shown_as_a_uuid() {
        let bytes = [0x2e, 0xd6, 0x65, 0x7d, 0xe9, 0x27, 0x56, 0x8b, 0x95, 0xe1, 0x26, 0x65, 0xa8, 0xae, 0xa6, 0xa2];
        assert_eq!(Uid(bytes).to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }

    #[test]
    fn an_id_is_read_back() {
        let id = RecordId(0x017f_22e2_79b0_7800_aaaa_aa12_3456_789a);
        assert_eq!(RecordId::parse(&id.to_string()), Some(id));
        assert_eq!(RecordId::parse(&id.to_string().to_uppercase()), Some(id));
        for wrong in [
            "",
            "017f22e2-79b0-7800-aaaa-aa123456789",
            "017f22e279b0-7800-aaaa-aa123456789a-",
            "017f22e2-79b0-7800-aaaa-aa123456789g",
        ] {
            assert_eq!(RecordId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_sort_by_receipt_and_differ() {
        let ids = RecordIds::default();
        let mut all = Vec::new();
        for micros in [1_000_000, 1_000_001, 1_000_999, 1_001_000, 2_000_000] {
            let mut reserved = ids.reserve(Timestamp::from_micros(micros), 3);
            all.extend([reserved.take(), reserved.take(), reserved.take()]);
        }
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    }
}
