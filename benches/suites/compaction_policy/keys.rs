//! Two shapes of keys, as order-preserving numbers.

/// What is written.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Each row anywhere.
    Uniform,
    /// Each claim writes a row into each of four families: by id (anywhere), by subject, by agent (both appended behind
    /// the rows of the same subject or agent), by arrival (appended at the end).
    Claims,
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Shape::Uniform => "uniform",
            Shape::Claims => "claims",
        }
    }
}

/// Distinct subjects; new ones and busy ones alike come in the order of their hashes.
const SUBJECTS: u64 = 20_000;
const AGENTS: u64 = 50;

fn spread(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Endless rows: key and LSN. No key comes twice.
pub fn rows(shape: Shape) -> Box<dyn Iterator<Item = (u64, u64)>> {
    match shape {
        Shape::Uniform => Box::new((0..).map(|n| (spread(n), n))),
        Shape::Claims => Box::new((0..).flat_map(|lsn: u64| {
            let family =
                |family: u64, prefix: u64| (family << 62) | ((prefix >> 34 & 0x3FF_FFFF) << 36) | lsn;
            // A power law: the square of an even distribution makes few subjects busy.
            let even = (spread(lsn ^ 0x5AB) >> 11) as f64 / (1u64 << 53) as f64;
            let subject = spread((even * even * SUBJECTS as f64) as u64);
            let agent = spread(spread(lsn ^ 0xA6) % AGENTS);
            [(spread(lsn) >> 2, lsn), (family(1, subject), lsn), (family(2, agent), lsn), (family(3, 0), lsn)]
        })),
    }
}
