//! Receipts from bytes of anybody.

use super::{
    ClaimStanding, Figures, LatestUsed, RECEIPT_CLAIMS_MAX, RECEIPT_NAME_MAX_BYTES, RECEIPT_NAMED_MAX,
    RECEIPT_PARAMETER_MAX_BYTES, RECEIPT_VERSION, Receipt, ReceiptAnswer, ReceiptClaim, ReceiptLayer,
    ReceiptQuestion, ReceiptState, ReceiptValue,
};
use crate::canonical::{CodecError, class, decode_object, reader::Reader};
use crate::identity::{AgentId, ClaimId};
use crate::model::{NAME_MAX_BYTES, Nano, SourceClass};

impl Receipt {
    /// Reads canonical bytes from the front of `bytes` and moves `bytes` behind them (not on error). Memory: bounded by
    /// a small multiple of the bytes that are there.
    ///
    /// # Errors
    /// Bytes that are not the only encoding of a receipt, or whose indices and LSNs point outside of it.
    pub fn decode(bytes: &mut &[u8]) -> Result<Receipt, CodecError> {
        let mut reader = Reader::new(bytes);
        let receipt = receipt(&mut reader)?;
        *bytes = reader.rest();
        Ok(receipt)
    }
}

fn receipt(reader: &mut Reader<'_>) -> Result<Receipt, CodecError> {
    match reader.byte("/receipt")? {
        RECEIPT_VERSION => {}
        other => return Err(CodecError::UnknownCode { field: "/receipt", code: u64::from(other) }),
    }
    let server = AgentId(reader.array("/server_key")?);
    let database = reader.array("/database")?;
    let timeline = small(reader, "/timeline")?;
    let derivation = small(reader, "/derivation")?;
    let state = ReceiptState {
        lsn: reader.varint("/state/lsn")?,
        rows: reader.varint("/state/rows")?,
        root: reader.array("/state/root")?,
    };
    let made_at = reader.micros("/made_at")?;
    let question = question(reader, state.lsn)?;
    let latest_used = match reader.varint("/latest_used")? {
        0 => None,
        lsn => Some(LatestUsed {
            lsn: at_most(lsn, question.as_of, "/latest_used/lsn")?,
            recorded_at: reader.micros("/latest_used/recorded_at")?,
        }),
    };
    let status = filled(reader, "/answer/status", RECEIPT_NAME_MAX_BYTES)?;
    let value = match reader.byte("/answer/value")? {
        0 => None,
        1 => Some(decode_object(reader)?.to_object()),
        other => return Err(CodecError::UnknownCode { field: "/answer/value", code: u64::from(other) }),
    };
    let own_figures = figures(reader, "/answer/figures")?;
    let values = list(reader, "/answer/values", RECEIPT_CLAIMS_MAX, |reader| {
        Ok(ReceiptValue {
            object: decode_object(reader)?.to_object(),
            figures: figures(reader, "/answer/values/figures")?,
        })
    })?;
    let claims =
        list(reader, "/claims", RECEIPT_CLAIMS_MAX, |reader| claim(reader, question.as_of, values.len()))?;
    if !claims.is_sorted_by(|a, b| (a.lsn, a.ordinal) > (b.lsn, b.ordinal)) {
        return Err(CodecError::NotSorted { field: "/claims" });
    }
    let winners = winners(reader, "/answer/winners", &claims)?;
    let layers = list(reader, "/answer/layers", SourceClass::COUNT, |reader| {
        Ok(ReceiptLayer {
            class: class(reader, "/answer/layers/source_class")?,
            value: index(reader, "/answer/layers/value", values.len())?,
            figures: figures(reader, "/answer/layers/figures")?,
            winners: self::winners(reader, "/answer/layers/winners", &claims)?,
        })
    })?;
    if !layers.is_sorted_by(|a, b| a.class < b.class) {
        return Err(CodecError::NotSorted { field: "/answer/layers" });
    }
    let answer = ReceiptAnswer { status, value, figures: own_figures, values, winners, layers };
    Ok(Receipt {
        server,
        database,
        timeline,
        derivation,
        state,
        made_at,
        question,
        latest_used,
        answer,
        claims,
    })
}

