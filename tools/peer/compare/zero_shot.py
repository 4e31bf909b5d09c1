"""`cocaptain eval zero-shot` of coca_ViT-B-32 with random weights, against open_clip's classifier and accuracy: per-image
logits, top-1, top-5; ImageNet's names and templates, word for word."""
import shutil

from peer import *
import open_clip, torch
import open_clip_train.zero_shot
from PIL import Image, ImageDraw

NAME = "coca_ViT-B-32"
assets = HERE.parent.parent / "assets" / "zero_shot"
lines = lambda name: (assets / name).read_text().splitlines()
assert lines("imagenet_names.txt") == list(open_clip.IMAGENET_CLASSNAMES)
for name, templates in [
    ("imagenet_templates.txt", open_clip.OPENAI_IMAGENET_TEMPLATES),
    ("imagenet_templates_simple.txt", open_clip.SIMPLE_IMAGENET_TEMPLATES),
]:
    assert [line.replace("{}", "THING") for line in lines(name)] == [t("THING") for t in templates], name
figure("ImageNet's names and templates equal", 1000 + 80 + 7)

model, weights, preprocess, tokenizer = model_on_disk(NAME)

classes = ["tench", "red ring", "a very long name of a thing that nobody has seen", "blue star", "cat", "dog", "sea snake"]
templates = ["a photo of a {}.", "{}", "there are many {} in the scene, says {}!"]
folder = SCRATCH / "set"
pictures = []
for c, name in enumerate(classes):
    place = folder / "images" / f"{c:02}"
    place.mkdir(parents=True)
    for i in range(6):
        # Of the model's own size: nothing is resampled, both sides see the same pixels.
        image = Image.linear_gradient("L").resize((224, 224)).rotate(31 * i).convert("RGB")
        pen = ImageDraw.Draw(image)
        pen.ellipse([9 * c, 11 * i, 60 + 20 * c, 90 + 17 * i], fill=(40 * c % 256, 200 - 20 * i, 90))
        pen.rectangle([100 - 9 * i, 120, 180, 150 + 9 * c], fill=(220 - 30 * i, 30 * c, 40 * i))
        image.save(place / f"{i}.png")
        pictures.append((f"{c:02}/{i}.png", c))
(folder / "labels.txt").write_text("\n".join(classes) + "\n")
(folder / "templates.txt").write_text("\n".join(templates) + "\n")

said = json.loads(cocaptain(
    "eval", "zero-shot", "--model", weights, "--model_config", NAME, "--classification_eval", folder, "--device", "cpu",
    "--keep", len(classes), "--output_dir", SCRATCH / "runs", "--json"))
answers = {}
for line in (pathlib.Path(said["result"]).parent / "answers.jsonl").read_text().splitlines():
    answer = json.loads(line)
    answers[answer["image"]] = dict(answer["top"])

with torch.no_grad():
    classifier = open_clip.build_zero_shot_classifier(
        model, tokenizer, classes, [lambda c, t=t: t.replace("{}", c) for t in templates], num_classes_per_batch=3,
        device="cpu")
    pixels = torch.stack([preprocess(Image.open(folder / "images" / name)) for name, _ in pictures])
    features = model.encode_image(pixels)
    features = torch.nn.functional.normalize(features, dim=-1)
    logits = 100.0 * features @ classifier
mine = torch.tensor([[answers[name][c] for c in range(len(classes))] for name, _ in pictures])
worst = (mine - logits).abs().max().item()
figure("max abs difference of logits", worst)
assert worst <= 1e-3, worst
target = torch.tensor([c for _, c in pictures])
# It calls float() on arrays of one number, which newer numpy refuses.
open_clip_train.zero_shot.float = lambda array: array.item()
top1, top5 = open_clip_train.zero_shot.accuracy(logits, target, topk=(1, 5))
n = len(pictures)
assert said["n"] == n and round(said["top1"] * n) == round(top1) and round(said["top5"] * n) == round(top5), (said, top1, top5)
order = logits.topk(5, dim=1)[1]
assert torch.equal(mine.topk(5, dim=1)[1], order)
figure("top-1, top-5 of both", f"{top1 / n:.3f}, {top5 / n:.3f}")
shutil.rmtree(folder)
