"""`cocaptain eval caption --predictions` against pycocoevalcap's BLEU, ROUGE-L and CIDEr on the same words."""
import random

from peer import *
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

random.seed(5)
words = "a the red blue dog cat runs sits on under beach table two three small big of and".split()
folder = SCRATCH / "data"
(folder / "annotations").mkdir(parents=True)
entries, predictions = [], []
for i in range(60):
    # Plain lower-case words are the same after any tokeniser.
    sentence = lambda: " ".join(random.choice(words) for _ in range(random.randint(3, 12)))
    references = [sentence() for _ in range(1 + i % 5)]
    caption = references[0] if i % 7 == 0 else " ".join(references[-1].split()[: 2 + i % 6] + sentence().split()[:4])
    entries.append({"image": f"{i}.png", "caption": references})
    predictions.append({"image": f"{i}.png", "caption": caption})
for split, some in [("train", [{"image": "0.png", "caption": "a", "image_id": "0"}]), ("test", entries)]:
    (folder / "annotations" / f"coco_karpathy_{split}.json").write_text(json.dumps(some))
file = SCRATCH / "predictions.jsonl"
file.write_text("".join(json.dumps(p) + "\n" for p in predictions))
said = json.loads(cocaptain("eval", "caption", "--predictions", file, "--data", folder, "--json"))

references = {i: e["caption"] for i, e in enumerate(entries)}
captions = {i: [p["caption"]] for i, p in enumerate(predictions)}
bleu, _ = Bleu(4).compute_score(references, captions, verbose=0)
rouge, _ = Rouge().compute_score(references, captions)
cider, _ = Cider().compute_score(references, captions)
theirs = {**{f"bleu{n + 1}": b for n, b in enumerate(bleu)}, "rouge_l": rouge, "cider": cider}
assert said["n"] == len(entries)
for name, value in theirs.items():
    figure(name, float(value))
    assert abs(said[name] - value) <= 1e-9 * max(1.0, abs(value)), (name, said[name], value)
