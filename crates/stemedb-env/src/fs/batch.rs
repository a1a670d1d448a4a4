//! Many reads at once.
//!
//! A disk with a queue answers eight reads that wait together in little more than the time of one. On Linux a batch of real
//! files goes to `io_uring`: one system call hands all reads in, and the calling thread takes each result as it comes.
//! Everything else (other systems, simulated files, files with injected faults, a kernel that refuses rings) reads one
//! after another; the results are the same.

use super::File;
use crate::{AlignedBuffer, Result};

/// One read of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchRead<'a> {
    /// Where to read.
    pub file: &'a dyn File,
    /// First byte.
    pub offset: u64,
    /// Number of bytes; all of them must be there.
    pub bytes: usize,
}

/// Performs all reads and hands each result to `take` with the read's index, in any order. The bytes are valid during that
/// call only; errors are those of [`File::read_exact_at`].
///
/// Cost: one copy of the bytes beyond what a plain read costs. The first batch of a thread makes a ring (about 0.1 ms),
/// which the thread keeps, with room for as many bytes as its largest batch needed, at most 32 times 64 KiB.
pub fn read_batch(reads: &[BatchRead<'_>], take: &mut dyn FnMut(usize, Result<&[u8]>)) {
    #[cfg(target_os = "linux")]
    if reads.len() > 1 && super::uring::read_batch(reads, take) {
        return;
    }
    let mut buffer = AlignedBuffer::new();
    for at in 0..reads.len() {
        read_alone(reads, at, &mut buffer, take);
    }
}

/// One read of the batch by itself.
pub(super) fn read_alone(
    reads: &[BatchRead<'_>],
    at: usize,
    buffer: &mut AlignedBuffer,
    take: &mut dyn FnMut(usize, Result<&[u8]>),
) {
    let Some(read) = reads.get(at) else { return };
    buffer.resize_stale(read.bytes);
    let outcome = read.file.read_exact_at(buffer, read.offset);
    take(at, outcome.map(|()| &buffer[..]));
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::{
        Error,
        fs::{FaultFs, Fs, OpenMode, RealFs, SimFs},
    };

    fn file(fs: &dyn Fs, path: &Path, bytes: usize) -> (Arc<dyn File>, Vec<u8>) {
        let content: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect();
        let file = fs.open(path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&content, 0).unwrap();
        (file, content)
    }

    fn check(fs: &dyn Fs, dir: &Path) {
        let (first, content) = file(fs, &dir.join("a"), 300_000);
        let (second, other) = file(fs, &dir.join("b"), 5_000);
        // More than a ring holds, of all sizes, one beyond the room of a ring, and two beyond the end.
        let mut reads: Vec<BatchRead<'_>> = (0..100usize)
            .map(|at| BatchRead { file: &*first, offset: (at * 2_903) as u64, bytes: at * 37 % 9_000 + 1 })
            .collect();
        reads.push(BatchRead { file: &*second, offset: 4_000, bytes: 1_000 });
        reads.push(BatchRead { file: &*first, offset: 1, bytes: 200_000 });
        let good = reads.len();
        reads.push(BatchRead { file: &*second, offset: 4_990, bytes: 11 });
        reads.push(BatchRead { file: &*second, offset: 9_000, bytes: 1 });
        let mut seen = vec![0; reads.len()];
        read_batch(&reads, &mut |at, outcome| {
            seen[at] += 1;
            let (from, bytes) = (reads[at].offset as usize, reads[at].bytes);
            let whole = if at == 100 || at >= good { &other } else { &content };
            match outcome {
                Ok(found) => assert_eq!(found, &whole[from..from + bytes], "read {at}"),
                Err(error) => {
                    assert_eq!(error.kind(), Some(std::io::ErrorKind::UnexpectedEof));
                    assert!(at >= good, "read {at}: {error}");
                }
            }
        });
        assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
    }

    #[test]
    fn a_batch_gives_what_single_reads_give() {
        let folder = tempfile::tempdir().unwrap();
        check(&RealFs::new(), folder.path());
        check(&SimFs::new(), Path::new("/"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn real_files_go_through_a_ring_where_the_kernel_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = file(&RealFs::new(), &folder.path().join("a"), 10_000);
        let reads = [BatchRead { file: &*file, offset: 0, bytes: 10 }; 3];
        let mut taken = 0;
        let done = super::super::uring::read_batch(&reads, &mut |_, outcome| {
            assert_eq!(outcome.unwrap().len(), 10);
            taken += 1;
        });
        if !done {
            eprintln!("SKIPPED: this kernel gives no io_uring");
        }
        assert_eq!(taken, if done { 3 } else { 0 });
    }

    #[test]
    fn injected_faults_reach_the_reader_of_a_batch() {
        let folder = tempfile::tempdir().unwrap();
        let faults = FaultFs::counting(Arc::new(RealFs::new()));
        let (file, _) = file(&faults, &folder.path().join("a"), 10_000);
        let before = faults.call_counts().reads("");
        let reads = [BatchRead { file: &*file, offset: 0, bytes: 10 }; 3];
        read_batch(&reads, &mut |_, outcome: std::result::Result<&[u8], Error>| {
            outcome.unwrap();
        });
        assert_eq!(faults.call_counts().reads("") - before, 3, "the wrapper sees every read");
    }
}
