//! The task that exports.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use stemedb_env::{Clock, Env, Random};
use tokio::time::sleep;

use super::{
    Finished, OtlpError, OtlpOptions, Outcome, Shared, encode,
    post::{Answer, Post, in_words},
};

/// Longest wait between two attempts for which the collector names no time.
const PAUSE_MAX: Duration = Duration::from_secs(30);

pub(super) struct Worker {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shared: Arc<Shared>,
    post: Post,
    /// Names this process.
    instance: String,
    backoff: Duration,
    give_up_after: Duration,
    /// The last batch was lost, and the log has it.
    is_failing: bool,
}

/// Spans on their way. Whoever drops them has cut them.
struct Batch {
    shared: Arc<Shared>,
    spans: u64,
}

impl Batch {
    fn settle(mut self, outcome: Outcome) {
        self.shared.counts.add(outcome, std::mem::take(&mut self.spans));
    }

    fn settle_part(&mut self, outcome: Outcome, spans: u64) {
        let spans = spans.min(self.spans);
        self.spans -= spans;
        self.shared.counts.add(outcome, spans);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.shared.counts.add(Outcome::Cut, self.spans);
    }
}

impl Worker {
    pub(super) fn new(env: &Env, options: OtlpOptions, shared: Arc<Shared>) -> Result<Worker, OtlpError> {
        let (clock, random) = (Arc::clone(&env.clock), Arc::clone(&env.random));
        let (backoff, give_up_after) = (options.backoff, options.give_up_after);
        let (instance, post) = (instance(&*random), Post::new(options)?);
        Ok(Worker { clock, random, shared, post, instance, backoff, give_up_after, is_failing: false })
    }

    /// Exports until the queue says that nothing more comes.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some(requests) = shared.queue.next().await {
            let spans = requests.iter().map(Finished::spans).sum::<usize>() as u64;
            let batch = Batch { shared: Arc::clone(&shared), spans };
            match encode::export(&self.instance, &requests, &*self.random) {
                Ok(body) => {
                    drop(requests);
                    self.deliver(batch, body.into()).await;
                }
                Err(error) => {
                    self.lost(&error.to_string());
                    batch.settle(Outcome::Refused);
                }
            }
        }
    }

    async fn deliver(&mut self, mut batch: Batch, body: Bytes) {
        let (begun, mut backoff) = (self.clock.monotonic(), self.backoff);
        let shared = Arc::clone(&self.shared);
        loop {
            // Who stops has no time for another attempt after this one.
            let is_last = shared.queue.is_stopping();
            let (why, wish) = match self.post.send(body.clone()).await {
                Ok(Answer::Taken { rejected }) => {
                    batch.settle_part(Outcome::Refused, rejected);
                    batch.settle(Outcome::Exported);
                    return self.taken(rejected);
                }
                Ok(Answer::Refused(status)) => {
                    batch.settle(Outcome::Refused);
                    return self.lost(&format!("status {status}"));
                }
                Ok(Answer::Later { status, after }) => (format!("status {status}"), after),
                Err(failure) => (in_words(&failure), None),
            };
            let pause = wish.unwrap_or_else(|| self.spread(backoff.min(PAUSE_MAX)));
            let waited = self.clock.monotonic().saturating_sub(begun);
            let is_in_time = waited.saturating_add(pause) <= self.give_up_after;
            if is_last || !is_in_time || !self.pause(pause, wish.is_some()).await {
                batch.settle(Outcome::Unanswered);
                return self.lost(&why);
            }
            backoff = backoff.saturating_mul(2);
        }
    }

    /// Waits; whoever stops meanwhile is not waited for. False where the collector must not be asked earlier.
    async fn pause(&self, pause: Duration, is_wish: bool) -> bool {
        tokio::select! {
            () = sleep(pause) => true,
            () = self.shared.queue.stopping() => !is_wish,
        }
    }

    /// Half of it to all of it: many that wait do not come back together.
    fn spread(&self, pause: Duration) -> Duration {
        let share = (self.random.next_u64() & 0x7f) as u32 + 129;
        pause / 256 * share
    }

    fn taken(&mut self, rejected: u64) {
        if rejected > 0 {
            tracing::warn!(rejected, "the collector has rejected spans");
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("spans are exported again");
        }
    }

    /// Told once, until it works again: the metric has the numbers.
    fn lost(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!("spans are lost, the collector does not take them: {why}");
        }
    }
}

/// A random UUID, version 4.
fn instance(random: &dyn Random) -> String {
    let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_random_uuid() {
        let (env, _sim) = Env::sim(3);
        let (one, other) = (instance(&*env.random), instance(&*env.random));
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        let digits: Vec<char> = one.chars().collect();
        assert_eq!(digits[14], '4');
        assert!("89ab".contains(digits[19]), "{one}");
    }
}
