//! The commands of `postrider spool`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::cursor::CURSOR;
use super::format::segment_base;
use super::inspect::{Damage, DamageKind, Found, InspectError, View, failed};
use super::owner::{self, OWNER};
use super::quarantine::QUARANTINE;
use super::storage::{Disk, LOCK, Storage};
use crate::time::Timestamp;

/// Contents of a segment.
#[derive(Debug, Default)]
struct SegmentSummary {
    base: u64,
    bytes: u64,
    records: u64,
    pending: u64,
    /// The lowest and the highest timestamp.
    times: Option<(i64, i64)>,
    damaged_bytes: u64,
    missing_records: u64,
}

/// Result of [`verify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of segment files that were read.
    pub segments: usize,
    /// Number of records in the segment files.
    pub records: u64,
    /// Number of damaged places.
    pub damages: u64,
}

/// Damage that [`ls`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DamageFound {
    /// Bytes that hold no readable record.
    pub damaged_bytes: u64,
    /// Number of missing records.
    pub missing_records: u64,
}

/// Files and records that [`rm`] deletes, or has deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Number of segment files.
    pub segments: usize,
    /// Records in the segment files that are not acknowledged.
    pub pending: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Names of files that do not belong to a spool. These files stay, and the directory stays with them.
    pub left: Vec<String>,
}

/// Lists the segments of a spool and the pending records.
pub fn ls(path: &Path, out: &mut impl Write) -> Result<DamageFound, InspectError> {
    let view = View::open(path)?;
    let (summaries, missing_at_end) = summaries(&view)?;
    writeln!(
        out,
        "{:>20}  {:>9}  {:>12}  {:<27}  {:<27}  {:>9}  {:>9}",
        "FIRST NUMBER", "RECORDS", "BYTES", "OLDEST", "NEWEST", "PENDING", "DAMAGED"
    )?;
    for summary in &summaries {
        let SegmentSummary { base, bytes, records, pending, times, damaged_bytes, .. } = summary;
        let (oldest, newest) = times.map_or(("-".into(), "-".into()), |(oldest, newest)| (time(oldest), time(newest)));
        writeln!(
            out,
            "{base:>20}  {records:>9}  {bytes:>12}  {oldest:<27}  {newest:<27}  {pending:>9}  {damaged_bytes:>9}"
        )?;
    }
    let sum = |of: fn(&SegmentSummary) -> u64| summaries.iter().map(of).sum::<u64>();
    let (records, pending) = (sum(|summary| summary.records), sum(|summary| summary.pending));
    writeln!(out, "\nsegments:   {}, {} bytes", summaries.len(), sum(|summary| summary.bytes))?;
    writeln!(out, "pending:    {pending} records, from number {}", view.acknowledged() + 1)?;
    writeln!(out, "delivered:  {} records, to be deleted with their segments", records - pending)?;
    let (damaged, missing) = (sum(|summary| summary.damaged_bytes), sum(|summary| summary.missing_records));
    let missing = missing + missing_at_end;
    writeln!(out, "damaged:    {damaged} bytes, {missing} records missing")?;
    writeln!(out, "quarantine: {} files, {} bytes", view.quarantine.0, view.quarantine.1)?;
    if let Some(damage) = view.cursor_damage() {
        writeln!(out, "{damage}")?;
    }
    if let Some(owner) = owner::load(&view.disk) {
        writeln!(out, "sink:       {}, {}", owner.kind(), owner.destination())?;
    }
    match view.process {
        Some(process) => writeln!(out, "in use by:  process {process}")?,
        None => writeln!(out, "in use by:  no process")?,
    }
    out.flush()?;
    Ok(DamageFound { damaged_bytes: damaged, missing_records: missing })
}

/// Writes the lines of the pending records, or with `all` of every record, to `out`; reports what was skipped to
/// `notes`.
pub fn cat(path: &Path, all: bool, out: &mut impl Write, notes: &mut impl Write) -> Result<(), InspectError> {
    let view = View::open(path)?;
    let after = if all { 0 } else { view.acknowledged() };
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    view.walk(after, |found| match found {
        Found::Record(record) if record.seq > after => Ok(out.write_all(record.line)?),
        Found::Damage(damage) => {
            // A failed note is ignored: the records matter more.
            let _ = writeln!(notes, "{damage}");
            Ok(())
        }
        Found::Record(_) | Found::Segment(_) => Ok(()),
    })?;
    Ok(out.flush()?)
}

