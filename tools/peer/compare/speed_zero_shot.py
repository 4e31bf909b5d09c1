"""Zero-shot classification beside open_clip's own loop, coca_ViT-B-32 with random weights, float32, on the CPU: pictures, and
building a classifier."""
import time, types

from peer import *
import open_clip, torch
import open_clip_train.zero_shot as theirs
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

NAME, CLASSES, PICTURES = "coca_ViT-B-32", 5, 20  # five: open_clip's loop always asks for the five best
theirs.float = lambda array: array.item()  # newer numpy refuses float() of an array of one number

torch.set_num_threads(os.cpu_count())
model, weights, preprocess, tokenizer = model_on_disk(NAME)

# Photographs of ImageNet's usual size: smooth areas and noise, as a camera has.
folder = SCRATCH / "set"
noise = torch.Generator().manual_seed(1)
for c in range(CLASSES):
    (folder / f"{c}").mkdir(parents=True)
    for i in range(PICTURES):
        smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 16, generator=noise), (375, 500), mode="bicubic")
        rough = smooth[0] * 220 + torch.rand(3, 375, 500, generator=noise) * 24
        Image.fromarray(rough.clamp(0, 255).byte().permute(1, 2, 0).numpy()).save(folder / f"{c}" / f"{i}.jpg", quality=90)
names = open_clip.IMAGENET_CLASSNAMES[:CLASSES]
(folder / "labels.txt").write_text("\n".join(names) + "\n")
templates = open_clip.OPENAI_IMAGENET_TEMPLATES


def ours(what):
    """Seconds of the classifier, or of the pictures."""
    # A cache of its own: the classifier is built, not found.
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=SCRATCH)
    said = json.loads(cocaptain(
        "eval", "zero-shot", "--model", weights, "--model_config", NAME, "--classification_eval", folder, "--device", "cpu",
        "--templates", "imagenet", "--batch", 32, "--fresh", "--output_dir", SCRATCH / "runs", "--json"))
    result = json.loads(pathlib.Path(said["result"]).read_text())
    return result["seconds"][what]


def classifier():
    start = time.perf_counter()
    with torch.inference_mode():
        open_clip.build_zero_shot_classifier(
            model, tokenizer, names, templates, num_classes_per_batch=10, device="cpu")
    return time.perf_counter() - start


def loop(workers):
    data = DataLoader(ImageFolder(folder, transform=preprocess), batch_size=32, num_workers=workers)
    args = types.SimpleNamespace(precision="fp32", device="cpu", batch_size=32)
    start = time.perf_counter()
    theirs.run(model, built, data, args)
    return time.perf_counter() - start


built = torch.nn.functional.normalize(torch.randn(512, CLASSES), dim=0)
race(f"classifier of {CLASSES} classes x {len(templates)} templates", classifier, lambda: ours("classifier"), 2)
for workers in (0, 2):
    race(f"{CLASSES * PICTURES} pictures, open_clip's loop with {workers} workers", lambda: loop(workers),
         lambda: ours("pictures"), 1.5)
