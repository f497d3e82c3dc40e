#!/usr/bin/env python3
"""Makes the test vectors from docs/FORMAT.md, with nothing but the package `cryptography`: no code of the program, and none of
tests/interop/unbrackup.py. All "random" bytes come from a seed, so that a second run writes the same files.

    target/interop-venv/bin/python tests/vectors/make.py

It is an implementation of its own, so a vector that the program disagrees with is a finding and not a typo to be made good here."""
import hashlib, hmac, pathlib, struct
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

HERE = pathlib.Path(__file__).resolve().parent
TEST_KEY = "THIS IS A TEST KEY: it is public, seal nothing to it"
SEGMENT, WITH_TAG = 65536, 65552

# ------------------------------------------------------------------------------------------------- randomness from a seed
class Dice:
    """Bytes that depend on nothing but a name."""
    def __init__(self, name):
        self.name, self.count = name, 0

    def bytes(self, n=32):
        self.count += 1
        return hashlib.shake_256(f"brackup test vectors 1/{self.name}/{self.count}".encode()).digest(n)

# ------------------------------------------------------------------------------------------------- Bech32, BIP 173
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

def polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1ffffff) << 5 ^ value
        for i, generator in enumerate([0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]):
            check ^= generator if top >> i & 1 else 0
    return check

def bech32(hrp, data, final=1, padding=0):
    """`final` is 0x2bc830a3 for Bech32m; `padding` goes where zero bits belong."""
    number, bits = int.from_bytes(data, "big"), 8 * len(data)
    fill = -bits % 5
    number, bits = number << fill | padding, bits + fill
    values = [number >> shift & 31 for shift in range(bits - 5, -1, -5)]
    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(expanded + values + [0] * 6) ^ final
    return hrp + "1" + "".join(ALPHABET[v] for v in values + [check >> 5 * (5 - i) & 31 for i in range(6)])

# ------------------------------------------------------------------------------------------------- keys
class Key:
    """A recipient's key pair, made from a name."""
    def __init__(self, name):
        self.raw = Dice("key " + name).bytes()
        self.private = X25519PrivateKey.from_private_bytes(self.raw)
        self.public = self.private.public_key().public_bytes_raw()
        self.id = hashlib.sha1(self.public).digest()[:4]
        self.text = bech32("brackup-secret-key-", self.raw).upper()
        self.public_text = bech32("brackup", self.public)

ALICE, BOB = Key("alice"), Key("bob")
CROWD = [Key(f"crowd {i}") for i in range(33)]

def locked_bytes(key, passphrase, salt, log_n=4, r=8, p=1):
    """With little memory and one pass: a test must not take long."""
    head = bytes([log_n, r, p]) + salt
    stretched = hashlib.scrypt(passphrase.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=1 << 28, dklen=32)
    return head + ChaCha20Poly1305(stretched).encrypt(bytes(12), key.raw, head)

def locked(*args):
    return bech32("brackup-locked-key-", locked_bytes(*args)).upper()

# ------------------------------------------------------------------------------------------------- HPKE, RFC 9180
def hkdf_extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()

def hkdf_expand(prk, info, n):
    out, block, i = b"", b"", 1
    while len(out) < n:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:n]

def hpke_seal(recipient, ephemeral, aead_id, aead, info, aad, plaintext):
    """Base mode, single shot: sections 4.1, 5.1 and 6.1."""
    def extract(suite_id, salt, label, ikm):
        return hkdf_extract(salt, b"HPKE-v1" + suite_id + label + ikm)
    def expand(suite_id, prk, label, info, n):
        return hkdf_expand(prk, struct.pack(">H", n) + b"HPKE-v1" + suite_id + label + info, n)
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = private.public_key().public_bytes_raw()
    kem = b"KEM" + struct.pack(">H", 0x0020)
    shared = expand(kem, extract(kem, b"", b"eae_prk", private.exchange(X25519PublicKey.from_public_bytes(recipient))),
                    b"shared_secret", enc + recipient, 32)
    suite = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, aead_id)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    secret = extract(suite, shared, b"secret", b"")
    key, nonce = expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)
    return enc, aead(key).encrypt(nonce, plaintext, aad)

