//! What the job that looks after the primary view does while another version takes its place. See `docs/design/versions.md`.

use std::sync::Arc;

use stemedb_env::{Budget, Step};
use stemedb_index::Admit;

use super::{
    primary::{BACKOFF, LOOK_EVERY, PrimaryKeeper, STUCK, TURN_LATER, Work, is_the_journals},
    put_aside,
};
use crate::{
    EventKind, HybridOptions,
    shared::Shared,
    upgrade::{UpgradeStep, mixed},
    view::{FailureClass, View, ViewStore},
};

impl<P: ViewStore, F: ViewStore, D: Admit> PrimaryKeeper<P, F, D> {
    /// What the view in the folder is opened with.
    pub(super) fn options(&self) -> HybridOptions {
        match &self.upgrade {
            Some(upgrade) => mixed(&self.shared.options, upgrade.health.from),
            None => self.shared.options.clone(),
        }
    }

    /// Lets a view that was opened again heal itself, if its rows can be derived again.
    pub(super) fn serve(&self, store: &P) {
        if self.upgrade.is_none() {
            self.shared.sidecars.serve(store);
        }
    }

    /// True if the next step is one of the upgrade. The view that answers is looked at once a second meanwhile, unless it is lost.
    pub(super) fn upgrade_is_due(&self) -> bool {
        let Some(upgrade) = self.upgrade.as_ref().filter(|upgrade| !upgrade.is_held) else { return false };
        let now = self.shared.env.clock.monotonic();
        let is_looked_at = self.looked_at.is_some_and(|at| now.saturating_sub(at) < LOOK_EVERY);
        upgrade.goes_on_alone() || (is_looked_at && self.shared.views.primary().is_writable())
    }

    /// The view that answers has been looked at.
    pub(super) fn begin_upgrading(&mut self) -> Step {
        self.looked_at = Some(self.shared.env.clock.monotonic());
        match &self.upgrade {
            Some(upgrade) if !upgrade.is_held => Step::Again,
            _ => Step::After(LOOK_EVERY),
        }
    }

    /// A step of the upgrade.
    pub(super) fn upgrade(&mut self, budget: Budget) -> Step {
        let shared = Arc::clone(&self.shared);
        let Some(upgrade) = &mut self.upgrade else { return Step::Again };
        let error = match upgrade.step(&shared, budget) {
            Ok(UpgradeStep::More(rest)) => {
                self.backoff = BACKOFF;
                return if rest.is_zero() { Step::Again } else { Step::After(rest) };
            }
            Ok(UpgradeStep::NotMyTurn) => return Step::After(TURN_LATER),
            Ok(UpgradeStep::Done) => {
                self.upgrade = None;
                self.rest();
                return Step::Again;
            }
            Err(error) => error,
        };
        if shared.is_closing() {
            tracing::debug!(%error, "an upgrade is left: the next open goes on");
            return Step::Done;
        }
        upgrade.health.stuck = Some(error.to_string());
        if !upgrade.is_switching {
            upgrade.step_back();
        }
        upgrade.announce(&shared);
        let kv = shared.layout.kv();
        shared.fail(
            EventKind::RepairFailed,
            Some(kv),
            format!("the upgrade of the primary view waits: {error}"),
        );
        let is_lost =
            matches!(FailureClass::of_engine(&error), FailureClass::Corruption | FailureClass::Gone);
        if upgrade.is_switching && is_lost {
            // The new view is in its place, and of no use: yet another one takes it.
            self.end_upgrade();
            self.begin();
            return Step::Again;
        }
        if is_the_journals(&error) {
            return Step::After(STUCK);
        }
        Step::After(self.backoff.failed())
    }

    pub(super) fn end_upgrade(&mut self) {
        self.upgrade = None;
        self.shared.views.set_building_flushed(None);
        self.shared.views.set_upgrade(None);
    }

    /// The folder of the view is lost, and a new one is being built anyway: that takes its place. True if so. What is left of the old
    /// one goes to `quarantine/`.
    pub(super) fn leave_to_upgrade(&mut self, old: &View<P>) -> bool {
        let Some(upgrade) = self.upgrade.as_mut().filter(|upgrade| !upgrade.is_held) else { return false };
        let Shared { env, layout, .. } = &*self.shared;
        // Before its names go: from then on it answers from open files alone.
        old.store.stop();
        old.store.hold_files();
        self.is_aside = true;
        let reason = format!("the view was lost while another version took its place: {}", old.health());
        if let Err(error) = put_aside(env, &layout.kv(), &layout.quarantine(), &reason) {
            tracing::warn!(%error, "what is left of the primary view stays where it is");
        }
        upgrade.is_alone = true;
        upgrade.announce(&self.shared);
        self.work = Work::Watch;
        self.backoff = BACKOFF;
        true
    }
}
