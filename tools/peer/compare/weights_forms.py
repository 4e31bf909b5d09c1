"""Files as torch.save, safetensors and paddle.save write them, of every type and form, read here and compared tensor by tensor."""
import collections, itertools, json
import numpy as np
import torch
from peer import HERE, SCRATCH, cocaptain, figure, mini_model
from safetensors.torch import load_file, save_file

CONFIG = HERE / "fixtures/mini.json"
torch.manual_seed(3)
model = mini_model()
for p in model.parameters():
    torch.nn.init.normal_(p)
state = {name: t.detach().clone() for name, t in model.state_dict().items()}


def read(path):
    """The file as this program writes it anew, every number as it is stored."""
    out = SCRATCH / "again.safetensors"
    cocaptain("convert", path, out, "--model_config", CONFIG)
    return load_file(str(out))


def same(path, expected):
    ours = read(path)
    assert ours.keys() == expected.keys(), (path.name, ours.keys() ^ expected.keys())
    for name, value in expected.items():
        assert ours[name].dtype == value.dtype and torch.equal(ours[name], value), (path.name, name)


class Wrapped(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


forms = {
    "state_dict": lambda s: s,
    "OrderedDict": lambda s: collections.OrderedDict(s),
    "with _metadata": lambda s: (lambda m: (m.load_state_dict({k: v.float() for k, v in s.items()}), m.to(next(iter(s.values())).dtype).state_dict())[1])(mini_model()),
    "nested": lambda s: {"epoch": 2, "name": "x", "state_dict": s, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.98)}]}},
    "module.": lambda s: {"module." + k: v for k, v in s.items()},
    "nested, module.": lambda s: {"state_dict": collections.OrderedDict(("module." + k, v) for k, v in s.items()), "step": 7},
    "_orig_mod.": lambda s: {"_orig_mod." + k: v for k, v in s.items()},
    "parameters": lambda s: {k: torch.nn.Parameter(v) for k, v in s.items()},
    "transposed": lambda s: {k: v.t().contiguous().t() if v.ndim == 2 else v for k, v in s.items()},
    "slices of one storage": lambda s: (lambda flat: {k: flat[at:at + v.numel()].view(v.shape) for (k, v), at in zip(
        s.items(), itertools.accumulate([v.numel() for v in s.values()], initial=0))})(torch.cat([v.flatten() for v in s.values()])),
    "with masks of old checkpoints": lambda s: {**s, "text.attn_mask": torch.zeros(9, 9), "text_decoder.attn_mask": torch.zeros(8, 8)},
    "logit_scale of one axis": lambda s: {**s, "logit_scale": s["logit_scale"].reshape(1)},
}
count = 0
for (form, make), dtype, new in itertools.product(forms.items(), (torch.float32, torch.float16, torch.bfloat16, torch.float64), (True, False)):
    expected = {k: v.to(dtype) for k, v in state.items()}
    path = SCRATCH / f"form{count}.{'pt' if new else 'bin'}"
    torch.save(make(expected), path, _use_new_zipfile_serialization=new)
    try:
        same(path, expected)
    except (AssertionError, SystemExit) as error:
        raise SystemExit(f"{form}, {dtype}, {'zip' if new else 'not zip'}: {error}")
    count += 1
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    path = SCRATCH / "s.safetensors"
    save_file({k: v.to(dtype) for k, v in state.items()}, str(path), metadata={"format": "pt"})
    same(path, {k: v.to(dtype) for k, v in state.items()})
    count += 1
# Types within a file may differ, and each stays as it is.
mixed = {k: v.to([torch.float32, torch.float16, torch.bfloat16][i % 3]) for i, (k, v) in enumerate(state.items())}
torch.save(mixed, SCRATCH / "mixed.pt")
same(SCRATCH / "mixed.pt", mixed)
figure("files of PyTorch and safetensors read equal", count + 1)

# What must be refused, by name.
torch.save(mini_model(), SCRATCH / "whole.pt")  # a whole module, not its state dict
for path, word in [(SCRATCH / "whole.pt", "state_dict")]:
    import subprocess, os
    done = subprocess.run([os.environ["COCAPTAIN"], "convert", path, SCRATCH / "no", "--model_config", CONFIG], capture_output=True, text=True)
    assert done.returncode != 0 and "open_clip.coca_model" in done.stderr, done
figure("a pickled module is refused with the class it asks for", 1)

# PaddlePaddle's files of every protocol, in PaddleMIX's names and layouts, by the real wheel.
import paddle
from safetensors.numpy import load_file as load_numpy
fixture = HERE.parent.parent / "tests/fixtures/weights/paddle"
arrays = paddle.load(str(fixture / "model_state.pdparams"))
expected = None
for protocol in (2, 3, 4):
    folder = SCRATCH / f"paddle{protocol}"
    folder.mkdir()
    (folder / "config.json").write_bytes((fixture / "config.json").read_bytes())
    paddle.save(arrays, str(folder / "model_state.pdparams"), protocol=protocol)
    cocaptain("convert", folder, folder / "out.safetensors")
    ours = load_file(str(folder / "out.safetensors"))
    expected = expected or ours
    assert ours.keys() == expected.keys() and all(torch.equal(v, expected[k]) for k, v in ours.items()), protocol
whole = {k: v.numpy() for k, v in arrays.items()}
for name, value in expected.items():
    value = value.numpy()
    if name in whole:
        theirs = whole[name].T if name.endswith(("c_fc.weight", "c_proj.weight", "out_proj.weight")) else whole[name]
        assert np.array_equal(value.reshape(theirs.shape), theirs), name
    elif ".in_proj_" in name:
        attention, kind = name.split(".in_proj_")
        parts = [whole[f"{attention}.{p}_proj.{kind}"] for p in "qkv"]
        assert np.array_equal(value, np.concatenate([p.T if kind == "weight" else p for p in parts])), name
figure("protocols of paddle.save read equal", 3)
