#!/usr/bin/env python3
"""unbrackup.py - restores one Brackup backup without Brackup. Written from docs/FORMAT.md alone ("§" = its sections).

    unbrackup.py --key FILE [--key FILE ...] STORE BACKUP DIR

What happens, and in this order below: 1. the key files are read (§4); 2. the footer of STORE/BACKUP.meta is checked (§7);
3. the metafile is decrypted (§3), decompressed (§5) and cut in YAML documents (§6); 4. for each entry the chunks that it
names are read, and the file is made in DIR (§6.3); 5. directories get their owner, mode and time.
Exit code: 0 all is well, 3 done but with problems (see stderr), 1 could not be done."""
import argparse, base64, datetime, functools, getpass, grp, hashlib, hmac, itertools, os, pwd, re, stat, sys
import yaml, zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

class Refused(Exception):
    """Something is not as FORMAT.md says. The text is for people."""

TROUBLE = (Refused, OSError, EOFError, ValueError, TypeError, AttributeError, OverflowError, zstandard.ZstdError, yaml.YAMLError)
problems = 0

def note(text):
    print("unbrackup: " + text, file=sys.stderr)

def problem(text):
    global problems
    problems += 1
    note(text)

def plain(error):
    return isinstance(error, OSError) and error.strerror or str(error)

# ------------------------------------------------------------------------------------------------- §4 keys as text
def bech32(text, part):
    """BIP 173, without its limit of 90 characters. Returns the bytes behind the human-readable part `part`."""
    alphabet, low, prefix = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", text.lower(), part.lower() + "1"
    if text not in (low, text.upper()) or not low.startswith(prefix):
        raise Refused(f"not a key of the kind {part}")
    values, hrp, check = [alphabet.find(c) for c in low[len(prefix):]], part.lower().encode(), 1
    for value in [c >> 5 for c in hrp] + [0] + [c & 31 for c in hrp] + values:          # the checksum
        top, check = check >> 25, (check & 0x1ffffff) << 5 ^ value
        for i, g in enumerate((0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3)):
            check ^= g if top >> i & 1 else 0
    bits = "".join(f"{v:05b}" for v in values[:-6])         # groups of 5 bits to bytes; fewer than 5 zero bits remain
    whole = len(bits) // 8 * 8
    if len(values) < 6 or -1 in values or check != 1 or len(bits) - whole > 4 or "1" in bits[whole:]:
        raise Refused(f"a mistyped {part} key (its checksum is wrong)")
    return bytes(int(bits[i:i + 8], 2) for i in range(0, whole, 8))

def unlock(data):
    """A secret key under a passphrase: log2 N, r, p (1 byte each), salt (16), sealed key (48)."""
    n, r, p = data[:3]
    if len(data) != 67 or not n or not r or not p or 128 * r << n > 64 << 20:
        raise Refused("a locked key of the wrong length, or that asks for more than 64 MiB of memory")
    phrase = os.environb.get(b"BRACKUP_PASSPHRASE") or getpass.getpass("Passphrase of the secret key: ").encode()
    key = hashlib.scrypt(phrase, salt=data[3:19], n=1 << n, r=r, p=p, maxmem=128 << 20, dklen=32)
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), data[19:], data[:19])
    except InvalidTag:
        raise Refused("wrong passphrase") from None

def read_key_file(name):
    """Returns the secret key with its public bytes, and the set of the boxes that the file pins."""
    secrets, pins = [], set()
    with open(name, encoding="utf-8") as f:
        for line in (line.split("#")[0].strip() for line in f):
            if line.startswith("box:"):
                pins.add(bech32(line[4:].strip(), "brackupbox"))
            elif line.upper().startswith("BRACKUP-LOCKED-KEY-"):
                secrets.append(unlock(bech32(line, "BRACKUP-LOCKED-KEY-")))
            elif line:
                secrets.append(bech32(line, "BRACKUP-SECRET-KEY-"))
    if len(secrets) != 1 or any(len(key) != 32 for key in {*secrets, *pins}):
        raise Refused(f"{name}: there must be one secret key in it, and keys are 32 bytes long")
    secret = X25519PrivateKey.from_private_bytes(secrets[0])
    return (secret, secret.public_key().public_bytes_raw()), pins

