"""What `cocaptain convert` writes, open_clip loads, and computes the same with it: from every kind of file."""
import open_clip, torch
from peer import COCAPTAIN, FIXTURES, HERE, SCRATCH, cocaptain, figure, mini_model, random_model
from safetensors.torch import load_file, save_file

# The small model: every form that the readers know, by open_clip's own strict loading.
from open_clip.factory import load_checkpoint
pixels, ids = torch.randn(2, 3, 16, 16), torch.randint(1, 61, (2, 8))
def seen(model):
    with torch.no_grad(): out = model(pixels, ids)
    return {k: out[k] for k in ("image_features", "text_features", "logits")}
reference = mini_model(); load_checkpoint(reference, str(FIXTURES / "weights/torch/model.safetensors"))
expected = seen(reference)
for name in ["zip.pt", "legacy.pt", "nested.pt", "nested_legacy.pt", "parameters.pt", "strided.pt", "model.safetensors"]:
    out = SCRATCH / name.replace(".", "_")
    cocaptain("convert", FIXTURES / "weights/torch" / name, out, "--model_config", HERE / "fixtures/mini.json")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{out}")
    for key, value in seen(model.eval()).items():
        assert torch.equal(value, expected[key]), (name, key)
figure("forms of the small model that open_clip loads with equal outputs", 7)

# PaddleMIX's, against what paddle computed.
out = SCRATCH / "paddle"
cocaptain("convert", FIXTURES / "weights/paddle", out)
model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{out}")
theirs = load_file(FIXTURES / "weights/paddle/computed.safetensors")
with torch.no_grad(): ours = model.eval()(theirs["pixels"], theirs["ids"], output_labels=False)
for key in ("image_features", "text_features", "logits"):
    difference = (ours[key] - theirs[key]).abs().max().item()
    figure(f"PaddlePaddle {key}, max difference", difference)
    assert difference < 2e-5, key

# Full size.
whole = random_model("coca_ViT-B-32"); state = whole.state_dict()
torch.save({"epoch": 1, "state_dict": {"module." + k: v for k, v in state.items()}}, SCRATCH / "b32.pt")
cocaptain("convert", SCRATCH / "b32.pt", SCRATCH / "b32", "--model_config", "coca_ViT-B-32")
again, _, _ = open_clip.create_model_and_transforms(f"local-dir:{SCRATCH / 'b32'}")
assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items())
image, text = torch.randn(1, 3, 224, 224), open_clip.get_tokenizer("coca_ViT-B-32")(["a cat on a mat"])
with torch.no_grad(): a, b = whole(image, text), again.eval()(image, text)
for key in ("image_features", "text_features", "logits"):
    assert torch.equal(a[key], b[key]), key
figure("coca_ViT-B-32, tensors equal", len(state))
