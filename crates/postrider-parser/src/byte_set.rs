//! Sets of bytes, each tested with one table lookup.

/// Set of bytes, made at compile time.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Returns the set of the bytes in `members`.
    pub(crate) const fn of(members: &[u8]) -> Self {
        Self([false; 256]).with(members)
    }

    /// Returns the set of the ASCII letters and digits, and `others`.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        Self::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").with(others)
    }

    const fn with(mut self, members: &[u8]) -> Self {
        let mut at = 0;
        while at < members.len() {
            self.0[members[at] as usize] = true;
            at += 1;
        }
        self
    }

    /// Returns true if the set contains `byte`.
    #[inline]
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}
