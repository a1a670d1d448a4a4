//! What is done together: the changes of several requests, checked one after the other and written as one group.

use std::{collections::HashMap, sync::Arc};

use stemedb_env::Lsn;
use stemedb_index::watches::{Registered, Watch};

use super::{
    record::{self, Line},
    registry::{Change, Logged, Outcome, Shared, WATCHES_MAX},
};
use crate::errors::{Code, FieldError, Invalid};

/// Requests that are written together.
#[derive(Default)]
pub(super) struct Group {
    pub entries: Vec<Vec<u8>>,
    pub bytes: usize,
    pub lines: usize,
    pub changes: Vec<Logged>,
    /// What the group has made of ids so far; `None` = removed.
    overlay: HashMap<String, Option<Arc<Registered>>>,
    /// Watches added less those removed.
    growth: isize,
}

impl Group {
    /// Adds the changes of a request, if all of them can be carried out.
    pub fn plan(&mut self, shared: &Shared, changes: &[Change], since: Lsn) -> Result<Vec<Outcome>, Invalid> {
        let mut own: HashMap<&str, Option<Arc<Registered>>> = HashMap::new();
        let (mut growth, mut logged) = (self.growth, Vec::new());
        let mut outcomes = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            let id = match change {
                Change::Add(watch) => watch.id.as_str(),
                Change::Remove(id) => id.as_str(),
            };
            let present = match own.get(id).or_else(|| self.overlay.get(id)) {
                Some(present) => present.clone(),
                None => shared.get(id),
            };
            outcomes.push(match (change, present) {
                (Change::Add(watch), Some(present)) if present.watch == **watch => Outcome::Existing(present),
                (Change::Add(_), Some(_)) => {
                    let pointer = if changes.len() == 1 { "/id".to_owned() } else { format!("/{index}/id") };
                    let detail = format!("a watch {id} with another content is registered");
                    return Err(FieldError::in_body(pointer, Code::WatchExists, detail).into());
                }
                (Change::Add(watch), None) => {
                    let registered = Arc::new(Registered { watch: Watch::clone(watch), since });
                    own.insert(id, Some(Arc::clone(&registered)));
                    logged.push(Logged::Added(Arc::clone(&registered)));
                    growth += 1;
                    Outcome::Added(registered)
                }
                (Change::Remove(_), Some(present)) => {
                    own.insert(id, None);
                    logged.push(Logged::Removed(present));
                    growth -= 1;
                    Outcome::Removed
                }
                (Change::Remove(_), None) => Outcome::Absent,
            });
        }
        let count = shared.count().saturating_add_signed(growth);
        if growth > self.growth && count > WATCHES_MAX {
            let detail = format!("there would be {count} watches, at most {WATCHES_MAX}");
            return Err(FieldError::in_body("", Code::TooMany, detail).into());
        }
        let lines = logged.iter().map(|change| match change {
            Logged::Added(registered) => Line::Add(Arc::clone(registered)),
            Logged::Removed(registered) => Line::Remove(registered.watch.id.clone()),
        });
        let entries = record::entries(lines);
        self.bytes += entries.iter().map(Vec::len).sum::<usize>();
        self.entries.extend(entries);
        self.lines += logged.len();
        self.growth = growth;
        self.overlay.extend(own.into_iter().map(|(id, state)| (id.to_owned(), state)));
        self.changes.extend(logged);
        Ok(outcomes)
    }
}
