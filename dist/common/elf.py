"""Reads as much of a program as tells whether it is for the box: CPU, byte order, and whether it needs an interpreter."""

import struct

PT_INTERP = 3


def header(data):
    """(class, byte order, e_machine, needs an interpreter) of an ELF file's bytes, None if it is none."""
    if len(data) < 52 or data[:4] != b"\x7fELF":
        return None
    bits = {1: 32, 2: 64}.get(data[4])
    order = {1: "little", 2: "big"}.get(data[5])
    if not bits or not order:
        return None
    end = "<" if order == "little" else ">"
    machine, = struct.unpack_from(end + "H", data, 18)
    # e_phoff, then e_phentsize and e_phnum
    offset, = struct.unpack_from(end + ("Q" if bits == 64 else "I"), data, 32 if bits == 64 else 28)
    size, count = struct.unpack_from(end + "HH", data, 54 if bits == 64 else 42)
    kinds = [struct.unpack_from(end + "I", data, offset + size * at)[0] for at in range(count)]
    return bits, order, machine, PT_INTERP in kinds
