//! Fixed scripts. Between them they reach every call that the journal makes.

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appends a group of entries of these sizes; a single one goes through the commit queue.
    Append(&'static [usize]),
    /// The next segment.
    Rotate,
    /// The views have flushed everything that was acknowledged.
    Release,
    /// Time passes and background jobs run.
    Idle,
    /// Reads everything.
    Read,
    /// Closed and opened.
    Close,
    /// The process dies and starts again; the page cache stays.
    Kill,
    /// The power goes, and every second unit survives.
    PowerCut,
}

/// A list of steps with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// The name.
    pub name: &'static str,
    /// True when the journal is created under faults too.
    pub creates: bool,
    /// The steps.
    pub steps: &'static [Step],
}

use Step::{Append, Close, Idle, Kill, PowerCut, Read, Release, Rotate};

/// All scripts.
pub const SCRIPTS: [Script; 4] = [
    Script {
        name: "birth",
        creates: true,
        steps: &[Append(&[20]), Idle, Append(&[300, 5]), Read, Close, Append(&[20]), Kill, Read],
    },
    Script {
        name: "steady",
        creates: false,
        steps: &[
            Append(&[20]),
            Append(&[700]),
            Append(&[5, 5, 5]),
            Idle,
            Append(&[2500]),
            Read,
            Append(&[30]),
            Append(&[1400, 10]),
            Idle,
            Append(&[30]),
            Read,
            Append(&[40]),
            Append(&[50]),
            Close,
            Read,
        ],
    },
    Script {
        name: "turnover",
        creates: false,
        steps: &[
            Append(&[3000]),
            Append(&[3000]),
            Append(&[3000]),
            Release,
            Idle,
            Append(&[9000]),
            Append(&[20]),
            Rotate,
            Append(&[3000]),
            Release,
            Idle,
            Read,
            Append(&[3000]),
            Append(&[3000]),
            Rotate,
            Release,
            Idle,
            Append(&[20]),
            Read,
        ],
    },
    Script {
        name: "restarts",
        creates: false,
        steps: &[
            Append(&[20]),
            Kill,
            Append(&[700, 5]),
            Append(&[30]),
            PowerCut,
            Read,
            Append(&[5000]),
            Close,
            Append(&[30]),
            Rotate,
            Append(&[30]),
            Release,
            Kill,
            Append(&[1400]),
            PowerCut,
            Append(&[20]),
            Idle,
            Kill,
            Read,
        ],
    },
];
