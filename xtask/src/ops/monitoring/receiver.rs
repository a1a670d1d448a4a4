//! Where alerts arrive: what a pager would be.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::Value;

/// What Alertmanager has said.
#[derive(Clone, Default)]
pub struct Receiver {
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    /// Alerts that fire now: name and labels.
    firing: BTreeSet<(String, String)>,
    /// Each receiver's path with the severities that came to it.
    ways: BTreeSet<(String, String)>,
}

impl Receiver {
    /// Listens on a port that is free; gives that too. The thread lives as long as the process.
    pub fn start() -> Result<(Receiver, u16), String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let receiver = Receiver::default();
        let here = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that breaks off is repeated by Alertmanager.
                let _ = here.take(stream);
            }
        });
        Ok((receiver, port))
    }

    fn take(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(&stream);
        let (mut path, mut length) = (String::new(), 0);
        for line in reader.by_ref().lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        self.note(&path, &serde_json::from_slice(&body).unwrap_or_default());
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }

    fn note(&self, path: &str, message: &Value) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for alert in message["alerts"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let labels = &alert["labels"];
            let text = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
            let key = (text("alertname"), labels.to_string());
            match alert["status"].as_str() {
                Some("firing") => told.firing.insert(key),
                _ => told.firing.remove(&key),
            };
            told.ways.insert((path.to_owned(), text("severity")));
        }
    }

    /// True if an alert of this name fires.
    pub fn fires(&self, name: &str) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.firing.iter().any(|(known, _)| known == name)
    }

    /// Names of all that fire.
    pub fn firing(&self) -> BTreeSet<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.firing.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Paths with the severities that came to them.
    pub fn ways(&self) -> BTreeSet<(String, String)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).ways.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_fires_until_it_is_resolved() {
        let receiver = Receiver::default();
        let message = |status: &str, instance: &str| {
            let labels = serde_json::json!({"alertname": "A", "instance": instance, "severity": "critical"});
            serde_json::json!({"alerts": [{"status": status, "labels": labels}]})
        };
        receiver.note("/pager", &message("firing", "1"));
        receiver.note("/pager", &message("firing", "2"));
        receiver.note("/pager", &message("resolved", "1"));
        assert!(receiver.fires("A"));
        receiver.note("/pager", &message("resolved", "2"));
        assert!(!receiver.fires("A") && receiver.firing().is_empty());
        assert_eq!(receiver.ways().into_iter().next().unwrap(), ("/pager".to_owned(), "critical".to_owned()));
    }
}
