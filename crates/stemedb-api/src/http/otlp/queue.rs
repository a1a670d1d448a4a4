//! Requests that wait to be exported: bounded by spans and by bytes, read by one worker.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use super::{Finished, OtlpOptions, Outcome};

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told of everything that the worker may wait for.
    wake: Notify,
    max_spans: usize,
    max_bytes: usize,
    batch_spans: usize,
    flush_every: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Finished>,
    spans: usize,
    bytes: usize,
    is_stopping: bool,
}

impl Queue {
    pub(super) fn new(options: &OtlpOptions) -> Queue {
        Queue {
            state: Mutex::default(),
            wake: Notify::new(),
            max_spans: options.queue_spans,
            max_bytes: options.queue_bytes,
            batch_spans: options.batch_spans,
            flush_every: options.flush_every,
        }
    }

    /// Takes a request in; says why not, and how many spans that are.
    pub(super) fn push(&self, request: Finished) -> Result<(), (Outcome, u64)> {
        let (spans, bytes) = (request.spans(), request.bytes());
        let wakes = {
            let mut state = self.state.lock();
            if state.is_stopping {
                return Err((Outcome::Cut, spans as u64));
            }
            if state.spans + spans > self.max_spans || state.bytes + bytes > self.max_bytes {
                return Err((Outcome::QueueFull, spans as u64));
            }
            let (was_empty, was_short) = (state.waiting.is_empty(), state.spans < self.batch_spans);
            state.spans += spans;
            state.bytes += bytes;
            state.waiting.push_back(request);
            was_empty || (was_short && state.spans >= self.batch_spans)
        };
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The next batch: as soon as it is full, or its first request has waited long enough. `None` once everything is taken and
    /// nothing more will come.
    pub(super) async fn next(&self) -> Option<Vec<Finished>> {
        self.until(|state| state.is_stopping || !state.waiting.is_empty()).await;
        let is_full = |state: &State| state.is_stopping || state.spans >= self.batch_spans;
        // In vain: then it is time for what is there.
        let _ = timeout(self.flush_every, self.until(is_full)).await;
        let mut state = self.state.lock();
        let (mut batch, mut spans) = (Vec::new(), 0);
        while spans < self.batch_spans
            && let Some(request) = state.waiting.pop_front()
        {
            spans += request.spans();
            state.bytes -= request.bytes();
            batch.push(request);
        }
        state.spans -= spans;
        (!batch.is_empty()).then_some(batch)
    }

    /// Nothing is taken in any more, and nobody waits.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.wake.notify_one();
    }

    /// Waits until it was told to stop.
    pub(super) async fn stopping(&self) {
        self.until(|state| state.is_stopping).await;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().is_stopping
    }

    /// Throws away what waits; returns how many spans that were.
    pub(super) fn clear(&self) -> u64 {
        let mut state = self.state.lock();
        state.waiting.clear();
        state.bytes = 0;
        std::mem::take(&mut state.spans) as u64
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            // A wake-up between the look and the wait is kept.
            if is_so(&self.state.lock()) {
                return;
            }
            self.wake.notified().await;
        }
    }
}
