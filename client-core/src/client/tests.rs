//! Forms that make and change other records, forms about several records, and lists of records as choices.
#![allow(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use super::filling::{FillOptions, Filling};
use super::test_phone::{phone, receive};
use super::*;
use crate::form::FormDef;
use crate::form::expression::{Rows, Spot};
use crate::form::import::import;

/// A form in XLSForm's CSV layout; sheets as `name: header|row|row`, cells separated by commas.
fn form(sheets: &[(&str, &[&str])]) -> FormDef {
    let mut text = String::new();
    for (name, rows) in sheets {
        text.push_str(&format!("{name},,,,,,\n"));
        for row in *rows {
            text.push_str(&format!(",{row}\n"));
        }
    }
    let found = import(text.as_bytes(), "form");
    let refused: Vec<String> = found.problems.iter().map(|p| format!("{}: {}", p.place, p.message("en"))).collect();
    found.def.unwrap_or_else(|| unreachable!("{refused:#?}"))
}

/// Registers a household as ODK creates an entity.
fn register() -> FormDef {
    form(&[
        (
            "survey",
            &[
                "type,name,label,save_to,doorstep::class,relevant",
                "text,head,Head of household,head_name,,",
                "text,tel,Telephone,phone,sensitive,",
                "text,why,Why?,remark,,${head} = 'nobody'",
                "text,colour,Colour of the door,colour,,",
            ],
        ),
        ("entities", &["list_name,label,create_if", "household,${head},${head} != 'nobody'"]),
        ("settings", &["form_id,form_title", "register,Register"]),
    ])
}

/// Changes the household that it is about.
fn correct() -> FormDef {
    form(&[
        (
            "survey",
            &[
                "type,name,label,save_to,default",
                "select_one_from_file household.csv,which,Which household?,,property('subject')",
                "text,road,Address,address,",
                "text,tel,Telephone,phone,",
            ],
        ),
        ("entities", &["list_name,entity_id,update_if", "household,${which},${road} != ''"]),
        ("settings", &["form_id,form_title", "correct,Correct"]),
    ])
}

fn at(filling: &Filling, question: &str) -> Spot {
    filling.session().spot(question).unwrap()
}

fn set(filling: &mut Filling, question: &str, text: &str) {
    let spot = at(filling, question);
    filling.answer(spot, text).unwrap();
}

fn fill(phone: &Phone, form: &str, subject: Option<RecordId>, answers: &[(&str, &str)]) -> RecordId {
    let draft = phone.start(form, subject).unwrap();
    finish(phone, draft, answers)
}

fn finish(phone: &Phone, draft: DraftId, answers: &[(&str, &str)]) -> RecordId {
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    for (question, text) in answers {
        set(&mut filling, question, text);
    }
    phone.finish_filled(filling, &NewRecord::default()).unwrap()
}

#[test]
fn a_finished_form_makes_its_subject_and_sensitive_answers_stay_sensitive() {
    let (_dir, phone) = phone();
    receive(&phone, &[register()]);
    let record = fill(&phone, "register", None, &[("head", "李四"), ("tel", "19900000000"), ("colour", "red")]);
    let households = phone.households(None, "", 0, 10).unwrap();
    assert_eq!(households.iter().map(|h| h.title.as_str()).collect::<Vec<_>>(), ["李四"]);
    let household = households[0].id;
    let core = phone.record(household).unwrap();
    assert_eq!(core.answers().into_iter().collect::<Vec<_>>(), [("head_name".to_owned(), "李四".into())]);
    let all = phone.instance_answers(household).unwrap();
    assert_eq!(all.get("phone"), Some(&"19900000000".into()), "in the sensitive part");
    assert_eq!(phone.store().row(record).unwrap().unwrap().subject, Some(household), "the form is about what it made");
    let author = core.author_of(&core.heads()[0]).unwrap();
    assert_eq!(author.note.form.unwrap().name, "register");
}

#[test]
fn create_if_decides_and_a_form_finished_again_changes_what_it_made_before() {
    let (_dir, phone) = phone();
    receive(&phone, &[register()]);
    fill(&phone, "register", None, &[("head", "nobody"), ("why", "empty house")]);
    assert!(phone.households(None, "", 0, 10).unwrap().is_empty());
    let record = fill(&phone, "register", None, &[("head", "李四"), ("tel", "1")]);
    let household = phone.households(None, "", 0, 10).unwrap()[0].id;
    // the office corrects the household; the form's own record is corrected later, in another answer
    phone.resolve(household, "head_name", &"李思".into()).unwrap();
    let draft = phone.edit(record).unwrap();
    finish(&phone, draft, &[("tel", "2")]);
    let all = phone.instance_answers(household).unwrap();
    assert_eq!((all.get("head_name"), all.get("phone")), (Some(&"李思".into()), Some(&"2".into())));
    assert_eq!(phone.households(None, "", 0, 10).unwrap().len(), 1);
}