# ------------------------------------------------------------------------------------------------- the envelope, section 3
def nonce(index, last):
    return index.to_bytes(11, "big") + bytes([last])

def seal(name, payload, keys, suite=1, role=1, version=1, reserved=0, n=None, ids=None, wrapped=None, commitment=None,
         segments=None, flags=None):
    """Seals a payload. What stands behind `role` is for objects that must not open: other values than the right ones."""
    dice = Dice(f"object {name}")
    file_key = dice.bytes()
    aead_id, aead = {1: (2, AESGCM), 2: (3, ChaCha20Poly1305)}.get(suite, (2, AESGCM))
    prefix = b"brackup" + bytes([version, suite, role, len(keys) if n is None else n, reserved])
    header = prefix
    for i, key in enumerate(keys):
        enc, sealed_key = hpke_seal(key.public, dice.bytes(), aead_id, aead, b"brackup/1 file key", prefix,
                                    (wrapped or {}).get(i, file_key))
        header += (ids or {}).get(i, key.id) + enc + sealed_key
    prk = hkdf_extract(hashlib.sha256(header).digest(), file_key)
    body = aead(hkdf_expand(prk, b"brackup/1 body", 32))
    header += commitment or hkdf_expand(prk, b"brackup/1 commitment", 32)
    if segments is None:
        segments = [payload[i:i + SEGMENT] for i in range(0, len(payload), SEGMENT)] or [b""]
    if flags is None:
        flags = [0] * (len(segments) - 1) + [1]
    return header + b"".join(body.encrypt(nonce(i, flags[i]), segment, None) for i, segment in enumerate(segments))

def flip(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]

# ------------------------------------------------------------------------------------------------- files
written = set()

def write(folder, name, header, body=b""):
    path = HERE / folder / name
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{key}: {value}\n" for key, value in header)
    path.write_bytes(text.encode() + b"\n" + body)
    written.add(path)

def envelope(name, expect, data, keys=(ALICE,), role=1, payload=None, of=None, ranges=None, why=""):
    header = [("expect", expect), ("role", {1: "chunk", 2: "metafile"}[role])]
    header += [("secret", key.text) for key in keys] + [("comment", TEST_KEY)]
    header += [("comment", why)] if why else []
    if payload is not None:
        header += [("payload-length", len(payload)), ("payload-sha256", hashlib.sha256(payload).hexdigest())]
    if of:
        header += [("of", of), ("ranges", " ".join(f"{a}-{b}" for a, b in ranges))]
    write("envelope", name, header, data)

