"""What each target of cross/build is called by those who make packages."""

# triple: ELF class, byte order, e_machine
ELF = {
    "aarch64-unknown-linux-musl": (64, "little", 183),
    "armv5te-unknown-linux-musleabi": (32, "little", 40),
    "armv7-unknown-linux-musleabihf": (32, "little", 40),
    "mips-unknown-linux-musl": (32, "big", 8),
    "mipsel-unknown-linux-musl": (32, "little", 8),
    "x86_64-unknown-linux-musl": (64, "little", 62),
}

# Big-endian MIPS left Debian with version 11.
DEBIAN = {
    "aarch64-unknown-linux-musl": "arm64",
    "armv5te-unknown-linux-musleabi": "armel",
    "armv7-unknown-linux-musleabihf": "armhf",
    "mipsel-unknown-linux-musl": "mipsel",
    "x86_64-unknown-linux-musl": "amd64",
}

# The name is what the router says in /etc/opkg/arch.conf. arm_cortex-a9 and -a7 without a suffix have no FPU: the program for
# ARMv5 runs there. MIPS32r1 (mipsel_mips32, mips_mips32) is left out: the program is built for r2.
OPENWRT = {
    "aarch64-unknown-linux-musl": ["aarch64_cortex-a53", "aarch64_cortex-a72", "aarch64_cortex-a76", "aarch64_generic"],
    "armv5te-unknown-linux-musleabi": ["arm_arm926ej-s", "arm_xscale", "arm_cortex-a9", "arm_cortex-a7"],
    "armv7-unknown-linux-musleabihf": [
        "arm_cortex-a15_neon-vfpv4", "arm_cortex-a5_vfpv4", "arm_cortex-a7_neon-vfpv4", "arm_cortex-a7_vfpv4",
        "arm_cortex-a8_vfpv3", "arm_cortex-a9_neon", "arm_cortex-a9_vfpv3-d16",
    ],
    "mips-unknown-linux-musl": ["mips_24kc"],
    "mipsel-unknown-linux-musl": ["mipsel_24kc", "mipsel_24kc_24kf", "mipsel_74kc"],
    "x86_64-unknown-linux-musl": ["x86_64"],
}

# DSM 7. The last ARMv5 boxes end at DSM 6.2, whose kernel 2.6.32 is older than Rust's standard library can use.
SYNOLOGY = {
    "aarch64-unknown-linux-musl": "armada37xx rtd1296 rtd1619b",
    "armv7-unknown-linux-musleabihf": "alpine alpine4k armada370 armada375 armada38x armadaxp comcerto2k monaco",
    "x86_64-unknown-linux-musl":
        "apollolake avoton braswell broadwell broadwellnk broadwellnkv2 broadwellntbap bromolow cedarview denverton "
        "epyc7002 geminilake geminilakenk grantley kvmx64 purley r1000 r1000nk v1000 v1000nk x86 x86_64",
}

# Folders of QDK.
QNAP = {
    "aarch64-unknown-linux-musl": ["arm_64"],
    "armv5te-unknown-linux-musleabi": ["arm-x19"],
    "armv7-unknown-linux-musleabihf": ["arm-x31", "arm-x41"],
    "x86_64-unknown-linux-musl": ["x86_64"],
}


def openwrt(name):
    """(triple, names for opkg) of a triple or of one such name."""
    if name in OPENWRT:
        return name, OPENWRT[name]
    for triple, names in OPENWRT.items():
        if name in names:
            return triple, [name]
    known = sorted(OPENWRT) + sorted(sum(OPENWRT.values(), []))
    raise SystemExit(f"{name}: no such architecture; there are {' '.join(known)}")


def of(table, triple, whose):
    """The entry of a triple, or the end."""
    if triple in table:
        return table[triple]
    raise SystemExit(f"{triple}: not for {whose}; there are {' '.join(sorted(table))}")
