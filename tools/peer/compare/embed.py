"""`cocaptain embed` and `caption --greedy` of coca_ViT-B-32 with random weights, against open_clip on drawn pictures."""
from peer import *
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

NAME = "coca_ViT-B-32"
model, weights, preprocess, tokenizer = model_on_disk(NAME)


def draw(i, size, ending):
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.ellipse([20 + 9 * i, 15, 120 + 15 * i, 150], fill=(40 * i % 256, 200, 90))
    pen.rectangle([size[0] // 2, 40 + 7 * i, size[0] - 10, size[1] - 20], fill=(220, 30 * i, 40))
    path = SCRATCH / f"{i}.{ending}"
    image.save(path)
    return path


# `square` pictures are of the model's own size: nothing is resampled, both sides see the same pixels.
square = [draw(i, (224, 224), "png") for i in range(4)]
files = [draw(4, (640, 480), "jpg"), draw(5, (300, 500), "png"), draw(6, (500, 230), "webp")]
texts = ["a woman cutting a cake", "Two dogs & a red frisbee!", "grün 猫 \u2764", "a " * 100]
texts_file = SCRATCH / "texts.txt"
texts_file.write_text("\n".join(texts) + "\n")

out = SCRATCH / "features.safetensors"
shared = ["--model", weights, "--model_config", NAME]
cocaptain("embed", *shared, "--images", *square, *files, "--texts_file", texts_file, "-o", out)
ours = load_file(str(out))
pixels = torch.stack([preprocess(Image.open(p)) for p in square + files])
with torch.no_grad():
    images, of_texts = model.encode_image(pixels), model.encode_text(tokenizer(texts))
assert ours["image_features"].dtype == torch.float32 and ours["image_features"].shape == images.shape
n = len(square)
for name, a, b, most in [
    ("features of the same pixels", ours["image_features"][:n], images[:n], 1e-4),
    ("features from files", ours["image_features"][n:], images[n:], 2e-3),
    ("text features", ours["text_features"], of_texts, 1e-4),
]:
    worst = (a - b).abs().max().item()
    figure(f"max abs difference of {name}", worst)
    assert worst <= most, (name, worst)

lines = cocaptain("caption", *shared, "--greedy", "--compat", "openclip-3.3", "--json", *square).splitlines()
with torch.no_grad():
    theirs = model.generate(pixels[:n], generation_type="top_k", top_k=1)
for line, ids in zip(lines, theirs.tolist(), strict=True):
    mine = json.loads(line)["ids"]
    # open_clip pads the rows of a batch to the longest.
    assert mine == ids[: len(mine)] and not any(ids[len(mine) :]), (mine, ids)
figure("greedy captions with equal ids", n)
