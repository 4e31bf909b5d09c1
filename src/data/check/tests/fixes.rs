//! Cleaned copies, and the entries of lines as their reader counts them.

use super::*;

#[test]
fn a_cleaned_copy_is_clean_and_the_original_stays() {
    let set = Set::new();
    let json = "[{'image':'a.png','caption':'the cat\\'s mat','image_id':'1'},
        {\"image\":\"no.png\",\"caption\":\"x\"}, {\"image\":\"b.png\",\"caption\":\"a dog\",\"more\":[1]}]";
    let report = set.report(json);
    let (file, out) = (set.path("notes.json"), set.path("clean.json"));
    let fixed = fix(&file, &set.options.read, &report, &out).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (2, 1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), json);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(kept[0], serde_json::json!({"image":"a.png","caption":"the cat's mat","image_id":"1"}));
    assert_eq!(kept[1]["more"], serde_json::json!([1]));
    let left: serde_json::Value = serde_json::from_slice(&std::fs::read(&fixed.list).unwrap()).unwrap();
    assert_eq!((&left[0]["entry"], &left[0]["reasons"][0]["kind"]), (&1.into(), &"missing_file".into()));
    assert!(matches!(fix(&file, &set.options.read, &report, &out), Err(FixError::Exists(_))));
    assert_eq!(run(&out, &set.options).count(Severity::Error), 0);
}

/// A picture is judged once, of the first entry that names it: the others are no better.
#[test]
fn every_entry_of_a_wrong_picture_is_left_out() {
    let set = Set::new();
    let json = r#"[{"image":"no.png","caption":"one"},{"image":"a.png","caption":"two"},{"image":"no.png","caption":"three"},
        {"image":"no.png","caption":""}]"#;
    let report = set.report(json);
    let fixed = fix(&set.path("notes.json"), &set.options.read, &report, &set.path("clean.json")).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (1, 3));
    let left: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&fixed.list).unwrap()).unwrap();
    let kinds = |left: &serde_json::Value| -> Vec<String> {
        left["reasons"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap().to_owned()).collect()
    };
    let kinds: Vec<_> = left.iter().map(kinds).collect();
    assert_eq!(kinds, [vec!["missing_file"], vec!["missing_file"], vec!["empty_caption", "missing_file"]]);
    assert_eq!(run(&set.path("clean.json"), &set.options).count(Severity::Error), 0);
}

#[test]
fn fixing_goes_through_entries_once() {
    // Many findings that leave nothing out: each entry must not look through them all.
    let set = Set::new();
    let entry = r#"{"image":"a.png","caption":"x","caption":"words"}"#;
    let json = format!("[{}]", vec![entry; 20_000].join(","));
    let options = Options { upto: Stage::Schema, ..set.options.clone() };
    let path = set.path("notes.json");
    std::fs::write(&path, &json).unwrap();
    let mut report = run(&path, &options);
    report.findings.retain(|finding| finding.kind == Kind::DuplicateField);
    assert_eq!(report.findings.len(), 20_000);
    let fixed = fix(&path, &options.read, &report, &set.path("fixed.json")).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (20_000, 0));
    let all: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(set.path("fixed.json")).unwrap()).unwrap();
    assert_eq!(all[19_999], serde_json::json!({"image": "a.png", "caption": "words"}));
}

#[test]
fn what_cannot_be_read_is_named() {
    let set = Set::new();
    let path = set.path("notes.jsonl");
    std::fs::write(
        &path,
        format!("{{\"image\": \"a.png\", \"caption\": \"words\"}}\n{}", "{x\n".repeat(9_000)),
    )
    .unwrap();
    let options = Options { upto: Stage::Schema, ..set.options.clone() };
    let report = run(&path, &options);
    let fixed = fix(&path, &options.read, &report, &set.path("fixed.jsonl")).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (1, 9_000));
    let left: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&fixed.list).unwrap()).unwrap();
    let named = |one: &serde_json::Value| one["reasons"][0]["kind"] == "bad_json" && one["text"] == "{x";
    assert!(left.iter().all(named), "{:?}", left[0]);
}

