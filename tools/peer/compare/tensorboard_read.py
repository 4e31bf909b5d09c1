"""Event files that torch's SummaryWriter wrote, as `cocaptain export` reads them, against the tensorboard package's own reader."""
from peer import *
import csv, io, random
import numpy
from torch.utils.tensorboard import SummaryWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = SCRATCH / "logs" / "version_0"
random.seed(7)
# The second begins again at step 300, as a run does that goes on from a checkpoint.
for begin, end in [(0, 500), (300, 800)]:
    writer = SummaryWriter(str(folder), purge_step=begin or None)
    for step in range(begin, end):
        writer.add_scalar("Loss/train", random.random() + begin, step)
        writer.add_scalar("train/lr", 1e-3 / (step + 1), step)
        if step % 100 == 0:
            writer.add_text("note", f"at {step}", step)
            writer.add_histogram("weights", numpy.random.rand(100), step)
    writer.close()
told = list(csv.DictReader(io.StringIO(cocaptain("export", folder.parent))))
board = EventAccumulator(str(folder), size_guidance={"scalars": 0})
board.Reload()
for tag, ours in [("Loss/train", "Loss/train"), ("train/lr", "learning_rate")]:
    theirs = {e.step: e.value for e in board.Scalars(tag)}
    mine = {int(row["step"]): float(row["value"]) for row in told if row["metric"] == ours}
    assert sorted(theirs) == sorted(mine) == list(range(800)), (tag, len(theirs), len(mine))
    worst = max(abs(theirs[s] - mine[s]) / max(1e-12, abs(theirs[s])) for s in theirs)
    assert worst <= 1e-6, (tag, worst)
    figure(f"{ours}, worst relative difference", worst)
