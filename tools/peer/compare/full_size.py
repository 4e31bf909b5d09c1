"""coca_ViT-B-32 and coca_ViT-L-14 with random weights: features, the logits of every row, and the ids of captions
(greedy, beam search with 6 beams in 3 groups and in 1) under `--compat openclip-3.3`, from the same pixels."""
import gc
import open_clip, torch
from peer import *
from safetensors.torch import load_file, save_file

TEXTS = ["A woman wearing a net on her head cutting a cake. ", "A man riding a wave on top of a surfboard.",
         "dog", "a very long caption about " + "many small red and blue boats in the harbour " * 12]
WAYS = {
    "greedy": (["--mode", "greedy"], dict(generation_type="top_k", top_k=1)),
    "beam 6x3": (["--mode", "beam", "--beams", 6, "--groups", 3], dict(num_beams=6, num_beam_groups=3)),
    "beam 6x1": (["--mode", "beam", "--beams", 6, "--groups", 1], dict(num_beams=6, num_beam_groups=1)),
}


def compare(name, pictures):
    model = random_model(name)
    weights, pixels, ids, out = (SCRATCH / f"{name}.{what}" for what in ("safetensors", "pixels", "ids", "out"))
    save_file({key: t.contiguous() for key, t in model.state_dict().items()}, str(weights))
    image = torch.randn(pictures, 3, *model.visual.image_size)
    text = open_clip.get_tokenizer(name)(TEXTS)[:, :76]
    save_file({"pixels": image}, str(pixels))
    save_file({"ids": text}, str(ids))

    # The texts beside the first picture, all four of them.
    four = image[:1].expand(len(TEXTS), -1, -1, -1).contiguous()
    save_file({"pixels": four}, str(SCRATCH / "four.pixels"))
    with torch.no_grad():
        theirs = model(four, text, output_labels=False)
    engine_bench(what="forward", model=str(weights), model_config=name, pixels=str(SCRATCH / "four.pixels"),
                 ids=str(ids), out=str(out))
    ours = load_file(str(out))
    for key in ("image_features", "text_features", "logits"):
        a, b = ours[key], theirs[key]
        assert a.shape == b.shape, (name, key, a.shape, b.shape)
        # A row of logits is a position of a text.
        rows = (a - b).abs().amax(-1).flatten()
        figure(f"{name} {key}, largest difference of {rows.numel()} rows", rows.max().item())
        assert rows.max().item() <= 1e-4, (name, key)

    for way, (flags, options) in WAYS.items():
        with torch.no_grad():
            theirs = model.generate(image, **options).tolist()
        ours = json.loads(cocaptain("bench", "caption", "--model", weights, "--model_config", name, "--pixels", pixels,
                                    "--repeat", 1, "--json", *flags))["ids"]
        assert ours == theirs, f"{name} {way}:\n{ours}\n{theirs}"
        figure(f"{name} {way}: captions with equal ids", f"{len(ours)} of {pictures}, {len(set(map(tuple, ours)))} different")


compare("coca_ViT-B-32", 4)
gc.collect()
compare("coca_ViT-L-14", 2)
