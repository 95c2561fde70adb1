//! Read buffers that belong to nobody while nothing is read: an idle link holds none.

use parking_lot::Mutex;
use std::ops::Deref;
use tokio::io::ReadBuf;

/// Buffers kept for reuse: as many as a few busy worker threads need at once.
const SPARE: usize = 16;

pub(super) struct Pool {
    size: usize,
    spare: Mutex<Vec<Box<[u8]>>>,
}

/// Goes back to its pool when dropped; derefs to what was read into it.
pub(super) struct Buffer<'a> {
    pool: &'a Pool,
    bytes: Box<[u8]>,
    filled: usize,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        Self { size: size.max(1), spare: Mutex::new(Vec::new()) }
    }

    pub(super) fn take(&self) -> Buffer<'_> {
        let bytes = self.spare.lock().pop().unwrap_or_else(|| vec![0; self.size].into_boxed_slice());
        Buffer { pool: self, bytes, filled: 0 }
    }
}

impl Buffer<'_> {
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&mut ReadBuf<'_>) -> T) -> T {
        let mut buf = ReadBuf::new(&mut self.bytes);
        let result = read(&mut buf);
        self.filled = buf.filled().len();
        result
    }
}

impl Deref for Buffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let mut spare = self.pool.spare.lock();
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}
