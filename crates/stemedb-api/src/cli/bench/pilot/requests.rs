//! What is sent, and which replies are right.

use std::{cell::RefCell, io::Write as _};

use hyper::header::HeaderValue;
use stemedb_api::{
    json,
    load::{Reply, Verdict, Work},
};

use super::claims::{Claims, PER_QUESTION, QUESTIONS};
use crate::cli::{
    client::{ServerUrl, authorization, with_parameters},
    failure::Failure,
};

/// A server, and how it is spoken to.
#[derive(Clone)]
pub struct Server {
    url: ServerUrl,
    /// `Authorization: …\r\n`, or nothing.
    authorization: String,
}

impl Server {
    /// A server that asks nobody for a key.
    pub fn own(url: &ServerUrl) -> Server {
        Server { url: url.clone(), authorization: String::new() }
    }

    /// The server at an address, with the key that the environment names.
    pub fn new(url: &ServerUrl) -> Result<Server, Failure> {
        let key = authorization()?;
        let key = key.as_ref().map(HeaderValue::to_str).transpose().map_err(Failure::new)?;
        let authorization = key.map(|key| format!("Authorization: {key}\r\n")).unwrap_or_default();
        Ok(Server { url: url.clone(), authorization })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url.authority()
    }

    /// Writes a `GET`.
    pub fn get(&self, path: &str, request: &mut Vec<u8>) {
        let Server { url, authorization } = self;
        // Writing into memory cannot fail.
        let _ = write!(
            request,
            "GET {}{path} HTTP/1.1\r\nHost: {}\r\n{authorization}\r\n",
            url.base(),
            url.authority()
        );
    }

    fn post(&self, path: &str, body: &str, request: &mut Vec<u8>) {
        let Server { url, authorization } = self;
        let _ = write!(
            request,
            "POST {}{path} HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            url.base(),
            url.authority(),
            body.len()
        );
    }
}

/// Questions in an order that jumps; each of them has eight claims, and an answer from fewer is wrong.
pub struct Questions {
    pub server: Server,
    pub claims: Claims,
}

impl Work for Questions {
    fn request(&self, number: u64, request: &mut Vec<u8>) {
        // 7,919 is a prime that does not divide their number: all of them come.
        let subject = self.claims.subject(number * 7_919 % QUESTIONS);
        self.server
            .get(&with_parameters("/v1/query", &[("subject", &subject), ("predicate", "value")]), request);
    }

    fn judge(&self, _number: u64, reply: &Reply<'_>) -> Verdict {
        let expected = format!("\"considered\":{PER_QUESTION}");
        match Verdict::of_status(reply.status) {
            Verdict::Good if !contains(reply.body, &expected) => Verdict::Failed,
            verdict => verdict,
        }
    }
}

/// New claims, one a request.
pub struct Asserts {
    server: Server,
    claims: Claims,
    acknowledged: RefCell<Vec<u64>>,
}

impl Asserts {
    pub fn new(server: Server, claims: Claims) -> Asserts {
        Asserts { server, claims, acknowledged: RefCell::default() }
    }

    /// The numbers of those that the server has said to have recorded.
    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.take()
    }
}

impl Work for Asserts {
    fn request(&self, number: u64, request: &mut Vec<u8>) {
        let mut body = String::new();
        self.claims.body(number, &mut body);
        self.server.post("/v1/assert", &body, request);
    }

    fn judge(&self, number: u64, reply: &Reply<'_>) -> Verdict {
        match Verdict::of_status(reply.status) {
            // None of them was there before.
            Verdict::Good if reply.status == 201 && contains(reply.body, "\"created\":true") => {
                self.acknowledged.borrow_mut().push(number);
                Verdict::Good
            }
            Verdict::Good => Verdict::Failed,
            verdict => verdict,
        }
    }
}

/// What became of an acknowledged claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No reply, or one that says nothing about it.
    Unknown,
    /// It is there.
    Stored,
    /// The server says that there is no such claim.
    Lost,
}

/// Acknowledged claims by their ids, which are made here again. The n-th request is for the n-th of them.
pub struct Stored {
    server: Server,
    claims: Claims,
    numbers: Vec<u64>,
    fates: RefCell<Vec<Fate>>,
}

