use super::*;

fn nested(depth: usize) -> String {
    format!("{}1{}", "if(1, (".repeat(depth), "), 2)".repeat(depth))
}

#[test]
fn the_deepest_allowed_nesting_fits_a_small_stack_and_deeper_is_refused() {
    // threads of phones have half a megabyte; code that isn't optimised takes several times as much
    let bytes = if cfg!(debug_assertions) { 2048 } else { 512 } * 1024;
    let small = std::thread::Builder::new().stack_size(bytes);
    let run = small.spawn(|| {
        let empty = answers(&Json::Null);
        let deepest = (DEPTH_MAX - 1) / 2;
        assert_eq!(evaluate(&empty, &nested(deepest)).unwrap(), Value::Number(1.0));
        assert_eq!(evaluate(&empty, &nested(deepest + 1)).unwrap_err().fault, Fault::TooDeep);
        let filters = format!("/data{}1{}", "[/data".repeat(3000), "]".repeat(3000));
        assert_eq!(Parsed::new(&filters).unwrap_err().fault, Fault::TooDeep);
    });
    run.unwrap().join().unwrap();
}

#[test]
fn a_long_chain_isnt_deep() {
    let empty = answers(&Json::Null);
    let sum = format!("0{}", " + 1".repeat(10_000));
    assert_eq!(evaluate(&empty, &sum).unwrap(), Value::Number(10_000.0));
    let signs = format!("{}5", "-".repeat(20_001));
    assert_eq!(evaluate(&empty, &signs).unwrap(), Value::Number(-5.0));
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    let long = format!("'{}'", "x".repeat(TEXT_BYTES_MAX));
    assert_eq!(Parsed::new(&long).unwrap_err().fault, Fault::TooLong);
}

#[test]
fn an_evaluation_that_multiplies_lists_ends() {
    let items: Vec<Json> = (0..3000).map(|i| json!({"name": i.to_string()})).collect();
    let answers = answers(&json!({"@instances": {"l": items}}));
    let inner = "count(instance('l')/root/item[name > 5])";
    let error = evaluate(&answers, &format!("count(instance('l')/root/item[{inner} > 1])")).unwrap_err();
    assert_eq!(error.fault, Fault::TooMuchWork);
}

#[test]
fn an_evaluation_that_piles_up_text_ends() {
    let long = "x".repeat(10_000);
    let items: Vec<Json> = (0..200).map(|_| json!({"name": long})).collect();
    let answers = answers(&json!({"@instances": {"l": items}}));
    let error = evaluate(&answers, "join('', instance('l')/root/item/name)").unwrap_err();
    assert_eq!(error.fault, Fault::ResultTooLong);
    assert_eq!(evaluate(&answers, "string-length(uuid(100000000))").unwrap(), Value::Number(1024.0));
}

#[test]
fn a_pattern_that_explodes_elsewhere_runs_in_linear_time() {
    let context = json!({"t": "a".repeat(30_000)});
    assert_eq!(text(&context, "regex(${t}, '(a+)+b')"), "false");
    assert_eq!(text(&context, "regex(${t}, '(a|aa)+')"), "true");
}
