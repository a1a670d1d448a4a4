//! The folders of an upgrade: which is which after a crash, and how one takes the place of another. Each step can be cut short
//! anywhere and done again; what the folders say is told by their names alone. See `docs/design/versions.md`.

use std::path::Path;

use stemedb_env::{Env, Fs, Lsn, frame::DatabaseId, fs::tree::remove_tree};

use crate::{
    HybridOptions, Layout, Result,
    repair::put_aside,
    view::{FailureClass, ViewStore},
};

/// The file that makes a whole view of a folder.
const CURRENT: &str = "CURRENT";

fn holds_view<P: ViewStore>(env: &Env, dir: &Path) -> Result<bool> {
    Ok(env.fs.metadata(dir)?.is_some() && P::is_in(env, dir)?)
}

/// Ends a switch that a crash has cut between its renames: afterwards the primary view lies where it belongs, if there is one.
pub(crate) fn settle<P: ViewStore>(env: &Env, layout: &Layout) -> Result<()> {
    let (fs, kv) = (env.fs.as_ref(), layout.kv());
    let is_empty = match fs.metadata(&kv)? {
        None => true,
        Some(_) => fs.list(&kv)?.is_empty(),
    };
    if !is_empty {
        return Ok(());
    }
    let candidates = [layout.kv_next(), layout.kv_old()];
    for from in candidates {
        if holds_view::<P>(env, &from)? {
            tracing::warn!(from = %from.display(), "the primary view is put into its place");
            if fs.metadata(&kv)?.is_some() {
                fs.remove_dir(&kv)?;
            }
            fs.rename(&from, &kv)?;
            fs.sync_dir(layout.dir())?;
            return Ok(());
        }
    }
    Ok(())
}

/// Removes what earlier upgrades have left. The primary view must have been opened, and it must need none of it.
pub(crate) fn tidy(fs: &dyn Fs, layout: &Layout) -> Result<()> {
    remove(fs, layout, &layout.kv_old())?;
    remove(fs, layout, &layout.kv_next())
}

/// Removes a view's folder. What is left if it is cut short is no view.
pub(crate) fn remove(fs: &dyn Fs, layout: &Layout, dir: &Path) -> Result<()> {
    if fs.metadata(dir)?.is_none() {
        return Ok(());
    }
    let current = dir.join(CURRENT);
    if fs.metadata(&current)?.is_some() {
        fs.remove(&current)?;
        fs.sync_dir(dir)?;
    }
    remove_tree(fs, dir)?;
    Ok(fs.sync_dir(layout.dir())?)
}

/// Puts the view in `kv.next` into the place of the one in `kv`, which becomes `kv.old`. Both must be stopped. Does nothing more
/// than what an earlier call has left to do.
pub(crate) fn switch(fs: &dyn Fs, layout: &Layout) -> Result<()> {
    let (kv, next, old) = (layout.kv(), layout.kv_next(), layout.kv_old());
    if fs.metadata(&next)?.is_some() {
        if fs.metadata(&kv)?.is_some() {
            remove(fs, layout, &old)?;
            fs.rename(&kv, &old)?;
            // Before the other: a crash must never find neither or, under one name, both.
            fs.sync_dir(layout.dir())?;
        }
        fs.rename(&next, &kv)?;
    }
    Ok(fs.sync_dir(layout.dir())?)
}

/// The view that an earlier life has begun in `kv.next`, if it can be gone on with; one that cannot is out of the way
/// afterwards.
pub(crate) fn begun<P: ViewStore>(
    env: &Env,
    layout: &Layout,
    database: DatabaseId,
    options: &HybridOptions,
    end: Lsn,
) -> Result<Option<P>> {
    let (fs, next) = (env.fs.as_ref(), layout.kv_next());
    if !holds_view::<P>(env, &next)? {
        remove(fs, layout, &next)?;
        return Ok(None);
    }
    let problem = match P::open(env, &next, database, options) {
        Ok(store) if store.published_lsn() <= end => return Ok(Some(store)),
        Ok(store) => {
            store.stop();
            "it has come further than the journal: it is not of this database's past".to_owned()
        }
        Err(error @ stemedb_lsm::Error::OtherDerivation { .. }) => {
            tracing::info!(%error, "a view that was being built is not what is wanted any more");
            remove(fs, layout, &next)?;
            return Ok(None);
        }
        Err(error) => match FailureClass::of(&error) {
            FailureClass::Corruption | FailureClass::Gone => error.to_string(),
            FailureClass::Transient | FailureClass::Full => return Err(error.into()),
        },
    };
    put_aside(env, &next, &layout.quarantine(), &problem)?;
    Ok(None)
}
