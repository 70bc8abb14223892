"""Text, logs and repositories to scan, made here: nothing in them is anyone's secret."""

import random
import string
import subprocess

WORDS = """account address amount answer balance batch buffer bundle cache caller channel client cluster column command
commit config context counter cursor customer deadline default delay deploy device digest driver element endpoint engine
entry event factory failure feature field filter folder format frame handler header index input instance invoice item
journal label layer ledger limit listener locale logger manager message method metric module node object offset option
order output owner packet page parser partition payload payment pipeline policy pool process profile protocol provider
queue reader record region registry release replica report request resource response result retry role route sample
schedule schema scope segment sequence server service session shard signal snapshot source status step stream subject
table target task template tenant thread timeout topic trace transfer update upload user value vendor version view
window worker writer zone""".split()


def token(rng, length, alphabet=string.ascii_letters + string.digits):
    return "".join(rng.choices(alphabet, k=length))


def planted(rng):
    """A decoy of a random kind, on a line of its own."""
    return rng.choice(
        [
            lambda: f"db_url = \"postgres://app:{token(rng, 24)}@db.internal:5432/orders\"",
            lambda: f"aws_access_key_id = AKIA{token(rng, 16, string.ascii_uppercase + '234567')}",
            lambda: f"STRIPE_KEY=sk_live_{token(rng, 24)}",
            lambda: f"client_password = \"{token(rng, 20)}\"",
        ]
    )()


def line(rng):
    """A line of code: assignments and calls, with the loose keywords that real code is full of."""
    one, two, three = rng.choices(WORDS, k=3)
    return rng.choice(
        [
            f"    let {one}_{two} = {three}.{one}({two}, {rng.randrange(1000)});",
            f"    if {one}.{two}() > {three} {{ return Err(Error::{two.title()}); }}",
            f"    // The {one} of a {two} is kept until the {three} ends.",
            f"    pub fn {one}_{two}(&self, {three}: &{three.title()}) -> Option<{one.title()}>",
            f"    self.{one}.insert(key, {two}.token());  // {three}",
            f"    assert_eq!({one}.{two}, \"{three} {rng.randrange(10**6)}\");",
        ]
    )


def repository(path, commits, files, seed=1):
    """A bare repository whose files grow and change by a few lines a commit, packed with deltas."""
    rng = random.Random(seed)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    content = {f"src/{rng.choice(WORDS)}_{n}.rs": [line(rng) for _ in range(rng.randrange(50, 900))] for n in range(files)}
    names = sorted(content)
    importer = subprocess.Popen(["git", "-C", str(path), "fast-import", "--quiet"], stdin=subprocess.PIPE)
    out = importer.stdin
    changed = names
    for number in range(commits):
        out.write(b"commit refs/heads/main\ncommitter Bench <bench@example.com> %d +0000\n" % (1_600_000_000 + 60 * number))
        out.write(b"data 6\nchange\n")
        for name in changed:
            data = ("\n".join(content[name]) + "\n").encode()
            out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data))
        changed = rng.sample(names, k=min(4, len(names)))
        for name in changed:
            lines = content[name]
            for _ in range(rng.randrange(1, 6)):
                at = rng.randrange(len(lines))
                lines[at : at + rng.randrange(2)] = [line(rng) for _ in range(rng.randrange(1, 4))]
            if rng.random() < 0.01:
                lines.insert(rng.randrange(len(lines)), planted(rng))
    out.close()
    if importer.wait() != 0:
        raise RuntimeError("git fast-import failed")
    subprocess.run(["git", "-C", str(path), "repack", "-adfq"], check=True)
    return path


def log(path, size, hits=True, seed=2):
    """A log of a service, `size` bytes long. A block of it is repeated with other numbers, which is what logs are like."""
    rng = random.Random(seed)
    lines = []
    for _ in range(20_000):
        one, two, three = rng.choices(WORDS, k=3)
        lines.append(
            f"2026-11-22T%02d:%02d:%02d.{rng.randrange(1000):03d}Z INFO {one}::{two}: {three} done request_id={token(rng, 12)}"
            f" session={token(rng, 8)} user={rng.randrange(10**6)} took={rng.randrange(900)}ms status=200 path=/v1/{one}/{two}"
        )
    with open(path, "w", encoding="ascii") as out:
        written, second = 0, 0
        while written < size:
            text = rng.choice(lines) % (second // 3600 % 24, second // 60 % 60, second % 60)
            if hits and rng.random() < 0.00001:
                text += " " + planted(rng)
            written += out.write(text + "\n")
            second += 1
    return path
