"""SeaweedFS for what is no test of cargo's: tests/appliance and benches. tests/it/support/weed.rs is the same for those."""

import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Keys of this server, which is gone when its user is.
ACCESS_KEY, SECRET_KEY = "AKTESTTESTTEST", "test/secret+key"
PATIENCE_S = 60


def program():
    """Where it is, if tests/servers installed it."""
    there = pathlib.Path(os.environ.get("BRACKUP_WEED") or ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "servers-venv/bin/weed")
    if not there.exists() and os.environ.get("BRACKUP_SERVERS"):
        raise FileNotFoundError(f"{there} is not there: run tests/servers")
    return there if there.exists() else None


class Weed:
    """A running server with one bucket, over TLS, whose certificate is for `address`; it has room for `volumes` times 64 MB, and a bucket takes seven at a time."""

    def __init__(self, place, address="127.0.0.1", bucket="nas", volumes=40):
        self.folder = pathlib.Path(place)
        (self.folder / "data").mkdir(parents=True)
        self.certificate, key = self.folder / "server.pem", self.folder / "server.key"
        names = ["-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE"]
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test", *names]
        subprocess.run([*made, "-keyout", key, "-out", self.certificate], check=True, capture_output=True)
        keys = f'{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}'
        config = self.folder / "s3.json"
        config.write_text(f'{{"identities":[{{"name":"admin","credentials":[{keys}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}')
        self.ports = free_ports(6)
        self.http, self.port, self.master, volume, self.filer, self.metrics = self.ports
        options = [
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            f"-volume.max={volumes}", "-master.volumeSizeLimitMB=64", f"-dir={self.folder / 'data'}", f"-master.port={self.master}", f"-volume.port={volume}",
            f"-filer.port={self.filer}", f"-metricsPort={self.metrics}", f"-s3.port={self.http}", f"-s3.port.https={self.port}", f"-s3.cert.file={self.certificate}", f"-s3.key.file={key}", f"-s3.config={config}",
        ]  # fmt: skip
        # By a shell that ends, so that it is no child of ours.
        launch = ["sh", "-c", 'exec 3>&1 >log 2>&1 </dev/null; "$@" 3>&- & echo $! >&3', "sh", program(), "server", *options]
        self.pid = int(subprocess.run(launch, cwd=self.folder, env=self.env(), stdout=subprocess.PIPE, check=True).stdout)
        try:
            for port, path in [(self.http, "/status"), (self.filer, "/")]:
                self.wait(f"http://127.0.0.1:{port}{path}")
            self.shell(f"s3.bucket.create -name {bucket}")
        except BaseException:
            self.stop()
            raise

    def env(self):
        """Its logs go where the rest of it is."""
        return os.environ | {"TMPDIR": str(self.folder)}

    def wait(self, url):
        began = time.monotonic()
        while True:
            try:
                return urllib.request.urlopen(url, timeout=5).close()
            except urllib.error.HTTPError:
                return None
            except OSError:
                if time.monotonic() - began > PATIENCE_S:
                    raise TimeoutError(f"SeaweedFS does not start:\n{(self.folder / 'log').read_text()}") from None
                time.sleep(0.2)

    def requests(self):
        """How many requests of S3 it has answered."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("SeaweedFS_s3_request_total{"))

    def shell(self, line):
        command = [program(), "shell", f"-master=127.0.0.1:{self.master}"]
        subprocess.run(command, cwd=self.folder, env=self.env(), input=f"{line}\nexit\n", text=True, check=True, capture_output=True)

    def stop(self):
        """It goes on listening for long after SIGTERM."""
        os.kill(self.pid, signal.SIGKILL)
        # Its sockets lie in /tmp, whatever $TMPDIR says, one for each port and for the one 10,000 above.
        for port in self.ports:
            for number in (port, port + 10_000):
                for left in pathlib.Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    left.unlink(missing_ok=True)


def free_ports(count):
    """Ports that are free, with the port 10,000 above each, where the server has its other protocol; below those that the kernel gives to connections."""
    held, ports = [], []
    port = 12_000 + os.getpid() % 9000
    while len(ports) < count:
        try:
            held += [socket.create_server(("127.0.0.1", number)) for number in (port, port + 10_000)]
            ports.append(port)
        except OSError:
            pass
        port = 12_000 + (port + 7) % 9000
    for one in held:
        one.close()
    return ports
