//! Requests on many connections: one after the other on each, or at moments of their own.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, mpsc},
    task::LocalSet,
};

use crate::{Failure, connection::Connection};

/// What came of the requests.
#[derive(Debug, Default)]
pub struct Seen {
    /// How long the good ones took, in microseconds, from when they were to be sent.
    pub good: Vec<u32>,
    /// How long refusals (503) took from when they were sent: they may not wait.
    pub refused: Vec<u32>,
    /// Everything else.
    pub failed: u64,
    /// From the first to the last.
    pub took: Duration,
}

impl Seen {
    fn note(&mut self, status: u16, since_due: Duration, since_sent: Duration) {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        match status {
            200 | 201 => self.good.push(micros(since_due)),
            503 => self.refused.push(micros(since_sent)),
            _ => self.failed += 1,
        }
    }
}

/// The value that a share of all lies below.
pub fn percentile(of: &[u32], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |micros| f64::from(*micros) / 1e3)
}

/// As many requests as the server answers, one after the other on each connection. None is sent twice before all were sent.
pub async fn closed(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    length: Duration,
) -> Result<Seen, Failure> {
    let (seen, next) = (Rc::new(RefCell::new(Seen::default())), Rc::new(RefCell::new(0_usize)));
    let requests: Rc<[Vec<u8>]> = requests.into();
    let local = LocalSet::new();
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (seen, next, requests) = (Rc::clone(&seen), Rc::clone(&next), Rc::clone(&requests));
        tasks.push(local.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            while begin.elapsed() < length {
                let at = next.replace_with(|at| *at + 1);
                let sent = Instant::now();
                let status = connection.ask(&requests[at % requests.len()]).await?;
                seen.borrow_mut().note(status, sent.elapsed(), sent.elapsed());
            }
            Ok::<_, Failure>(())
        }));
    }
    local.run_until(async { finish(tasks).await }).await?;
    let mut seen = seen.take();
    seen.took = begin.elapsed();
    Ok(seen)
}

/// `rate` requests a second at moments that do not wait for replies (Poisson), on connections that are free.
pub async fn open(
    address: SocketAddr,
    request: &[u8],
    rate: f64,
    connections: usize,
    length: Duration,
) -> Result<Seen, Failure> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let request: Rc<[u8]> = request.into();
    let (send, due) = mpsc::unbounded_channel::<Instant>();
    let due = Arc::new(Mutex::new(due));
    let local = LocalSet::new();
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(address).await?;
        let (seen, request, due) = (Rc::clone(&seen), Rc::clone(&request), Arc::clone(&due));
        tasks.push(local.spawn_local(async move {
            loop {
                let Some(moment) = due.lock().await.recv().await else { return Ok::<_, Failure>(()) };
                let sent = Instant::now();
                let status = connection.ask(&request).await?;
                seen.borrow_mut().note(status, moment.elapsed(), sent.elapsed());
            }
        }));
    }
    let begin = Instant::now();
    let offer = async {
        let mut at = begin;
        let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
        while at - begin < length {
            while at <= Instant::now() {
                let _ = send.send(at);
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let uniform = ((chance >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
                at += Duration::from_secs_f64(-uniform.ln() / rate);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(send);
    };
    local
        .run_until(async {
            offer.await;
            finish(tasks).await
        })
        .await?;
    let mut seen = seen.take();
    seen.took = begin.elapsed();
    Ok(seen)
}

async fn finish(tasks: Vec<tokio::task::JoinHandle<Result<(), Failure>>>) -> Result<(), Failure> {
    for task in tasks {
        task.await??;
    }
    Ok(())
}
