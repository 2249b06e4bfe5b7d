//! Flags: what was wrong with a message, or had to be inferred.

/// What was wrong with a message, or had to be inferred: a set, printed in the order of [`Flags::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// No `<PRI>` in front.
    pub const PRI_MISSING: Self = Self(1);
    /// No usable time: `timestamp` is `received_at`.
    pub const TIMESTAMP_MISSING: Self = Self(1 << 1);
    /// The time carried no year; the nearest to the receipt was taken.
    pub const YEAR_INFERRED: Self = Self(1 << 2);
    /// No hostname.
    pub const HOSTNAME_MISSING: Self = Self(1 << 3);
    /// The frame was over the limit, or ended before its end.
    pub const TRUNCATED: Self = Self(1 << 4);
    /// Bytes that are not UTF-8 became U+FFFD.
    pub const INVALID_UTF8: Self = Self(1 << 5);
    /// A relay cut the TAG at 32 characters.
    pub const TAG_TRUNCATED: Self = Self(1 << 6);
    /// The tag had lost the daemon; the shape of the line gave it.
    pub const DAEMON_INFERRED: Self = Self(1 << 7);
    /// The reason was cut before its closing parenthesis.
    pub const REASON_TRUNCATED: Self = Self(1 << 8);
    /// `message repeated N times`.
    pub const REPEATED: Self = Self(1 << 9);
    /// The time is more than five minutes later than the receipt: the sender's clock, or its zone, is wrong.
    pub const CLOCK_AHEAD: Self = Self(1 << 10);
    /// No `<PRI>` in front: `severity` is that of the level that Postfix wrote.
    pub const SEVERITY_INFERRED: Self = Self(1 << 11);
    /// The text has a second place that reads as the `status` of a delivery, so an address may have forged the one that
    /// counts.
    pub const STATUS_AMBIGUOUS: Self = Self(1 << 12);
    /// The text holds the tag of a Postfix program, but not where a header was found: nothing of Postfix was read.
    pub const HEADER_UNRECOGNISED: Self = Self(1 << 13);
    /// Postfix can't have written the queue id: somebody has replaced it.
    pub const QUEUE_ID_UNUSUAL: Self = Self(1 << 14);
    /// A number is left out because it is more than a store can hold.
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

    /// No flag.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in `other` too.
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every flag of `other` is set.
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
