//! Buffers in a few sizes, used again and again: a message costs no allocation while others come and go.

/// Sizes of the buffers. With the eight bytes that malloc adds, each is a multiple of 16.
const SIZES: [usize; 19] = [40, 56, 72, 88, 104, 120, 136, 152, 168, 184, 200, 216, 232, 248, 280, 312, 376, 504, 1016];

/// Buffers that are free.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    /// Free buffers of each size.
    free: [Vec<Vec<u8>>; SIZES.len()],
    /// Their memory in bytes.
    held: usize,
}

impl BufferPool {
    /// Memory that malloc needs for each buffer beside its bytes.
    pub(super) const EACH: usize = 8;

    /// Returns the memory of the free buffers, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Writes `bytes` to `buffer`, which gets the smallest size that is enough. The pool keeps `spare` bytes at most.
    pub(super) fn store(&mut self, bytes: &[u8], buffer: &mut Vec<u8>, spare: usize) {
        let class = SIZES.partition_point(|size| *size < bytes.len());
        let size = SIZES.get(class).copied().unwrap_or(bytes.len());
        if size != buffer.capacity() {
            let new = self.take(class).unwrap_or_else(|| Vec::with_capacity(size));
            self.give(std::mem::replace(buffer, new), spare);
        }
        buffer.clear();
        buffer.extend_from_slice(bytes);
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: Vec<u8>, spare: usize) {
        let size = buffer.capacity();
        if let Ok(class) = SIZES.binary_search(&size)
            && self.held + size + Self::EACH <= spare
        {
            self.held += size + Self::EACH;
            self.free[class].push(buffer);
        }
    }

    fn take(&mut self, class: usize) -> Option<Vec<u8>> {
        let buffer = self.free.get_mut(class)?.pop()?;
        self.held -= buffer.capacity() + Self::EACH;
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_have_the_size_of_their_bytes() {
        let (mut pool, mut buffer) = (BufferPool::default(), Vec::new());
        for (length, size) in [(1, 40), (40, 40), (41, 56), (184, 184), (185, 200), (1016, 1016), (1017, 1017)] {
            pool.store(&vec![b'x'; length], &mut buffer, 10_000);
            assert_eq!((buffer.len(), buffer.capacity()), (length, size));
        }
        // The last one has no size of the pool.
        assert_eq!(pool.held(), [40, 56, 184, 200, 1016].iter().map(|size| size + BufferPool::EACH).sum::<usize>());
        let held = pool.held();
        let mut other = Vec::new();
        pool.store(b"anna", &mut other, 10_000);
        assert_eq!((&*other, other.capacity(), pool.held()), (&b"anna"[..], 40, held - 48));
    }

    #[test]
    fn a_pool_keeps_no_more_than_it_may() {
        let mut pool = BufferPool::default();
        for _ in 0..100 {
            pool.give(Vec::with_capacity(56), 1000);
        }
        assert_eq!(pool.held(), 1000 / (56 + BufferPool::EACH) * (56 + BufferPool::EACH));
        assert_eq!(pool.free.iter().map(Vec::len).sum::<usize>(), 15);
    }
}
