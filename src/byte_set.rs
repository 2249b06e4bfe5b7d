//! Sets of bytes that are asked with one look into a table.

/// A set of bytes, made when the program is compiled.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// The bytes of `members`.
    pub(crate) const fn of(members: &[u8]) -> Self {
        Self([false; 256]).with(members)
    }

    /// ASCII's letters and digits, and `others`.
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

    /// Whether `byte` is in it.
    #[inline]
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}
