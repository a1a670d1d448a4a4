//! Confidence fades with age.

use crate::model::{Micros, Nano, SourceClass};

const DAY_US: f64 = 86_400e6;

/// `confidence × 2^(−age / half-life)`, rounded to 10⁻⁹, with the half-life of the class
/// ([`SourceClass::half_life_days`]). A claim from the future has age 0.
pub fn decayed(confidence: Nano, class: SourceClass, time: Micros, evaluated_at: Micros) -> Nano {
    let age_us = age_us(time, evaluated_at);
    match class.half_life_days() {
        Some(days) if age_us > 0 => {
            let half_lives = age_us as f64 / (f64::from(days) * DAY_US);
            Nano((confidence.0 as f64 * (-half_lives).exp2()).round() as i64)
        }
        _ => confidence,
    }
}

/// `max(0, evaluated_at − time)` in microseconds.
pub(super) fn age_us(time: Micros, evaluated_at: Micros) -> i64 {
    evaluated_at.0.saturating_sub(time.0).max(0)
}
