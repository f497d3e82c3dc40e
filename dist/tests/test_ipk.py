"""The .ipk, read back; and the feed's Makefile, which installs the same files."""

import os
import shutil
import subprocess
import unittest

from packages import DIST, Packages, arches, fields, header, members

MODES = {"etc/brackup/brackup.conf": 0o640, "etc/init.d/brackup": 0o755, "usr/bin/brackup": 0o755}
OTHERS = {"etc/capabilities/brackup.json", "etc/config/brackup", "lib/upgrade/keep.d/brackup"}

# As much of OpenWrt's rules as install one package.
STUB = {
    "rules.mk": "INSTALL_DIR:=install -d -m0755\nINSTALL_BIN:=install -m0755\nINSTALL_DATA:=install -m0644\n"
                "INSTALL_CONF:=install -m0600\nINCLUDE_DIR:=$(TOPDIR)/include\nall: version install\n",
    "include/package.mk": "define BuildPackage\nversion:\n\t@echo $(PKG_VERSION)\ninstall:\n"
                          "\t$$(call Package/$(1)/install,$(OUT))\nendef\n",
    "feeds/packages/lang/rust/rust-package.mk": "",
}


class Ipk(Packages):
    """Structure."""

    def read(self, path):
        """(control members, data members)."""
        outer = members(path.read_bytes())
        self.assert_whole(outer)
        self.assertEqual(sorted(outer), [".", "control.tar.gz", "data.tar.gz", "debian-binary"])
        self.assertEqual(outer["debian-binary"].data, b"2.0\n")
        return members(outer["control.tar.gz"].data), members(outer["data.tar.gz"].data)

    def test_contents(self):
        path, = self.build("ipk", "mipsel_24kc", "mipsel-unknown-linux-musl")
        control, data = self.read(path)
        self.assert_whole(control)
        self.assert_whole(data)
        files = {name for name, member in data.items() if member.isfile()}
        self.assertEqual(files, OTHERS | set(MODES))
        for name, member in data.items():
            self.assertEqual(oct(member.mode), oct(MODES.get(name, 0o755 if member.isdir() else 0o644)), name)
        configuration = data["etc/brackup/brackup.conf"].data.decode()
        self.assertIn("\nkey_dir = /etc/brackup/keys\n", configuration)
        # /var is memory and /etc is flash: the owner has to choose.
        self.assertIn("\n#state_dir = ", configuration)
        self.assertNotIn("\nstate_dir", configuration)
        self.assertIn("\n\toption enabled '0'\n", data["etc/config/brackup"].data.decode())

    def test_names_of_the_original(self):
        """Where the program has its words."""
        path, = self.build("ipk", "arm_cortex-a9_vfpv3-d16", "armv7-unknown-linux-musleabihf", more=b"brackup-restore --from")
        links = {name: member.linkname for name, member in self.read(path)[1].items() if member.issym()}
        self.assertEqual(links, {"usr/bin/brackup-restore": "brackup"})

    def test_control(self):
        path, = self.build("ipk", "mips_24kc", "mips-unknown-linux-musl")
        control, _ = self.read(path)
        self.assertEqual(sorted(control), [".", "conffiles", "control", "postinst", "prerm"])
        told = fields(control["control"].data.decode())
        self.assertEqual((told["Architecture"], told["Require-User"]), ("mips_24kc", "brackup:brackup"))
        self.assertNotIn("Depends", told)
        self.assertEqual(control["conffiles"].data, b"/etc/brackup/brackup.conf\n/etc/config/brackup\n")

    def test_architectures(self):
        for triple, names in arches.OPENWRT.items():
            paths = self.build("ipk", triple, triple)
            told = [fields(self.read(path)[0]["control"].data.decode())["Architecture"] for path in paths]
            self.assertEqual(told, names)
        armv7 = header("armv7-unknown-linux-musleabihf")
        self.refuses("ipk", "mipsel_24kc", armv7, "no program for mipsel-unknown-linux-musl")
        self.refuses("ipk", "mipsel_25kc", armv7, "no such architecture")

    def test_the_same_bytes_twice(self):
        name, triple = "x86_64", "x86_64-unknown-linux-musl"
        one, two = (self.build("ipk", name, triple, out=out)[0].read_bytes() for out in ("one", "two"))
        self.assertEqual(one, two)

    @unittest.skipUnless(shutil.which("make"), "LEFT OUT: there is no make")
    def test_the_makefile_installs_the_same(self):
        triple = "x86_64-unknown-linux-musl"
        path, = self.build("ipk", "x86_64", triple)
        control, data = self.read(path)
        top, built, out = (self.folder / name for name in ("openwrt", "built", "root"))
        (built / "bin").mkdir(parents=True)
        (built / "bin/brackup").write_bytes(header(triple))
        for name, text in STUB.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        command = ["make", "-s", "-C", DIST / "openwrt", f"TOPDIR={top}", f"PKG_INSTALL_DIR={built}", f"OUT={out}"]
        surroundings = {"PATH": os.environ["PATH"]}
        done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        version = fields(control["control"].data.decode())["Version"]
        self.assertEqual(done.stdout.strip() + "-r1", version)
        installed = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
        self.assertEqual(set(installed), {name for name, member in data.items() if member.isfile()})
        for name, path in installed.items():
            self.assertEqual(path.read_bytes(), data[name].data, name)
            self.assertEqual(oct(path.stat().st_mode & 0o7777), oct(data[name].mode), name)
        conffiles = (DIST / "openwrt/Makefile").read_text().split("/conffiles\n")[1].split("endef")[0]
        self.assertEqual(conffiles.encode(), control["conffiles"].data)
