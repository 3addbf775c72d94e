//! The sensitivity class of computed answers: the highest of what they are made of.

use std::collections::{BTreeMap, HashMap};

use super::{Indexed, references, scoped};
use crate::form::definition::{FormDef, Item, Question, QuestionKind, Sensitivity};
use crate::form::expression::{AnswerType, NodeId, NodeKind, Parsed, Tree};

/// A node of the form with what decides its class.
struct Place<'a> {
    node: NodeId,
    class: Sensitivity,
    /// Of a question: it and its key in the index.
    question: Option<(&'a Question, String)>,
}

/// Gives each calculation the highest class of the questions and repeats that it reads, by name or by path, through
/// calculations of calculations.
pub(super) fn raise_calculations(
    def: &FormDef,
    questions: &mut HashMap<String, Indexed>,
    repeats: &HashMap<String, Sensitivity>,
) {
    let above = |class: &Sensitivity| *class != Sensitivity::Core;
    if !questions.values().any(|q| above(&q.class)) && !repeats.values().any(above) {
        return;
    }
    let root = def.settings.get("name").and_then(|n| n.as_str()).unwrap_or("data");
    let mut tree = Tree::new(root);
    let files = def.extra.get("files").and_then(|f| f.as_array()).into_iter().flatten().filter_map(|n| n.as_str());
    for table in def.choice_lists.keys().map(String::as_str).chain(files) {
        tree.add_table(table);
    }
    let mut places = Vec::new();
    add(&mut tree, &def.items, Tree::ROOT, &[], Sensitivity::Core, &mut places);
    let mut classes: BTreeMap<NodeId, Sensitivity> = places.iter().map(|p| (p.node, p.class)).collect();
    let computed: Vec<(NodeId, Vec<NodeId>)> = places.iter().filter_map(|p| inputs(&tree, p)).collect();
    loop {
        let mut raised = false;
        for (node, inputs) in &computed {
            let highest = inputs.iter().filter_map(|input| classes.get(input)).max().copied().unwrap_or_default();
            let class = classes.entry(*node).or_default();
            raised |= highest > *class;
            *class = highest.max(*class);
        }
        if !raised {
            break;
        }
    }
    for Place { node, question, .. } in &places {
        if let Some((_, key)) = question
            && let (Some(indexed), Some(class)) = (questions.get_mut(key), classes.get(node))
        {
            indexed.class = indexed.class.max(*class);
        }
    }
}

fn add<'a>(
    tree: &mut Tree,
    items: &'a [Item],
    parent: NodeId,
    repeats: &[&str],
    class: Sensitivity,
    out: &mut Vec<Place<'a>>,
) {
    for item in items {
        let (name, kind) = match item {
            Item::Question(question) => (&question.name, NodeKind::Leaf(AnswerType::Text)),
            Item::Group(group) => (&group.name, NodeKind::Group),
            Item::Repeat(repeat) => (&repeat.name, NodeKind::Repeat),
        };
        // what can't be added is a fault that the model reports
        let Ok(node) = tree.add(parent, name, kind) else { continue };
        match item {
            Item::Question(question) => {
                let key = scoped(repeats.iter().copied(), question.key());
                out.push(Place { node, class: class.max(question.class), question: Some((question, key)) });
            }
            Item::Group(group) => add(tree, &group.items, node, repeats, class.max(group.class), out),
            Item::Repeat(repeat) => {
                let class = class.max(repeat.class);
                out.push(Place { node, class, question: None });
                let inner: Vec<&str> = repeats.iter().copied().chain([repeat.name.as_str()]).collect();
                add(tree, &repeat.items, node, &inner, class, out);
            }
        }
    }
}

/// What a computed answer reads; `None` for others, and for those that are declared public.
fn inputs(tree: &Tree, place: &Place<'_>) -> Option<(NodeId, Vec<NodeId>)> {
    let (question, _) = place.question.as_ref()?;
    if question.kind != QuestionKind::Calculate && question.calculation.is_none() || question.declared_public {
        return None;
    }
    let text = question.calculation.as_deref()?;
    let named: Vec<&str> = references(text).collect();
    // names of what was saved last aren't among the dependencies, nor is anything when something is wrong
    let all = (0..tree.len()).filter_map(|i| u32::try_from(i).ok().map(NodeId));
    let mut inputs: Vec<NodeId> = all.filter(|node| named.contains(&tree.name(*node))).collect();
    if let Ok(code) = Parsed::new(text).and_then(|p| p.resolve(tree, place.node)) {
        inputs.extend(code.dependencies().iter().map(|d| d.node));
    }
    Some((place.node, inputs))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

    use crate::form::definition::{FormDef, Sensitivity};
    use crate::form::index::Form;

    /// The class of a calculation in a form with a sensitive income and a sensitive repeat.
    fn class_of(calculation: &str) -> Sensitivity {
        let question = |kind: &str, name: &str, more: &str| {
            format!(r#"{{"item":"question","type":"{kind}","name":"{name}"{more}}}"#)
        };
        let items = [
            question("decimal", "income", r#","class":"sensitive""#),
            question("integer", "age", ""),
            format!(
                r#"{{"item":"group","name":"g","items":[{}]}}"#,
                question("calculate", "inner", &format!(r#","calculation":"{calculation}""#))
            ),
            question("calculate", "outer", r#","calculation":"../g/inner + 1""#),
            format!(r#"{{"item":"repeat","name":"loan","class":"office","items":[{}]}}"#, question("text", "bank", "")),
        ];
        let json = format!(
            r#"{{"name":"f","version":1,"titles":{{}},"record_type":"f","default_language":"en","items":[{}]}}"#,
            items.join(",")
        );
        let form = Form::new(FormDef::from_json(&json).unwrap());
        assert_eq!(form.class_of("outer"), form.class_of("inner"), "a calculation of the calculation");
        form.class_of("inner").unwrap()
    }

    #[test]
    fn a_calculation_has_the_class_of_what_it_reads_by_name_or_path() {
        let (core, sensitive) = (Sensitivity::Core, Sensitivity::Sensitive);
        assert_eq!(class_of("${age} * 2"), core);
        assert_eq!(class_of("${income} * 2"), sensitive);
        assert_eq!(class_of("/data/income > 100"), sensitive);
        assert_eq!(class_of("../../income > 100"), sensitive);
        assert_eq!(class_of("if(${age} > 3, ../../income, 0)"), sensitive);
        assert_eq!(class_of("${last-saved#income}"), sensitive);
        assert_eq!(class_of("count(/data/loan)"), Sensitivity::Office);
        assert_eq!(class_of("join(' ', /data/loan/bank)"), Sensitivity::Office);
        assert_eq!(class_of("${income} + ("), sensitive, "also where it can't be read");
    }
}
