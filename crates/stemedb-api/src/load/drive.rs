//! Requests on many connections: one after the other on each, or at moments of their own.

use std::{cell::RefCell, io, ops::Range, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep, timeout},
};

use super::{Connection, Reply, Seen, Verdict, Work};

/// A reply that has not come by then has not come.
const REPLY_WITHIN: Duration = Duration::from_secs(30);
/// Before somebody whose connection broke opens another: a server that is away is not asked in a circle.
const PAUSE: Duration = Duration::from_millis(10);
/// How finely moments are kept.
const TICK: Duration = Duration::from_millis(1);
/// Bytes of a reply that say what went wrong.
const SHOWN_BYTES: usize = 300;

/// When requests are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At equal distances: a length and a rate have always as many.
    Even,
    /// At moments that know nothing of each other (Poisson), the same in every run.
    Random,
}

/// What an open loop asks for.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Requests a second.
    pub rate: f64,
    /// When each of them is due.
    pub pace: Pace,
    /// How long they come.
    pub length: Duration,
    /// Connections that they are sent on, all of them opened before the first is due.
    pub connections: usize,
    /// The number of the first one.
    pub first: u64,
}

impl Seen {
    fn note<W: Work>(&mut self, work: &W, number: u64, reply: &Reply<'_>, waited: Waited) {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        match work.judge(number, reply) {
            Verdict::Good => return self.good.push(micros(waited.since_due)),
            Verdict::Refused => self.refused.push(micros(waited.since_sent)),
            Verdict::Failed => self.failed += 1,
        }
        if self.first_failure.is_none() {
            let body = String::from_utf8_lossy(reply.body.get(..SHOWN_BYTES).unwrap_or(reply.body));
            self.first_failure = Some(format!("status {}: {body}", reply.status));
        }
    }

    fn broken(&mut self, error: &io::Error) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| format!("no reply: {error}"));
    }
}

#[derive(Clone, Copy)]
struct Waited {
    since_due: Duration,
    since_sent: Duration,
}

/// One connection, opened again when it breaks, and what is sent on it.
struct Driver<W> {
    address: Rc<str>,
    work: Rc<W>,
    seen: Rc<RefCell<Seen>>,
    connection: Option<Connection>,
    request: Vec<u8>,
}

impl<W: Work> Driver<W> {
    async fn new(address: &Rc<str>, work: &Rc<W>, seen: &Rc<RefCell<Seen>>) -> io::Result<Driver<W>> {
        let connection = Some(Connection::open(address).await?);
        Ok(Driver {
            address: Rc::clone(address),
            work: Rc::clone(work),
            seen: Rc::clone(seen),
            connection,
            request: Vec::new(),
        })
    }

    /// Sends one request; whatever comes of it is noted, once.
    async fn send(&mut self, number: u64, due: Option<Instant>) {
        self.seen.borrow_mut().offered += 1;
        self.request.clear();
        self.work.request(number, &mut self.request);
        if let Err(error) = self.try_send(number, due).await {
            self.connection = None;
            self.seen.borrow_mut().broken(&error);
            sleep(PAUSE).await;
        }
    }

    async fn try_send(&mut self, number: u64, due: Option<Instant>) -> io::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(Connection::open(&self.address).await?),
        };
        let sent = Instant::now();
        let reply = timeout(REPLY_WITHIN, connection.ask(&self.request)).await;
        let reply = reply.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let since_sent = sent.elapsed();
        let since_due = due.map_or(since_sent, |due| due.elapsed());
        self.seen.borrow_mut().note(&*self.work, number, &reply, Waited { since_due, since_sent });
        if connection.is_closing() {
            self.connection = None;
        }
        Ok(())
    }
}

