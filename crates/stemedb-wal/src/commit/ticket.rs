//! A place in a group: to be waited for or polled.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{CommitStages, SubmitError, group::Group, queue::Shared};

/// What a writer holds between submitting and its reply.
///
/// Wait for it with a thread ([`Ticket::wait`]), or poll it: it is a [`Future`] that needs no particular runtime. The
/// request is on its way in any case, also when the ticket is dropped.
pub struct Ticket<S: CommitStages> {
    shared: Arc<Shared<S>>,
    group: Arc<Group<S::Reply>>,
    member: usize,
    taken: bool,
}

impl<S: CommitStages> fmt::Debug for Ticket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("member", &self.member).finish_non_exhaustive()
    }
}

impl<S: CommitStages> Ticket<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, group: Arc<Group<S::Reply>>, member: usize) -> Ticket<S> {
        Ticket { shared, group, member, taken: false }
    }

    /// Waits for the reply, doing the work of a group if nobody else does.
    ///
    /// Errors: [`SubmitError::Abandoned`] after a panic in a stage.
    pub fn wait(mut self) -> Result<S::Reply, SubmitError> {
        self.taken = true;
        loop {
            // Before the checks: what happens after this look is not slept through.
            let seen = self.group.gate.now();
            if let Some(reply) = self.group.take(self.member) {
                return reply;
            }
            if !self.shared.lead_until(&self.group) {
                self.group.gate.wait(seen);
            }
        }
    }

    /// The reply, if it is there already. To be called until it was given once.
    pub fn try_take(&mut self) -> Option<Result<S::Reply, SubmitError>> {
        let reply = self.group.take(self.member)?;
        self.taken = true;
        Some(reply)
    }
}

impl<S: CommitStages> Future for Ticket<S> {
    type Output = Result<S::Reply, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(reply) = self.try_take() {
            return Poll::Ready(reply);
        }
        self.group.register(context.waker());
        // It may have come between the two looks, and then nobody knew of the waker.
        if let Some(reply) = self.try_take() {
            return Poll::Ready(reply);
        }
        self.shared.need_leader();
        match self.try_take() {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        }
    }
}

impl<S: CommitStages> Drop for Ticket<S> {
    fn drop(&mut self) {
        if !self.taken {
            // Nobody may be left who would lead for it.
            self.group.want_job();
            self.shared.need_leader();
        }
    }
}
