"""Positions for another picture size and context are what open_clip makes of them."""
import json
import open_clip, torch
from open_clip.factory import load_checkpoint
from peer import FIXTURES, HERE, SCRATCH, cocaptain, figure
from safetensors.torch import load_file

worst = 0.0
for image_size, context in [(8, 5), (24, 8), (40, 13), (112, 40)]:
    config = json.loads((HERE / "fixtures/mini.json").read_text())
    config["vision_cfg"]["image_size"] = image_size
    config["text_cfg"]["context_length"] = config["multimodal_cfg"]["context_length"] = context
    (SCRATCH / "c.json").write_text(json.dumps(config))
    out = SCRATCH / f"{image_size}.safetensors"
    cocaptain("convert", FIXTURES / "weights/torch/zip.pt", out, "--model_config", SCRATCH / "c.json")
    config.pop("custom_text")
    theirs = open_clip.coca_model.CoCa(**config)
    load_checkpoint(theirs, str(FIXTURES / "weights/torch/zip.pt"))
    ours = load_file(out)
    for key in ("visual.positional_embedding", "text.positional_embedding"):
        worst = max(worst, (ours[key] - theirs.state_dict()[key]).abs().max().item())
figure("resized positions, max difference", worst)
assert worst < 5e-6
