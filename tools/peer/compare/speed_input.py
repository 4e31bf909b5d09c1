"""Pictures and captions on one thread, beside open_clip's: decoding and preprocessing of JPEGs of 640x480, and tokenising. That
the work is the same is asserted by pixels.py and tokens.py."""
import io, json, random, time
import pictures
from peer import SCRATCH, cocaptain, figure, race
import open_clip, torch
from PIL import Image, ImageFilter

torch.set_num_threads(1)
pictures.reseed(7)
transform = open_clip.image_transform(
    224, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
random.seed(1)
words = "a the man woman dog cat's street kitchen pizza frisbee umbrella giraffe standing riding holding with of two".split()
captions = [" ".join(random.choices(words, k=random.randint(6, 16))).capitalize() + "." for _ in range(4000)]
texts = SCRATCH / "texts.txt"
texts.write_text("\n".join(captions) + "\n")
tokenizer = open_clip.get_tokenizer("coca_ViT-B-32")


def timed(count, work):
    began = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - began) / count


def ours(what, *arguments):
    return 1 / next(iter(json.loads(cocaptain("bench", what, *arguments, "--json")).values()))


def photo(blur, **options):
    """A drawn scene with the noise of a camera: many bytes, or few where it is blurred."""
    path = SCRATCH / f"{blur}-{'-'.join(map(str, options.values()))}.jpg"
    Image.fromarray(pictures.scene(640, 480)).filter(ImageFilter.GaussianBlur(blur)).save(path, **options)
    return path, path.read_bytes()


# From what a page of the web shows to what a camera writes. The bar is for usual files: where nearly every number of a block is
# coded, most of the time goes into reading bits, which both sides do one after the other.
for blur, options, bar in [(1, dict(quality=85), 2.5), (0, dict(quality=75), 2.5), (0, dict(quality=90), 2.5),
                           (0, dict(quality=95), None), (0, dict(quality=90, subsampling=0), None)]:
    path, data = photo(blur, **options)
    name = f"640x480 JPEG of {len(data) // 1000} kB, quality {options['quality']}{', 4:4:4' if 'subsampling' in options else ''}"
    race(f"decode and preprocess a {name}", lambda: timed(200, lambda: transform(Image.open(io.BytesIO(data)))),
         lambda: ours("preprocess", "--image", path), bar)
race("tokenise a caption", lambda: timed(1, lambda: tokenizer(captions)) / len(captions),
     lambda: ours("tokenize", "--texts_file", texts), bar=20)
