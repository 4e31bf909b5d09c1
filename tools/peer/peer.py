"""What comparisons share."""
import json, os, pathlib, statistics, subprocess, sys, tempfile

COCAPTAIN, ENGINE = os.environ["COCAPTAIN"], os.environ["COCAPTAIN_ENGINE"]
EXAMPLE = os.environ.get("COCAPTAIN_PEER", "")
HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent.parent / "tests" / "fixtures"
_scratch = tempfile.TemporaryDirectory(prefix="cocaptain-peer-")
SCRATCH = pathlib.Path(_scratch.name)


def cocaptain(*arguments, good=True):
    """What the program prints; with good, it must succeed."""
    done = subprocess.run([COCAPTAIN, *map(str, arguments)], capture_output=True, text=True)
    if good and done.returncode != 0:
        sys.exit(f"cocaptain {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
    return done.stdout


def example(*arguments):
    """The lines of JSON that src/data/examples/peer.rs answers."""
    done = subprocess.run([EXAMPLE, *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def figure(name, value, unit=""):
    print(f"   {name}: {value:.3g} {unit}" if isinstance(value, float) else f"   {name}: {value} {unit}", flush=True)


def race(name, theirs, ours, bar, rounds=3, most=7):
    """How many times faster `ours` is than `theirs`: each does the work once and gives its seconds. They take turns, and
    the median of the turns' ratios counts, since a neighbour on the machine slows both sides of a turn. It must reach
    `bar`; while it does not, up to `most` turns are taken. With no bar it is told only. Gives the median seconds of both."""
    turns = []
    while len(turns) < rounds or len(turns) < most and statistics.median(a / b for a, b in turns) < (bar or 0):
        turns.append((theirs(), ours()))
    ratios = [a / b for a, b in turns]
    ratio, (a, b) = statistics.median(ratios), (statistics.median(side) for side in zip(*turns))
    among = (f"bar {bar}; " if bar else "") + f"{len(turns)} turns: {' '.join(f'{r:.1f}' for r in ratios)}"
    figure(name, f"{a:.3g} s, cocaptain {b:.3g} s: {ratio:.1f} times faster ({among})")
    assert ratio >= (bar or 0), f"{name}: {ratio:.2f} times faster is below {bar}"
    return a, b


def random_model(name, seed=0):
    """open_clip's model of this name with random weights (open_clip leaves the decoder's head uninitialised)."""
    import open_clip, torch
    torch.manual_seed(seed)
    model = open_clip.create_model(name, pretrained=None).eval()
    torch.nn.init.normal_(model.text_decoder.text_projection, std=model.text_decoder.text_projection.shape[0] ** -0.5)
    return model


def model_on_disk(name, seed=0):
    """open_clip's random model, its weights as a file for us, and open_clip's way to make pictures and texts ready."""
    import open_clip
    from safetensors.torch import save_file
    model, weights = random_model(name, seed), SCRATCH / "model.safetensors"
    save_file({key: t.contiguous() for key, t in model.state_dict().items()}, str(weights))
    preprocess = open_clip.image_transform(
        224, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    return model, weights, preprocess, open_clip.get_tokenizer(name)


def mini_model():
    """The small model of fixtures/mini.json, as open_clip builds it."""
    from open_clip.coca_model import CoCa
    config = json.loads((HERE / "fixtures" / "mini.json").read_text())
    config.pop("custom_text")
    return CoCa(**config).eval()


def engine_bench(**request):
    """What the engine measures when asked directly; see src/engine/bench.rs."""
    done = subprocess.run([ENGINE, "bench", json.dumps(request)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"cocaptain-engine bench {request}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)