def make_envelopes():
    payload = Dice("payload").bytes(200_000)
    people = {1: [ALICE], 2: [BOB, ALICE], 32: CROWD[:31] + [ALICE]}
    # The short ones in every combination; of the long ones one each, or there would be megabytes of them.
    combinations = [(suite, n, length) for suite in (1, 2) for n in (1, 2, 32) for length in (0, 1)]
    combinations += [(1, 1, 65535), (2, 2, 65535), (2, 1, 65536), (1, 2, 65536), (1, 32, 65537), (2, 1, 65537), (1, 1, 200_000), (2, 32, 200_000)]
    objects = {}
    for suite, n, length in combinations:
        name = f"suite{suite}-to{n}-{length}"
        objects[name] = seal(name, payload[:length], people[n], suite)
        envelope(name, "success", objects[name], payload=payload[:length])
    for suite in (1, 2):
        name, text = f"suite{suite}-metafile", b"---\nend: true\n"
        envelope(name, "success", seal(name, text, [ALICE], suite, role=2), role=2, payload=text)

    for suite in (1, 2):
        small = seal(f"small {suite}", b"short", [ALICE], suite)
        two = seal(f"small two {suite}", b"short", [BOB, ALICE], suite)
        end = len(small)                                        # 12 + 84 + 32 + 5 + 16
        def bad(name, expect, data, why="", **more):
            envelope(f"suite{suite}-{name}", expect, data, why=why, **more)
        # keys
        bad("no-key", "no key", small, keys=[BOB])
        bad("no-key-of-two", "no key", small, keys=[BOB, CROWD[0]])
        bad("key-id-of-another", "wrong key", seal("id", b"short", [BOB], suite, ids={0: ALICE.id}), "the stanza has the id of our key and is for another")
        bad("key-id-flipped", "no key", flip(small, 12))
        bad("second-key-of-two", "success", small, keys=[BOB, ALICE], payload=b"short")
        bad("first-stanza-broken", "success", seal("collision", b"short", [BOB, ALICE], suite, ids={0: ALICE.id}), "two keys with one short id: a reader tries every stanza", payload=b"short")
        bad("other-file-key", "commitment", seal("other", b"short", [ALICE], suite, wrapped={0: bytes(32)}), "the wrapped key is not the one that the object is sealed with")
        # the header, field by field
        for at, bit, field, expect in [
            (0, 0, "magic-first", "not brackup"), (6, 5, "magic-last", "not brackup"), (7, 0, "version", "version"), (8, 7, "suite", "suite"),
            (9, 3, "role", "header"), (10, 6, "n", "header"), (11, 0, "reserved", "header"), (16, 0, "enc", "wrong key"),
            (47, 7, "enc-top-bit", "wrong key"), (48, 0, "wrapped", "wrong key"), (95, 7, "wrapped-tag", "wrong key"),
            (96, 0, "commitment", "commitment"), (127, 7, "commitment-last", "commitment"), (128, 0, "segment", "damaged"), (end - 1, 7, "tag", "damaged"),
        ]:
            bad(f"flip-{field}", expect, flip(small, at, bit))
        for at, field in [(12, "id"), (20, "enc"), (60, "wrapped")]:
            bad(f"flip-{field}-of-the-other", "commitment", flip(two, at), "in the stanza of another recipient")
        bad("stanzas-swapped", "commitment", two[:12] + two[96:180] + two[12:96] + two[180:])
        bad("stanza-of-another-object", "commitment", small[:12] + seal("second", b"short", [ALICE], suite)[12:96] + small[96:])
        bad("enc-zero", "wrong key", small[:16] + bytes(32) + small[48:], "a point of small order")
        bad("other-suite", "wrong key", small[:8] + bytes([3 - suite]) + small[9:])
        bad("other-role", "wrong key", small[:9] + b"\2" + small[10:], role=2)
        bad("metafile-as-chunk", "header", seal("meta", b"short", [ALICE], suite, role=2), "whole, but not what was asked for")
        # the same, sealed that way: no tag tells of it
        bad("version-0", "version", seal("v0", b"short", [ALICE], suite, version=0))
        bad("version-2", "version", seal("v2", b"short", [ALICE], suite, version=2))
        bad("suite-9", "suite", small[:8] + b"\x09" + small[9:])
        bad("suite-0", "suite", small[:8] + b"\0" + small[9:])
        bad("suite-xwing", "suite", small[:8] + bytes([suite + 2]) + small[9:], "reserved, not known to version 1")
        bad("role-0", "header", seal("r0", b"short", [ALICE], suite, role=0))
        bad("role-7", "header", seal("r7", b"short", [ALICE], suite, role=7))
        bad("n-0", "header", seal("n0", b"short", [], suite))
        bad("n-33", "header", seal("n33", b"short", CROWD[:32] + [ALICE], suite))
        bad("n-255", "header", seal("n255", b"short", [ALICE], suite, n=255))
        bad("reserved-1", "header", seal("reserved", b"short", [ALICE], suite, reserved=1))
        bad("commitment-zero", "commitment", seal("zero", b"short", [ALICE], suite, commitment=bytes(32)))
        # cut short
        for length, expect in [(0, "not brackup"), (1, "header"), (6, "header"), (7, "header"), (8, "header"), (11, "header"), (12, "header"),
                               (13, "header"), (95, "header"), (96, "header"), (127, "header"), (128, "damaged"), (129, "damaged"),
                               (143, "damaged"), (144, "damaged"), (end - 1, "damaged")]:
            bad(f"cut-{length}", expect, small[:length])
        bad("cut-other", "not brackup", b"bracket")
        bad("appended-byte", "damaged", small + b"\0")
        bad("twice", "damaged", small + small)
        # flags
        bad("last-flag-missing", "damaged", seal("flag0", b"short", [ALICE], suite, flags=[0]))
        bad("last-flag-2", "damaged", seal("flag2", b"short", [ALICE], suite, flags=[2]))
        bad("empty-last-flag-missing", "damaged", seal("flag0e", b"", [ALICE], suite, flags=[0]))

    # Longer ones, cut out of the vectors above.
    for suite, n in [(1, 1), (2, 32)]:
        of, head = f"suite{suite}-to{n}-200000", 44 + 84 * n
        at, end = [head + WITH_TAG * i for i in range(4)], len(objects[f"suite{suite}-to{n}-200000"])
        def cut(name, expect, ranges, more=b"", why=""):
            envelope(f"suite{suite}-{name}", expect, more, of=of, ranges=ranges, why=why)
        cut("segments-swapped", "damaged", [(0, head), (at[1], at[2]), (at[0], at[1]), (at[2], end)])
        cut("segment-repeated", "damaged", [(0, at[1]), (at[0], end)])
        cut("first-segment-gone", "damaged", [(0, head), (at[1], end)])
        cut("middle-segment-gone", "damaged", [(0, at[1]), (at[2], end)])
        cut("last-segment-gone", "damaged", [(0, at[3])], why="cut at a border: the segment that is now the last one is not marked so")
        cut("last-two-segments-gone", "damaged", [(0, at[2])])
        cut("all-segments-gone", "damaged", [(0, head)])
        cut("long-cut-by-one", "damaged", [(0, end - 1)])
        cut("long-cut-in-first", "damaged", [(0, head + 1000)])
        cut("long-cut-to-a-tag", "damaged", [(0, at[3] + 16)], why="the last segment is a tag and nothing else")
        cut("long-cut-to-half-a-tag", "damaged", [(0, at[3] + 8)])
        cut("long-appended-byte", "damaged", [(0, end)], b"\0")
        cut("long-appended-segment", "damaged", [(0, end), (at[3], end)])
    whole = f"suite2-to1-65536"
    cut_end = len(objects[whole])
    envelope("suite2-full-appended-tag", "damaged", bytes(16), of=whole, ranges=[(0, cut_end)], why="a full last segment, then 16 bytes")
    # Sealed by a writer that ends with an empty segment behind a full one, and one that puts a short segment in the middle.
    envelope("suite1-empty-segment-behind-full", "damaged", seal("empty", b"", [ALICE], 1, segments=[payload[:SEGMENT], b""]),
             why="every tag is good, but the last segment may be empty only if the payload is")
    envelope("suite2-short-segment-inside", "damaged", seal("inside", b"", [ALICE], 2, segments=[b"short", b"short"]))

