//! A damaged file goes to quarantine, and a whole one has its name.

use std::path::{Path, PathBuf};

use stemedb_env::{File, Lsn, OpenMode, fs::write_file_atomic};

use super::{
    super::inner::Inner,
    Hole,
    examine::{Content, Examined},
    is_unreadable,
    rebuild::Written,
};
use crate::{
    Result,
    segment::{Form, Listed, Location, Place, quarantine_default},
};

const CHUNK_BYTES: usize = 1 << 20;

/// Gives a proven file the name of its segment, and keeps every damaged one. `None` if the segment has been recycled
/// meanwhile.
pub(super) fn put_in_place(
    journal: &Inner,
    id: u64,
    place: Place,
    last_lsn: Lsn,
    written: &Written,
    holes: &[Hole],
) -> Result<Option<(PathBuf, Vec<PathBuf>)>> {
    let _names = journal.releasing.lock();
    let fs = &journal.env.fs;
    if last_lsn > Lsn::ZERO && journal.writer.lock().recycled_lsn >= last_lsn {
        fs.remove(&written.path)?;
        return Ok(None);
    }
    let old: Vec<Listed> =
        journal.dir.forms(id)?.into_iter().filter(|listed| listed.location.folder == 0).collect();
    // It may have been released or compressed meanwhile.
    let known = journal.table.lock().location(id).or(old.first().map(|listed| listed.location));
    let place = known.map_or(place, |location| location.place);
    let location = Location { place, form: Form::Plain, folder: 0 };
    let path = journal.dir.segment(id, location);
    let quarantined = keep(journal, id, &old, holes)?;
    fs.rename(&written.path, &path)?;
    // From here on whoever opens the segment finds the new file.
    {
        let mut table = journal.table.lock();
        table.replaced(id, location, written.header);
    }
    journal.damage.count_healed();
    journal.sync_names()?;
    for listed in old.iter().filter(|listed| listed.location != location) {
        fs.remove(&journal.dir.segment(id, listed.location))?;
    }
    journal.sync_names()?;
    journal.damage.forget(id);
    journal.find_first_lsn();
    journal.wake_upkeep();
    Ok(Some((path, quarantined)))
}

/// Lets another file of the segment, which is whole, count instead of the damaged ones before it.
pub(super) fn adopt_form(
    journal: &Inner,
    examined: &Examined,
    whole: &Content,
    holes: &[Hole],
) -> Result<(PathBuf, Vec<PathBuf>)> {
    let _names = journal.releasing.lock();
    let id = examined.id;
    let (Some(listed), Some(header)) = (whole.listed, whole.header) else { return Ok(Default::default()) };
    let damaged: Vec<Listed> = examined
        .contents
        .iter()
        .filter_map(|content| content.listed)
        .filter(|other| other.location != listed.location && other.location.folder == 0)
        .collect();
    let quarantined = keep(journal, id, &damaged, holes)?;
    for other in &damaged {
        journal.env.fs.remove(&journal.dir.segment(id, other.location))?;
    }
    journal.table.lock().replaced(id, listed.location, header);
    journal.damage.count_healed();
    journal.sync_names()?;
    journal.damage.forget(id);
    journal.find_first_lsn();
    Ok((journal.dir.segment(id, listed.location), quarantined))
}

/// Gives damaged files a second name in quarantine, durably, with a note.
fn keep(journal: &Inner, id: u64, files: &[Listed], holes: &[Hole]) -> Result<Vec<PathBuf>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let fs = &journal.env.fs;
    let options = &journal.options;
    let folder = options.quarantine_dir.clone().unwrap_or_else(|| quarantine_default(&journal.dir.path));
    fs.create_dir(&folder)?;
    if let Some(parent) = folder.parent() {
        fs.sync_dir(parent)?;
    }
    let reason = holes
        .iter()
        .fold(format!("Journal segment {id} was damaged and has been written again.\n"), |text, hole| {
            format!("{text}{hole}\n")
        });
    let mut kept = Vec::new();
    for listed in files {
        let path = journal.dir.segment(id, listed.location);
        let Some(to) = free_name(journal, &folder, &path)? else { continue };
        if fs.metadata(&to)?.is_none() && fs.link(&path, &to).is_err() {
            // Another file system.
            copy(journal, &path, &to)?;
        }
        let note = to.with_file_name(format!("{}.reason.txt", name_of(&to)));
        write_file_atomic(&**fs, &note, reason.as_bytes())?;
        kept.push(to);
    }
    fs.sync_dir(&folder)?;
    Ok(kept)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A name in quarantine that is free, or that holds these bytes already: an interrupted healing has put them there. `None` if
/// the file is gone.
fn free_name(journal: &Inner, folder: &Path, path: &Path) -> Result<Option<PathBuf>> {
    let fs = &journal.env.fs;
    let Some(found) = fs.metadata(path)? else { return Ok(None) };
    for number in 1_u64.. {
        let name = folder.join(format!("{}.damaged-{number}", name_of(path)));
        match fs.metadata(&name)? {
            None => return Ok(Some(name)),
            Some(other) if other.len == found.len && is_same(journal, path, &name)? => return Ok(Some(name)),
            Some(_) => {}
        }
    }
    Ok(None)
}

fn is_same(journal: &Inner, one: &Path, other: &Path) -> Result<bool> {
    let open = |path: &Path| journal.env.fs.open(path, OpenMode::Read);
    let (one, other) = (open(one)?, open(other)?);
    let (mut left, mut right) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut at = 0;
    loop {
        let read = |file: &dyn File, buffer: &mut [u8]| match file.read_up_to_at(buffer, at) {
            Err(error) if is_unreadable(&error) => Ok(None),
            read => read.map(Some),
        };
        let (Some(n), Some(m)) = (read(&*one, &mut left)?, read(&*other, &mut right)?) else {
            return Ok(false);
        };
        if n != m || left.get(..n) != right.get(..m) {
            return Ok(false);
        }
        if n < CHUNK_BYTES {
            return Ok(true);
        }
        at += n as u64;
    }
}

/// Copies what can be read; what cannot stays zero.
fn copy(journal: &Inner, from: &Path, to: &Path) -> Result<()> {
    const PIECE_BYTES: usize = 4 << 10;
    let fs = &journal.env.fs;
    let source = fs.open(from, OpenMode::Read)?;
    let mut name = to.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    if fs.metadata(&temporary)?.is_some() {
        fs.remove(&temporary)?;
    }
    let copy = fs.open(&temporary, OpenMode::CreateNew)?;
    let len = source.len()?;
    copy.set_len(len)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < len {
        match source.read_up_to_at(&mut piece, at) {
            Ok(read) => copy.write_all_at(piece.get(..read).unwrap_or_default(), at)?,
            Err(error) if is_unreadable(&error) => {}
            Err(error) => return Err(error.into()),
        }
        at += PIECE_BYTES as u64;
    }
    copy.sync_data()?;
    Ok(fs.rename(&temporary, to)?)
}
