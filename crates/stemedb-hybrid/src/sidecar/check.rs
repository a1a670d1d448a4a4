//! Reading a sidecar back, piece by piece and past the page cache, while sidecars are made, used and removed.

use std::{path::PathBuf, sync::Arc};

use super::{
    file::{Sidecar, Unusable},
    format::Unfit,
    name::SidecarName,
    set::SidecarSet,
};

/// A check of one sidecar under way.
pub(crate) struct SidecarCheck {
    set: Arc<SidecarSet>,
    name: SidecarName,
    sidecar: Option<Sidecar>,
    /// The next block.
    at: usize,
}

/// What a step of a check did.
#[derive(Debug, Default)]
pub(crate) struct SidecarPiece {
    pub bytes: u64,
    /// Places that verified only when they were read once more.
    pub rereads: u64,
    pub end: Option<SidecarEnd>,
}

/// How a check ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SidecarEnd {
    /// Every byte is what was written.
    Whole,
    /// The sidecar is not used any more.
    Gone,
    /// It was of no use, is removed, and is made again.
    Damaged { file: PathBuf, problem: String },
}

/// Twice what looks damaged: it may have been the transfer.
fn twice<T>(rereads: &mut u64, mut look: impl FnMut() -> Result<T, Unusable>) -> Result<T, Unusable> {
    match look() {
        Err(Unusable::Unfit(_)) => {
            let looked = look();
            *rereads += u64::from(looked.is_ok());
            looked
        }
        looked => looked,
    }
}

impl SidecarCheck {
    pub(super) fn new(set: &Arc<SidecarSet>, name: SidecarName) -> SidecarCheck {
        SidecarCheck { set: Arc::clone(set), name, sidecar: None, at: 0 }
    }

    /// Reads about `bytes` further, at least one block; the first step reads everything but the blocks.
    ///
    /// Errors: the system's, after which the step may be tried again.
    pub fn step(&mut self, bytes: u64) -> Result<SidecarPiece, stemedb_env::Error> {
        let mut piece = SidecarPiece::default();
        if !self.set.has(self.name) {
            piece.end = Some(SidecarEnd::Gone);
            return Ok(piece);
        }
        match self.read(bytes, &mut piece) {
            Ok(true) => piece.end = Some(SidecarEnd::Whole),
            Ok(false) => {}
            Err(Unusable::Env(error)) => {
                let is_cut = error.kind() == Some(std::io::ErrorKind::UnexpectedEof);
                if !is_cut && !error.is_not_found() {
                    return Err(error);
                }
                piece.end = Some(self.damaged(error.to_string()));
            }
            Err(error @ Unusable::Unfit(Unfit::Foreign)) => {
                self.set.reject(self.name, &error);
                piece.end = Some(SidecarEnd::Gone);
            }
            Err(error) => piece.end = Some(self.damaged(error.to_string())),
        }
        Ok(piece)
    }

    /// The system cannot read it: it is made again.
    pub fn give_up(&self) {
        self.set.drop_damaged(self.name);
    }

    fn damaged(&self, problem: String) -> SidecarEnd {
        match self.set.drop_damaged(self.name) {
            true => SidecarEnd::Damaged { file: self.set.path(self.name), problem },
            // Somebody else was quicker.
            false => SidecarEnd::Gone,
        }
    }

    /// True at the end.
    fn read(&mut self, bytes: u64, piece: &mut SidecarPiece) -> Result<bool, Unusable> {
        let SidecarCheck { set, name, sidecar, at } = self;
        let Some(sidecar) = sidecar else {
            let opened = twice(&mut piece.rereads, || set.open_past_cache(*name))?;
            piece.bytes = opened.bytes_beside_blocks();
            *sidecar = Some(opened);
            return Ok(false);
        };
        while piece.bytes == 0 || piece.bytes < bytes {
            match twice(&mut piece.rereads, || sidecar.verify_block(*at))? {
                Some(read) => piece.bytes += read,
                None => return Ok(true),
            }
            *at += 1;
        }
        Ok(false)
    }
}
