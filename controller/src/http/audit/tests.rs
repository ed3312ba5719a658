use super::*;

#[test]
fn a_flood_of_refusals_is_counted_and_hides_no_other_class() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    let written = (0..1000).filter(|_| budget.take("invalid", start).0).count();
    assert_eq!(written, LINES as usize);
    assert_eq!(budget.take("forbidden", start), (true, BTreeMap::new()));
    let later = start + Duration::from_secs(2);
    assert_eq!(budget.take("invalid", later), (true, [("invalid", 1000 - u64::from(LINES))].into()));
    assert_eq!(budget.take("unauthenticated", later), (true, BTreeMap::new()));
}

#[test]
fn whatever_is_asked_is_one_bounded_line() {
    let dir = tempfile::tempdir().unwrap();
    let refusals = Refusals::open(dir.path()).unwrap();
    let hostile = "\n\",\"class\":\"\u{1}".repeat(10_000);
    refusals.note(&Refused {
        class: "forbidden",
        status: 403,
        request_id: Uuid::now_v7(),
        subject: &hostile,
        method: "PUT",
        path: &hostile,
    });
    let text = std::fs::read_to_string(dir.path().join("refused.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.len() < 8 << 10, "{} bytes", text.len());
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((line["class"].as_str(), line["status"].as_u64()), (Some("forbidden"), Some(403)));
    assert!(hostile.starts_with(line["subject"].as_str().unwrap()));
}
