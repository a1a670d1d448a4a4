//! The frames of a zstd file, one after the other.

use stemedb_env::Error;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{
    PackedError, WINDOW_LOG_MAX,
    frame_header::{FrameStart, MAX_HEADER_BYTES, frame_start},
    input::Input,
};

/// `ZSTD_error_memory_allocation` of `zstd_errors.h`, as the library returns it.
const OUT_OF_MEMORY: usize = 64_usize.wrapping_neg();

/// What an error code of the library means.
pub(super) fn meaning(code: usize, packed_offset: u64) -> PackedError {
    if code == OUT_OF_MEMORY { PackedError::Memory } else { PackedError::Damaged { packed_offset } }
}

/// Decodes all frames and steps over skippable ones; a frame's checksum, if it has one, is checked at its end.
pub(super) struct Zstd {
    context: DCtx<'static>,
    input: Input,
    in_frame: bool,
}

impl Zstd {
    pub fn new(input: Input) -> Result<Zstd, Error> {
        let mut context = DCtx::try_create().ok_or_else(|| input.fail(PackedError::Memory))?;
        // A second fence: `next_frame` has looked already.
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(|_| input.damaged())?;
        Ok(Zstd { context, input, in_frame: false })
    }

    /// The next plain bytes; 0 at the end of the last frame, which then has been verified. `out` is not empty.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < out.len() && (self.in_frame || self.next_frame()?) {
            let Some(room) = out.get_mut(done..) else { break };
            let packed_offset = self.input.position();
            let bytes = self.input.available()?;
            let at_end = bytes.is_empty();
            let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(room));
            let outcome = self.context.decompress_stream(&mut output, &mut input);
            let (consumed, written) = (input.pos(), output.pos());
            self.input.consume(consumed);
            done += written;
            match outcome {
                Ok(0) => self.in_frame = false,
                Ok(_) if at_end && written == 0 => return Err(self.input.fail(PackedError::Truncated)),
                Ok(_) => {}
                Err(code) => return Err(self.input.fail(meaning(code, packed_offset))),
            }
        }
        Ok(done)
    }

    /// Goes to the beginning of the next frame with data. False at the end of the file.
    fn next_frame(&mut self) -> Result<bool, Error> {
        loop {
            let bytes = self.input.peek(MAX_HEADER_BYTES)?;
            if bytes.is_empty() {
                return Ok(false);
            }
            match frame_start(bytes) {
                FrameStart::Skippable { total_bytes } => self.input.skip(total_bytes)?,
                FrameStart::Foreign => return Err(self.input.damaged()),
                FrameStart::Short => return Err(self.input.fail(PackedError::Truncated)),
                FrameStart::Data(header) => {
                    if header.window_bytes > 1 << WINDOW_LOG_MAX {
                        let window_bytes = header.window_bytes;
                        return Err(self.input.fail(PackedError::Window { window_bytes }));
                    }
                    if header.dictionary {
                        return Err(self.input.fail(PackedError::Dictionary));
                    }
                    self.in_frame = true;
                    return Ok(true);
                }
            }
        }
    }

    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.context.sizeof() + self.input.memory_bytes()
    }
}
