"""How many pictures and captions a second on one thread, beside open_clip's, in turns. Figures, not a test: only that the
work is the same is asserted (see pixels.py and tokens.py), since a busy machine makes any ratio."""
import io, json, random, statistics, time
import pictures
from peer import SCRATCH, cocaptain, figure
import open_clip, torch
from PIL import Image, ImageFilter

torch.set_num_threads(1)
pictures.reseed(7)
photo = SCRATCH / "photo.jpg"
Image.fromarray(pictures.scene(640, 480)).filter(ImageFilter.GaussianBlur(1)).save(photo, quality=85)
data = photo.read_bytes()
transform = open_clip.image_transform(
    224, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
random.seed(1)
words = "a the man woman dog cat's street kitchen pizza frisbee umbrella giraffe standing riding holding with of two".split()
captions = [" ".join(random.choices(words, k=random.randint(6, 16))).capitalize() + "." for _ in range(4000)]
texts = SCRATCH / "texts.txt"
texts.write_text("\n".join(captions) + "\n")
tokenizer = open_clip.get_tokenizer("coca_ViT-B-32")


def rate(count, work):
    began = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - began)


def ours(what, *arguments):
    return next(iter(json.loads(cocaptain("bench", what, *arguments, "--json")).values()))


pairs = {"pictures": [], "captions": []}
for _ in range(3):
    pairs["pictures"].append((ours("preprocess", "--image", photo), rate(200, lambda: transform(Image.open(io.BytesIO(data))))))
    pairs["captions"].append((ours("tokenize", "--texts_file", texts), 4000 * rate(1, lambda: tokenizer(captions))))
for what, rates in pairs.items():
    a, b = (statistics.median(side) for side in zip(*rates))
    figure(f"{what} a second", f"{a:.0f}, open_clip {b:.0f}: {a / b:.1f} times")
figure("the picture", f"640x480 JPEG of {len(data)} bytes")
