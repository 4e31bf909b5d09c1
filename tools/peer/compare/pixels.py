"""What the model is shown of hundreds of drawn pictures of every kind, against open_clip's evaluation transform on Pillow."""
import collections
import pictures
from peer import SCRATCH, example, figure
import numpy as np
import open_clip
from PIL import Image

COUNT, SIDE = 16, 224
steps = open_clip.image_transform(SIDE, is_train=False).transforms[:3]
files = []
for number, (kind, draw) in enumerate(pictures.KINDS.items()):
    pictures.reseed(1000 + number)
    for i in range(COUNT):
        path = SCRATCH / f"{kind}.{i}"
        path.write_bytes(draw())
        files.append(path)
worst, equal, bad = collections.Counter(), 0, []
for path, ours in zip(files, example("pixels", *files), strict=True):
    kind = path.name.split(".")[0]
    try:
        image = Image.open(path)
        for step in steps:
            image = step(image)
        theirs = np.asarray(image).astype(int)
    except Exception as error:
        theirs = str(error)
    if isinstance(theirs, str) or "error" in ours:
        if isinstance(theirs, str) != ("error" in ours):
            bad.append(f"{path.name}: here {ours.get('error', 'read')!r}, there {theirs if isinstance(theirs, str) else 'read'!r}")
        continue
    mine = np.frombuffer(bytes.fromhex(ours["pixels"]), np.uint8).reshape(SIDE, SIDE, 3).astype(int)
    most = int(np.abs(mine - theirs).max())
    equal += most == 0
    worst[kind] = max(worst[kind], most)
    if most > 1:
        bad.append(f"{path.name}: a channel differs by {most} of 255, {(np.abs(mine - theirs) > 1).mean():.2%} of the numbers by more than 1")
figure("kinds of files", len(pictures.KINDS))
figure("pictures", len(files))
figure("pictures whose every pixel is equal", equal)
figure("largest difference of a channel", max(worst.values()), "of 255")
figure("kinds that differ at all", ", ".join(k for k, v in worst.items() if v) or "none")
assert not bad, "\n".join(bad[:40] + [f"{len(bad)} in all"])
