//! What a server shows: a position, and the root of its rows there, as a receipt of it says.

use serde_json::Value;
use stemedb_env::Lsn;

use crate::cli::client::{Client, ClientError, ServerUrl};

/// A server at a moment.
#[derive(Clone, Debug)]
pub struct Live {
    pub lsn: Lsn,
    pub rows: u64,
    pub root: String,
}

impl Live {
    /// Asks a question with a receipt, and the receipt for the state that it is of.
    pub fn ask(url: &ServerUrl) -> Result<Live, String> {
        let mut client = Client::new(url).map_err(|_| format!("{url} cannot be asked"))?;
        let questions = json(&mut client, "/v1/questions?limit=1")?;
        let question = questions.pointer("/questions/0");
        let part = |name: &str| {
            let text = question.and_then(|question| question.get(name)).and_then(Value::as_str);
            // A server without claims answers any question.
            escaped(text.unwrap_or("nothing"))
        };
        let target =
            format!("/v1/query?subject={}&predicate={}&receipt=true", part("subject"), part("predicate"));
        let answer = json(&mut client, &target)?;
        let state = answer.pointer("/receipt/state").ok_or("the server's answer has no receipt")?;
        let number = |name: &str| state.get(name).and_then(Value::as_u64).ok_or("the receipt has no state");
        let root = state.get("root").and_then(Value::as_str).ok_or("the receipt has no root")?;
        Ok(Live { lsn: Lsn(number("lsn")?), rows: number("rows")?, root: root.to_owned() })
    }
}

fn json(client: &mut Client, target: &str) -> Result<Value, String> {
    let reply = client.get(target).map_err(|error| match error {
        ClientError::Connection(text) => text,
        ClientError::Refused(refusal) => refusal.to_string(),
    })?;
    serde_json::from_slice(&reply).map_err(|error| format!("the server's reply: {error}"))
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
