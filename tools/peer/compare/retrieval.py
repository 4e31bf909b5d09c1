"""`cocaptain eval retrieval` against CLIP_benchmark's zero-shot retrieval, on the same random weights and pictures."""
from peer import *
import torch
from clip_benchmark.metrics import zeroshot_retrieval
from PIL import Image, ImageDraw

NAME = "coca_ViT-B-32"
model, weights, preprocess, tokenizer = model_on_disk(NAME, seed=3)

folder = SCRATCH / "data"
(folder / "images").mkdir(parents=True)
(folder / "annotations").mkdir()
words = ["a red ring", "two dogs on a beach", "blue", "a small green star above a large square", "rain", "grün 猫"]
entries = []
for i in range(24):
    image = Image.linear_gradient("L").resize((224, 224)).rotate(47 * i).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.ellipse([5 * i, 3 * i, 60 + 6 * i, 120], fill=(11 * i % 256, 200 - 7 * i, 90))
    image.save(folder / "images" / f"{i}.png")
    # One to five captions for each picture.
    captions = [f"{words[(i * 7 + j) % 6]} {words[(i + 3 * j) % 6]} number {i * j}" for j in range(1 + i % 5)]
    entries.append({"image": f"{i}.png", "caption": captions})
for split in ["val", "test"]:
    (folder / "annotations" / f"coco_karpathy_{split}.json").write_text(json.dumps(entries))
(folder / "annotations" / "coco_karpathy_train.json").write_text(
    json.dumps([{"image": "0.png", "caption": "a", "image_id": "0"}]))

said = json.loads(cocaptain(
    "eval", "retrieval", "--model", weights, "--model_config", NAME, "--data", folder, "--device", "cpu",
    "--output_dir", SCRATCH / "runs", "--json"))


def batches(size=5):
    for at in range(0, len(entries), size):
        some = entries[at : at + size]
        pixels = torch.stack([preprocess(Image.open(folder / "images" / e["image"])) for e in some])
        yield pixels, [e["caption"] for e in some]


theirs = zeroshot_retrieval.evaluate(model, batches(), tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10])
assert said["images"] == len(entries) and said["texts"] == sum(len(e["caption"]) for e in entries)
for k in [1, 5, 10]:
    for mine, their in [("text_to_image", "image_retrieval"), ("image_to_text", "text_retrieval")]:
        a, b = said[f"{mine}_R@{k}"], theirs[f"{their}_recall@{k}"]
        figure(f"{their} recall@{k}", b)
        assert abs(a - b) < 1e-6, (mine, k, a, b)
