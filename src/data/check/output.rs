//! A report for other programs: JSON, SARIF, CSV. Written as it goes: a finding in memory twice would be one too many.

use std::io::{self, Write};
use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::finding::{Finding, Kind, Report, Severity};

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Line, column and offset, as far as a finding has a place in a file: in a shard there are no lines.
fn place(finding: &Finding) -> [Option<usize>; 3] {
    let [line, column] = [finding.line, finding.column].map(|number| (finding.line > 0).then_some(number));
    [line, column, finding.byte()]
}

/// The entry of the other one of a pair.
fn related(finding: &Finding) -> Option<usize> {
    finding.related.as_ref()?.entry
}

/// A list that is written one by one.
struct Each<'a, T>(&'a [Finding], fn(&'a Finding) -> T);

impl<T: Serialize> Serialize for Each<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

#[derive(Serialize)]
struct Told<'a> {
    kind: &'static str,
    severity: Severity,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    offset: Option<usize>,
    entry: Option<usize>,
    related: Option<usize>,
    related_file: Option<String>,
    message: &'a str,
}

fn told(finding: &Finding) -> Told<'_> {
    let [line, column, offset] = place(finding);
    Told {
        kind: finding.kind.name(),
        severity: finding.severity(),
        file: path(&finding.file),
        line,
        column,
        offset,
        entry: finding.entry,
        related: related(finding),
        related_file: finding.related.as_ref().map(|related| path(&related.file)),
        message: &finding.message,
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    entries: usize,
    findings: Each<'a, Told<'a>>,
}

/// As JSON: `{"entries", "findings": [...]}`. `related` is the entry of the other one of a pair.
///
/// # Errors
/// Those of `out`.
pub fn json(report: &Report, mut out: impl Write) -> io::Result<()> {
    let all = Whole { entries: report.entries, findings: Each(&report.findings, told) };
    serde_json::to_writer(&mut out, &all)?;
    writeln!(out)
}

/// The word of SARIF for a severity.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(finding: &Finding) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(&finding.file)}});
    let names = ["startLine", "startColumn", "byteOffset"];
    let known = names.into_iter().zip(place(finding)).filter_map(|(name, number)| Some((name, number?)));
    let mut region: serde_json::Map<String, Value> =
        known.map(|(name, number)| (name.to_owned(), number.into())).collect();
    if region.contains_key("byteOffset") {
        region.insert("byteLength".to_owned(), 0.into());
    }
    if !region.is_empty() {
        physical["region"] = region.into();
    }
    let mut result = json!({
        "ruleId": finding.kind.name(),
        "level": level(finding.severity()),
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": physical}],
        "properties": {"entry": finding.entry},
    });
    if let Some(related) = &finding.related {
        let mut location = json!({"physicalLocation": {"artifactLocation": {"uri": uri(&related.file)}}});
        if let Some(entry) = related.entry {
            location["message"] = json!({"text": format!("entry {entry}")});
        }
        result["relatedLocations"] = json!([location]);
    }
    result
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Value,
    column_kind: &'static str,
    results: Each<'a, Value>,
}

/// As SARIF 2.1.0, which code hosts and editors show.
///
/// # Errors
/// Those of `out`.
pub fn sarif(report: &Report, version: &str, mut out: impl Write) -> io::Result<()> {
    let rule = |kind: &Kind| {
        json!({
            "id": kind.name(),
            "shortDescription": {"text": kind.doc()},
            "defaultConfiguration": {"level": level(kind.severity())},
        })
    };
    let rules: Vec<Value> = Kind::ALL.iter().map(rule).collect();
    let run = Run {
        tool: json!({"driver": {"name": "cocaptain data check", "version": version, "rules": rules}}),
        column_kind: "unicodeCodePoints",
        results: Each(&report.findings, result),
    };
    let schema = "https://json.schemastore.org/sarif-2.1.0.json";
    serde_json::to_writer_pretty(&mut out, &Log { schema, version: "2.1.0", runs: [run] })?;
    writeln!(out)
}

