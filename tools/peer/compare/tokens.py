"""Ids of texts of many scripts, signs, entities and damage, and of every character there is, against open_clip's tokenizer.

Mojibake repair, which the program doesn't do, is taken out of ftfy for the comparison; how many texts it would have
changed is printed. Left out are characters that this Python's Unicode does not know yet, and U+1171E, which newer
versions class otherwise: the `regex` that open_clip splits words with, Python itself and the program each have a
version of Unicode of their own.
"""
import html, html.entities, json, random, time, unicodedata
from peer import SCRATCH, cocaptain, example, figure
import ftfy
from open_clip.tokenizer import SimpleTokenizer

COUNT = 20_000
random.seed(1)
tokenizer = SimpleTokenizer(context_length=76)
whole = ftfy.fix_text


def without_repair(text):
    return whole(text, fix_encoding=False)


def ours(texts, length=76, what="tokens"):
    path = SCRATCH / "texts.jsonl"
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return example(what, path, *([length] if what == "tokens" else []))


def compare(name, texts, length=76):
    """Figures; the texts whose ids differ."""
    ftfy.fix_text = without_repair
    theirs = [tokenizer([text], context_length=length)[0].tolist() for text in texts]
    ftfy.fix_text = whole
    bad = [text for text, a, b in zip(texts, ours(texts, length), theirs, strict=True) if a != b]
    figure(f"{name}: texts, of them with other ids", f"{len(texts)}, {len(bad)}")
    return bad


SCRIPTS = [(0x20, 0x7e)] * 6 + [(0xa0, 0xff), (0x100, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x587),
    (0x5d0, 0x5ea), (0x621, 0x64a), (0x660, 0x669), (0x904, 0x939), (0x93e, 0x94f), (0xe01, 0xe3a), (0x10a0, 0x10ff),
    (0x1100, 0x11ff), (0x1e00, 0x1eff), (0x1f00, 0x1fff), (0x2000, 0x206f), (0x20a0, 0x20bf), (0x2100, 0x218b),
    (0x2190, 0x22ff), (0x2460, 0x24ff), (0x2600, 0x27bf), (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3),
    (0xf900, 0xfad9), (0xfb00, 0xfb06), (0xfe00, 0xfe6f), (0xff01, 0xffef), (0x1d400, 0x1d7ff), (0x1f1e6, 0x1f1ff),
    (0x1f300, 0x1f64f), (0x1f680, 0x1f6ff), (0x1f900, 0x1f9ff), (0x80, 0x9f), (0x0, 0x1f)]
NAMES = list(html.entities.html5)
WORDS = ("a the man woman dog cat's isn't they'll I'VE we'd o'clock street kitchen pizza frisbee UMBRELLA Giraffe ΟΔΟΣ "
         "ΣΟΦΟΣ Σ ΑΣ. ΑΣ' straße İstanbul naïve ﬁne ﬀ ŉ Ǆ <start_of_text> <END_OF_TEXT> <|endoftext|> 'S 'Re Don’t “quote” ‘x’ "
         "!!! ... ?! !:[ !^) !! --- ___ 12345 3.14 ¾ Ⅷ &amp; &lt; &amp;lt; <b> </b> \x1b[31m \u200d \ufeff \u3000 ＡＢＣ ｱｲｳﾞ "
         "👨‍👩‍👧‍👦 👍🏽 🇺🇸 ❤️ 1️⃣ http://a.b/c?d=e&f @user #tag café cafe\u0301 ½ ™ © \r\n \x85 \u2028 \u00ad").split(" ")


def piece():
    kind = random.random()
    if kind < 0.5:
        return random.choice(WORDS)
    if kind < 0.58:
        name = random.choice(NAMES)
        return "&" + random.choice([name, name.upper(), name.lower(), name.rstrip(";")])
    if kind < 0.64:
        n = random.choice([random.randrange(0x300), random.randrange(0x110000), random.randrange(1 << 40)])
        return random.choice([f"&#{n};", f"&#x{n:x};", f"&#X{n:X}", f"&#{n}"])
    low, high = random.choice(SCRIPTS)
    return "".join(chr(random.randint(low, high)) for _ in range(random.randint(1, 8)))


def known(text):
    """Whether every character is one, entities resolved."""
    return all(unicodedata.category(c) not in ("Cn", "Cs") for c in text + html.unescape(html.unescape(whole(text))))


texts = []
while len(texts) < COUNT:
    text = "".join(piece() + random.choice(["", " ", " ", "\n", "  "]) for _ in range(random.randint(0, random.choice([4, 15, 90]))))
    if known(text):
        texts.append(text)
bad = compare("drawn", texts)
bad += compare("runs of signs", ["".join(random.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ") for _ in range(random.randint(1, 30)))
                                 for _ in range(5000)])
bad += compare("entities", [f"x&{name} &{name}y &{name.rstrip(';')} &{name.upper()}" for name in NAMES])
things = "man woman dog cat giraffe train pizza bus kite surfboard giraffes skateboarder".split()
plain = [f"{random.choice(['A', 'The', 'Two', 'Some'])} {random.choice(things)} {random.choice(['on', 'near', 'by', 'under'])} a "
         f"{random.choice(things)}{random.choice(['.', ' .', '!', ', and it is 3 pm', ' (1998)', chr(39) + 's tail'])}" for _ in range(5000)]
bad += compare("plain captions", plain)

# Every character, within a word, alone, and twice: many to a text, so that bad texts are looked at again line by line.
characters = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000 and unicodedata.category(chr(c)) not in ("Cn", "Co") and c != 0x1171e]
lines = [f"x{c}Y {c} {c}{c} Α{c}Σ{c}" for c in characters]
suspects = compare("all characters, 32 a text", ["\n".join(lines[i:i + 32]) for i in range(0, len(lines), 32)], 1500)
if suspects:
    bad += compare("those again, each alone", [line for text in suspects for line in text.split("\n")], 100) or suspects
figure("characters", len(characters))

# By the command line, as people ask: a text a line.
file = SCRATCH / "lines.txt"
file.write_text("\n".join(plain) + "\n")
rows = [json.loads(line) for line in cocaptain("tokenize", "--file", file, "--json").splitlines()]
rows = rows[0]["ids"] if len(rows) == 1 else [row["ids"] for row in rows]
assert rows == tokenizer(plain).tolist(), "cocaptain tokenize"
figure("lines equal through `cocaptain tokenize`", len(plain))

# And back to text, as open_clip decodes what generate() gives.
ids = tokenizer(plain[:1000]).tolist()
theirs = [tokenizer.decode(row).split("<end_of_text>")[0].replace("<start_of_text>", "").strip() for row in ids]
assert ours(ids, what="decode") == theirs, "decoding"

repaired = sum(whole(text) != without_repair(text) for text in texts)
figure("drawn texts that ftfy's mojibake repair, which is not done here, would change", repaired)
assert whole("dÃ©jÃ\xa0 vu") != without_repair("dÃ©jÃ\xa0 vu") and ours(["dÃ©jÃ\xa0 vu"], what="clean") == ["dã©jã vu"]
assert not bad, "\n".join(map(json.dumps, bad[:30]))
