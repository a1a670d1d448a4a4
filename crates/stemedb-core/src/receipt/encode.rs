//! Receipts to bytes; the mirror of `decode`.

use super::{ClaimStanding, Figures, RECEIPT_VERSION, Receipt, ReceiptClaim, ReceiptLayer, ReceiptValue};
use crate::canonical::{encode_object, writer};

impl Receipt {
    /// The bytes that the id and the signature cover.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + 160 * self.claims.len());
        self.encode_canonical(&mut out);
        out
    }

    fn encode_canonical(&self, out: &mut Vec<u8>) {
        out.push(RECEIPT_VERSION);
        out.extend_from_slice(&self.server.0);
        out.extend_from_slice(&self.database);
        writer::varint(out, u64::from(self.timeline));
        writer::varint(out, u64::from(self.derivation));
        writer::varint(out, self.state.lsn);
        writer::varint(out, self.state.rows);
        out.extend_from_slice(&self.state.root);
        writer::micros(out, self.made_at);
        let question = &self.question;
        writer::text(out, &question.subject);
        writer::text(out, &question.predicate);
        writer::text(out, &question.lens);
        writer::varint(out, u64::from(question.lens_version));
        out.extend_from_slice(&question.lens_hash);
        writer::varint(out, question.parameters.len() as u64);
        for (name, value) in &question.parameters {
            writer::text(out, name);
            writer::text(out, value);
        }
        writer::varint(out, question.as_of);
        writer::micros(out, question.evaluated_at);
        match self.latest_used {
            None => writer::varint(out, 0),
            Some(used) => {
                writer::varint(out, used.lsn);
                writer::micros(out, used.recorded_at);
            }
        }
        let answer = &self.answer;
        writer::text(out, &answer.status);
        match &answer.value {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                encode_object(value, out);
            }
        }
        figures(out, &answer.figures);
        writer::varint(out, answer.values.len() as u64);
        answer.values.iter().for_each(|one| value(out, one));
        writer::varint(out, self.claims.len() as u64);
        self.claims.iter().for_each(|one| claim(out, one));
        indices(out, &answer.winners);
        writer::varint(out, answer.layers.len() as u64);
        answer.layers.iter().for_each(|one| layer(out, one));
    }
}

fn figures(out: &mut Vec<u8>, figures: &Figures) {
    writer::varint(out, figures.len() as u64);
    for (name, amount) in figures {
        writer::text(out, name);
        writer::signed(out, amount.0);
    }
}

fn indices(out: &mut Vec<u8>, indices: &[u32]) {
    writer::varint(out, indices.len() as u64);
    indices.iter().for_each(|index| writer::varint(out, u64::from(*index)));
}

fn value(out: &mut Vec<u8>, value: &ReceiptValue) {
    encode_object(&value.object, out);
    figures(out, &value.figures);
}

fn claim(out: &mut Vec<u8>, claim: &ReceiptClaim) {
    out.extend_from_slice(&claim.id.0);
    writer::varint(out, claim.lsn);
    writer::varint(out, u64::from(claim.ordinal));
    writer::micros(out, claim.recorded_at);
    writer::text(out, &claim.source);
    out.push(claim.class.number());
    match &claim.standing {
        ClaimStanding::SetAside(reason) => writer::text(out, reason),
        ClaimStanding::Counted { value, figures: amounts } => {
            writer::text(out, "");
            writer::varint(out, u64::from(*value));
            figures(out, amounts);
        }
    }
}

fn layer(out: &mut Vec<u8>, layer: &ReceiptLayer) {
    out.push(layer.class.number());
    writer::varint(out, u64::from(layer.value));
    figures(out, &layer.figures);
    indices(out, &layer.winners);
}
