//! The bytes of a segment file: its header and its records.
//!
//! Numbers are little-endian. A segment header is
//!
//! ```text
//! magic 8 | version 4 | zero 4 | base sequence number 8 | zero 4 | CRC-32C of the 28 bytes before 4
//! ```
//!
//! and a record is
//!
//! ```text
//! magic 4 | payload length 4 | flags 4 | sequence number 8 | CRC-32C of these 20 bytes 4 | CRC-32C of them and the payload 4
//! payload: id 16 | timestamp in ms 8 | route length 4 | key length 4 | route | key | line
//! ```
//!
//! The header has a checksum of its own. Its length is therefore reliable even if the payload is damaged: only this
//! record is then skipped, and its number is known. The magic of a record contains bytes that never occur in UTF-8, so
//! no line contains it.

use crc32c::{crc32c, crc32c_append};

use super::{SpoolEntry, SpoolRecord};
use crate::record::RecordId;

/// Bytes before the first record of a segment.
pub(super) const SEGMENT_HEADER: usize = 32;
/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER: usize = 28;
/// First bytes of a record.
pub(super) const RECORD_MAGIC: [u8; 4] = [0xff, b'P', b'R', 0xfe];
/// First bytes of a segment.
pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"PRSPOOL\n";
/// Maximum length of a payload. A greater length in a header is damage.
pub(super) const MAX_PAYLOAD: usize = 1 << 30;

const VERSION: u32 = 1;
const HAS_KEY: u32 = 1;
/// Bytes of a payload before its route.
const FIXED: usize = 32;
const SUFFIX: &str = ".seg";

/// Header of a record, whose checksum is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) payload: usize,
    pub(super) seq: u64,
    flags: u32,
    crc: u32,
    payload_crc: u32,
}

/// Reason why the header of a segment is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// The magic, the checksum or the length of the header is wrong.
    Damaged,
    /// A later version of Postrider wrote it.
    Newer(u32),
}

/// Returns the name of the segment whose first record has the number `base`.
pub(super) fn segment_name(base: u64) -> String {
    format!("{base:020}{SUFFIX}")
}

/// Returns the base of the segment with this name; `None` if it is not the name of a segment.
pub(super) fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Returns the header of the segment whose first record has the number `base`.
pub(super) fn segment_header(base: u64) -> [u8; SEGMENT_HEADER] {
    let mut header = [0; SEGMENT_HEADER];
    header[..8].copy_from_slice(&SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&base.to_le_bytes());
    let crc = crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Checks that `bytes` begin with the header of the segment with this base.
pub(super) fn check_segment_header(bytes: &[u8], base: u64) -> Result<(), BadHeader> {
    let header: &[u8; SEGMENT_HEADER] = bytes.first_chunk().ok_or(BadHeader::Damaged)?;
    if header[..8] != SEGMENT_MAGIC || u32_at(header, 28) != crc32c(&header[..28]) {
        return Err(BadHeader::Damaged);
    }
    match u32_at(header, 8) {
        VERSION if u64_at(header, 16) == base => Ok(()),
        VERSION => Err(BadHeader::Damaged),
        newer => Err(BadHeader::Newer(newer)),
    }
}

/// Returns how many bytes `entry` takes in a segment.
pub(super) fn record_size(entry: &SpoolEntry<'_>) -> usize {
    RECORD_HEADER + FIXED + entry.route.len() + entry.key.map_or(0, str::len) + entry.line.len()
}

/// Appends a record, whose [`record_size`] is known to be `size`.
pub(super) fn push_record(out: &mut Vec<u8>, seq: u64, entry: &SpoolEntry<'_>, size: usize) {
    out.reserve(size);
    let start = out.len();
    let key = entry.key.unwrap_or_default();
    let flags = if entry.key.is_some() { HAS_KEY } else { 0 };
    // No part is longer than MAX_PAYLOAD.
    let length = |bytes: usize| (bytes as u32).to_le_bytes();
    out.extend_from_slice(&RECORD_MAGIC);
    out.extend_from_slice(&length(size - RECORD_HEADER));
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    let crc = crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&entry.id.0.to_le_bytes());
    out.extend_from_slice(&entry.timestamp_ms.to_le_bytes());
    out.extend_from_slice(&length(entry.route.len()));
    out.extend_from_slice(&length(key.len()));
    out.extend_from_slice(entry.route.as_bytes());
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(entry.line);
    let (header, payload) = out[start..].split_at_mut(RECORD_HEADER);
    header[24..].copy_from_slice(&crc32c_append(crc, payload).to_le_bytes());
}

