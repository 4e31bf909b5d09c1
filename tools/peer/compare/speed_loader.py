"""Training batches a second on one thread: `cocaptain bench data` beside open_clip's CsvDataset in torch's DataLoader without
workers, in turns, on the same drawn photographs of COCO's size; then 600,000 entries to the first batch."""
import json, statistics, time
import numpy as np
import open_clip, torch
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader, Dataset
from peer import SCRATCH, cocaptain, figure, race

torch.set_num_threads(1)
images = SCRATCH / "images"
images.mkdir()
rng = np.random.default_rng(3)
total, entries = 0, []
for at in range(200):
    # Soft areas with grain in the bright ones, as cameras leave it.
    small = rng.integers(0, 255, (rng.integers(6, 14), rng.integers(8, 18), 3), dtype=np.uint8)
    soft = Image.fromarray(small).resize((640, 480), Image.BICUBIC)
    grain = rng.normal(0, 1, (480, 640, 3)) * (10 + 14 * (np.asarray(soft.convert("L"))[..., None] > 110))
    picture = np.clip(np.asarray(soft).astype(np.int16) + grain, 0, 255).astype(np.uint8)
    file = images / f"{at:05}.jpg"
    Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.6)).save(file, quality=90)
    total += file.stat().st_size
    entries += [{"image": file.name, "caption": f"A man riding wave {at} on top of a surfboard, seen {n} times."} for n in range(2)]
(SCRATCH / "train.json").write_text(json.dumps(entries))
figure("a picture, 640x480", total / 200 / 1000, "kB")


class Rows(Dataset):
    """open_clip_train's CsvDataset without pandas."""
    def __init__(self):
        self.transforms = open_clip.image_transform(
            224, is_train=True, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
        self.tokenize = open_clip.get_tokenizer("coca_ViT-B-32")

    def __len__(self):
        return len(entries)

    def __getitem__(self, at):
        picture = self.transforms(Image.open(str(images / entries[at]["image"])))
        return picture, self.tokenize([entries[at]["caption"]])[0]


rows = Rows()


def theirs(seconds=5):
    loader = iter(DataLoader(rows, batch_size=16, shuffle=True, num_workers=0, drop_last=True))
    next(loader)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        batch = next(loader, None)
        if batch is None:
            loader = iter(DataLoader(rows, batch_size=16, shuffle=True, num_workers=0, drop_last=True))
            continue
        count += len(batch[0])
    return count / (time.perf_counter() - began)


told = []


def ours():
    told.append(json.loads(cocaptain("bench", "data", SCRATCH / "train.json", "--image_root", images, "--json")))
    return 1 / told[-1]["images_per_second"]


race("a picture and its caption, one thread", lambda: 1 / theirs(), ours, bar=2.5)
middle = lambda name: statistics.median(turn[name] for turn in told)
alone, busy, waited = (middle(name) for name in ("images_per_second", "busy_images_per_second", "wait_share"))
figure("beside a busy core", f"{busy:.0f} images/s of {alone:.0f}, {100 * waited:.1f} % of the time waited")
# The model takes a little longer for a batch than one thread takes to make it: then it is hardly ever waited for.
assert waited < 0.05, f"{100 * waited:.1f} % of the time the model waited for data"
many = [{"image": f"{at // 5 % 200:05}.jpg", "caption": f"a caption with number {at} of a wave and a man", "image_id": str(at // 5)}
        for at in range(600_000)]
(SCRATCH / "many.json").write_text(json.dumps(many))
told = [json.loads(cocaptain("bench", "data", SCRATCH / "many.json", "--image_root", images, "--json", "--seconds", 1)) for _ in range(3)]
figure("600,000 entries open", middle("open_seconds"), "s")
figure("their first batch", middle("first_batch_seconds"), "s after the start")
assert middle("first_batch_seconds") < 1
