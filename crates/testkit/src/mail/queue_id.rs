//! Queue ids, short and long (`src/global/mail_queue.h`, `src/global/safe_ultostr.c`).

use std::collections::HashMap;

use fastrand::Rng;

const SECOND: i64 = 1_000_000;
/// Minimum time between the end of a message and another with the same short id.
const PAUSE: i64 = 5 * SECOND;
/// Number of short ids among which one was in use before, on this instance or another.
const REUSE: u32 = 12;
/// Lowest inode of a queue file.
const INODES: u64 = 0x1A_A000;

/// Queue ids of all instances.
#[derive(Debug, Default)]
pub(super) struct QueueIds {
    /// Short ids of all instances.
    issued: Vec<String>,
    /// Time from which an instance may use an id again.
    free_at: HashMap<(usize, String), i64>,
}

impl QueueIds {
    /// Returns an id for a message that an instance gets at the time `at` or up to a second later, and this time.
    pub(super) fn open(&mut self, instance: usize, is_long: bool, at: i64, rng: &mut Rng) -> (String, i64) {
        let (id, at) = match self.used_before(instance, at, rng).filter(|_| !is_long) {
            Some(again) => again,
            None => (self.fresh(instance, is_long, at, rng), at),
        };
        if !is_long {
            self.issued.push(id.clone());
        }
        self.free_at.insert((instance, id.clone()), i64::MAX);
        (id, at)
    }

    /// Returns an id with one of few inodes: file systems give the inode of a removed file to the next one.
    fn fresh(&self, instance: usize, is_long: bool, at: i64, rng: &mut Rng) -> String {
        loop {
            let inode = INODES + rng.u64(..1000);
            let id = if is_long { long(at, inode) } else { short(at, inode) };
            if self.is_free(instance, &id, at) {
                return id;
            }
        }
    }

    fn is_free(&self, instance: usize, id: &str, at: i64) -> bool {
        self.free_at.get(&(instance, id.to_owned())).is_none_or(|free_at| *free_at <= at)
    }

    /// Lets the id of a message that ended at the time `at` come back.
    pub(super) fn close(&mut self, instance: usize, id: &str, at: i64) {
        self.free_at.insert((instance, id.to_owned()), at.saturating_add(PAUSE));
    }

    /// Returns, now and then, a short id that was used before, with the next time whose microseconds are in it.
    fn used_before(&self, instance: usize, at: i64, rng: &mut Rng) -> Option<(String, i64)> {
        if self.issued.is_empty() || rng.u32(..REUSE) > 0 {
            return None;
        }
        let id = self.issued[rng.usize(..self.issued.len())].clone();
        let micros = i64::from_str_radix(&id[..5], 16).expect("a short id begins with microseconds");
        let later = at + (micros - at).rem_euclid(SECOND);
        self.is_free(instance, &id, later).then_some((id, later))
    }
}

/// Returns the short id of a file with this time and inode.
fn short(at: i64, inode: u64) -> String {
    format!("{:05X}{inode:X}", at.rem_euclid(SECOND))
}

/// Returns the long id of a file with this time and inode.
fn long(at: i64, inode: u64) -> String {
    let [seconds, micros] = [at.div_euclid(SECOND), at.rem_euclid(SECOND)].map(i64::unsigned_abs);
    format!("{}{}z{}", digits(seconds, 52, 6), digits(micros, 52, 4), digits(inode, 51, 1))
}

/// Returns a number in base 52 or 51, with at least `width` digits.
fn digits(mut value: u64, base: u64, width: usize) -> String {
    const DIGITS: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
    let mut digits = Vec::new();
    while value > 0 || digits.len() < width {
        digits.push(DIGITS[(value % base) as usize]);
        value /= base;
    }
    digits.iter().rev().copied().map(char::from).collect()
}
