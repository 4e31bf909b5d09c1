"""Draws texts of many scripts, signs, entities and damage, and compares their ids with open_clip's tokenizer.

usage: python tools/peer/tokens.py PEER_EXAMPLE [COUNT] [SEED]

Run with a Python that has open_clip_torch 3.3.0 and ftfy. Mojibake repair, which the program doesn't do, is taken out
of ftfy for the comparison; how many texts it would have changed is printed. Exit status 1 when a row differs.
"""
import html.entities
import json
import random
import subprocess
import sys
import tempfile

import ftfy
from open_clip.tokenizer import SimpleTokenizer

program = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 else 40_000
random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
SCRIPTS = [(0x20, 0x7e)] * 6 + [(0xa0, 0xff), (0x100, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x587),
    (0x5d0, 0x5ea), (0x621, 0x64a), (0x660, 0x669), (0x904, 0x939), (0x93e, 0x94f), (0xe01, 0xe3a), (0x10a0, 0x10ff),
    (0x1100, 0x11ff), (0x1e00, 0x1eff), (0x1f00, 0x1fff), (0x2000, 0x206f), (0x20a0, 0x20bf), (0x2100, 0x218b),
    (0x2190, 0x22ff), (0x2460, 0x24ff), (0x2600, 0x27bf), (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3),
    (0xf900, 0xfad9), (0xfb00, 0xfb06), (0xfe00, 0xfe6f), (0xff01, 0xffef), (0x1d400, 0x1d7ff), (0x1f1e6, 0x1f1ff),
    (0x1f300, 0x1f64f), (0x1f680, 0x1f6ff), (0x1f900, 0x1f9ff), (0x80, 0x9f), (0x0, 0x1f)]
NAMES = list(html.entities.html5)
WORDS = ("a the man woman dog cat's isn't they'll I'VE we'd o'clock street kitchen pizza frisbee UMBRELLA Giraffe ΟΔΟΣ "
         "ΣΟΦΟΣ straße İstanbul naïve ﬁne <start_of_text> <END_OF_TEXT> <|endoftext|> 'S 'Re Don’t “quote” !!! ... ?! --- "
         "___ 12345 3.14 &amp; &lt; <b> \x1b[31m \u200d \ufeff http://a.b/c?d=e&f").split(" ")


def piece():
    kind = random.random()
    if kind < 0.5:
        return random.choice(WORDS)
    if kind < 0.58:
        name = random.choice(NAMES)
        name = random.choice([name, name.upper(), name.lower(), name.rstrip(";")])
        return "&" + name
    if kind < 0.64:
        n = random.choice([random.randrange(0x300), random.randrange(0x110000), random.randrange(1 << 40)])
        return random.choice([f"&#{n};", f"&#x{n:x};", f"&#X{n:X}", f"&#{n}"])
    low, high = random.choice(SCRIPTS)
    return "".join(chr(random.randint(low, high)) for _ in range(random.randint(1, 8)))


texts = []
while len(texts) < count:
    text = "".join(piece() + random.choice(["", " ", " ", "\n", "  "]) for _ in range(random.randint(0, random.choice([4, 15, 90]))))
    # Codes that Unicode 14 (Python 3.11) has no character for may have one here.
    if not any(0xd800 <= ord(c) < 0xe000 for c in text):
        texts.append(text)
with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
    file.writelines(json.dumps(text) + "\n" for text in texts)
answers = subprocess.run([program, "tokens", file.name], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
tokenizer = SimpleTokenizer(context_length=76)
repaired = {i for i, text in enumerate(texts) if ftfy.fix_text(text) != ftfy.fix_text(text, fix_encoding=False)}
whole = ftfy.fix_text
ftfy.fix_text = lambda text: whole(text, fix_encoding=False)
bad = 0
for text, answer in zip(texts, answers, strict=True):
    if json.loads(answer) != tokenizer([text])[0].tolist():
        bad += 1
        if bad <= 10:
            print(json.dumps(text))
print(json.dumps({"texts": count, "mojibake_repaired_by_ftfy": len(repaired), "differ": bad}))
sys.exit(bad > 0)
