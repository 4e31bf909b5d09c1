#!/usr/bin/env python3
"""Times of the workbench in a pty: the first frame and the first curves of a long run (read for the first time, and kept), answers to
keys while runs load and after, memory and idle CPU with ten runs on the charts. Writes runs that are made up into a scratch folder.

    tools/bench/workbench.py [PROGRAM] [STEPS OF THE LONG RUN] [STEPS OF EACH OF TEN]
"""
import fcntl, json, math, os, pathlib, pty, random, re, select, signal, statistics, struct, sys, tempfile, termios, time

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/cocaptain")
LONG = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
EACH = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000


def made_up(folder, steps, seed):
    (folder / "logs").mkdir(parents=True)
    (folder / "config.toml").write_text(f"seed = {seed}\nmax_steps = {steps}\n")
    noise, begin = random.Random(seed), time.time() - steps
    with open(folder / "events.jsonl", "w") as out:
        for step in range(1, steps + 1):
            x = step / steps
            contrastive = 2.6 * math.exp(-6 * x) + 0.5 + noise.gauss(0, 0.08)
            caption = 3.6 * math.exp(-8 * x) + 0.35 + noise.gauss(0, 0.08)
            event = dict(v=1, t=begin + step, seq=step - 1, attempt=0, type="metrics", step=step, epoch=step / 250,
                         loss=contrastive + caption, contrastive_loss=contrastive, caption_loss=caption,
                         learning_rate=1e-3 * (1 - x), learning_rates={"visual": 5e-4}, logit_scale=14.3 + 20 * x,
                         grad_norm=1.2 + noise.gauss(0, 0.2) ** 2, samples_per_second=520.0, data_seconds=0.005,
                         step_seconds=0.121)
            out.write(json.dumps(event, separators=(",", ":")) + "\n")
        end = dict(v=1, t=begin + steps, seq=steps, attempt=0, type="finished", outcome="completed", step=steps)
        out.write(json.dumps(end) + "\n")


class Workbench:
    def __init__(self, scratch, run, root):
        self.begin = time.time()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COCAPTAIN_IMAGES="halfblocks", LC_ALL="C.UTF-8")
            os.environ.update({f"XDG_{kind}_HOME": f"{scratch}/{kind.lower()}" for kind in ("STATE", "CACHE", "CONFIG")})
            # Not before the window has its size.
            time.sleep(0.1)
            os.execv(PROGRAM, [PROGRAM, "attach", run, "--output_dir", str(root)])
        self.begin += 0.1
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
        self.seen = b""

    def until(self, test, patience=60):
        while not test(self.seen) and time.time() < self.begin + patience:
            if select.select([self.fd], [], [], 0.05)[0]:
                self.seen += os.read(self.fd, 1 << 16)
        return (time.time() - self.begin) * 1e3

    def drain(self, seconds):
        end = time.time() + seconds
        while time.time() < end:
            if select.select([self.fd], [], [], 0.02)[0]:
                os.read(self.fd, 1 << 16)

    def answer(self, key):
        begin = time.time()
        os.write(self.fd, key)
        # A frame ends with the end of a synchronised update.
        while select.select([self.fd], [], [], 2)[0] and b"2026l" not in os.read(self.fd, 1 << 16):
            pass
        return (time.time() - begin) * 1e3

    def memory(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return [int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM")]

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def frame(seen):
    return b"\x1b[?2026l" in seen


def curves(seen):
    return len(re.findall("[\u2801-\u28ff]", seen.decode("utf8", "ignore"))) > 200


def span(values):
    return f"median {statistics.median(values):.1f} ms, most {max(values):.1f} ms"


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    made_up(scratch / "long/a", LONG, 1)
    for i in range(10):
        made_up(scratch / f"ten/r{i}", EACH, i)
    for label in ["first time", "kept", "kept"]:
        w = Workbench(scratch, "a", scratch / "long")
        first, drawn = w.until(frame), w.until(curves)
        w.drain(15 if label == "first time" else 1)
        rss, most = w.memory()
        print(f"{LONG} steps, {label}: first frame {first:.0f} ms, curves {drawn:.0f} ms, memory {rss:.0f} MiB (most {most:.0f})")
        w.close()
    for label in ["first time", "kept"]:
        w = Workbench(scratch, "r0", scratch / "ten")
        w.until(curves)
        w.answer(b"r")
        w.drain(1.5)
        for _ in range(10):
            os.write(w.fd, b" ")
            w.drain(0.05)
            os.write(w.fd, b"j")
            w.drain(0.05)
        os.write(w.fd, b"1")
        w.drain(0.3)
        loading = []
        for i in range(12):
            loading.append(w.answer(b"-+"[i % 2:i % 2 + 1]))
            w.drain(0.1)
        w.drain(12)
        before = w.cpu()
        w.drain(10)
        idle = (w.cpu() - before) * 10
        after = []
        for i in range(30):
            after.append(w.answer(b"+" if i < 10 else b"<>"[i % 2:i % 2 + 1]))
            w.drain(0.03)
        rss, most = w.memory()
        print(f"ten runs of {EACH} steps, {label}: keys while they load {span(loading)}; zoom and pan {span(after)}; "
              f"memory {rss:.0f} MiB (most {most:.0f}); idle CPU {idle:.2f} %")
        w.close()