/// As many requests as the server answers, one after the other on each connection: those with these numbers, each once, until a time is
/// over.
///
/// # Errors
/// Where a connection cannot be opened at the start. Later that counts as failed.
pub async fn closed<W: Work + 'static>(
    address: &str,
    work: &Rc<W>,
    connections: usize,
    numbers: Range<u64>,
    length: Duration,
) -> io::Result<Seen> {
    let (address, seen, local) = (Rc::from(address), Rc::default(), LocalSet::new());
    let next = Rc::new(RefCell::new(numbers));
    let mut drivers = Vec::new();
    for _ in 0..connections {
        drivers.push(Driver::new(&address, work, &seen).await?);
    }
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for mut driver in drivers {
        let next = Rc::clone(&next);
        tasks.push(local.spawn_local(async move {
            while begin.elapsed() < length {
                let number = next.borrow_mut().next();
                let Some(number) = number else { return };
                driver.send(number, None).await;
            }
        }));
    }
    local.run_until(finish(tasks)).await?;
    let mut seen: Seen = seen.take();
    seen.took = begin.elapsed();
    Ok(seen)
}

/// Requests at moments that do not wait for replies, on whichever connection is free.
///
/// # Errors
/// As [`closed`].
pub async fn open<W: Work + 'static>(address: &str, work: &Rc<W>, offer: Offer) -> io::Result<Seen> {
    let (address, seen, local) = (Rc::from(address), Rc::default(), LocalSet::new());
    let (send, due) = mpsc::unbounded_channel::<(u64, Instant)>();
    let due = Arc::new(Mutex::new(due));
    let mut tasks = Vec::new();
    for _ in 0..offer.connections {
        let mut driver = Driver::new(&address, work, &seen).await?;
        let due = Arc::clone(&due);
        tasks.push(local.spawn_local(async move {
            loop {
                let Some((number, moment)) = due.lock().await.recv().await else { return };
                driver.send(number, Some(moment)).await;
            }
        }));
    }
    let begin = Instant::now();
    let offering = async move {
        let mut moments = Moments { offer, number: 0, at: Duration::ZERO, chance: 0x9E37_79B9_7F4A_7C15 };
        let mut next = moments.next();
        while let Some((number, at)) = next {
            if begin.elapsed() < at {
                sleep(TICK).await;
                continue;
            }
            // Nobody has gone: they go when this ends.
            let _ = send.send((number, begin + at));
            next = moments.next();
        }
    };
    local
        .run_until(async {
            offering.await;
            finish(tasks).await
        })
        .await?;
    let mut seen: Seen = seen.take();
    seen.took = begin.elapsed();
    Ok(seen)
}

/// The numbers and moments of an offer, from its beginning.
struct Moments {
    offer: Offer,
    number: u64,
    at: Duration,
    chance: u64,
}

impl Iterator for Moments {
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<(u64, Duration)> {
        let Offer { rate, pace, length, first, .. } = self.offer;
        let at = match pace {
            // Not a sum: that would drift.
            Pace::Even => Duration::from_secs_f64(self.number as f64 / rate),
            Pace::Random => self.at,
        };
        if at >= length {
            return None;
        }
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((self.chance >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        self.at += Duration::from_secs_f64(-uniform.ln() / rate);
        self.number += 1;
        Some((first + self.number - 1, at))
    }
}

async fn finish(tasks: Vec<JoinHandle<()>>) -> io::Result<()> {
    for task in tasks {
        task.await.map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(pace: Pace, rate: f64, seconds: u64) -> Vec<(u64, Duration)> {
        let offer = Offer { rate, pace, length: Duration::from_secs(seconds), connections: 1, first: 7 };
        Moments { offer, number: 0, at: Duration::ZERO, chance: 1 }.collect()
    }

    #[test]
    fn an_even_pace_has_as_many_as_its_rate_says_at_equal_distances() {
        let even = moments(Pace::Even, 1_000.0, 3);
        assert_eq!((even.len(), even.first().copied()), (3_000, Some((7, Duration::ZERO))));
        assert_eq!(even.last().copied(), Some((3_006, Duration::from_millis(2_999))));
    }

    #[test]
    fn random_moments_ascend_and_are_about_as_many() {
        let random = moments(Pace::Random, 1_000.0, 10);
        assert!((9_500..10_500).contains(&random.len()), "{}", random.len());
        assert!(random.windows(2).all(|two| two[0].1 <= two[1].1 && two[0].0 + 1 == two[1].0));
    }
}
