#!/usr/bin/env python3
"""Verify a Quell evidence bundle (.quell.tar or folder): verify-evidence.py BUNDLE [--key VKEY]. Exit: 0 ok, 1 failed, 2 usage.
VKEY is the log's key as its owner gave it, not as the bundle has it. Formats: docs/reference/ledger-format.md."""
import base64, hashlib, json, os, pathlib, re, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
place = [""]  # what is being looked at, for the message
def at(where): place[0] = where
def need(ok, what):
    if not ok: raise ValueError(what)
def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def unb64(text, size=None):
    raw = base64.b64decode(text, validate=True)
    return need(base64.b64encode(raw).decode() == text and size in (None, len(raw)), "not the one base64 of its length") or raw
def canonical(raw):  # one spelling only: sorted keys, no spaces; numbers with a fraction come back as text and so differ
    value = json.loads(raw.decode(), parse_float=str, parse_constant=str)
    again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return need(again == raw and isinstance(value, dict), "not a canonical JSON object") or value
def header(path, size):  # ustar, regular file: name, mode, owner, group, size, time, checksum over all, type, magic, device
    block = (path.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
             + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167))
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
def read_tar(raw):
    files, pos = {}, 0
    while raw[pos:pos + 512].strip(b"\0"):
        at(f"the header at byte {pos}")
        path, size = raw[pos:pos + 100].rstrip(b"\0").decode(), int(raw[pos + 124:pos + 135], 8)
        need(re.fullmatch(r"((?!\.\.?(/|$))[\w.@+-]+(/(?=.)|$))+", path, re.A) and size >= 0, "bad path or size")
        files[path], pos = raw[pos + 512:pos + 512 + size], pos + 512 + (size + 511) // 512 * 512
    again = b"".join(header(p, len(c)) + c + bytes(-len(c) % 512) for p, c in sorted(files.items())) + bytes(1024)
    at(f"byte {len(os.path.commonprefix([raw, again]))}")
    return need(raw == again, "bad header, padding, order or end of the archive") or files
def read(path):
    return read_tar(path.read_bytes()) if not path.is_dir() else {
        p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if not p.is_dir()}
def vkey(text):  # -> name, key id, public key
    name, ident, raw = *text.split("+", 2)[:2], unb64(text.split("+", 2)[-1], 33)
    need(raw[0] == 1 and sha(name.encode(), b"\n", raw)[:4].hex() == ident, "not an Ed25519 verifier key")
    return name, bytes.fromhex(ident), Ed25519PublicKey.from_public_bytes(raw[1:])
def opened(note, key, alone=False):  # C2SP signed-note: text, empty line, signature lines; those of other keys are ignored
    match = re.fullmatch(r"([^\x00-\x09\x0b-\x1f]+\n)\n((?:— [^\s+]+ \S+\n)+)", note)
    lines = [line.split(" ")[1:] for line in match[2].split("\n")[:-1]] if match else []
    mine = [sig[4:] for name, sig in ((name, unb64(sig)) for name, sig in lines) if (name, sig[:4]) == key[:2]]
    need(len(mine) == 1 and (not alone or len(lines) == 1), f"not a note signed (only) by {key[0]}+{key[1].hex()}")
    return key[2].verify(mine[0], match[1].encode()) or match[1]
def checkpoint(note, origin, key):
    match = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n", opened(note, key))
    return need(match and match[1] == origin, "not a checkpoint of this log") or (int(match[2]), unb64(match[3], 32))
def roots(index, size, acc, path):  # RFC 9162 2.1.3.2; the left siblings alone make the root before the entry
    before, inner = None, (index ^ (size - 1)).bit_length()
    need(index < size and len(path) == inner + bin(index >> inner).count("1"), "the proof does not have the right length")
    for level, p in enumerate(path):
        if level < inner and not index >> level & 1: acc = sha(b"\1", acc, p)
        else: acc, before = sha(b"\1", p, acc), p if before is None else sha(b"\1", p, before)
    return acc, before or sha()