impl RecordHeader {
    /// Returns the header at the start of `bytes`, if it is the header of a record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        let crc = u32_at(header, 20);
        let payload = u32_at(header, 4) as usize;
        if header[..4] != RECORD_MAGIC || crc != crc32c(&header[..20]) || !(FIXED..=MAX_PAYLOAD).contains(&payload) {
            return None;
        }
        let (flags, seq) = (u32_at(header, 8), u64_at(header, 12));
        Some(Self { payload, seq, flags, crc, payload_crc: u32_at(header, 24) })
    }

    /// Returns the record with this payload, unless it is damaged.
    pub(super) fn record<'p>(&self, payload: &'p [u8]) -> Option<SpoolRecord<'p>> {
        if crc32c_append(self.crc, payload) != self.payload_crc {
            return None;
        }
        let (fixed, text) = payload.split_at_checked(FIXED)?;
        let (route, rest) = text.split_at_checked(u32_at(fixed, 24) as usize)?;
        let (key, line) = rest.split_at_checked(u32_at(fixed, 28) as usize)?;
        let key = std::str::from_utf8(key).ok()?;
        Some(SpoolRecord {
            seq: self.seq,
            id: RecordId(u128::from_le_bytes(*fixed.first_chunk()?)),
            timestamp_ms: u64_at(fixed, 16).cast_signed(),
            route: std::str::from_utf8(route).ok()?,
            key: (self.flags & HAS_KEY != 0).then_some(key),
            line,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A record that the spool cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record needs {bytes} bytes in the spool; the maximum is {most}")]
pub struct TooLong {
    /// Size of the record in bytes.
    pub bytes: u64,
    /// Maximum size of a record in bytes.
    pub most: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: SpoolEntry<'_> =
        SpoolEntry { id: RecordId(7), timestamp_ms: -1, route: "mail", key: Some(""), line: b"{\"v\":1}\n" };

    fn record(entry: &SpoolEntry<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_record(&mut bytes, 42, entry, record_size(entry));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<SpoolRecord<'_>> {
        RecordHeader::parse(bytes)?.record(&bytes[RECORD_HEADER..])
    }

    #[test]
    fn what_is_written_is_read() {
        for entry in
            [ENTRY, SpoolEntry { route: "", key: None, ..ENTRY }, SpoolEntry { key: Some("é"), line: b"", ..ENTRY }]
        {
            let bytes = record(&entry);
            assert_eq!(bytes.len(), record_size(&entry));
            let SpoolEntry { id, timestamp_ms, route, key, line } = entry;
            assert_eq!(read(&bytes), Some(SpoolRecord { seq: 42, id, timestamp_ms, route, key, line }));
        }
    }

    #[test]
    fn each_bit_counts() {
        let bytes = record(&ENTRY);
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged), None, "bit {bit}");
        }
        let header = segment_header(42);
        assert_eq!(check_segment_header(&header, 42), Ok(()));
        assert_eq!(check_segment_header(&header, 43), Err(BadHeader::Damaged));
        for bit in 0..8 * header.len() {
            let mut damaged = header;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check_segment_header(&damaged, 42), Err(BadHeader::Damaged), "bit {bit}");
        }
    }

    /// As a bug of another version might write it.
    #[test]
    fn right_checksums_do_not_make_a_record() {
        let whole = record(&ENTRY);
        let changes: [(usize, &[u8]); 3] = [(24, &[0xff; 4]), (28, &[50, 0, 0, 0]), (32, &[0xc3, 0x28])];
        for (at, change) in changes {
            let mut bytes = whole.clone();
            bytes[RECORD_HEADER + at..][..change.len()].copy_from_slice(change);
            let crc = crc32c_append(crc32c(&bytes[..20]), &bytes[RECORD_HEADER..]);
            bytes[24..28].copy_from_slice(&crc.to_le_bytes());
            assert!(RecordHeader::parse(&bytes).is_some());
            assert_eq!(read(&bytes), None, "{at}");
        }
    }

    #[test]
    fn names_are_their_bases() {
        for base in [1, 1000, u64::MAX] {
            assert_eq!(segment_base(&segment_name(base)), Some(base));
        }
        for name in
            ["1.seg", "00000000000000000001.seg.new", "+0000000000000000001.seg", "99999999999999999999.seg", "cursor"]
        {
            assert_eq!(segment_base(name), None, "{name}");
        }
    }
}
