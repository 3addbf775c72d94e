use super::*;
use proptest::prelude::*;

fn villages(count: usize) -> Json {
    let items: Vec<Json> = (0..count)
        .map(|i| json!({"name": format!("v{i}"), "code": i.to_string(), "town": format!("t{}", i % 10)}))
        .collect();
    json!({"town": "t3", "code": "7", "@types": {"code": "int"}, "@self": "/data/village", "@instances": {"l": items}})
}

fn filtered(answers: &JsonAnswers, filter: &str) -> Vec<u32> {
    let table = answers.tree().table("l").unwrap();
    let parsed = Parsed::new(filter).unwrap();
    let filter = parsed.resolve_filter(answers.tree(), answers.asker().node, table).unwrap();
    with_env("en", |env| {
        let (tree, at) = (answers.tree(), answers.asker());
        filter.items(&Context { tree, data: answers, env: *env, at, candidate: None }).unwrap()
    })
}

#[test]
fn a_choice_filter_gives_the_items_in_order_with_and_without_an_index() {
    let answers = answers(&villages(40));
    assert_eq!(filtered(&answers, "town = ${town}"), [3, 13, 23, 33]);
    assert_eq!(filtered(&answers, "${town} = town and code > 20"), [23, 33]);
    assert_eq!(filtered(&answers, "code = ${code}"), [7]);
    assert_eq!(filtered(&answers, "not(town != ${town})"), [3, 13, 23, 33]);
    assert_eq!(filtered(&answers, "town = 't3' and position() < 20"), [3, 13]);
    assert_eq!(filtered(&answers, "town = current()/../town"), [3, 13, 23, 33]);
    assert_eq!(filtered(&answers, "nosuch = ''").len(), 40);
    assert_eq!(filtered(&answers, "nosuch = 'x'"), [0_u32; 0]);
    assert_eq!(filtered(&answers, "selected('v1 v2', name)"), [1, 2]);
}

#[test]
fn labels_of_items_are_those_of_the_language() {
    let items = json!([{"name": "a", "label": "A", "label::中文 (zh)": "甲"}, {"name": "b", "label": "B"}]);
    let answers = answers(&json!({"@instances": {"l": items}}));
    let label = |language: &str, name: &str| {
        let expression = format!("instance('l')/root/item[name = '{name}']/label");
        with_env(language, |env| answers.evaluate(&expression, env).unwrap())
    };
    assert_eq!(label("中文 (zh)", "a"), Value::text("甲"));
    assert_eq!(label("English (en)", "a"), Value::text("A"));
}

#[test]
fn a_value_with_quotes_is_compared_as_it_is() {
    let items = json!([{"name": "O'Brien \"x\"", "label": "found"}]);
    let context = json!({"who": "O'Brien \"x\"", "@instances": {"l": items}});
    assert_eq!(text(&context, "instance('l')/root/item[name = ${who}]/label"), "found");
    assert_eq!(text(&context, "pulldata('l', 'label', 'name', ${who})"), "found");
}

proptest! {
    #[test]
    fn an_index_finds_what_a_look_through_all_items_finds(
        cells in prop::collection::vec("[ab]{0,2}|[0-3](\\.0|\\.5)?| 1", 0..20),
        wanted in "[ab]{0,2}|[0-3](\\.0|\\.5)?",
        as_number: bool,
    ) {
        let items: Vec<Json> = cells.iter().map(|c| json!({"name": c})).collect();
        let kind = if as_number { "decimal" } else { "text" };
        let answers = answers(&json!({"w": wanted, "@types": {"w": kind}, "@instances": {"l": items}}));
        prop_assert_eq!(filtered(&answers, "name = ${w}"), filtered(&answers, "not(name != ${w})"));
    }
}
