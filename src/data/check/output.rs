//! A report for other programs: JSON, SARIF, CSV.

use std::path::Path;

use serde_json::{Value, json};

use super::finding::{Finding, Kind, Report, Severity};

fn place(number: usize) -> Value {
    if number == 0 { Value::Null } else { number.into() }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn finding(finding: &Finding) -> Value {
    let related = finding.related.as_ref();
    // What has no place in a file has no offset either.
    let offset = if finding.line == 0 { Value::Null } else { finding.offset.into() };
    json!({
        "kind": finding.kind.name(),
        "severity": finding.severity().name(),
        "file": path(&finding.file),
        "line": place(finding.line),
        "column": place(finding.column),
        "offset": offset,
        "entry": finding.entry,
        "related": related.and_then(|related| related.entry),
        "related_file": related.map(|related| path(&related.file)),
        "message": finding.message,
    })
}

/// As JSON: `{"entries", "findings": [...]}`. `related` is the entry of the other one of a pair.
pub fn json(report: &Report) -> Value {
    json!({"entries": report.entries, "findings": report.findings.iter().map(finding).collect::<Vec<_>>()})
}

/// As SARIF 2.1.0, which code hosts and editors show.
pub fn sarif(report: &Report, version: &str) -> Value {
    let level = |severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let rules: Vec<Value> = Kind::ALL
        .iter()
        .map(|kind| {
            json!({
                "id": kind.name(),
                "shortDescription": {"text": kind.doc()},
                "defaultConfiguration": {"level": level(kind.severity())},
            })
        })
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let mut physical = json!({"artifactLocation": {"uri": uri(&finding.file)}});
            if finding.line > 0 {
                physical["region"] = json!({"startLine": finding.line, "startColumn": finding.column,
                    "byteOffset": finding.offset, "byteLength": 0});
            }
            let mut result = json!({
                "ruleId": finding.kind.name(),
                "level": level(finding.severity()),
                "message": {"text": finding.message},
                "locations": [{"physicalLocation": physical}],
                "properties": {"entry": finding.entry},
            });
            if let Some(related) = &finding.related {
                result["relatedLocations"] = json!([{
                    "physicalLocation": {"artifactLocation": {"uri": uri(&related.file)}},
                    "message": {"text": related.entry.map_or(String::new(), |entry| format!("entry {entry}"))},
                }]);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "cocaptain data check", "version": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a URI reference: what is not plain is written by its bytes.
fn uri(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// As CSV with a header.
pub fn csv(report: &Report) -> String {
    let mut text = String::from("kind,severity,file,line,column,offset,entry,related,message\n");
    // Names and captions of strangers are quoted in it, and it is looked at on a terminal.
    let quoted = |field: &str| format!("\"{}\"", run::escape::line(field).replace('"', "\"\""));
    let number = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
    for finding in &report.findings {
        let known = finding.line > 0;
        let fields = [
            finding.kind.name().to_string(),
            finding.severity().name().to_string(),
            quoted(&path(&finding.file)),
            number(known.then_some(finding.line)),
            number(known.then_some(finding.column)),
            number(known.then_some(finding.offset)),
            number(finding.entry),
            number(finding.related.as_ref().and_then(|related| related.entry)),
            quoted(&finding.message),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}