/// A path as a URI reference: what is not plain is written by its bytes.
fn uri(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// As CSV with a header.
///
/// # Errors
/// Those of `out`.
pub fn csv(report: &Report, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "kind,severity,file,line,column,offset,entry,related,message")?;
    // Names and captions of strangers are quoted in it, and it is looked at on a terminal.
    let quoted = |field: &str| format!("\"{}\"", run::escape::line(field).replace('"', "\"\""));
    let number = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
    for finding in &report.findings {
        let fields = [
            finding.kind.name().to_string(),
            finding.severity().name().to_string(),
            quoted(&path(&finding.file)),
        ];
        let numbers = place(finding).into_iter().chain([finding.entry, related(finding)]).map(number);
        let fields: Vec<String> = fields.into_iter().chain(numbers).collect();
        writeln!(out, "{},{}", fields.join(","), quoted(&finding.message))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::check::{NOWHERE, Related};

    fn report() -> Report {
        let finding = |kind, line, entry, related: Option<usize>| Finding {
            kind,
            file: Path::new("a b/ä.json").into(),
            line,
            column: line * 2,
            offset: if line > 0 { line * 10 } else { NOWHERE },
            entry,
            related: related
                .map(|entry| Box::new(Related { file: Path::new("b.json").into(), entry: Some(entry) })),
            message: "say \"why\",\nand\u{1b}[2J what".into(),
        };
        let findings = vec![
            finding(Kind::MissingFile, 1, Some(0), None),
            finding(Kind::DuplicateEntry, 2, Some(7), Some(3)),
            finding(Kind::UnusedPicture, 0, None, None),
        ];
        Report { entries: 9, findings, ..Report::default() }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_the_shape_that_is_promised() {
        let text = written(|out| json(&report(), out));
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all["entries"], 9);
        let expected = [
            json!({"kind": "missing_file", "severity": "error", "line": 1, "column": 2, "offset": 10, "entry": 0,
                "related": null, "related_file": null}),
            json!({"kind": "duplicate_entry", "severity": "warning", "line": 2, "column": 4, "offset": 20,
                "entry": 7, "related": 3, "related_file": "b.json"}),
            json!({"kind": "unused_picture", "severity": "info", "line": null, "column": null, "offset": null,
                "entry": null, "related": null, "related_file": null}),
        ];
        for (mut expected, found) in expected.into_iter().zip(all["findings"].as_array().unwrap()) {
            expected["file"] = "a b/ä.json".into();
            expected["message"] = report().findings[0].message.as_ref().into();
            assert_eq!(*found, expected);
        }
        assert!(!text.contains('\u{1b}'), "escaped as JSON does");
    }

    #[test]
    fn csv_has_a_row_for_each_and_no_escapes() {
        let text = written(|out| csv(&report(), out));
        let mut rows = csv_rows(&text);
        assert_eq!(rows.next().unwrap()[3..8], ["line", "column", "offset", "entry", "related"]);
        assert_eq!(
            rows.next().unwrap()[..8],
            ["missing_file", "error", "a b/ä.json", "1", "2", "10", "0", ""]
        );
        let pair = rows.next().unwrap();
        assert_eq!((&*pair[6], &*pair[7]), ("7", "3"));
        assert_eq!(rows.next().unwrap()[3..8], [""; 5]);
        assert!(!text.contains('\u{1b}') && rows.next().is_none());
    }

    fn csv_rows(text: &str) -> impl Iterator<Item = Vec<String>> {
        text.lines().map(|line| {
            let fields = crate::reader::table::fields(line.as_bytes(), b',');
            fields.iter().map(|field| field.text(line.as_bytes()).into_owned()).collect()
        })
    }

    /// What the schema of SARIF 2.1.0 asks of the objects that are written here: which members each may have, and must.
    /// tools/peer/compare/sarif.py holds the program's output against the schema itself.
    #[test]
    fn sarif_has_what_its_schema_asks() {
        fn members(value: &Value, may: &str, must: &str) {
            let has: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
            let [may, must] = [may, must].map(|words| words.split_whitespace().collect::<BTreeSet<_>>());
            assert!(has.is_subset(&may) && must.is_subset(&has), "{has:?}");
        }
        let log: Value = serde_json::from_str(&written(|out| sarif(&report(), "1", out))).unwrap();
        members(&log, "$schema version runs", "version runs");
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        members(run, "tool columnKind results", "tool");
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        let driver = &run["tool"]["driver"];
        members(driver, "name version rules", "name");
        let levels = ["none", "note", "warning", "error"];
        let mut ids = BTreeSet::new();
        for rule in driver["rules"].as_array().unwrap() {
            members(rule, "id shortDescription defaultConfiguration", "id");
            members(&rule["shortDescription"], "text markdown", "text");
            members(&rule["defaultConfiguration"], "enabled level rank parameters", "");
            assert!(levels.contains(&rule["defaultConfiguration"]["level"].as_str().unwrap()));
            assert!(ids.insert(rule["id"].as_str().unwrap()), "each rule once");
        }
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 3);
        for result in results {
            members(result, "ruleId level message locations relatedLocations properties", "message");
            assert!(ids.contains(result["ruleId"].as_str().unwrap()));
            assert!(levels.contains(&result["level"].as_str().unwrap()));
            members(&result["message"], "text markdown id arguments", "text");
            let related = result["relatedLocations"].as_array().into_iter().flatten();
            for location in result["locations"].as_array().unwrap().iter().chain(related) {
                members(location, "physicalLocation message", "");
                let physical = &location["physicalLocation"];
                members(physical, "artifactLocation region", "artifactLocation");
                let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
                assert!(uri == "a%20b/%C3%A4.json" || uri == "b.json", "{uri}");
                if let Some(region) = physical.get("region") {
                    members(region, "startLine startColumn byteOffset byteLength", "startLine");
                    assert!(
                        region["startLine"].as_u64() >= Some(1) && region["startColumn"].as_u64() >= Some(1)
                    );
                }
            }
        }
        assert!(results[2]["locations"][0]["physicalLocation"].get("region").is_none());
        assert_eq!(results[1]["relatedLocations"][0]["message"]["text"], "entry 3");
    }
}