impl Stored {
    pub fn new(server: Server, claims: Claims, numbers: Vec<u64>) -> Stored {
        let fates = RefCell::new(vec![Fate::Unknown; numbers.len()]);
        Stored { server, claims, numbers, fates }
    }

    /// The numbers of those with a fate.
    pub fn of(&self, fate: Fate) -> Vec<u64> {
        let fates = self.fates.borrow();
        let those = self.numbers.iter().zip(fates.iter()).filter(|(_, found)| **found == fate);
        those.map(|(number, _)| *number).collect()
    }

    fn number(&self, at: u64) -> u64 {
        usize::try_from(at).ok().and_then(|at| self.numbers.get(at)).copied().unwrap_or(0)
    }
}

impl Work for Stored {
    fn request(&self, at: u64, request: &mut Vec<u8>) {
        let mut body = String::new();
        self.claims.body(self.number(at), &mut body);
        let id = json::assertion(body.as_bytes()).map(|claim| claim.id().to_string()).unwrap_or_default();
        self.server.get(&format!("/v1/assertions/{id}"), request);
    }

    fn judge(&self, at: u64, reply: &Reply<'_>) -> Verdict {
        let subject = format!("\"{}\"", self.claims.subject(self.number(at) / PER_QUESTION));
        let fate = match reply.status {
            200 if contains(reply.body, &subject) => Fate::Stored,
            404 => Fate::Lost,
            _ => Fate::Unknown,
        };
        if let Ok(at) = usize::try_from(at)
            && let Some(place) = self.fates.borrow_mut().get_mut(at)
        {
            *place = fate;
        }
        if fate == Fate::Stored { Verdict::Good } else { Verdict::Failed }
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply<'_> {
        Reply { status, body: body.as_bytes() }
    }

    fn server() -> Server {
        let url = "http://127.0.0.1:18180/db".parse().unwrap();
        Server { url, authorization: "Authorization: Bearer x\r\n".to_owned() }
    }

    #[test]
    fn an_answer_from_fewer_claims_is_wrong() {
        let claims = Claims::new(&stemedb_env::Env::real());
        let work = Questions { server: server(), claims };
        assert_eq!(work.judge(0, &reply(200, r#"{"considered":8,"#)), Verdict::Good);
        assert_eq!(work.judge(0, &reply(200, r#"{"considered":7,"#)), Verdict::Failed);
        assert_eq!(work.judge(0, &reply(429, "")), Verdict::Refused);
        let mut request = Vec::new();
        work.request(3, &mut request);
        let text = String::from_utf8(request).unwrap();
        let head = "GET /db/v1/query?subject=pilot%3A";
        assert!(text.starts_with(head) && text.contains("\r\nAuthorization: Bearer x\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_claim_counts_as_acknowledged_only_if_it_was_recorded_anew() {
        let work = Asserts::new(server(), Claims::new(&stemedb_env::Env::real()));
        assert_eq!(work.judge(1, &reply(201, r#"{"created":true}"#)), Verdict::Good);
        assert_eq!(work.judge(2, &reply(200, r#"{"created":false}"#)), Verdict::Failed);
        assert_eq!(work.judge(3, &reply(503, "")), Verdict::Refused);
        assert_eq!(work.acknowledged(), [1]);
    }

    #[test]
    fn a_claim_is_lost_only_if_the_server_says_that_there_is_none() {
        let claims = Claims::new(&stemedb_env::Env::real());
        let work = Stored::new(server(), claims, vec![80, 81, 82, 83]);
        let stored = format!(r#"{{"subject":"{}"}}"#, claims.subject(10));
        assert_eq!(work.judge(0, &reply(200, &stored)), Verdict::Good);
        assert_eq!(work.judge(1, &reply(404, "")), Verdict::Failed);
        assert_eq!(work.judge(2, &reply(503, "")), Verdict::Failed);
        assert_eq!((work.of(Fate::Stored), work.of(Fate::Lost)), (vec![80], vec![81]));
        assert_eq!(work.of(Fate::Unknown), [82, 83]);
    }
}
