//! A merged record run once more through its form's logic: how many answers are doubtful.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use doorstep_core::clock::{ManualClock, SeededEntropy};
use doorstep_core::form::check::bounds;
use doorstep_core::form::model::{Files, Model};
use doorstep_core::form::session::{ProblemKind, RecheckOptions, Surroundings, recheck};
use doorstep_core::form::{Form, Sensitivity};
use doorstep_core::record::Value;

/// How many compiled forms are kept.
const MODELS_MAX: usize = 64;
/// The zone of the records' days: China has one.
const ZONE_MINUTES: i32 = 8 * 60;

/// Compiled forms, the one used last at the end; nothing for forms without logic, and those whose logic can't be run.
type Kept = Vec<(Arc<Form>, Option<Arc<Model>>)>;

static MODELS: Mutex<Kept> = Mutex::new(Vec::new());

/// Answers that don't fit their question's kind, choices or range, break the form's conditions, or differ from what the other
/// answers give. `claimed_s` is when the record was written last, as its author claims: the clock of its conditions.
pub fn doubts(form: &Arc<Form>, record_type: &str, answers: &BTreeMap<String, Value>, claimed_s: i64) -> u32 {
    let unfit = answers.iter().filter(|(key, value)| form.check_answer(key, value).is_err());
    let mut keys: BTreeSet<String> = unfit.map(|(key, _)| key.clone()).collect();
    if let Some(model) = model_of(form) {
        let now_ms = claimed_s.max(0).cast_unsigned().saturating_mul(1000);
        let entropy = Arc::new(SeededEntropy::new(0));
        let around = Surroundings::new(Arc::new(ManualClock::at(now_ms)), entropy, ZONE_MINUTES);
        let class = match record_type.split_once('.').map(|(_, class)| class) {
            Some("sensitive") => Sensitivity::Sensitive,
            Some("office") => Sensitivity::Office,
            _ => Sensitivity::Core,
        };
        let options = RecheckOptions { held: [class].into(), complete: false };
        let found = recheck(&model, answers, around, &options);
        keys.extend(found.differing.into_iter().map(|(key, _)| key));
        let broken = found.violations.into_iter().filter(|(key, kind)| match kind {
            ProblemKind::Constraint(_) => true,
            _ => answers.contains_key(key),
        });
        keys.extend(broken.map(|(key, _)| key));
    }
    u32::try_from(keys.len()).unwrap_or(u32::MAX)
}

fn model_of(form: &Arc<Form>) -> Option<Arc<Model>> {
    let mut models = MODELS.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(at) = models.iter().position(|(known, _)| Arc::ptr_eq(known, form)) {
        let kept = models.remove(at);
        models.push(kept);
    } else {
        let compiled = has_rules(form).then(|| Model::with_files(Arc::clone(form), &Files::new()).ok()).flatten();
        if models.len() >= MODELS_MAX {
            models.remove(0);
        }
        models.push((Arc::clone(form), compiled.map(Arc::new)));
    }
    models.last().and_then(|(_, model)| model.clone())
}

/// True when a form's logic says more about its answers than the check of each by itself: bounds are looked at there.
fn has_rules(form: &Form) -> bool {
    form.questions().iter().any(|placed| {
        let question = placed.question;
        let bounded = bounds(question) != (None, None);
        question.calculation.is_some() || question.choice_filter.is_some() || question.constraint.is_some() && !bounded
    })
}