#[test]
fn a_shared_form_makes_its_subject_only_when_it_is_finished() {
    let (_dir, phone) = phone();
    receive(&phone, &[register()]);
    let draft = phone.start("register", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    set(&mut filling, "head", "李四");
    let shared = phone.share_filled(filling, &NewRecord::default()).unwrap();
    assert!(phone.households(None, "", 0, 10).unwrap().is_empty());
    phone.finish_filled(shared, &NewRecord::default()).unwrap();
    assert_eq!(phone.households(None, "", 0, 10).unwrap()[0].title, "李四");
}

#[test]
fn a_form_changes_the_household_that_it_is_about_on_what_its_helper_saw() {
    let (_dir, phone) = phone();
    receive(&phone, &[register(), correct()]);
    fill(&phone, "register", None, &[("head", "李四"), ("tel", "1")]);
    let household = phone.households(None, "", 0, 10).unwrap()[0].id;
    let draft = phone.start("correct", Some(household)).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert_eq!(*filling.session().value(at(&filling, "which")), household.to_string());
    let offered = filling.session().choices(at(&filling, "which"));
    assert_eq!(offered.iter().map(|c| &*c.label).collect::<Vec<_>>(), ["李四"]);
    set(&mut filling, "road", "二组 3 号");
    // while the form is open somebody else's address comes
    phone.resolve(household, "address", &"二组 4 号".into()).unwrap();
    phone.finish_filled(filling, &NewRecord::default()).unwrap();
    let view = phone.view(household).unwrap();
    assert_eq!(view.differences.len(), 0, "the author's own last change is in his past");
    assert_eq!(phone.record(household).unwrap().answers().get("address"), Some(&"二组 3 号".into()));
    let all = phone.instance_answers(household).unwrap();
    assert_eq!(all.get("phone"), Some(&Value::Blank), "a blank answer that applies clears, as in ODK");
}

#[test]
fn update_if_decides_and_an_id_of_no_record_changes_nothing() {
    let (_dir, phone) = phone();
    receive(&phone, &[register(), correct()]);
    fill(&phone, "register", None, &[("head", "李四"), ("tel", "1")]);
    let household = phone.households(None, "", 0, 10).unwrap()[0].id;
    let before = phone.view(household).unwrap().json;
    fill(&phone, "correct", Some(household), &[("tel", "2")]);
    assert_eq!(phone.view(household).unwrap().json, before, "update_if doesn't hold");
    fill(&phone, "correct", None, &[("road", "x")]);
    assert_eq!(phone.view(household).unwrap().json, before, "no household was chosen");
    assert_eq!(phone.households(None, "", 0, 10).unwrap().len(), 1);
}

#[test]
fn each_instance_of_a_repeat_makes_one_entity_and_a_list_without_form_keeps_what_is_saved() {
    let (_dir, phone) = phone();
    let trees = form(&[
        (
            "survey",
            &[
                "type,name,label,save_to",
                "begin repeat,tree,Trees,",
                "text,kind,Kind,species",
                "integer,girth,Girth,girth_cm",
                "end repeat,,,",
            ],
        ),
        ("entities", &["list_name,label", "trees,${kind}"]),
        ("settings", &["form_id,form_title", "survey_trees,Trees"]),
    ]);
    let visit = form(&[
        ("survey", &["type,name,label", "select_one_from_file trees.csv,which,Which tree?"]),
        ("settings", &["form_id,form_title", "visit_tree,Tree"]),
    ]);
    receive(&phone, &[trees, visit]);
    let draft = phone.start("survey_trees", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions::default()).unwrap();
    let repeat = filling.session().model().keyed("tree").unwrap();
    filling.add_instance(repeat, Rows::NONE).unwrap();
    for (row, kind) in ["walnut", "pear"].into_iter().enumerate() {
        let spot = |name: &str| filling.session().at_path(&format!("/data/tree[{}]/{name}", row + 1)).unwrap();
        let (name, girth) = (spot("kind"), spot("girth"));
        filling.answer(name, kind).unwrap();
        filling.answer(girth, "120").unwrap();
    }
    phone.finish_filled(filling, &NewRecord::default()).unwrap();
    let filter = ListFilter { record_type: Some("trees".into()), limit: 10, ..ListFilter::default() };
    let trees = phone.list(filter).unwrap();
    let mut kinds: Vec<Value> =
        trees.iter().map(|t| phone.record(t.id).unwrap().answers().remove("species").unwrap()).collect();
    kinds.sort_by_key(|k| format!("{k:?}"));
    assert_eq!(kinds, ["pear".into(), "walnut".into()]);
    assert_eq!(phone.record(trees[0].id).unwrap().answers().get("girth_cm"), Some(&Value::Int(120)));
    // and another form chooses among them
    let draft = phone.start("visit_tree", None).unwrap();
    let filling = phone.fill(draft, FillOptions::default()).unwrap();
    let mut offered: Vec<String> =
        filling.session().choices(at(&filling, "which")).iter().map(|c| c.label.to_string()).collect();
    offered.sort();
    assert_eq!(offered, ["pear", "walnut"]);
}

#[test]
fn a_record_about_several_subjects_shows_in_the_lists_of_each() {
    let (_dir, phone) = phone();
    let meeting = form(&[
        ("survey", &["type,name,label,default", "text,topic,Topic,water"]),
        ("settings", &["form_id,form_title,doorstep::subject", "meeting,Meeting,several"]),
    ]);
    receive(&phone, &[register(), meeting]);
    for head in ["甲", "乙", "丙"] {
        fill(&phone, "register", None, &[("head", head)]);
    }
    let households: Vec<RecordId> = phone.households(None, "", 0, 10).unwrap().iter().map(|h| h.id).collect();
    let draft = phone.start_about("meeting", &households[..2]).unwrap();
    let filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert_eq!(&*filling.session().value(at(&filling, "topic")), "water", "a new form has its defaults");
    let record = phone.finish_filled(filling, &NewRecord::default()).unwrap();
    assert_eq!(phone.subjects(record).unwrap(), households[..2]);
    let meetings = |about: RecordId| {
        let filter = ListFilter {
            record_type: Some("meeting".into()),
            subject: Some(about),
            limit: 10,
            ..ListFilter::default()
        };
        phone.list(filter).unwrap().len()
    };
    assert_eq!(households.iter().map(|h| meetings(*h)).collect::<Vec<_>>(), [1, 1, 0]);
    // editing keeps them, and shows none of them as an answer without a place
    let draft = phone.edit(record).unwrap();
    let filling = phone.fill(draft, FillOptions::default()).unwrap();
    assert!(filling.session().misfits().is_empty());
    assert_eq!(filling.edits().len(), 0);
    filling.discard().unwrap();
    let too_many = vec![households[0]; SUBJECTS_MAX + 1];
    assert!(matches!(phone.start_about("meeting", &too_many), Err(PhoneError::TooManySubjects { max: SUBJECTS_MAX })));
    assert!(matches!(phone.start_about("visit", &households), Err(PhoneError::TooManySubjects { max: 1 })));
}

#[test]
fn a_screen_shows_one_page_with_choices_problems_and_last_answers_and_turns_over_what_applies() {
    let (_dir, phone) = phone();
    let def = form(&[
        (
            "survey",
            &[
                "type,name,label,hint,relevant,constraint,required",
                "text,head,Head,Full name,,,yes",
                "integer,wells,Wells,,,. < 100,",
                "text,why,Why none?,,${wells} = 0,,",
                "begin repeat,well,Well,,${wells} > 0,,",
                "select_one kinds,kind,Kind of ${head},,,,",
                "end repeat,,,,,,",
            ],
        ),
        ("choices", &["list_name,name,label", "kinds,dug,Dug", "kinds,bored,Bored"]),
        ("settings", &["form_id,form_title", "wells,Wells"]),
    ]);
    receive(&phone, &[def]);
    let last = fill(&phone, "wells", None, &[("head", "李四"), ("wells", "0")]);
    let draft = phone.start("wells", None).unwrap();
    let mut filling = phone.fill(draft, FillOptions { last_round: Some(last), ..FillOptions::default() }).unwrap();
    let first = filling.screen().unwrap();
    assert_eq!((first.lines.len(), first.is_first, first.is_last), (1, true, false));
    let line = &first.lines[0];
    assert_eq!((line.path.as_str(), line.entry.hint.as_deref()), ("/data/head", Some("Full name")));
    assert_eq!((line.last_answer.as_deref(), line.entry.required), (Some("李四"), true));
    assert!(!filling.previous_page() && filling.next_page());
    assert!(matches!(filling.answer_at("/data/wells", "100"), Err(PhoneError::Refused(_))));
    filling.answer_at("/data/wells", "0").unwrap();
    filling.answer_at("/data/head", "王五").unwrap();
    assert!(filling.next_page());
    assert_eq!(filling.screen().unwrap().lines[0].path, "/data/why");
    // the page in view doesn't apply any more
    filling.answer_at("/data/wells", "2").unwrap();
    assert_eq!(filling.screen().unwrap().lines[0].path, "/data/wells");
    assert_eq!(filling.add_at("/data/well").unwrap(), "/data/well[2]");
    let page = filling.screen().unwrap();
    assert_eq!((page.lines[0].path.as_str(), &*page.lines[0].entry.label), ("/data/well[2]/kind", "Kind of 王五"));
    assert_eq!(page.lines[0].choices.iter().map(|c| &*c.label).collect::<Vec<_>>(), ["Dug", "Bored"]);
    assert!(filling.next_page() && filling.screen().unwrap().is_last);
    assert_eq!(filling.screen().unwrap().lines[0].path, "/data/well");
    filling.remove_at("/data/well[2]").unwrap();
    assert!(filling.go_to("/data/well[1]") && !filling.go_to("/data/well[2]"));
    assert_eq!(filling.screen().unwrap().lines[0].path, "/data/well[1]/kind");
    assert_eq!(filling.screen_language(), "en");
}