/// Reads the whole spool and lists the damage.
pub fn verify(path: &Path, out: &mut impl Write) -> Result<Verified, InspectError> {
    let view = View::open(path)?;
    let mut verified = Verified::default();
    if let Some(damage) = view.cursor_damage() {
        verified.damages += 1;
        writeln!(out, "{damage}")?;
    }
    view.walk(0, |found| {
        match found {
            Found::Segment(_) => verified.segments += 1,
            Found::Record(_) => verified.records += 1,
            Found::Damage(damage) => {
                verified.damages += 1;
                writeln!(out, "{damage}")?;
            }
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(verified)
}

/// Deletes a spool that no process uses; without `yes`, returns what would be deleted.
pub fn rm(path: &Path, yes: bool) -> Result<Removal, InspectError> {
    let view = View::open(path)?;
    let mut disk = Disk::new(path);
    if !yes {
        if view.process.is_some() {
            return Err(InspectError::InUse { path: path.to_owned(), process: view.process });
        }
        let (summaries, _) = summaries(&view)?;
        let segments = view.segments.iter().map(|segment| segment.size);
        return Ok(Removal {
            segments: view.segments.len(),
            pending: summaries.iter().map(|summary| summary.pending).sum(),
            bytes: segments.sum::<u64>() + view.quarantine.1,
            left: Vec::new(),
        });
    }
    match disk.lock() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(InspectError::InUse { path: path.to_owned(), process: view.process });
        }
        locked => locked.map_err(failed(&disk, "lock", LOCK))?,
    }
    let mut removal = Removal::default();
    let files = disk.list("").map_err(failed(&disk, "read", ""))?;
    for (name, size) in files {
        if segment_base(&name).is_some() {
            removal.segments += 1;
        } else if name != CURSOR && name != OWNER {
            continue;
        }
        removal.bytes += size;
        disk.unlink(&name).map_err(failed(&disk, "delete", &name))?;
    }
    for (name, size) in disk.list(QUARANTINE).unwrap_or_default() {
        let name = format!("{QUARANTINE}/{name}");
        removal.bytes += size;
        disk.unlink(&name).map_err(failed(&disk, "delete", &name))?;
    }
    // The directory stays if it holds other files, and is named below then.
    let _ = fs::remove_dir(path.join(QUARANTINE));
    disk.unlink(LOCK).map_err(failed(&disk, "delete", LOCK))?;
    for entry in fs::read_dir(path).map_err(failed(&disk, "read", ""))? {
        let entry = entry.map_err(failed(&disk, "read", ""))?;
        removal.left.push(entry.file_name().to_string_lossy().into_owned());
    }
    removal.left.sort();
    if removal.left.is_empty() {
        fs::remove_dir(path).map_err(failed(&disk, "delete", ""))?;
    }
    Ok(removal)
}

/// Returns what each segment holds, and how many records are missing after the last segment.
fn summaries(view: &View) -> Result<(Vec<SegmentSummary>, u64), InspectError> {
    let acknowledged = view.acknowledged();
    let mut summaries: Vec<SegmentSummary> = Vec::new();
    let mut missing_at_end = 0;
    view.walk(0, |found| {
        if let Found::Damage(Damage { kind: DamageKind::MissingAtEnd(numbers), .. }) = &found {
            missing_at_end = numbers.end - numbers.start;
            return Ok(());
        }
        if let Found::Segment(segment) = found {
            summaries.push(SegmentSummary { base: segment.base, bytes: segment.size, ..SegmentSummary::default() });
            return Ok(());
        }
        let Some(summary) = summaries.last_mut() else { return Ok(()) };
        match found {
            Found::Record(record) => {
                summary.records += 1;
                summary.pending += u64::from(record.seq > acknowledged);
                let time = record.timestamp_ms;
                let (oldest, newest) = summary.times.unwrap_or((time, time));
                summary.times = Some((oldest.min(time), newest.max(time)));
            }
            Found::Damage(damage) => {
                summary.damaged_bytes += damage.bytes.end - damage.bytes.start;
                summary.missing_records += match damage.kind {
                    DamageKind::Missing(numbers) => numbers.end - numbers.start,
                    DamageKind::Record(_) => 1,
                    _ => 0,
                };
            }
            Found::Segment(_) => {}
        }
        Ok(())
    })?;
    Ok((summaries, missing_at_end))
}

fn time(ms: i64) -> String {
    Timestamp::from_micros(ms.saturating_mul(1000)).to_string()
}
