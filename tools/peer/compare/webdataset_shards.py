"""Shards that `data convert` writes are read by the webdataset package as open_clip does it, and its own are read here."""
import io, json
import webdataset
from PIL import Image
from peer import SCRATCH, cocaptain, figure

home = SCRATCH / "drawn"
cocaptain("data", "demo", home, "--train_pictures", "60", "--val_pictures", "9", "--test_pictures", "3", "--side", "32")


def entries(file):
    return json.loads(file.read_text())


def read(urls):
    # As open_clip's get_wds_dataset: pictures as Pillow has them, texts as they are.
    pipeline = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
    return list(pipeline.decode("pilrgb").rename(image="jpg;png;jpeg;webp", text="txt", more="json"))


seen = 0
for split in ("train", "val"):
    source = entries(home / f"annotations/coco_karpathy_{split}.json")
    out = SCRATCH / f"shards-{split}"
    cocaptain("data", "convert", home, out, "--to", "webdataset", "--split", split, "--shard", "16")
    shards = sorted(str(path) for path in out.glob("*.tar"))
    assert len(shards) == -(-len(source) // 16), shards
    samples = read(shards)
    assert len(samples) == len(source), (len(samples), len(source))
    for sample, entry in zip(samples, source):
        captions = entry["caption"] if isinstance(entry["caption"], list) else [entry["caption"]]
        assert sample["text"] == captions[0].strip(), (sample["text"], captions)
        if len(captions) > 1:
            assert sample["more"]["captions"] == captions
        picture = Image.open(home / "images" / entry["image"]).convert("RGB")
        assert list(sample["image"].getdata()) == list(picture.getdata()), entry["image"]
        seen += 1
figure("samples read by webdataset " + webdataset.__version__, seen)

# A division: each picture in one split, nothing lost.
out = SCRATCH / "divided"
cocaptain("data", "convert", home, out, "--to", "webdataset", "--splits", "train=0.7,val=0.2,test=0.1", "--shard", "7")
of = {}
for split in ("train", "val", "test"):
    for sample in read(sorted(str(path) for path in (out / split).glob("*.tar"))):
        picture = sample["image"].tobytes()
        assert of.setdefault(picture, split) == split, "a picture stands in two splits"
assert len(of) == len({entry["image"] for entry in entries(home / "annotations/coco_karpathy_train.json")})
figure("pictures in three splits, none in two", len(of))

# The other way: what the package writes is read here.
with webdataset.TarWriter(str(SCRATCH / "theirs.tar")) as writer:
    for at in range(5):
        picture = io.BytesIO()
        Image.new("RGB", (20, 10), (at * 40, 90, 10)).save(picture, "JPEG")
        writer.write({"__key__": f"a/{at:04}", "jpg": picture.getvalue(), "txt": f"caption {at}", "json": {"width": 20}})
cocaptain("data", "convert", SCRATCH / "theirs.tar", SCRATCH / "theirs" / "out.jsonl")
lines = [json.loads(line) for line in (SCRATCH / "theirs" / "out.jsonl").read_text().splitlines()]
assert [line["caption"] for line in lines] == [f"caption {at}" for at in range(5)]
assert all(Image.open(SCRATCH / "theirs" / "images" / line["image"]).size == (20, 10) for line in lines)
figure("samples written by webdataset and read here", len(lines))