# ------------------------------------------------------------------------------------------------- section 6.1
def make_escaping():
    def pair(name, data, text, canonical=True):
        header = [("expect", "success"), ("bytes", data.hex())] + ([] if canonical else [("canonical", "no")])
        write("escaping", name, header, text.encode())
    pair("plain", b"photos/2006/a.jpg", "photos/2006/a.jpg")
    pair("empty", b"", "")
    pair("quotes", b"it's \"so\"", "it's \"so\"")
    pair("backslash", b"a\\b", "a\\\\b")
    pair("backslash-x", b"\\x41", "\\\\x41")
    pair("backslashes", b"\\\\", "\\\\\\\\")
    pair("latin-1", b"caf\xe9", "caf\\xe9")
    pair("utf-8", "naïve 日本語 🦀".encode(), "naïve 日本語 🦀")
    pair("combining", "e\u0301".encode(), "e\u0301")
    pair("right-to-left-mark", "a\u202eb".encode(), "a\u202eb")
    pair("c0", bytes(range(0x20)), "".join(f"\\x{b:02x}" for b in range(0x20)))
    pair("delete", b"\x7f", "\\x7f")
    pair("c1", "\x80\x85\x9f".encode(), "\\xc2\\x80\\xc2\\x85\\xc2\\x9f")
    pair("no-break-space", "\xa0".encode(), "\xa0")
    pair("line-separators", "\u2028\u2029".encode(), "\\xe2\\x80\\xa8\\xe2\\x80\\xa9")
    pair("neighbours-of-separators", "\u2027\u202a".encode(), "\u2027\u202a")
    pair("byte-order-mark", "\ufeff".encode(), "\\xef\\xbb\\xbf")
    pair("noncharacters", "\ufffe\uffff\U0001fffe\U0010ffff".encode(), "\\xef\\xbf\\xbe\\xef\\xbf\\xbf\\xf0\\x9f\\xbf\\xbe\\xf4\\x8f\\xbf\\xbf")
    pair("replacement-character", "\ufffd".encode(), "\ufffd")
    pair("noncharacters-that-stand", "\ufdd0".encode(), "\ufdd0")
    pair("bytes-80-to-ff", bytes(range(0x80, 0x100)), "".join(f"\\x{b:02x}" for b in range(0x80, 0x100)))
    pair("cut-sequence", "日".encode()[:2] + b"a", "\\xe6\\x97a")
    pair("overlong", b"\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf")
    pair("surrogate", b"\xed\xa0\x80", "\\xed\\xa0\\x80")
    pair("beyond-unicode", b"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80")
    pair("escaped-without-need", b"A\xc3\xa9", "\\x41\\xc3\\xa9", canonical=False)
    pair("half-escaped", b"\xc3\xa9", "\\xc3\\xa9", canonical=False)
    for name, text in [("alone", "\\"), ("at-the-end", "a\\"), ("n", "\\n"), ("x", "\\x"), ("one-digit", "\\x1"), ("no-digits", "\\xzz"), ("upper-case", "\\xC3"),
                       ("upper-case-x", "\\X41"), ("octal", "\\101"), ("u", "\\u0041"), ("sign", "\\x+1"), ("space", "\\x 1"), ("wide-digits", "\\x１１"), ("three", "\\\\\\")]:
        write("escaping", f"bad-{name}", [("expect", "error")], text.encode())