#[test]
fn a_table_is_fixed_row_by_row() {
    let set = Set::new();
    let text = "filepath,title\r\na.png,a cat\r\nno.png,x\r\nb.png,\"a \"\"dog\"\"\n\"\r\n";
    let (file, out) = (set.path("a.csv"), set.path("b.csv"));
    std::fs::write(&file, text).unwrap();
    let report = run(&file, &Options::default());
    let fixed = fix(&file, &Default::default(), &report, &out).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (2, 1));
    assert_eq!(
        std::fs::read_to_string(&out).unwrap(),
        "filepath,title\r\na.png,a cat\nb.png,\"a \"\"dog\"\"\n\"\n"
    );
    std::fs::write(&file, text.replace("cat", "cow")).unwrap();
    let again = fix(&file, &Default::default(), &report, &set.path("c.csv"));
    assert!(matches!(again, Err(FixError::Changed(_))));
    let folder = fix(set.dir.path(), &Default::default(), &report, &set.path("d.csv"));
    assert!(folder.is_err());
}

/// The numbers of entries, and what is an error, are those of the reader of lines.
#[test]
fn lines_are_judged_as_their_reader_takes_them() {
    let set = Set::new();
    let good = r#"{"image":"a.png","caption":"a cat"}"#;
    let other = r#"{"image":"b.png","caption":"a dog"}"#;
    let path = set.path("a.jsonl");
    for (text, expected) in [
        (format!("{good}\n{other}"), vec![]),
        (format!("{good}\r\n\n  {other} \t\r\n"), vec![]),
        (format!("{good}{other}\n"), vec!["bad_json a.jsonl:1:36 Some(0)"]),
        (
            format!("{good} ,\n{other}\nx"),
            vec!["bad_json a.jsonl:1:37 Some(0)", "bad_json a.jsonl:3:1 Some(2)"],
        ),
        (
            format!("{good}\n{{\"image\":\nrubbish\n{{\"image\":\"no.png\",\"caption\":\"x\"}}\n"),
            vec![
                "bad_json a.jsonl:2:10 Some(1)",
                "bad_json a.jsonl:3:1 Some(2)",
                "missing_file a.jsonl:4:10 Some(3)",
            ],
        ),
        (format!("[{good},\n{other}]"), vec!["wrong_form a.jsonl:1:1 None"]),
    ] {
        std::fs::write(&path, &text).unwrap();
        let report = run(&path, &set.options);
        let found: Vec<_> = told(&report).into_iter().filter(|told| !told.starts_with("unused")).collect();
        assert_eq!(found, expected, "{text}");
        // Whoever trains on it sees the same entries.
        if let Ok(dataset) = crate::Dataset::open(&path, crate::Split::Train, &Default::default()) {
            assert_eq!(dataset.len() + dataset.broken_count(), report.entries, "{text}");
            let broken: Vec<_> = dataset.broken().iter().map(|b| Some(b.origin.entry as usize)).collect();
            let bad = report.findings.iter().filter(|f| f.kind == Kind::BadJson).map(|f| f.entry);
            assert_eq!(broken, bad.collect::<Vec<_>>(), "{text}");
        }
    }
    // Over several lines: understood, told, and mended.
    std::fs::write(
        &path,
        format!("{}\n{other}{good}\n{}\n", good.replace(',', ",\n"), good.replace("a.png", "c.png")),
    )
    .unwrap();
    let report = run(&path, &set.options);
    let found: Vec<_> = told(&report).into_iter().filter(|told| told.starts_with("bad")).collect();
    assert_eq!(found, ["bad_json a.jsonl:1:18 Some(0)", "bad_json a.jsonl:3:36 Some(1)"]);
    let fixed = fix(&path, &set.options.read, &report, &set.path("b.jsonl")).unwrap();
    assert_eq!((fixed.kept, fixed.left_out), (2, 1));
    let left: serde_json::Value = serde_json::from_slice(&std::fs::read(&fixed.list).unwrap()).unwrap();
    assert_eq!((&left[0]["entry"], &left[0]["text"]), (&1.into(), &format!("{other}{good}").into()));
    assert_eq!(left[0]["reasons"][0]["kind"], "bad_json");
    assert_eq!(run(&set.path("b.jsonl"), &set.options).count(Severity::Error), 0);
}
