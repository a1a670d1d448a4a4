//! Notices, a bounded piece at a time.

use stemedb_env::Lsn;

use super::super::feed::{Counted, Filled, Followed, Form, named};
use crate::{
    database::{Notices, Stepped},
    errors::Result,
    json::NoticeJson,
};

/// Steps without a notice in one piece of work, and entries after which events say how far they have come.
const STEPS_AT_ONCE: usize = 1_000;

/// Notices that are being written out.
pub(super) struct Cursor {
    notices: Notices,
    form: Form,
    timeline: u32,
    count: u64,
    /// Where a client would go on that has read the last position that was said.
    said: Lsn,
}

impl Cursor {
    pub fn new(notices: Notices, form: Form, timeline: u32) -> Cursor {
        let said = notices.position();
        Cursor { notices, form, timeline, count: 0, said }
    }

    fn fill_in(&mut self, filled: &mut Filled, bytes: usize) -> Result<()> {
        for _ in 0..STEPS_AT_ONCE {
            while let Some((notice, is_last)) = self.notices.take_ready() {
                let out = &mut filled.bytes;
                if self.form == Form::Events {
                    // A client that is cut off inside of an entry goes on from the one before: it gets all notices of this one.
                    if is_last {
                        out.extend_from_slice(
                            format!("id: {}\n", named(self.timeline, notice.lsn)).as_bytes(),
                        );
                        self.said = notice.lsn.next();
                    }
                    out.extend_from_slice(b"event: notice\ndata: ");
                }
                // Plain structs always serialize.
                if serde_json::to_writer(&mut *out, &NoticeJson::new(&notice, self.timeline)).is_ok() {
                    out.extend_from_slice(if self.form == Form::Events { b"\n\n" } else { b"\n" });
                }
                self.count += 1;
                if filled.bytes.len() >= bytes {
                    return Ok(());
                }
            }
            if self.notices.step()? == Stepped::CaughtUp {
                filled.is_caught_up = true;
                return Ok(());
            }
        }
        if self.form == Form::Events && self.has_progress() {
            let progress = self.progress();
            filled.bytes.extend(progress);
        }
        Ok(())
    }
}

impl Followed for Cursor {
    fn form(&self) -> Form {
        self.form
    }

    fn counted(&self) -> Counted {
        Counted::Notices(self.count)
    }

    fn position(&self) -> Lsn {
        self.notices.position()
    }

    fn fill(&mut self, bytes: usize) -> Filled {
        let mut filled = Filled::default();
        filled.failed = self.fill_in(&mut filled, bytes).err();
        filled
    }

    fn has_progress(&self) -> bool {
        self.notices.position() > self.said && !self.notices.is_inside()
    }

    fn progress(&mut self) -> Vec<u8> {
        let next = self.notices.position();
        self.said = next;
        let (last, next) = (named(self.timeline, next.prev()), named(self.timeline, next));
        format!("id: {last}\nevent: position\ndata: {{\"next\":\"{next}\"}}\n\n").into_bytes()
    }
}
