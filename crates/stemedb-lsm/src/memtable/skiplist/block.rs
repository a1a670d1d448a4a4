//! The memory of one row: its tower, header, key and value, in one block of the arena. See the module's text for what makes
//! this sound.
#![allow(unsafe_code)]

use std::{ptr::NonNull, slice};

use stemedb_env::{Lsn, sync::atomic::AtomicPtr};

use crate::{
    memtable::arena::{ALIGN, Arena},
    prefetch::prefetch,
};

/// In place of a value's length: a removal.
const REMOVED: u32 = u32::MAX;

#[repr(C)]
pub(super) struct Header {
    lsn: Lsn,
    value_bytes: u32,
    pub(super) key_bytes: u16,
    height: u16,
}

pub(super) type Link = AtomicPtr<Header>;
pub(super) type Place = NonNull<Header>;

pub(super) const HEADER_BYTES: usize = size_of::<Header>();
const LINK_BYTES: usize = size_of::<Link>();
const _: () = assert!(align_of::<Link>() <= ALIGN && align_of::<Header>() <= ALIGN);
const _: () = assert!(LINK_BYTES.is_multiple_of(ALIGN) && HEADER_BYTES.is_multiple_of(ALIGN));

/// The link of a row on a level.
///
/// # Safety
///
/// `place` is a row of a living list for all of `'a`, and higher than `level`.
#[inline]
pub(super) unsafe fn link<'a>(place: Place, level: usize) -> &'a Link {
    // SAFETY: the tower lies in front of the header, in the same block (6), and is initialised (2). Only atomic
    // operations touch it (3).
    unsafe { place.cast::<Link>().sub(level + 1).as_ref() }
}

/// # Safety
///
/// `place` is a row of a living list for all of `'a`.
#[inline]
pub(super) unsafe fn key<'a>(place: Place) -> &'a [u8] {
    // SAFETY: the key follows the header, in the same block (5), and never changes (2, 3).
    unsafe {
        let bytes = usize::from((*place.as_ptr()).key_bytes);
        slice::from_raw_parts(place.cast::<u8>().add(HEADER_BYTES).as_ptr(), bytes)
    }
}

/// # Safety
///
/// `place` is a row of a living list for all of `'a`.
#[inline]
pub(super) unsafe fn value<'a>(place: Place) -> Option<&'a [u8]> {
    // SAFETY: as for the key, behind which it lies.
    unsafe {
        let Header { value_bytes, key_bytes, .. } = *place.as_ptr();
        let start = place.cast::<u8>().add(HEADER_BYTES + usize::from(key_bytes));
        (value_bytes != REMOVED).then(|| slice::from_raw_parts(start.as_ptr(), value_bytes as usize))
    }
}

/// # Safety
///
/// `place` is a row of a living list.
#[inline]
pub(super) unsafe fn lsn(place: Place) -> Lsn {
    // SAFETY: the header never changes (2, 3).
    unsafe { (*place.as_ptr()).lsn }
}

/// Asks for the header of a row and the part of its key that will be compared. A hint: reads nothing.
#[inline]
pub(super) fn prefetch_row(place: Option<Place>, shared: usize) {
    if let Some(place) = place {
        let start = place.as_ptr().cast::<u8>();
        prefetch(start, 1);
        prefetch(start.wrapping_add(HEADER_BYTES + shared), 1);
    }
}

/// A row to insert.
#[derive(Clone, Copy, Debug)]
pub(in crate::memtable) struct NewRow<'a> {
    pub(in crate::memtable) key: &'a [u8],
    pub(in crate::memtable) lsn: Lsn,
    /// `None` = removal.
    pub(in crate::memtable) value: Option<&'a [u8]>,
}

impl NewRow<'_> {
    pub(in crate::memtable) const NOTHING: NewRow<'static> = NewRow { key: &[], lsn: Lsn::ZERO, value: None };
}

/// Writes a block for a row that will be linked to `after`; its height is the length of `after`.
///
/// # Safety
///
/// The arena must be dropped after the last use of the place.
pub(super) unsafe fn write_block(arena: &mut Arena, row: NewRow<'_>, after: &[Option<Place>]) -> Place {
    let tower = after.len() * LINK_BYTES;
    let value_bytes = row.value.map_or(0, <[u8]>::len);
    // The owner has checked the sizes: keys of 8 KiB, values of 16 MiB at most.
    let key_bytes = u16::try_from(row.key.len());
    let value_length = row.value.map_or(Ok(REMOVED), |value| u32::try_from(value.len()));
    let (Ok(key_bytes), Ok(value_length), Ok(height)) = (key_bytes, value_length, u16::try_from(after.len()))
    else {
        panic!("a row of {} and {value_bytes} bytes", row.key.len())
    };
    let block = arena.block(tower + HEADER_BYTES + row.key.len() + value_bytes);
    // SAFETY: the block is ours alone and large enough for what is written, one behind the other: links, header, key,
    // value. It is aligned for links and header, whose sizes are multiples of the alignment. The sources are borrowed
    // memory and do not overlap with it.
    unsafe {
        let place = block.add(tower).cast::<Header>();
        for (level, after) in after.iter().enumerate() {
            let target = after.map_or(std::ptr::null_mut(), NonNull::as_ptr);
            place.cast::<Link>().sub(level + 1).write(Link::new(target));
        }
        place.write(Header { lsn: row.lsn, value_bytes: value_length, key_bytes, height });
        let bytes = place.cast::<u8>().add(HEADER_BYTES);
        bytes.copy_from_nonoverlapping(NonNull::from(row.key).cast(), row.key.len());
        if let Some(value) = row.value {
            bytes.add(row.key.len()).copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
        }
        place
    }
}