def verify(files, outside=None):
    man, text = at("manifest.json") or canonical(files["manifest.json"]), lambda p: at(p) or files[p].decode()
    origin, listed, others = man["origin"], {f["path"]: f for f in man["files"]}, files.keys() - {"manifest.json", "manifest.note"}
    facts = {p: {"path": p, "sha256": sha(files[p]).hex(), "size": len(files[p])} for p in sorted(others)}
    bad = sorted(p for p in others | listed.keys() if facts.get(p) != listed.get(p))
    at(", ".join(bad)) or need(not bad, "changed, added or removed: not as the manifest lists it")
    names = text("keys.txt").split("\n")[:-1]
    keys, turn, used, warnings = [vkey(name) for name in names], 0, set(), []
    form = {"files": [*facts.values()], "format": "quell-evidence", "incident": man["incident"], "origin": origin, "v": 1}
    need(man == {**form, "vkey": names[-1]} and len({*names}) == len(names) and {k[0] for k in keys} == {origin}, "not this log's keys")
    need(outside in (None, *names), "the key given with --key is not one of this log's keys")
    signed = f"quell-evidence-manifest-v1\n{origin}\n{sha(files['manifest.json']).hex()}\n"
    need(opened(text("manifest.note"), keys[-1], alone=True) == signed, "of another manifest")
    note, (size, root) = text("checkpoint"), checkpoint(text("checkpoint"), origin, keys[-1])
    for name, line in [(n, s) for n in ("entries.jsonl", "rotations.jsonl") for s in re.findall("[^\n]*\n|[^\n]+$", text(n))]:
        at(name) or need(line[-1] == "\n", "no newline at the end")
        entry, kind = canonical(line[:-1].encode()), name == "rotations.jsonl"
        seq, proof = entry["seq"], f"proofs/{entry['seq']}.tlog-proof"
        match = re.fullmatch(rf"c2sp\.org/tlog-proof@v1\nindex {seq}\n((?:[^\n]+\n)*)\n" + re.escape(note), text(proof))
        need(type(seq) is int and match, f"not a proof of entry {seq} under `checkpoint`")
        found, before = roots(seq, size, sha(b"\0", line[:-1].encode()), [unb64(h, 32) for h in match[1].split("\n")[:-1]])
        at(f"{name}, entry {seq}") or need(found == root, "not what the log holds")
        need(proof not in used and (entry.get("kind") == "key.rotation") == kind, "it is here twice, or of the wrong kind")
        need(kind or entry.get("stream") in (None, man["incident"]), "of another incident")
        named = [{"path": "evidence/" + e["sha256"], "sha256": e["sha256"], "size": e["size"]} for e in entry.get("evidence", [])]
        used |= {proof, *(e["path"] for e in named if need(facts.get(e["path"]) == e, f"{e['path']} is not what it names") is None)}
        if not kind: continue
        data, old, turn = entry["data"], keys[turn], turn + 1
        message = f"quell-key-rotation-v1\n{origin}\n{seq}\n{base64.b64encode(before).decode()}\n{data['new_vkey']}\n".encode()
        claim = (data["new_vkey"], data["seq"], *checkpoint(data["prev_checkpoint"], origin, old))
        need(claim == (names[turn], seq, seq, before), "does not fit keys.txt and the log before it")
        keys[turn][2].verify(unb64(data["sig_new"]), message)
        if "sig_old" in data: old[2].verify(unb64(data["sig_old"]), message)
        else: warnings.append(f"warning: history before {seq} vouched for only by a revoked key")
        need("sig_old" in data or outside not in names[:turn], "the key given was replaced without its signature")
    stray = sorted(p for p in others - used if p.startswith(("proofs/", "evidence/")))
    at(", ".join(stray) or "keys.txt") or need(turn == len(keys) - 1 and not stray, "does not belong to the entries")
    warnings += [] if outside else ["warning: internally consistent only: get the key from its owner and give it with --key"]
    return [f"OK {man['incident']} of {origin}: {len(others)} files, log of size {size}", *warnings]
def run(bundle, outside=None):  # a path, or the bytes of an archive -> (exit code, lines)
    try: return 0, verify(read_tar(bundle) if isinstance(bundle, bytes) else read(pathlib.Path(bundle)), outside)
    except Exception as why: return 1, [f"FAILED {place[0]}: {type(why).__name__} {why}"]
if __name__ == "__main__":
    good = len(sys.argv) in (2, 4) and sys.argv[1][0] != "-" and sys.argv[2:3] in ([], ["--key"])
    code, output = run(sys.argv[1], *sys.argv[3:]) if good else (2, [__doc__])
    sys.exit(print("\n".join(output)) or code)
