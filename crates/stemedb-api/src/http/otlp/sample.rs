//! Which traces that begin here are exported.

/// Routes that are asked for all the time by programs: no trace begins with them.
const PROBES: [&str; 4] = ["/livez", "/readyz", "/metrics", "/v1/health"];

/// Decides by the trace's id, so that all who are asked with the same ratio decide alike: as `TraceIdRatioBased` of the OpenTelemetry
/// SDKs does, by the last eight bytes without their lowest bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    /// Ids below it are exported.
    below: u64,
}

impl Sampler {
    pub(super) fn new(ratio: f64) -> Sampler {
        // 2^63 in all; the cast saturates.
        Sampler { below: (ratio.clamp(0.0, 1.0) * 9_223_372_036_854_775_808.0) as u64 }
    }

    pub(super) fn samples(self, trace: &str, route: &str) -> bool {
        let low = trace.get(16..).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        low.is_some_and(|low| low >> 1 < self.below) && !PROBES.contains(&route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(low: u64) -> String {
        format!("{:016x}{low:016x}", 7)
    }

    #[test]
    fn the_ratio_is_the_part_of_all_ids_that_is_taken() {
        let takes = |ratio: f64, low: u64| Sampler::new(ratio).samples(&id(low), "/v1/query");
        for low in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(takes(1.0, low) && !takes(0.0, low), "{low}");
        }
        assert!(takes(0.5, (1 << 63) - 1) && !takes(0.5, 1 << 63));
        assert!(takes(0.25, (1 << 62) - 1) && !takes(0.25, 1 << 62));
    }

    #[test]
    fn no_trace_begins_with_a_probe() {
        let all = Sampler::new(1.0);
        assert!(PROBES.iter().all(|route| !all.samples(&id(0), route)));
        assert!(all.samples(&id(0), "unmatched"));
    }
}
