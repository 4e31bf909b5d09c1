"""The real torchrun starts two ranks: one curve with the same run under our own supervisor; a rank that is killed ends in
torchrun's own restart, which goes on from the last checkpoint."""
import signal, time
from peer import *

TORCHRUN = pathlib.Path(sys.executable).with_name("torchrun")
RUNS = SCRATCH / "runs"
ENV = dict(os.environ, PATH=f"{pathlib.Path(COCAPTAIN).resolve().parent}:{os.environ['PATH']}",
           COCAPTAIN_ENGINE=str(pathlib.Path(ENGINE).resolve()), XDG_STATE_HOME=str(SCRATCH / "state"),
           XDG_CACHE_HOME=str(SCRATCH / "cache"), XDG_RUNTIME_DIR=str(SCRATCH))
cocaptain("data", "demo", SCRATCH / "drawn", "--train_pictures", 48, "--val_pictures", 8, "--test_pictures", 8)
FLAGS = ["--train_data", str(SCRATCH / "drawn"), "--model_config", "coca_demo", "--tokenizer", "dataset",
         "--per_device_train_batch_size", "4", "--threads", "1", "--device", "cpu", "--eval_steps", "0", "--sample_steps", "0",
         "--sharding", "stage2", "--output_dir", str(RUNS)]


def events(name):
    return [json.loads(line) for line in (RUNS / name / "events.jsonl").read_text().splitlines()]


def curve(name):
    return {e["step"]: e["loss"] for e in events(name) if e["type"] == "metrics"}


def launch(name, *more, restarts=0, rendezvous=("--standalone",)):
    command = [str(TORCHRUN), "--no-python", *rendezvous, "--nproc_per_node", "2", "--max-restarts", str(restarts),
               "cocaptain", "train", "--name", name, *FLAGS, *more]
    return subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def good(process):
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


subprocess.run([COCAPTAIN, "train", "--name", "own", *FLAGS, "--nproc_per_node", "2", "--max_steps", "12", "--headless"],
               env=ENV, check=True, capture_output=True)
# --standalone: torchrun's rendezvous; without it a static one, whose store listens at MASTER_PORT itself.
for name, rendezvous in [("standalone", ("--standalone",)), ("static", ("--master_port", "29677"))]:
    said = good(launch(name, "--max_steps", "12", rendezvous=rendezvous))
    assert "completed at step 12" in said, said
    worst = max(abs(curve(name)[s] / loss - 1) for s, loss in curve("own").items())
    figure(f"{name}: largest relative distance of the curve from our own supervisor's", worst)
    assert worst < 1e-6 and len(curve(name)) == 12

# torchrun starts all again when a process of its own fails: the killed `cocaptain` takes its rank along.
process = launch("killed", "--max_steps", "40", "--save_steps", "5", restarts=1)
while not (RUNS / "killed" / "events.jsonl").exists() or max(curve("killed"), default=0) < 7:
    assert process.poll() is None, process.communicate()[0]
    time.sleep(0.1)
children = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True).stdout.split()
os.kill(int(children[1]), signal.SIGKILL)
good(process)
resumed = [e["from_step"] for e in events("killed") if e["type"] == "resumed"]
figure("killed process: went on from step", resumed[-1])
assert resumed and resumed[-1] >= 5 and events("killed")[-1]["outcome"] == "completed"
assert sorted(curve("killed")) == list(range(1, 41))
