//! Loops against a server that does what a test says, on a clock that stands still unless everybody waits.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

use super::*;

/// Requests that are their number.
#[derive(Default)]
struct Numbers {
    judged: RefCell<Vec<u64>>,
}

impl Work for Numbers {
    fn request(&self, number: u64, request: &mut Vec<u8>) {
        request.extend_from_slice(format!("{number:08}").as_bytes());
    }

    fn judge(&self, number: u64, reply: &Reply<'_>) -> Verdict {
        self.judged.borrow_mut().push(number);
        let is_right = reply.body == format!("{number:08}").as_bytes();
        if is_right { Verdict::of_status(reply.status) } else { Verdict::Failed }
    }
}

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Does {
    Reply(&'static str),
    Wait(Duration),
    Close,
}

/// Answers each request with its own bytes, in the way that `does` says for its number.
async fn server(does: fn(u64) -> Does) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 8];
                while stream.read_exact(&mut request).await.is_ok() {
                    let number = std::str::from_utf8(&request).unwrap().parse().unwrap();
                    let status = match does(number) {
                        Does::Reply(status) => status,
                        Does::Wait(time) => {
                            sleep(time).await;
                            "200 OK"
                        }
                        Does::Close => return,
                    };
                    let head = format!("HTTP/1.1 {status}\r\ncontent-LENGTH: 8\r\n\r\n");
                    // In two parts: a reply may come in any.
                    stream.write_all(head.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    stream.write_all(&request).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "current_thread")]
async fn a_closed_loop_sends_each_number_once_and_counts_what_came_of_it() {
    let address = server(|number| match number {
        10 => Does::Reply("503 Service Unavailable"),
        11 => Does::Reply("429 Too Many Requests"),
        12 => Does::Reply("404 Not Found"),
        13 => Does::Close,
        _ => Does::Reply("200 OK"),
    })
    .await;
    let work = Rc::new(Numbers::default());
    let seen = closed(&address, &work, 4, 5..105, Duration::MAX).await.unwrap();
    assert_eq!((seen.offered, seen.good.len(), seen.refused.len(), seen.failed), (100, 96, 2, 2));
    let mut judged = work.judged.take();
    judged.sort_unstable();
    let answered: Vec<u64> = (5..105).filter(|number| *number != 13).collect();
    assert_eq!(judged, answered);
    assert!(seen.first_failure.is_some());
}

#[tokio::test(flavor = "current_thread")]
async fn a_closed_loop_ends_when_its_time_is_over() {
    let address = server(|_| Does::Reply("200 OK")).await;
    let work = Rc::new(Numbers::default());
    let seen = closed(&address, &work, 2, 0..u64::MAX, Duration::ZERO).await.unwrap();
    assert_eq!(seen.offered, 0);
}

/// The server stops for a second behind the first of ten requests that are 10 ms apart. Each of the others was due before it went on,
/// and that they waited is seen, though each of them was answered at once when it was sent.
#[tokio::test(flavor = "current_thread")]
async fn an_open_loop_counts_how_long_requests_waited_for_a_connection() {
    let address = server(|number| match number {
        0 => Does::Wait(Duration::from_secs(1)),
        _ => Does::Reply("200 OK"),
    })
    .await;
    let offer =
        Offer { rate: 100.0, pace: Pace::Even, length: Duration::from_millis(100), connections: 1, first: 0 };
    let seen = open(&address, &Rc::new(Numbers::default()), offer).await.unwrap();
    assert_eq!((seen.offered, seen.good.len()), (10, 10));
    // The last one was due 90 ms after the first, which took a second.
    let least = seen.good.iter().min().copied().unwrap();
    assert!(least >= 900_000, "{least} µs");
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_there_is_an_error_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert!(closed(&address, &Rc::new(Numbers::default()), 1, 0..1, Duration::MAX).await.is_err());
}

#[test]
fn a_percentile_is_a_time_that_was_seen() {
    let times: Vec<u32> = (1..=1000).rev().map(|n| n * 1000).collect();
    assert_eq!(percentile_ms(&times, 0.99), Some(991.0));
    assert_eq!(percentile_ms(&times, 0.0), Some(1.0));
    assert_eq!(percentile_ms(&times, 1.0), Some(1000.0));
    assert_eq!(percentile_ms(&[], 0.99), None);
}
