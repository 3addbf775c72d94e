//! Incremental evaluation equals evaluating everything anew, and a journal brings a session back: on random forms.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::form::expression::NodeKind;

/// Makes a form of random questions, groups and repeats, whose expressions name what stands before them.
struct Maker {
    dice: SeededEntropy,
    names: Vec<String>,
    repeats: Vec<String>,
    next: usize,
}

impl Maker {
    fn name(&mut self) -> String {
        self.next += 1;
        format!("q{}", self.next)
    }

    fn any(&self) -> String {
        match self.names.len() {
            0 => "1".to_owned(),
            n => format!("${{{}}}", self.names[self.dice.below(n as u64) as usize]),
        }
    }

    fn expression(&self, inside: bool) -> String {
        let (a, b) = (self.any(), self.any());
        let aggregate = self.names.iter().rev().take(8).next_back().cloned();
        match (self.dice.below(11), aggregate, self.repeats.last()) {
            (0, Some(name), _) => format!("sum(${{{name}}})"),
            (1, _, Some(repeat)) => format!("count(${{{repeat}}})"),
            (2, _, Some(repeat)) => format!("count(${{{repeat}}}[position() > 1])"),
            (3, _, _) if inside => format!("position(..) + {a}"),
            (4, _, _) => format!("if({a} > 2, {b}, 'none')"),
            (5, _, _) => format!("concat({a}, '-', {b})"),
            (6, _, _) => format!("string-length({a})"),
            (7, _, _) => format!("coalesce({a}, {b})"),
            (8, Some(name), _) => format!("join(' ', ${{{name}}})"),
            _ => format!("{a} + {b}"),
        }
    }

    fn condition(&self) -> String {
        match self.dice.below(3) {
            0 => format!("{} > {}", self.any(), self.dice.below(4)),
            1 => format!("{} != ''", self.any()),
            _ => format!("not({} = {})", self.any(), self.any()),
        }
    }

    fn items(&mut self, depth: usize, inside: bool, many: u64) -> Vec<String> {
        let mut out = Vec::new();
        for _ in 0..many {
            let relevant =
                if self.dice.chance(30) { format!(r#""relevant":"{}""#, self.condition()) } else { String::new() };
            let name = self.name();
            match self.dice.below(10) {
                0 | 1 if depth < 3 => {
                    let repeat = self.dice.chance(60);
                    let count = repeat && self.dice.chance(40);
                    let mut more = relevant;
                    if count {
                        let comma = if more.is_empty() { "" } else { "," };
                        more = format!(r#"{more}{comma}"count":"{}""#, self.any());
                    }
                    let inner = self.items(depth + 1, inside || repeat, 3);
                    out.push(block(if repeat { "repeat" } else { "group" }, &name, &more, &inner));
                    if repeat {
                        self.repeats.push(name);
                    }
                }
                2..=5 => {
                    let comma = if relevant.is_empty() { "" } else { "," };
                    let calculation = format!(r#""calculation":"{}"{comma}{relevant}"#, self.expression(inside));
                    out.push(q("calculate", &name, &calculation));
                    self.names.push(name);
                }
                kind => {
                    out.push(q(if kind > 8 { "text" } else { "integer" }, &name, &relevant));
                    self.names.push(name);
                }
            }
        }
        if out.is_empty() {
            out.push(q("integer", &self.name(), ""));
        }
        out
    }
}

fn state(session: &Session) -> Vec<(String, String, bool)> {
    let one = |spot| (session.path(spot), session.value(spot).to_string(), session.is_relevant(spot));
    session.leaf_spots().into_iter().map(one).collect()
}

fn act(session: &mut Session, dice: &SeededEntropy) {
    let spots = session.leaf_spots();
    let repeats: Vec<NodeId> = (0..session.model().tree().len())
        .map(|i| NodeId(u32::try_from(i).unwrap()))
        .filter(|n| session.model().tree().kind(*n) == NodeKind::Repeat)
        .collect();
    let pick = dice.below(spots.len().max(1) as u64) as usize;
    match dice.below(8) {
        0 if !repeats.is_empty() => {
            let repeat = repeats[dice.below(repeats.len() as u64) as usize];
            let depth = session.model().tree().depth(repeat) - 1;
            let rows = spots.get(pick).map_or(Rows::NONE, |s| s.rows.first(depth));
            let _ = session.add_instance(repeat, rows);
        }
        1 if !repeats.is_empty() => {
            if let Some(spot) = spots.get(pick)
                && let Some(repeat) = session.model().tree().repeats(spot.node).last()
            {
                let _ = session.remove_instance(Spot { node: *repeat, rows: spot.rows });
            }
        }
        _ => {
            if let Some(spot) = spots.get(pick) {
                let text = dice.below(6);
                let text = if text == 5 { String::new() } else { text.to_string() };
                let _ = session.answer(*spot, &text);
            }
        }
    }
}

proptest! {
    // the same forms each time; another seed looks further
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn incremental_evaluation_equals_evaluating_everything_anew(seed in any::<u64>()) {
        let mut maker =
            Maker { dice: SeededEntropy::new(seed), names: Vec::new(), repeats: Vec::new(), next: 0 };
        let many = 4 + maker.dice.below(16);
        let form = maker.items(0, false, many);
        let Ok(model) = try_model(&items(&form), "{}") else {
            // a random form may depend on itself through a repeat
            return Ok(());
        };
        let model = Arc::new(model);
        let mut session = Session::new(Arc::clone(&model), around());
        let mut journal = session.take_edits();
        for step in 0..25 {
            act(&mut session, &maker.dice);
            journal.extend(session.take_edits());
            let anew = Session::open(Arc::clone(&model), around(), &journal);
            prop_assert_eq!(state(&session), state(&anew), "step {} of {}", step, items(&form));
        }
    }
}