# ------------------------------------------------------------------------------------------------- section 4
def make_keys():
    def text(name, kind, expect, body, more=()):
        write("keys", name, [("expect", expect), ("kind", kind), *more, ("comment", TEST_KEY)], body.encode())
    for name, key in [("alice", ALICE), ("bob", BOB)]:
        facts = [("id", key.id.hex().upper()), ("public", key.public_text)]
        text(f"public-{name}", "public", "success", key.public_text, facts)
        text(f"secret-{name}", "secret", "success", key.text, facts)
    facts = [("id", ALICE.id.hex().upper()), ("public", ALICE.public_text)]
    text("public-upper-case", "public", "success", ALICE.public_text.upper(), facts)
    salt = Dice("salt").bytes(16)
    text("locked", "locked", "success", locked(ALICE, "correct horse", salt), facts + [("passphrase", "correct horse")])
    text("locked-utf-8", "locked", "success", locked(ALICE, "pässwörd ☃", salt), facts + [("passphrase", "pässwörd ☃")])
    text("locked-as-written", "locked", "success", locked(ALICE, "correct horse", salt, 13, 8, 12), facts + [("passphrase", "correct horse"), ("comment", "with the cost that the program writes")])
    text("locked-wrong-passphrase", "locked", "wrong passphrase", locked(ALICE, "correct horse", salt), [("passphrase", "correct horse ")])
    box = Ed25519PrivateKey.from_private_bytes(Dice("box").bytes())
    box_text = bech32("brackupbox", box.public_key().public_bytes_raw())
    text("box-public", "box public", "success", box_text)
    text("box-secret", "box secret", "success", bech32("brackup-box-key-", Dice("box").bytes()).upper(), [("public", box_text)])

    def wrong(name, kind, body, why):
        text(f"bad-{name}", kind, "error", body, [("comment", why)])
    hrps = {"public": ("brackup", ALICE.public), "secret": ("brackup-secret-key-", ALICE.raw), "box public": ("brackupbox", ALICE.public), "box secret": ("brackup-box-key-", ALICE.raw)}
    for kind, (hrp, data) in hrps.items():
        def form(text, secret="secret" in kind):
            return text.upper() if secret else text
        dashed, good = kind.replace(" ", "-"), bech32(hrp, data)
        wrong(f"{dashed}-checksum", kind, form(good[:-1] + ("q" if good[-1] != "q" else "p")), "a wrong checksum")
        wrong(f"{dashed}-typo", kind, form(good[:30] + ("q" if good[30] != "q" else "p") + good[31:]), "a letter mistyped")
        wrong(f"{dashed}-swap", kind, form(good[:-9] + good[-8] + good[-9] + good[-7:] if good[-8] != good[-9] else good[:-1]), "two letters swapped")
        wrong(f"{dashed}-mixed-case", kind, good[:-1].upper() + good[-1] if good[-1].isalpha() else good[:20] + good[20:].upper(), "upper and lower case mixed")
        wrong(f"{dashed}-bech32m", kind, form(bech32(hrp, data, final=0x2bc830a3)), "the checksum of Bech32m")
        wrong(f"{dashed}-padding", kind, form(bech32(hrp, data, padding=1)), "the bits that fill up are not zero")
        wrong(f"{dashed}-short", kind, form(bech32(hrp, data[:31])), "31 bytes")
        wrong(f"{dashed}-long", kind, form(bech32(hrp, data + b"\0")), "33 bytes")
        wrong(f"{dashed}-nothing", kind, form(bech32(hrp, b"")), "no bytes")
        wrong(f"{dashed}-prefix", kind, form(bech32("age", data)), "another prefix")
        wrong(f"{dashed}-longer-prefix", kind, form(bech32(hrp + "x", data)), "the prefix goes on")
        wrong(f"{dashed}-invalid-letter", kind, form(good[:-1] + "b"), "b is no letter of Bech32")
        wrong(f"{dashed}-blank", kind, form(good[:-3] + " " + good[-3:]), "a blank inside")
    wrong("public-as-secret", "secret", ALICE.public_text, "a public key")
    wrong("secret-as-public", "public", ALICE.text, "a secret key")
    wrong("empty", "public", "", "nothing")
    wrong("only-prefix", "public", "brackup1", "no data")
    wrong("no-separator", "public", "brackupqqqqqq", "no separator")

    def wrong_locked(name, body, why, expect="error"):
        text(f"bad-locked-{name}", "locked", expect, body, [("passphrase", "correct horse"), ("comment", why)])
    good = locked(ALICE, "correct horse", salt)
    def head(log_n, r, p):
        return bech32("brackup-locked-key-", bytes([log_n, r, p]) + salt + bytes(48)).upper()
    wrong_locked("checksum", good[:-1] + ("Q" if good[-1] != "Q" else "P"), "a wrong checksum")
    wrong_locked("short", bech32("brackup-locked-key-", bytes([4, 8, 1]) + salt + bytes(47)).upper(), "66 bytes")
    wrong_locked("memory", head(16, 9, 1), "asks for 72 MiB")
    wrong_locked("much-memory", head(62, 255, 1), "asks for more than there is")
    wrong_locked("log-n-0", head(0, 8, 1), "N = 1")
    wrong_locked("r-0", head(4, 0, 1), "r = 0")
    wrong_locked("p-0", head(4, 8, 0), "p = 0")
    changed = bytearray(locked_bytes(ALICE, "correct horse", salt))
    changed[2] = 2
    wrong_locked("p-changed", bech32("brackup-locked-key-", changed).upper(), "sealed with p = 1, says p = 2", "wrong passphrase")