# ------------------------------------------------------------------------------------------------- §3 the envelope
def extract(salt, data):                                    # HKDF-Extract, RFC 5869
    return hmac.digest(salt, data, "sha256")

def expand(prk, info, length=32):                           # HKDF-Expand; one block will do, as length <= 32
    return hmac.digest(prk, info + b"\x01", "sha256")[:length]

def hpke_open(key, aead_id, aead, enc, wrapped, info, aad):
    """HPKE base mode, single shot (RFC 9180), with DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256."""
    secret, public = key
    def labeled_extract(suite, salt, label, data):
        return extract(salt, b"HPKE-v1" + suite + label + data)
    def labeled_expand(suite, prk, label, data, length):
        return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + data, length)
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01" + aead_id.to_bytes(2, "big")
    dh = secret.exchange(X25519PublicKey.from_public_bytes(enc))            # ValueError if it is all zero
    shared = labeled_expand(kem, labeled_extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + public, 32)
    context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    prk = labeled_extract(suite, shared, b"secret", b"")
    nonce = labeled_expand(suite, prk, b"base_nonce", context, 12)
    return aead(labeled_expand(suite, prk, b"key", context, 32)).decrypt(nonce, wrapped, aad)

def open_object(data, role, keys):
    """Yields the payload of a sealed object, segment by segment. The errors begin with the classes of §3."""
    n = data[10] if len(data) > 10 else 0
    end = 12 + 84 * n                                       # of the stanzas; then the commitment, then the body
    if not data or data[:7] != b"brackup"[:len(data)]:
        raise Refused("not brackup: it is not a sealed object")
    if len(data) < 12:
        raise Refused("header: it is cut short")
    if data[7:8] != b"\x01":
        raise Refused(f"version: version {data[7:8].hex()} of the format is not known to this program, only 01 is")
    if data[8:9] not in (b"\x01", b"\x02"):
        raise Refused(f"suite: cipher suite {data[8:9].hex()} is not known to this program")
    if data[9:10] != bytes([role]) or not 1 <= n <= 32 or data[11:12] != b"\x00" or len(data) < end + 32:
        raise Refused("header: a field is wrong or it is cut short")
    aead_id, aead = ((2, AESGCM), (3, ChaCha20Poly1305))[data[8] - 1]
    file_key, failure = None, "no key: none of the keys given is one of those to which it is sealed"
    for at, key in itertools.product(range(12, end, 84), keys):
        if file_key is None and data[at:at + 4] == hashlib.sha1(key[1]).digest()[:4]:
            try:
                file_key = hpke_open(key, aead_id, aead, data[at + 4:at + 36], data[at + 36:at + 84],
                                     b"brackup/1 file key", data[:12])
            except (InvalidTag, ValueError):                # another stanza may have the same short id
                failure = "wrong key: the key with the right id does not open it"
    if file_key is None:
        raise Refused(failure)
    prk = extract(hashlib.sha256(data[:end]).digest(), file_key)
    if not hmac.compare_digest(data[end:end + 32], expand(prk, b"brackup/1 commitment")):
        raise Refused("commitment: the header was changed")
    body, cipher = memoryview(data)[end + 32:], aead(expand(prk, b"brackup/1 body"))
    count = max(1, -(-len(body) // 65552))
    for i in range(count):
        segment, last = body[65552 * i:65552 * (i + 1)], i == count - 1
        if len(segment) < 16 or len(segment) == 16 and i > 0:       # empty only if the whole payload is
            raise Refused(f"damaged: segment {i} is cut short")
        try:
            yield cipher.decrypt(i.to_bytes(11, "big") + bytes([last]), segment, None)
        except InvalidTag:
            raise Refused(f"damaged: segment {i} of {count} does not open") from None

# ------------------------------------------------------------------------------------------------- §7 the footer
ROOT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
FOOTER = re.compile(rf"(brackup metafile footer 1\nbox: (?P<box>[a-z0-9]+)\nroot: (?P<root>{ROOT})\nbackup: (?P<backup>[^\n]+)\n"
                    r"sequence: (?P<sequence>[1-9]\d*)\nprevious: (?P<previous>[0-9a-f]{64})\n"
                    r"sealed-sha256: (?P<sha256>[0-9a-f]{64})\nsealed-length: (?P<length>\d+)\nchunks: (?P<chunks>\d+)\n)"
                    r"signature: (?P<signature>[0-9a-f]{128})\n", re.ASCII)
P = 2 ** 255 - 19
Y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")

def split_footer(data):
    """`data` ends with a footer: returns the length of what precedes it, and the text of the footer."""
    size = int.from_bytes(data[-8:-4], "big")
    if data[-4:] != b"BRKF" or size > 4096 or size + 8 > len(data):
        raise Refused("the metafile has no footer: it was cut short, or nobody signed it")
    return len(data) - 8 - size, data[-8 - size:-8]

def check_footer(text, backup):
    """Returns the fields of a footer with a good signature, found under the name `backup`."""
    fields = FOOTER.fullmatch(text.decode("latin-1"))
    if not fields:
        raise Refused("the footer is not in the form that it must have")
    box = bech32(fields["box"], "brackupbox")
    y = int.from_bytes(box, "little") & (1 << 255) - 1      # below: no encoding but the one of RFC 8032 5.1.3,
    try:                                                    # and none of the y of the eight points of small order
        if len(box) != 32 or y >= P or y in (0, 1, P - 1, Y8, P - Y8):
            raise InvalidSignature
        Ed25519PublicKey.from_public_bytes(box).verify(bytes.fromhex(fields["signature"]), fields[1].encode())
    except (InvalidSignature, ValueError):
        raise Refused("the signature in the footer is wrong") from None
    if fields["backup"] != backup or not re.fullmatch(re.escape(fields["root"]) + r"-\d{10,}", backup, re.ASCII):
        raise Refused(f"the footer is that of the backup {fields['backup']} of {fields['root']}")
    return fields

TOMBSTONE = re.compile(r"(brackup tombstone 1\n(?P<footer>(?:[^\n]*\n){10})box: (?P<box>[a-z0-9]+)\n"
                       r"removed: (?P<removed>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n)signature: (?P<signature>[0-9a-f]{128})\n", re.ASCII)

def check_tombstone(text, backup):
    """Returns the fields of a tombstone with two good signatures, and those of the footer in it."""
    fields = TOMBSTONE.fullmatch(text.decode("latin-1"))
    try:
        if not fields:
            raise ValueError
        datetime.datetime.strptime(fields["removed"], "%Y-%m-%dT%H:%M:%SZ")
        footer = check_footer(fields["footer"].encode("latin-1"), backup)
        Ed25519PublicKey.from_public_bytes(bech32(fields["box"], "brackupbox")).verify(bytes.fromhex(fields["signature"]), fields[1].encode())
    except (InvalidSignature, ValueError):
        raise Refused("the tombstone is not in the form that it must have, or its signature is wrong") from None
    return fields, footer

def report_chain(store, ours):
    """Looks at the footers of all backups of this box and root, also of those that it removed: is one missing, or two in one place?"""
    chain = []
    names = os.listdir(store)
    for name in sorted(name for name in names if name.endswith((".meta", ".tombstone"))):
        backup = name.rpartition(".")[0]
        try:
            with open(os.path.join(store, name), "rb") as f:
                if name.endswith(".meta"):
                    f.seek(max(0, os.path.getsize(f.name) - 4104))
                    text = split_footer(f.read())[1]
                    fields = check_footer(text, backup)
                else:
                    stone, fields = check_tombstone(f.read(8192), backup)
                    text = stone["footer"].encode()
                    if stone["box"] != fields["box"] or f"{backup}.meta" in names:
                        continue
        except (Refused, OSError):
            continue                                        # it is not what we were asked for
        if (fields["box"], fields["root"]) == (ours["box"], ours["root"]):
            chain.append((int(fields["sequence"]), name, fields["previous"], hashlib.sha256(text).hexdigest()))
    chain.sort()
    if chain and chain[0][0] > 1:
        note(f"the first backup here is number {chain[0][0]}: those before it were removed")
    for (n, one, _, digest), (m, two, previous, _) in itertools.pairwise(chain):
        if m == n:
            note(f"{one} and {two} have the same sequence number {n}")
        elif m > n + 1:
            note(f"between {one} and {two} {m - n - 1} backups were removed")
        elif previous != digest:
            note(f"{two} does not follow {one}: one of them was put there or changed")

# ------------------------------------------------------------------------------------------------- §5, §6 documents
def unzstd(blocks, single=False):
    """Decompresses a stream of zstd frames; with `single` one frame and at most one skippable frame of zeros (§5)."""
    new = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj
    frame, rest = new(), bytearray()
    for block in blocks:
        for i in range(0, len(block), 4096):                # small steps: 4 KiB become 128 MiB at most
            data = block[i:i + 4096]
            while len(data) and not (single and frame.eof):
                frame = new() if frame.eof else frame
                yield frame.decompress(data)
                data = frame.unused_data                    # what lies behind the end of the frame
            rest += data
    if not frame.eof:
        raise Refused("damaged: the compressed data is cut short")
    if rest and (rest[:8] != b"\x50\x2a\x4d\x18" + max(0, len(rest) - 8).to_bytes(4, "little") or any(rest[8:])):
        raise Refused("damaged: something is behind the end of the compressed data")

def documents(blocks):
    """Cuts the stream at its lines `---` and yields each document, holding one at a time (§6)."""
    tail, number = b"\n", 0
    for block in itertools.chain(blocks, [b"\n---\n"]):
        *whole, tail = (tail + block).split(b"\n---\n")
        for text in whole:
            if number:
                yield text
            elif text:
                raise Refused("the metafile does not begin with a line ---")
            number += 1
        if len(tail) > 2 << 20:                             # §9
            raise Refused("a document of the metafile is longer than 2 MiB")

def parse(text):
    """One YAML document. More than the writer's simple subset is refused, which keeps the YAML parser out of trouble."""
    bare = re.sub(rb"'(?:[^'\n]|'')*'", b"''", text)        # without what is in quotes
    if len(text) > 2 << 20 or re.search(rb"""[&*!|>"{}\\%@`\t\r]|^---|^ {16}|- - |\[[^\]]*\[""", bare, re.M):
        raise Refused("a document of the metafile is not in the simple YAML of the format")
    doc, keys = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), re.findall(rb"^([^ \n:]+):", bare, re.M)
    if not isinstance(doc, dict) or len(keys) != len(set(keys)):
        raise Refused("a document of the metafile is not a mapping, or has a key twice")
    return doc

def field(doc, key, kind, pattern=""):
    value = doc.get(key)
    if type(value) is not kind or kind is int and value < 0 or pattern and not re.fullmatch(pattern, value, re.ASCII):
        raise Refused(f"the metafile has no good `{key}` for it")
    return value

def unescape(text):
    """§6.1: text to bytes."""
    def one(match):
        if not match[1]:
            raise Refused("the metafile has a backslash that stands for nothing")
        return b"\\" if match[1] == b"\\" else bytes([int(match[1][1:], 16)])
    return re.sub(rb"\\(\\|x[0-9a-f]{2})?", one, text.encode())

def unescape_path(text):
    path = unescape(text)
    if path != b"." and any(name in (b"", b".", b"..") for name in path.split(b"/")) or b"\0" in path:
        raise Refused("this path leads elsewhere")
    return path

def items_of(doc):
    """The list `chunks` of a document, each item checked."""
    items = field(doc, "chunks", list) if "chunks" in doc else []
    for item in items:
        match item:
            case ["hole", int(length)] if length > 0:
                continue
            case [str(key), int(offset), int(length), *rest] if offset >= 0 and length > 0 and rest in ([], ["zstd"]):
                if re.fullmatch("[0-9a-f]{40}", key):
                    continue
        raise Refused(f"an item of `chunks` is not understood: {item}")
    if len(items) > 1024:
        raise Refused("more than 1,024 items of `chunks` in one document")
    return items

# ------------------------------------------------------------------------------------------------- §6.3 restoring
class Restore:
    def __init__(self, args, keys, header):
        self.args, self.keys, self.header, self.trailer = args, keys, header, None
        self.parts, self.directories, self.used, self.last, self.entries, self.bytes = [], [], set(), b"", 0, 0
        os.makedirs(args.dir, mode=0o700, exist_ok=True)
        self.top = os.open(args.dir, os.O_RDONLY | os.O_DIRECTORY)
        if os.listdir(self.top):
            raise Refused(f"{args.dir} is not empty; give a new directory")
        self.chunk = functools.lru_cache(maxsize=3)(self.read_chunk)        # a small cache of opened chunks

    def read_chunk(self, key):
        with open(os.path.join(self.args.store, key + ".chunk"), "rb") as f:
            if os.path.getsize(f.name) > (1 << 30) + (1 << 19):             # §9: a payload of 1 GiB
                raise Refused("too large")
            data = f.read()
        if hashlib.sha1(data).hexdigest() != key:                           # §2
            raise Refused("damaged: its SHA-1 is not its name")
        return b"".join(open_object(data, 1, self.keys))

    def extent(self, item):
        key, offset, length = item[:3]
        try:
            payload = self.chunk(key)
        except TROUBLE as e:
            raise Refused(f"chunk {key}: {plain(e)}") from None
        if offset + length > len(payload):
            raise Refused(f"chunk {key} is shorter than the metafile says")
        return memoryview(payload)[offset:offset + length]

    def contents(self, items):
        """Yields the contents of a file: bytes, or for a hole its length."""
        for packed, run in itertools.groupby(items, lambda item: item[3:] == ["zstd"]):
            if packed:                                                      # a run is one stream of zstd frames
                yield from unzstd(map(self.extent, run))
            else:
                yield from (item[1] if item[0] == "hole" else self.extent(item) for item in run)

    def write_file(self, f, doc, items):
        size, wanted, sparse = field(doc, "size", int), field(doc, "sha1", str), doc.get("sparse") is True
        at, digest, zeros = 0, hashlib.sha1(), bytes(1 << 20)
        for data in self.contents(items):
            hole = isinstance(data, int)
            length = data if hole else len(data)
            if at + length > size:
                raise Refused("its contents are longer than its size")
            for i in range(0, length, 4096 if sparse and not hole else 1 << 20):
                block = zeros[:length - i] if hole else data[i:i + (4096 if sparse else 1 << 20)]
                digest.update(block)
                if hole or sparse and block == zeros[:len(block)]:
                    f.seek(len(block), os.SEEK_CUR)
                else:
                    f.write(block)
            at += length
        f.truncate(at)
        if at != size:
            raise Refused(f"its contents are {at} bytes long and not {size}")
        if digest.hexdigest() != wanted:
            raise Refused("its contents do not have the SHA-1 of the original")

    def enter(self, path):
        """Makes the directory that holds `path` the current one, never through a symlink, and returns the last name.
        Only such bare names are used from there. So nothing is ever written outside of DIR."""
        *parents, name = path.split(b"/")
        os.fchdir(self.top)
        for parent in parents:
            fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            os.fchdir(fd)
            os.close(fd)
        return name

    def link(self, path, old):
        old = self.enter(old)
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(old, self.enter(path), src_dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)

    def document(self, doc):
        """Any document behind the header: an entry, a part of one, or the trailer."""
        if self.trailer:
            raise Refused("something is behind the trailer")
        if doc.get("end") is True:                                          # §6.4
            self.trailer = doc
            return
        path, items = field(doc, "path", str), items_of(doc)
        self.used.update(item[0] for item in items if item[0] != "hole")
        if "part" in doc:
            self.parts.append((path, field(doc, "part", int), items))
            return
        parts, self.parts = self.parts, []
        self.entries += 1
        self.bytes += doc["size"] if type(doc.get("size")) is int else 0
        if [part[:2] for part in parts] != [(path, i) for i in range(len(parts))]:
            raise Refused("the parts before it are not in order, or not of this file")
        key = b"" if path == "." else unescape_path(path).replace(b"/", b"\0")      # '/' sorts below all
        if (self.entries == 1) != (path == ".") or self.entries > 1 and key <= self.last:
            problem(f"{path}: is not in its place in the metafile")
        self.last = key
        self.entry(doc, unescape_path(path), [item for part in parts for item in part[2]] + items)

    def entry(self, doc, path, items):
        kind, mode = field(doc, "type", str), int(field(doc, "mode", str, "[0-7]{1,5}"), 8) & 0o7777
        if path == b"." and kind != "directory":
            path = self.header["root"].encode()
            note(f"the root of this backup is of type {kind}; it is restored under the name {self.header['root']}")
        if "problem" in doc:
            problem(f"{doc['path']}: is not whole in the backup: {doc['problem']}")
            if kind in ("file", "image"):                                   # never an empty file in its place
                return
        if "hardlink" in doc:
            try:
                return self.link(path, unescape_path(field(doc, "hardlink", str)))
            except TROUBLE as e:                                            # the entry carries all else
                problem(f"{doc['path']}: cannot be linked to {doc['hardlink']} ({plain(e)}), becomes a file of its own")
        name = self.enter(path)
        if kind == "directory":
            if path != b".":
                os.mkdir(name, 0o700)
            self.directories.append((path, doc, mode))                      # their metadata comes last
            return
        if kind in ("file", "image"):
            with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as f:
                try:
                    self.write_file(f, doc, items)
                except BaseException:
                    if not self.args.keep_damaged:
                        os.unlink(name)
                    raise
            if doc.get("changed"):
                note(f"{doc['path']}: changed while it was backed up")
        elif kind == "symlink":
            os.symlink(unescape(field(doc, "target", str)), name)
        elif kind in ("fifo", "socket"):
            os.mknod(name, 0o600 | (stat.S_IFIFO if kind == "fifo" else stat.S_IFSOCK))
        elif kind in ("chardev", "blockdev"):
            device = os.makedev(*field(doc, "device", list))
            os.mknod(name, 0o600 | (stat.S_IFCHR if kind == "chardev" else stat.S_IFBLK), device)
        else:
            raise Refused(f"entries of type {kind} are not known to this program")
        self.metadata(name, doc, mode)

    def metadata(self, name, doc, mode):
        def attempt(what, call, *args, **options):
            try:
                call(*args, **options)
            except TROUBLE as e:
                problem(f"{doc['path']}: cannot set its {what}: {plain(e)}")
        uid, gid = field(doc, "uid", int), field(doc, "gid", int)
        if not self.args.numeric_ids:                                       # by name, then by number
            uid, gid = id_of(pwd.getpwnam, doc.get("user"), uid), id_of(grp.getgrnam, doc.get("group"), gid)
        if os.geteuid() == 0:
            attempt("owner", os.chown, name, uid, gid, follow_symlinks=False)
        if os.lstat(name)[4:6] != (uid, gid) and doc["type"] != "directory":
            mode &= 0o1777                                                  # no setuid for the wrong owner
        for key, value in (field(doc, "xattrs", dict) if "xattrs" in doc else {}).items():
            attempt(f"attribute {key}", lambda: os.setxattr(                # behind chown, which removes some
                name, unescape(key), base64.b64decode(value, validate=True), follow_symlinks=False))
        if doc["type"] != "symlink":
            attempt("mode", os.chmod, name, mode)
        seconds, nanoseconds = field(doc, "mtime", str, r"-?\d+\.\d{9}").split(".")
        time = int(seconds) * 10 ** 9 + int(nanoseconds)                    # floor: so too right before 1970
        attempt("time", os.utime, name, ns=(time, time), follow_symlinks=False)

    def finish(self, footer):
        """What comes last: the trailer's and footer's numbers; the directories' metadata, inner ones first."""
        if not self.trailer:
            problem("the last document is missing: the metafile was cut short or is damaged, there may have been more files")
        for name, said, found in (("entries", (self.trailer or {}).get("entries"), self.entries),
                                  ("bytes", (self.trailer or {}).get("bytes"), self.bytes),
                                  ("chunks", footer and int(footer["chunks"]), len(self.used))):
            if said is not None and said != found:
                problem(f"the metafile says that it has {said} {name}, but there are {found}")
        for path, doc, mode in reversed(self.directories):
            try:
                self.metadata(self.enter(path), doc, mode)
            except TROUBLE as e:
                problem(f"{doc['path']}: cannot set the metadata of this directory: {plain(e)}")

@functools.lru_cache(maxsize=None)
def id_of(lookup, name, number):
    try:
        return number if name is None else lookup(os.fsdecode(unescape(name)))[2]
    except (KeyError, Refused):
        return number

def main():
    parser = argparse.ArgumentParser(description="Restores a Brackup backup from the folder STORE into the new folder DIR.")
    parser.error = lambda text: sys.exit(parser.format_usage() + "unbrackup: " + text)
    parser.add_argument("--key", action="append", required=True, metavar="FILE", help="a secret key file")
    parser.add_argument("--accept-unsigned", action="store_true",
                        help="go on if the footer is missing or wrong, or of a box that the key files do not name")
    parser.add_argument("--numeric-ids", action="store_true", help="restore owners by number, not by name")
    parser.add_argument("--keep-damaged", action="store_true", help="keep as much of a damaged file as could be read")
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("backup", metavar="BACKUP")
    parser.add_argument("dir", metavar="DIR")
    args = parser.parse_args()
    args.store, args.backup = os.path.abspath(args.store), args.backup.removesuffix(".meta")
    os.umask(0o077)
    opened = [read_key_file(name) for name in args.key]
    keys, pins = [key for key, _ in opened], set().union(*(pins for _, pins in opened))
    with open(os.path.join(args.store, args.backup + ".meta"), "rb") as f:
        data = f.read()
    cut, footer = data.rfind(b"brackup metafile footer 1\n", max(0, len(data) - 4104)), None
    length = cut if cut >= 0 else len(data)                                 # a guess, should the footer be damaged
    try:                                                                    # §7
        length, text = split_footer(data)
        fields = check_footer(text, args.backup)
        if int(fields["length"]) != length or hashlib.sha256(data[:length]).hexdigest() != fields["sha256"]:
            raise Refused("the metafile is not the one that was signed: it is damaged or was changed")
        if pins and bech32(fields["box"], "brackupbox") not in pins:
            raise Refused(f"it was written by the box {fields['box']}, which your key files do not name")
        footer = fields
        print(f"signed by the box {footer['box']}, number {footer['sequence']} of {footer['root']}")
        report_chain(args.store, footer)
    except Refused as e:
        if not args.accept_unsigned:
            raise Refused(f"{e}. (--accept-unsigned goes on all the same)") from None
        problem(f"{e}. Going on, because of --accept-unsigned")
    texts = documents(unzstd(open_object(data[:length], 2, keys), single=True))
    header = parse(next(texts, b""))                                        # §6.2
    if header.get("brackup") != 1:
        raise Refused(f"format {header.get('brackup')} is not known to this program, only 1 is")
    root = field(header, "root", str, ROOT)
    if footer and footer["root"] != root:
        raise Refused(f"the footer says that this is a backup of {footer['root']}, the header {root}")
    print(f"backup {args.backup} of {header.get('path')} on {header.get('host')}, begun {header.get('created')}")
    restore, doc = Restore(args, keys, header), {}
    try:
        for text in texts:
            try:
                restore.document(doc := parse(text))
            except TROUBLE as e:
                problem(f"{doc.get('path', '?')}: not restored: {plain(e)}")
            doc = {}
    except TROUBLE as e:
        problem(f"the metafile is damaged, what comes behind is lost: {plain(e)}")
    restore.finish(footer)
    print(f"{restore.entries} entries, {restore.bytes} bytes, {problems} problems")
    return 3 if problems else 0

if __name__ == "__main__":
    try:
        sys.exit(main())
    except TROUBLE as error:
        name = os.fsdecode(error.filename) + ": " if isinstance(error, OSError) and error.filename else ""
        note(name + plain(error))
        sys.exit(1)
