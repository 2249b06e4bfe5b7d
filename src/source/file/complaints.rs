//! Rate limit for log lines about paths: at once, and then ever more rarely as long as the problem lasts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Minimum and maximum time between two log lines about a path. The time doubles in between.
const PAUSES: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(3600)];
/// Maximum number of paths with a pause of their own; the others share one.
const PATHS: usize = 1000;

/// The log lines so far, by path.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    paths: HashMap<PathBuf, Complaint>,
    others: Complaint,
}

#[derive(Debug)]
struct Complaint {
    next: Option<Instant>,
    pause: Duration,
    suppressed: u64,
}

impl Default for Complaint {
    fn default() -> Self {
        Self { next: None, pause: PAUSES[0], suppressed: 0 }
    }
}

impl Complaints {
    /// Returns `Some` if a line about `path` may be logged now, with the number of lines suppressed since the last one.
    pub(super) fn pass(&mut self, path: &Path, now: Instant) -> Option<u64> {
        if self.paths.len() >= PATHS && !self.paths.contains_key(path) {
            self.paths.retain(|_, complaint| complaint.next.is_some_and(|next| now < next));
        }
        if let Some(complaint) = self.paths.get_mut(path) {
            return complaint.pass(now);
        }
        if self.paths.len() >= PATHS {
            return self.others.pass(now);
        }
        self.paths.entry(path.to_owned()).or_default().pass(now)
    }
}

impl Complaint {
    fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.suppressed += 1;
            return None;
        }
        // A problem that was not reported for another pause after the line was due has been fixed in between.
        let lasts = self.next.is_some_and(|next| now < next + self.pause);
        self.pause = if lasts { (self.pause * 2).min(PAUSES[1]) } else { PAUSES[0] };
        self.next = Some(now + self.pause);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_ever_more_rarely() {
        let mut complaints = Complaints::default();
        let (path, begun) = (Path::new("/var/log/mail.log"), Instant::now());
        let said: Vec<u64> = (0..100_000)
            .filter(|second| complaints.pass(path, begun + Duration::from_secs(*second)).is_some())
            .collect();
        assert_eq!(said[..6], [0, 10, 30, 70, 150, 310]);
        assert!((28..40).contains(&said.len()), "{said:?}");
        // Mended, and broken anew a day later.
        let later = begun + Duration::from_secs(200_000);
        assert!(complaints.pass(path, later).is_some());
        assert_eq!(complaints.pass(path, later + PAUSES[0]), Some(0));
    }

    #[test]
    fn many_paths_share_one_pause() {
        let mut complaints = Complaints::default();
        let now = Instant::now();
        let said = |complaints: &mut Complaints, now| {
            (0..5000).filter(|n| complaints.pass(&PathBuf::from(format!("/{n}")), now).is_some()).count()
        };
        assert_eq!(said(&mut complaints, now), PATHS + 1);
        assert_eq!(said(&mut complaints, now + Duration::from_secs(1)), 0);
    }
}
