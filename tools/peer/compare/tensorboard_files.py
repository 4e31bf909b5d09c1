"""Event files of a run that was interrupted and went on, read back by the real tensorboard package."""
from peer import *
import io
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

data = SCRATCH / "drawn"
cocaptain("data", "demo", data, "--train_pictures", 200, "--val_pictures", 20, "--test_pictures", 10)
runs = ["--output_dir", SCRATCH / "runs"]
cocaptain("demo", "--train_data", data, "--name", "a", "--max_steps", 8, "--logging_steps", 1, "--sample_steps", 4,
          "--save_steps", 4, "--eval_steps", 4, "--tensorboard", "--headless", *runs)
run = SCRATCH / "runs" / "a"
# As if the last steps had been lost: the run goes on from step 4 and makes them again, and more.
subprocess.run(["rm", "-r", str(run / "checkpoints" / "step-8")], check=True)
cocaptain("train", "--resume", "a", "--set", "max_steps=10", "--headless", *runs)

# What the run's own events say: a later attempt supersedes.
ours, captions = {}, {}
for line in (run / "events.jsonl").read_text().splitlines():
    event = json.loads(line)
    if event["type"] == "metrics":
        ours[event["step"]] = event
    if event["type"] == "sample":
        captions[event["index"], event["step"]] = event["caption"]
assert sorted(ours) == list(range(1, 11)), sorted(ours)

files = sorted((run / "tensorboard").iterdir())
assert len(files) == 2, files
board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
board.Reload()
tags = board.Tags()
figure("files", len(files))
for name in ["loss", "learning_rate", "grad_norm", "logit_scale", "step_seconds"]:
    theirs = board.Scalars(f"train/{name}")
    assert [e.step for e in theirs] == sorted(ours), (name, [e.step for e in theirs])
    for e in theirs:
        want = ours[e.step][name]
        assert abs(e.value - want) <= 1e-6 * max(1, abs(want)), (name, e.step, e.value, want)
figure("scalars", len(tags["scalars"]))
for tag in [t for t in tags["scalars"] if t.startswith("held_out/")]:
    assert [e.step for e in board.Scalars(tag)] == [4, 8, 10], (tag, board.Scalars(tag))
assert any(t.startswith("held_out/") for t in tags["scalars"]), tags["scalars"]
pictures = board.Images("samples/0")
assert [p.step for p in pictures] == [4, 8, 10], [p.step for p in pictures]
for p in pictures:
    assert Image.open(io.BytesIO(p.encoded_image_string)).size == (p.width, p.height)
text = {e.step: e.tensor_proto.string_val[0].decode() for e in board.Tensors("samples/0/captions")}
for step, words in text.items():
    assert captions[0, step] in words, (step, words)
assert "learning_rate" in board.Tensors("settings")[-1].tensor_proto.string_val[0].decode()
