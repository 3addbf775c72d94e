//! The final state that the server gives each change.

use super::codec::{DecodeError, Reader, Writer};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Durable on the server, now.
    Stored,
    /// Durable on the server since an earlier push.
    Known,
    /// Kept until the changes that it builds on arrive.
    Waiting,
    /// Refused, kept on the server with the reason, shown to people.
    Quarantined,
    /// Another change has the same device, actor and number: a cloned or restored phone. Kept as evidence; the phone makes it anew.
    Equivocation,
    /// Refused and not kept: the sender may not write here.
    Denied,
}

impl State {
    /// The wire's number.
    pub fn number(self) -> u8 {
        match self {
            Self::Stored => 1,
            Self::Known => 2,
            Self::Waiting => 3,
            Self::Quarantined => 4,
            Self::Equivocation => 5,
            Self::Denied => 6,
        }
    }

    /// From the wire's number.
    pub fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Stored,
            2 => Self::Known,
            3 => Self::Waiting,
            4 => Self::Quarantined,
            5 => Self::Equivocation,
            6 => Self::Denied,
            _ => return None,
        })
    }

    /// True when the server holds the change for good.
    pub fn is_acknowledged(self) -> bool {
        matches!(self, Self::Stored | Self::Known)
    }
}

/// The reason of a change that a server let wait and doesn't have any more.
pub const NOT_KEPT: &str = "not_kept";

/// The reason of a change of which only some answers may not be written: the code, then their keys, separated by spaces.
const FORBIDDEN_ANSWER: &str = "forbidden_answer";

/// The code of a refusal's reason, without what follows it.
pub fn reason_code(reason: &str) -> &str {
    reason.split(' ').next().unwrap_or_default()
}

/// The keys of the answers that a refusal is about; empty where it is about the whole change.
pub fn forbidden_keys(reason: &str) -> Vec<&str> {
    match reason.split_once(' ') {
        Some((FORBIDDEN_ANSWER, keys)) => keys.split(' ').filter(|key| !key.is_empty()).collect(),
        _ => Vec::new(),
    }
}

/// Bytes of a refusal's reason, at most.
pub const REASON_BYTES: usize = 1024;

/// A final state with the reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The state.
    pub state: State,
    /// For refusals: the rule that was broken, a code such as `start_op`; empty otherwise.
    pub reason: String,
}

impl Outcome {
    /// A state that needs no reason.
    pub fn of(state: State) -> Self {
        Self { state, reason: String::new() }
    }

    /// Quarantined for a reason.
    pub fn quarantined(reason: &str) -> Self {
        Self { state: State::Quarantined, reason: reason.to_owned() }
    }
}

/// Writes outcomes as runs: state, reason, count.
pub fn write_outcomes(w: &mut Writer, outcomes: &[Outcome]) {
    let runs: Vec<&[Outcome]> = outcomes.chunk_by(|a, b| a == b).collect();
    w.number(runs.len() as u64);
    for run in runs {
        w.byte(run[0].state.number());
        w.text(&run[0].reason);
        w.number(run.len() as u64);
    }
}

/// Reads outcomes, at most `max`.
pub fn read_outcomes(r: &mut Reader<'_>, max: usize) -> Result<Vec<Outcome>, DecodeError> {
    let runs = r.count(max, "run of states")?;
    let mut outcomes = Vec::new();
    for _ in 0..runs {
        let state = State::from_number(r.byte()?).ok_or(DecodeError::Value("state"))?;
        let reason = r.text(REASON_BYTES, "reason")?.to_owned();
        let n = r.number()? as usize;
        if n > max - outcomes.len() {
            return Err(DecodeError::Limit("number of states"));
        }
        outcomes.extend(std::iter::repeat_n(Outcome { state, reason }, n));
    }
    Ok(outcomes)
}
