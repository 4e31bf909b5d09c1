"""Training's random crops: the same box gives torchvision's pixels, and boxes are drawn as RandomResizedCrop draws them."""
import json
import pictures
from peer import SCRATCH, example, figure
import numpy as np
import open_clip, torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as F

SIDE = 224
train = open_clip.image_transform(SIDE, is_train=True).transforms
random_crop, to_rgb = train[0], train[1]
assert isinstance(random_crop, RandomResizedCrop) and random_crop.scale == (0.9, 1.0), random_crop

# Pixels of given boxes.
torch.manual_seed(5)
asked = []
for number, (kind, draw) in enumerate(pictures.KINDS.items()):
    pictures.reseed(2000 + number)
    for i in range(4):
        path = SCRATCH / f"{kind}.{i}"
        path.write_bytes(draw())
        try:
            image = Image.open(path)
            image.load()
        except Exception:
            continue
        top, left, height, width = random_crop.get_params(image, random_crop.scale, random_crop.ratio)
        shown = to_rgb(F.resized_crop(image, top, left, height, width, (SIDE, SIDE), random_crop.interpolation, antialias=True))
        asked.append(({"file": str(path), "left": left, "top": top, "width": width, "height": height}, np.asarray(shown).astype(int)))
boxes = SCRATCH / "boxes.jsonl"
boxes.write_text("".join(json.dumps(box) + "\n" for box, _ in asked))
worst, bad = 0, []
for (box, theirs), ours in zip(asked, example("crops", boxes), strict=True):
    mine = np.frombuffer(bytes.fromhex(ours["pixels"]), np.uint8).reshape(SIDE, SIDE, 3).astype(int)
    most = int(np.abs(mine - theirs).max())
    worst = max(worst, most)
    if most > 1:
        bad.append(f"{box}: {most}")
figure("crops of drawn pictures", len(asked))
figure("largest difference of a channel", worst, "of 255")
assert not bad, "\n".join(bad)

# Where boxes are: both samples must be of one distribution (Kolmogorov and Smirnov, at a level of 1 in 10,000).
N = 20_000
limit = (np.log(2 / 1e-4) / 2 * 2 / N) ** 0.5
for width, height in [(640, 480), (48, 48), (500, 333), (301, 700), (1000, 200)]:
    image = torch.empty(3, height, width)
    theirs = np.array([random_crop.get_params(image, random_crop.scale, random_crop.ratio) for _ in range(N)])[:, [1, 0, 3, 2]]
    ours = np.array([[box[k] for k in ("left", "top", "width", "height")] for box in example("boxes", width, height, N)])
    apart = 0.0
    for a, b in zip(ours.T, theirs.T):
        places = np.union1d(a, b)
        apart = max(apart, np.abs(np.searchsorted(np.sort(a), places, "right") - np.searchsorted(np.sort(b), places, "right")).max() / N)
    figure(f"boxes of {width}x{height}, largest distance of distributions", float(apart), f"(limit {limit:.3f})")
    assert apart <= limit, (width, height, apart)
