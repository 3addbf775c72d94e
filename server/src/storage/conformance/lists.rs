//! Lists.

use super::*;
use crate::storage::RecordFilter;

claims!(
    a_list_is_ordered_by_birth_and_filtered,
    a_record_about_several_subjects_is_listed_about_each,
    a_row_shows_the_newest_projection,
    a_record_id_used_in_two_townships_names_a_record_in_each,
);

fn projected(mut record: PreparedRecord, change: impl FnOnce(&mut Projection)) -> PreparedRecord {
    change(&mut record.projection);
    record
}

fn a_list_is_ordered_by_birth_and_filtered(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let house = projected(record(&device, "household", VILLAGE, None), |p| p.search = "wang 李四".to_owned());
    let visit = projected(record(&device, "visit", VILLAGE, Some(house.id)), |p| p.differences = 2);
    let other = projected(record(&device, "household", OTHER_VILLAGE, None), |p| p.status = "moved".to_owned());
    done(&*storage, push(&device, vec![house.clone(), visit.clone(), other.clone()]));
    let all = RecordFilter { limit: 100, ..RecordFilter::default() };
    let list = |filter: &RecordFilter| -> Vec<RecordId> {
        storage.list_records(TOWNSHIP, filter).unwrap().iter().map(|r| r.id).collect()
    };
    assert_eq!(list(&all), vec![house.id, visit.id, other.id]);
    assert_eq!(list(&RecordFilter { limit: 2, ..all.clone() }), vec![house.id, visit.id]);
    assert_eq!(list(&RecordFilter { after: 2, ..all.clone() }), vec![other.id]);
    let households = RecordFilter { record_type: Some("household".to_owned()), ..all.clone() };
    assert_eq!(list(&households), vec![house.id, other.id]);
    assert_eq!(list(&RecordFilter { area: Some(OTHER_VILLAGE), ..households }), vec![other.id]);
    assert_eq!(list(&RecordFilter { subject: Some(house.id), ..all.clone() }), vec![visit.id]);
    assert_eq!(list(&RecordFilter { search: Some("李四".to_owned()), ..all.clone() }), vec![house.id]);
    assert_eq!(list(&RecordFilter { search: Some("%".to_owned()), ..all.clone() }), Vec::new());
    assert_eq!(list(&RecordFilter { with_differences: true, ..all.clone() }), vec![visit.id]);
    assert_eq!(list(&RecordFilter { status: Some("moved".to_owned()), ..all }), vec![other.id]);
}

fn a_record_about_several_subjects_is_listed_about_each(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let subjects: Vec<RecordId> = (0..3).map(|_| RecordId(unique())).collect();
    let says = |named: &[(RecordId, bool)]| {
        let ticks: Vec<String> = named.iter().map(|(id, tick)| format!(r#""_subjects={id}":{tick}"#)).collect();
        format!(r#"{{"answers":{{"note":"\"_subjects=x",{}}}}}"#, ticks.join(","))
    };
    let about = |subject: RecordId| {
        let filter = RecordFilter { subject: Some(subject), limit: 10, ..RecordFilter::default() };
        storage.list_records(TOWNSHIP, &filter).unwrap().len()
    };
    let both = says(&[(subjects[0], true), (subjects[1], true)]);
    let first = projected(record(&device, "meeting", VILLAGE, Some(subjects[0])), |p| p.json = both);
    done(&*storage, push(&device, vec![first.clone()]));
    assert_eq!(subjects.iter().map(|s| about(*s)).collect::<Vec<_>>(), [1, 1, 0]);
    let other = says(&[(subjects[0], true), (subjects[1], false), (subjects[2], true)]);
    let second = projected(next(&first, &device), |p| p.json = other);
    done(&*storage, push(&device, vec![second]));
    assert_eq!(subjects.iter().map(|s| about(*s)).collect::<Vec<_>>(), [1, 0, 1]);
}

fn a_row_shows_the_newest_projection(storage: Arc<dyn Storage>) {
    let device = enrol(&*storage, TOWNSHIP);
    let first = record(&device, "visit", VILLAGE, Some(RecordId([5; 16])));
    done(&*storage, push(&device, vec![first.clone()]));
    let projection = Projection {
        json: r#"{"a":1}"#.to_owned(),
        title: "2026-01-02".to_owned(),
        label: "home".to_owned(),
        search: "x".to_owned(),
        status: "open".to_owned(),
        persons: 3,
        day: "2026-01-02".to_owned(),
        state: "approved".to_owned(),
        steps: "3 2026-02-01=2".to_owned(),
        differences: 1,
        doubts: 0,
    };
    let second = PreparedRecord { projection: projection.clone(), ..next(&first, &device) };
    done(&*storage, PreparedPush { received_ms: 2_000, ..push(&device, vec![second]) });
    let row = storage.record_row(TOWNSHIP, first.id).unwrap().unwrap();
    assert_eq!((row.projection, row.updated_ms, row.born), (projection, 2_000, 1));
    assert_eq!((row.record_type.as_str(), row.area, row.subject), ("visit", VILLAGE, first.subject));
    assert_eq!(storage.record_row(TOWNSHIP, RecordId(unique())).unwrap(), None);
}

fn a_record_id_used_in_two_townships_names_a_record_in_each(storage: Arc<dyn Storage>) {
    let (here, there) = (enrol(&*storage, TOWNSHIP), enrol(&*storage, OTHER_TOWNSHIP));
    let mine = projected(record(&here, "household", VILLAGE, None), |p| p.title = "here".to_owned());
    let theirs = projected(record(&there, "household", VILLAGE, None), |p| p.title = "there".to_owned());
    let theirs = PreparedRecord { id: mine.id, ..theirs };
    done(&*storage, push(&there, vec![theirs.clone()]));
    assert_eq!(storage.record_row(TOWNSHIP, mine.id).unwrap(), None);
    assert_eq!(storage.full_record(TOWNSHIP, mine.id).unwrap(), None);
    done(&*storage, push(&here, vec![mine.clone()]));
    for (township, record) in [(TOWNSHIP, &mine), (OTHER_TOWNSHIP, &theirs)] {
        let row = storage.record_row(township, mine.id).unwrap().unwrap();
        assert_eq!(row.projection.title, record.projection.title);
        let full = storage.full_record(township, mine.id).unwrap().unwrap();
        assert_eq!(full.heads, record.heads);
        assert_eq!(full.changes.iter().map(|c| c.hash).collect::<Vec<_>>(), [record.changes[0].hash]);
    }
}
