//! Sizes of reads, which the limits on the memory of a source are made of.

/// Number of bytes asked of the kernel in one read.
pub(super) const READ_SIZE: usize = 64 * 1024;

/// Maximum number of bytes that one read gives. Over TLS, it completes a record of which a part was there before.
pub(super) const MOST_READ: usize = READ_SIZE + READ_SIZE / 2;