# ------------------------------------------------------------------------------------------------- section 7
L = 2 ** 252 + 27742317777372353535851937790883648493

def make_footers():
    seed = Dice("footer box").bytes()
    box = Ed25519PrivateKey.from_private_bytes(seed)
    box_text = bech32("brackupbox", box.public_key().public_bytes_raw())
    fields = [("box", box_text), ("root", "proj"), ("backup", "proj-2026112300"), ("sequence", "7"), ("previous", "01" * 32),
              ("sealed-sha256", "ab" * 32), ("sealed-length", "12345"), ("chunks", "3")]
    def footer(changes=(), order=None, first="brackup metafile footer 1", signature=None, more="", end="\n"):
        values = {**dict(fields), **dict(changes)}
        lines = "".join(f"{key}: {values[key]}\n" for key in order or [key for key, _ in fields] if values[key] is not None)
        text = (f"{first}\n" + lines + more).replace("\n", end)
        made = box.sign(text.encode()) if signature is None else signature(box.sign(text.encode()))
        return (text + f"signature: {made.hex()}{end}").encode()
    def framed(text, length=None, mark=b"BRKF"):
        return text + struct.pack(">I", len(text) if length is None else length) + mark
    def good(name, text, values=dict(fields), before=b""):
        header = [("expect", "success"), *values.items(), ("text-sha256", hashlib.sha256(text).hexdigest())]
        write("footer", name, header, before + framed(text))
    def bad(name, data, why):
        write("footer", f"bad-{name}", [("expect", "signature"), ("comment", why)], data)
    plain = footer()
    good("plain", plain)
    good("behind-an-envelope", plain, before=b"sealed bytes of any kind\n")
    first = {**dict(fields), "sequence": "1", "previous": "00" * 32, "chunks": "0"}
    good("first", footer(first), first)
    large = {**dict(fields), "sequence": str(2 ** 64 - 1), "sealed-length": str(2 ** 63), "backup": "proj-20261123100"}
    good("large-numbers", footer(large), large)
    for at, name in [(0, "first-line"), (plain.index(b"root: ") + 7, "root"), (plain.index(b"sequence: ") + 10, "sequence"), (plain.index(b"chunks: ") + 8, "chunks"),
                     (plain.index(b"signature: ") + 11, "r"), (len(plain) - 4, "s"), (plain.index(b"brackupbox1") + 20, "box")]:
        bad(f"flip-{name}", framed(flip(plain, at)), f"bit 0 of byte {at} is flipped")
    bad("mark", framed(plain, mark=b"BRKE"), "no mark at the end")
    bad("length-short", framed(plain, len(plain) - 1), "the length is one less")
    bad("length-long", framed(plain, len(plain) + 1), "longer than what there is")
    bad("length-huge", framed(plain, 2 ** 32 - 1), "longer than a footer may be")
    bad("length-4097", framed(footer(more="x" * (4097 - len(plain) - 1) + "\n")), "4,097 bytes")
    bad("empty", b"", "nothing")
    bad("only-mark", framed(b""), "an empty text")
    bad("cut", framed(plain)[:-1], "cut short by a byte")
    bad("no-signature", framed(plain[:plain.index(b"signature")]), "the last line is missing")
    bad("other-box", framed(footer([("box", bech32("brackupbox", Ed25519PrivateKey.from_private_bytes(Dice("another").bytes()).public_key().public_bytes_raw()))])), "signed by another key than it says")
    bad("version", framed(footer(first="brackup metafile footer 2")), "another version")
    bad("order", framed(footer(order=["box", "backup", "root", *[key for key, _ in fields[3:]]])), "lines in another order")
    bad("missing", framed(footer([("previous", None)])), "a line is missing")
    bad("more", framed(footer(more="also: this\n")), "a line too many")
    bad("windows", framed(footer(end="\r\n")), "line ends of another system")
    bad("leading-zero", framed(footer([("sequence", "07")])), "two texts of one meaning")
    bad("plus", framed(footer([("chunks", "+3")])), "two texts of one meaning")
    bad("sequence-0", framed(footer([("sequence", "0")])), "it counts from 1")
    bad("negative", framed(footer([("sequence", "-1")])), "a negative number")
    bad("upper-case-hex", framed(footer([("sealed-sha256", "AB" * 32)])), "hex in upper case")
    bad("upper-case-box", framed(footer([("box", box_text.upper())])), "two texts of one meaning")
    bad("upper-case-signature", framed(plain[:plain.index(b"signature: ") + 11] + plain[plain.index(b"signature: ") + 11:].upper()), "hex in upper case")
    bad("behind", framed(plain + b"x"), "something behind the signature")
    def s_plus_l(signature):
        return signature[:32] + (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    bad("malleable", framed(footer(signature=s_plus_l)), "S + L: the same signature in another encoding")
    neutral = b"\1" + bytes(31)                     # y = 1: R = the neutral element, S = 0 passes every lax check of this key
    bad("small-order", framed(footer([("box", bech32("brackupbox", neutral))], signature=lambda _: neutral + bytes(32))), "a box key of small order")

def make_tombstones():
    box, another = (Ed25519PrivateKey.from_private_bytes(Dice(name).bytes()) for name in ("tombstone box", "tombstone remover"))
    text_of = lambda key: bech32("brackupbox", key.public_key().public_bytes_raw())
    lines = (f"brackup metafile footer 1\nbox: {text_of(box)}\nroot: proj\nbackup: proj-2026112300\nsequence: 7\nprevious: {'01' * 32}\n"
             f"sealed-sha256: {'ab' * 32}\nsealed-length: 12345\nchunks: 3\n")
    footer = lines + f"signature: {box.sign(lines.encode()).hex()}\n"
    def stone(footer=footer, remover=box, first="brackup tombstone 1", removed="2026-11-26T10:15:00Z", who=None, signature=None):
        text = f"{first}\n{footer}box: {who or text_of(remover)}\nremoved: {removed}\n"
        made = remover.sign(text.encode()) if signature is None else signature
        return (text + f"signature: {made.hex()}\n").encode()
    def good(name, data, remover=box, removed="2026-11-26T10:15:00Z"):
        header = [("expect", "success"), ("backup", "proj-2026112300"), ("box", text_of(remover)), ("removed", removed),
                  ("text-sha256", hashlib.sha256(footer.encode()).hexdigest())]
        write("tombstone", name, header, data)
    def bad(name, data, why):
        write("tombstone", f"bad-{name}", [("expect", "signature"), ("comment", why)], data)
    plain = stone()
    good("plain", plain)
    good("by-another", stone(remover=another), another)
    good("late", stone(removed="9999-12-31T23:59:59Z"), removed="9999-12-31T23:59:59Z")
    for at, name in [(0, "first-line"), (plain.index(b"proj-"), "backup"), (plain.index(b"removed: ") + 9, "removed"), (plain.rindex(b"box: ") + 20, "box"),
                     (plain.index(b"signature: ") + 11, "footer-signature"), (plain.rindex(b"signature: ") + 11, "signature")]:
        bad(f"flip-{name}", flip(plain, at), f"bit 0 of byte {at} is flipped")
    bad("empty", b"", "nothing")
    bad("no-footer", stone(footer=""), "no footer in it")
    bad("unsigned-footer", stone(footer=lines), "the footer's last line is missing")
    bad("other-box", stone(who=text_of(another)), "signed by another key than it says")
    bad("version", stone(first="brackup tombstone 2"), "another version")
    bad("no-signature", plain[:plain.rindex(b"signature")], "the last line is missing")
    bad("signature-of-the-footer", stone(signature=box.sign(lines.encode())), "the signature of the footer twice")
    bad("day-only", stone(removed="2026-11-26"), "two texts of one meaning")
    bad("no-day", stone(removed="2026-02-30T00:00:00Z"), "a day that there is not")
    bad("upper-case-hex", plain[:plain.rindex(b"signature: ") + 11] + plain[plain.rindex(b"signature: ") + 11:].upper(), "hex in upper case")
    bad("behind", plain + b"x", "something behind the signature")
    bad("cut", plain[:-1], "cut short by a byte")

# ------------------------------------------------------------------------------------------------- section 5
def make_padme():
    def padme(length):
        if length < 2:
            return length
        e = length.bit_length() - 1
        s = e.bit_length()                          # floor(log2 E) + 1; of E = 1 that is 1
        step = 1 << max(0, e - s)
        return -(-length // step) * step
    lengths = [*range(0, 40), 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 1000, 4095, 4096, 4097, 65535, 65536, 65537, 999_999, 1_000_000, 2 ** 20 - 1,
               2 ** 20, 2 ** 20 + 1, 5_000_000, 2 ** 26 - 1, 2 ** 26, 2 ** 26 + 1, 2 ** 30 - 1, 2 ** 30, 2 ** 30 + 1, 2 ** 40 + 12345]
    write("padme", "table", [("comment", "length, then its Padme length")], "".join(f"{n} {padme(n)}\n" for n in lengths).encode())

if __name__ == "__main__":
    for make in (make_envelopes, make_escaping, make_keys, make_footers, make_tombstones, make_padme):
        make()
    for old in HERE.glob("*/*"):
        if old not in written:
            print(f"not made by this script: {old.relative_to(HERE)}")
    print(f"{len(written)} vectors, {sum(path.stat().st_size for path in written)} bytes")
