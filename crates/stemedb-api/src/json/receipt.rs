//! Receipts in JSON.

use serde::{Serialize, Serializer, ser::SerializeMap};
use stemedb_core::{
    ClaimId, Micros, SignedReceipt,
    identity::hex,
    receipt::{ClaimStanding, Figures, LatestUsed, Receipt, ReceiptClaim, ReceiptLayer, ReceiptValue},
};

use super::ObjectJson;
use crate::database::Database;

/// A receipt: for people, and behind it the bytes that were signed. The same receipt is always the same text; see
/// `docs/formats/receipt.md`.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptJson<'a>(pub &'a SignedReceipt);

impl Serialize for ReceiptJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let signed = self.0;
        let receipt = signed.receipt();
        let (question, answer) = (&receipt.question, &receipt.answer);
        Whole {
            receipt: stemedb_core::receipt::RECEIPT_VERSION,
            id: hex::text(&signed.id()),
            server_key: receipt.server.to_string(),
            database: hex::text(&receipt.database),
            timeline: receipt.timeline,
            derivation: receipt.derivation,
            state: State {
                lsn: receipt.state.lsn,
                rows: receipt.state.rows,
                root: hex::text(&receipt.state.root),
            },
            made_at: receipt.made_at.to_string(),
            question: Question {
                subject: &question.subject,
                predicate: &question.predicate,
                lens: &question.lens,
                lens_version: question.lens_version,
                lens_hash: hex::text(&question.lens_hash),
                parameters: Named(&question.parameters),
                as_of: question.as_of,
                evaluated_at: question.evaluated_at.to_string(),
            },
            latest_used: receipt
                .latest_used
                .map(|LatestUsed { lsn, recorded_at }| Used { lsn, recorded_at: text(recorded_at) }),
            answer: Answer {
                status: &answer.status,
                value: answer.value.as_ref().map(|value| ObjectJson(value.as_ref())),
                figures: Amounts(&answer.figures),
                values: answer.values.iter().map(value).collect(),
                winners: ids(receipt, &answer.winners),
                layers: answer.layers.iter().map(|one| layer(receipt, one)).collect(),
            },
            claims: receipt.claims.iter().map(claim).collect(),
            canonical: hex::text(signed.canonical()),
            signature: signed.signature().to_string(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    receipt: u8,
    id: String,
    server_key: String,
    database: String,
    timeline: u32,
    derivation: u32,
    state: State,
    made_at: String,
    question: Question<'a>,
    latest_used: Option<Used>,
    answer: Answer<'a>,
    claims: Vec<Claim<'a>>,
    canonical: String,
    signature: String,
}

#[derive(Serialize)]
struct State {
    lsn: u64,
    rows: u64,
    root: String,
}

#[derive(Serialize)]
struct Question<'a> {
    subject: &'a str,
    predicate: &'a str,
    lens: &'a str,
    lens_version: u32,
    lens_hash: String,
    parameters: Named<'a>,
    as_of: u64,
    evaluated_at: String,
}

#[derive(Serialize)]
struct Used {
    lsn: u64,
    recorded_at: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    status: &'a str,
    value: Option<ObjectJson<'a>>,
    figures: Amounts<'a>,
    values: Vec<Value<'a>>,
    winners: Vec<String>,
    layers: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Value<'a> {
    value: ObjectJson<'a>,
    figures: Amounts<'a>,
}

#[derive(Serialize)]
struct Layer<'a> {
    source_class: u8,
    value: u32,
    figures: Amounts<'a>,
    winners: Vec<String>,
}

#[derive(Serialize)]
struct Claim<'a> {
    id: String,
    lsn: u64,
    ordinal: u32,
    recorded_at: String,
    source: &'a str,
    source_class: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Amounts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<&'a str>,
}

fn value(value: &ReceiptValue) -> Value<'_> {
    Value { value: ObjectJson(value.object.as_ref()), figures: Amounts(&value.figures) }
}

fn layer<'a>(receipt: &Receipt, layer: &'a ReceiptLayer) -> Layer<'a> {
    Layer {
        source_class: layer.class.number(),
        value: layer.value,
        figures: Amounts(&layer.figures),
        winners: ids(receipt, &layer.winners),
    }
}

fn claim(claim: &ReceiptClaim) -> Claim<'_> {
    let (value, figures, set_aside) = match &claim.standing {
        ClaimStanding::Counted { value, figures } => (Some(*value), Some(Amounts(figures)), None),
        ClaimStanding::SetAside(reason) => (None, None, Some(reason.as_str())),
    };
    Claim {
        id: claim.id.to_string(),
        lsn: claim.lsn,
        ordinal: claim.ordinal,
        recorded_at: text(claim.recorded_at),
        source: &claim.source,
        source_class: claim.class.number(),
        value,
        figures,
        set_aside,
    }
}

/// Claims by their places in the receipt.
fn ids(receipt: &Receipt, places: &[u32]) -> Vec<String> {
    let id = |place: &u32| receipt.claims.get(*place as usize).map(|claim| claim.id);
    places.iter().filter_map(id).map(|id: ClaimId| id.to_string()).collect()
}

fn text(instant: Micros) -> String {
    instant.to_string()
}

/// The answer to `GET /v1/admin/server-key`: whose receipts these are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerKeyJson {
    /// The public key, 64 hexadecimal digits.
    pub server_key: String,
    /// The database, 32 hexadecimal digits.
    pub database: String,
    /// The timeline of its LSNs.
    pub timeline: u32,
}

impl ServerKeyJson {
    /// Of a database.
    ///
    /// # Errors
    /// As [`Database::server_key`].
    pub fn of(database: &Database) -> crate::Result<ServerKeyJson> {
        let identity = database.engine().identity();
        Ok(ServerKeyJson {
            server_key: database.server_key()?.agent().to_string(),
            database: hex::text(&identity.database.0),
            timeline: identity.timeline,
        })
    }
}

/// Named texts, in their order.
struct Named<'a>(&'a [(String, String)]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Named amounts, in their order, as numbers.
struct Amounts<'a>(&'a Figures);

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, amount) in self.0 {
            map.serialize_entry(name, &amount.to_f64())?;
        }
        map.end()
    }
}
