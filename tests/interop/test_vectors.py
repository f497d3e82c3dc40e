#!/usr/bin/env python3
"""Runs tests/vectors through the functions of unbrackup.py. tests/it/interop.rs calls it; by hand:

    target/interop-venv/bin/python tests/interop/test_vectors.py
"""
import contextlib, hashlib, io, os, pathlib, sys, tempfile
import unbrackup
from unbrackup import Refused

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"
CLASSES = ("not brackup", "version", "suite", "header", "no key", "wrong key", "commitment", "damaged")
KINDS = {"public": "brackup", "secret": "BRACKUP-SECRET-KEY-", "box public": "brackupbox", "box secret": "BRACKUP-BOX-KEY-"}

def read(path):
    header, _, body = path.read_bytes().partition(b"\n\n")
    pairs = [line.split(": ", 1) for line in header.decode().split("\n")]
    return pairs, dict(pairs), body

def key_of(text):
    secret = unbrackup.X25519PrivateKey.from_private_bytes(unbrackup.bech32(text, "BRACKUP-SECRET-KEY-"))
    return secret, secret.public_key().public_bytes_raw()

def envelope(pairs, one, body):
    if "of" in one:
        other = read(VECTORS / "envelope" / one["of"])[2]
        ranges = [map(int, part.split("-")) for part in one["ranges"].split()]
        body = b"".join(other[a:b] for a, b in ranges) + body
    keys = [key_of(value) for key, value in pairs if key == "secret"]
    try:
        payload = b"".join(unbrackup.open_object(body, {"chunk": 1, "metafile": 2}[one["role"]], keys))
    except Refused as e:
        return next((name for name in CLASSES if str(e).startswith(name + ":")), f"unknown: {e}")
    if hashlib.sha256(payload).hexdigest() != one.get("payload-sha256"):
        return "another payload"
    return "success"

def escaping(pairs, one, body):
    try:
        data = unbrackup.unescape(body.decode())
    except Refused:
        return "error"
    return "success" if data.hex() == one.get("bytes") else f"bytes {data.hex()}"

def keys(pairs, one, body):
    text, kind = body.decode(), one["kind"]
    try:
        if kind == "locked":
            os.environ["BRACKUP_PASSPHRASE"] = one["passphrase"]
            with tempfile.NamedTemporaryFile("w", encoding="utf-8") as f:
                f.write(f"# test key\n{text}\n")
                f.flush()
                public = unbrackup.read_key_file(f.name)[0][1]
        else:
            data = unbrackup.bech32(text, KINDS[kind])
            if len(data) != 32:
                raise Refused("length")
            public = key_of(text)[1] if kind == "secret" else data
    except Refused as e:
        return "wrong passphrase" if str(e) == "wrong passphrase" else "error"
    except ValueError:                                          # hashlib.scrypt: N = 1 and the like
        return "error"
    if "id" in one and hashlib.sha1(public).hexdigest()[:8].upper() != one["id"]:
        return "another id"
    if "public" in one and kind != "box secret" and public != unbrackup.bech32(one["public"], "brackup"):
        return "another public key"
    return "success"

def footer(pairs, one, body):
    try:
        length, text = unbrackup.split_footer(body)
        name = text.partition(b"\nbackup: ")[2].partition(b"\n")[0].decode("latin-1")
        fields = unbrackup.check_footer(text, name)
    except Refused:
        return "signature"
    said = {"sealed-sha256": "sha256", "sealed-length": "length"}
    for key in ("box", "root", "backup", "sequence", "previous", "sealed-sha256", "sealed-length", "chunks"):
        if fields[said.get(key, key)] != one.get(key):
            return f"another {key}"
    return "success" if hashlib.sha256(text).hexdigest() == one["text-sha256"] else "another digest"

def tombstone(pairs, one, body):
    try:
        name = body.partition(b"\nbackup: ")[2].partition(b"\n")[0].decode("latin-1")
        fields, of_footer = unbrackup.check_tombstone(body, name)
    except Refused:
        return "signature"
    for key, found in (("box", fields["box"]), ("removed", fields["removed"]), ("backup", of_footer["backup"])):
        if found != one.get(key):
            return f"another {key}"
    return "success" if hashlib.sha256(fields["footer"].encode()).hexdigest() == one["text-sha256"] else "another digest"

def main():
    runners, count, wrong = {"envelope": envelope, "escaping": escaping, "keys": keys, "footer": footer, "tombstone": tombstone}, 0, 0
    folders = {path.name for path in VECTORS.iterdir() if path.is_dir()}
    if folders != {*runners, "padme"}:                          # a reader has no use for Padmé lengths
        sys.exit(f"folders of vectors: {sorted(folders)}")
    for folder, runner in runners.items():
        for path in sorted((VECTORS / folder).iterdir()):
            pairs, one, body = read(path)
            with contextlib.redirect_stderr(io.StringIO()):
                found = runner(pairs, one, body)
            count += 1
            if found != one["expect"]:
                wrong += 1
                print(f"{folder}/{path.name}: {found}, expected {one['expect']}")
    print(f"{count} vectors, {wrong} not as expected")
    return 1 if wrong else 0

if __name__ == "__main__":
    sys.exit(main())