fn question(reader: &mut Reader<'_>, state_lsn: u64) -> Result<ReceiptQuestion, CodecError> {
    let subject = filled(reader, "/question/subject", NAME_MAX_BYTES)?;
    let predicate = filled(reader, "/question/predicate", NAME_MAX_BYTES)?;
    let lens = filled(reader, "/question/lens", RECEIPT_NAME_MAX_BYTES)?;
    let lens_version = small(reader, "/question/lens_version")?;
    let lens_hash = reader.array("/question/lens_hash")?;
    let parameters = list(reader, "/question/parameters", RECEIPT_NAMED_MAX, |reader| {
        let name = filled(reader, "/question/parameters", RECEIPT_NAME_MAX_BYTES)?;
        let value = reader.text("/question/parameters", RECEIPT_PARAMETER_MAX_BYTES)?;
        Ok((name, value.to_owned()))
    })?;
    if !parameters.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(CodecError::NotSorted { field: "/question/parameters" });
    }
    let as_of = at_most(reader.varint("/question/as_of")?, state_lsn, "/question/as_of")?;
    let evaluated_at = reader.micros("/question/evaluated_at")?;
    Ok(ReceiptQuestion { subject, predicate, lens, lens_version, lens_hash, parameters, as_of, evaluated_at })
}

fn claim(reader: &mut Reader<'_>, as_of: u64, values: usize) -> Result<ReceiptClaim, CodecError> {
    let id = ClaimId(reader.array("/claims/id")?);
    let lsn = at_most(reader.varint("/claims/lsn")?, as_of, "/claims/lsn")?;
    let ordinal = small(reader, "/claims/ordinal")?;
    let recorded_at = reader.micros("/claims/recorded_at")?;
    let source = filled(reader, "/claims/source", NAME_MAX_BYTES)?;
    let class = class(reader, "/claims/source_class")?;
    let standing = match reader.text("/claims/set_aside", RECEIPT_NAME_MAX_BYTES)? {
        "" => ClaimStanding::Counted {
            value: index(reader, "/claims/value", values)?,
            figures: figures(reader, "/claims/figures")?,
        },
        reason => ClaimStanding::SetAside(reason.to_owned()),
    };
    Ok(ReceiptClaim { id, lsn, ordinal, recorded_at, source, class, standing })
}

/// Indices of claims that counted.
fn winners(
    reader: &mut Reader<'_>,
    field: &'static str,
    claims: &[ReceiptClaim],
) -> Result<Vec<u32>, CodecError> {
    list(reader, field, claims.len(), |reader| {
        let at = index(reader, field, claims.len())?;
        let winner = claims.get(at as usize).map(|claim| &claim.standing);
        match winner {
            Some(ClaimStanding::Counted { .. }) => Ok(at),
            _ => Err(CodecError::OutOfRange { field }),
        }
    })
}

/// A list grows as its items are there: a count alone allocates nothing.
fn list<T>(
    reader: &mut Reader<'_>,
    field: &'static str,
    max: usize,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = reader.count(field, max)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(reader)?);
    }
    Ok(items)
}

fn figures(reader: &mut Reader<'_>, field: &'static str) -> Result<Figures, CodecError> {
    let figures = list(reader, field, RECEIPT_NAMED_MAX, |reader| {
        Ok((filled(reader, field, RECEIPT_NAME_MAX_BYTES)?, Nano(reader.signed(field)?)))
    })?;
    match figures.is_sorted_by(|(a, _), (b, _)| a < b) {
        true => Ok(figures),
        false => Err(CodecError::NotSorted { field }),
    }
}

fn filled(reader: &mut Reader<'_>, field: &'static str, max: usize) -> Result<String, CodecError> {
    match reader.text(field, max)? {
        "" => Err(CodecError::EmptyPresent { field }),
        text => Ok(text.to_owned()),
    }
}

fn small(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, CodecError> {
    u32::try_from(reader.varint(field)?).map_err(|_| CodecError::OutOfRange { field })
}

fn index(reader: &mut Reader<'_>, field: &'static str, len: usize) -> Result<u32, CodecError> {
    let index = small(reader, field)?;
    if (index as usize) < len { Ok(index) } else { Err(CodecError::OutOfRange { field }) }
}

fn at_most(lsn: u64, bound: u64, field: &'static str) -> Result<u64, CodecError> {
    if lsn <= bound { Ok(lsn) } else { Err(CodecError::OutOfRange { field }) }
}
