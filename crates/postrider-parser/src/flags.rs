//! Flags: what was wrong with a message, or had to be inferred.

/// Set of flags: what was wrong with a message, or had to be inferred. They are printed in the order of [`Flags::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// The message has no `<PRI>` in front.
    pub const PRI_MISSING: Self = Self(1);
    /// The message has no usable time: `timestamp` is `received_at`.
    pub const TIMESTAMP_MISSING: Self = Self(1 << 1);
    /// The time has no year; the year nearest to the receipt was taken.
    pub const YEAR_INFERRED: Self = Self(1 << 2);
    /// The message has no hostname.
    pub const HOSTNAME_MISSING: Self = Self(1 << 3);
    /// The frame was over the limit, or ended early.
    pub const TRUNCATED: Self = Self(1 << 4);
    /// Bytes that are not UTF-8 were replaced with U+FFFD.
    pub const INVALID_UTF8: Self = Self(1 << 5);
    /// A relay cut the TAG at 32 characters.
    pub const TAG_TRUNCATED: Self = Self(1 << 6);
    /// The tag had lost the daemon; it was inferred from the form of the line.
    pub const DAEMON_INFERRED: Self = Self(1 << 7);
    /// The reason was cut before its closing parenthesis.
    pub const REASON_TRUNCATED: Self = Self(1 << 8);
    /// The message is `message repeated N times`.
    pub const REPEATED: Self = Self(1 << 9);
    /// The time is more than five minutes later than the receipt: the sender's clock, or its zone, is wrong.
    pub const CLOCK_AHEAD: Self = Self(1 << 10);
    /// The message has no `<PRI>` in front: `severity` is that of the level that Postfix wrote.
    pub const SEVERITY_INFERRED: Self = Self(1 << 11);
    /// The text has a second place that reads like the `status` of a delivery, so an address may have forged the one
    /// that counts.
    pub const STATUS_AMBIGUOUS: Self = Self(1 << 12);
    /// The text contains the tag of a Postfix program, but not where a header was found: nothing of Postfix was read.
    pub const HEADER_UNRECOGNISED: Self = Self(1 << 13);
    /// Postfix cannot have written the queue id: it has been replaced.
    pub const QUEUE_ID_UNUSUAL: Self = Self(1 << 14);
    /// A number is left out because it is larger than a store can hold.
    pub const NUMBER_OUT_OF_RANGE: Self = Self(1 << 15);

    /// Every flag with its name in the record, in the order in which they are printed.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::PRI_MISSING, "pri_missing"),
        (Self::TIMESTAMP_MISSING, "timestamp_missing"),
        (Self::YEAR_INFERRED, "year_inferred"),
        (Self::HOSTNAME_MISSING, "hostname_missing"),
        (Self::TRUNCATED, "truncated"),
        (Self::INVALID_UTF8, "invalid_utf8"),
        (Self::TAG_TRUNCATED, "tag_truncated"),
        (Self::DAEMON_INFERRED, "daemon_inferred"),
        (Self::REASON_TRUNCATED, "reason_truncated"),
        (Self::REPEATED, "repeated"),
        (Self::CLOCK_AHEAD, "clock_ahead"),
        (Self::SEVERITY_INFERRED, "severity_inferred"),
        (Self::STATUS_AMBIGUOUS, "status_ambiguous"),
        (Self::HEADER_UNRECOGNISED, "header_unrecognised"),
        (Self::QUEUE_ID_UNUSUAL, "queue_id_unusual"),
        (Self::NUMBER_OUT_OF_RANGE, "number_out_of_range"),
    ];

    /// Returns the empty set.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Returns true if no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the flags that are in `other` too.
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the flags that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns true if every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
