//! `[correlate]`: the joins of the lines of a message and of a session.

use std::path::PathBuf;
use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::form::{BOOL, Count, Memory, PATH_OR_NONE, Span};
use super::key::{default, keys};
use super::kind::Section;
use super::source::MOST_MEMORY;
use crate::correlate::JoinSettings;

keys! {
    /// Keys of `[correlate]`.
    pub(super) struct CorrelateKeys {
        /// True if Postrider joins lines.
        enabled: bool = default(BOOL, "true"),
        /// Maximum number of messages that Postrider remembers. Beyond it, hosts with more than their share lose their
        /// oldest messages, whose records are then `incomplete`.
        max_messages: usize = default(Count(1, 1_000_000_000), "1000000"),
        /// Maximum memory for messages and sessions; beyond it, the same happens.
        max_memory: usize = default(Memory(1 << 20, MOST_MEMORY), r#""512MiB""#),
        /// Time after its last line at which Postrider closes a message. Postfix gives up a message after five days.
        max_age: Duration = default(Span, r#""6d""#),
        /// Time after the end of a message in which a late line gives its record again, with a higher `revision`. Later
        /// lines change nothing.
        grace: Duration = default(Span, r#""30s""#),
        /// True if an open message gives a record after each round of delivery attempts, with the state `open`.
        interim: bool = default(BOOL, "false"),
        /// Directory of the checkpoint: the open messages and sessions survive a restart in it. Without the directory,
        /// Postrider has them in memory only, and closes them when it stops. "none": the same.
        checkpoint: Option<PathBuf> = default(PATH_OR_NONE, r#""/var/lib/postrider""#),
        /// Time between two checkpoints. After a crash, the lines of followed files since the last one are joined
        /// again.
        checkpoint_interval: Duration = default(Span, r#""10s""#),
    }
}

/// `[correlate]`: the joins of the lines of a message and of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorrelateConfig {
    /// Limits of the joins; `None` if lines are not joined.
    pub joins: Option<JoinSettings>,
    /// Directory of the checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
}

impl Section for CorrelateKeys {
    type Config = CorrelateConfig;

    fn config(self, _: &mut Diagnostics) -> Option<CorrelateConfig> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        let joins = JoinSettings {
            max_messages: self.max_messages.value?,
            max_memory: self.max_memory.value?,
            max_age: micros(self.max_age.value?),
            grace: micros(self.grace.value?),
            interim: self.interim.value?,
        };
        let checkpoint = self.checkpoint.value?;
        let checkpoint_interval = self.checkpoint_interval.value?;
        let joins = self.enabled.value?.then_some(joins);
        Some(CorrelateConfig { joins, checkpoint, checkpoint_interval })
    }
}
