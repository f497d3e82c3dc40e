#!/usr/bin/env python3
"""benches/door.py --brackup PATH: memory and speed of `brackup serve` with a door, while hosts store chunks over TLS and read them.

Standard error of the program and its folder are in a temporary folder, which goes. Needs Linux, Python 3.11 and a program built with
`--features web`. What is printed is one line a number.
"""

import argparse
import hashlib
import http.client
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

import measure


class House:
    """The program, and one host that it lets in."""

    def __init__(self, program, folder, hosts):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.tokens, sections = [], f"[SERVE]\nlisten = 127.0.0.1:{self.port}\n"
        config = folder / "brackup.conf"
        config.write_text(sections)
        env = {"HOME": str(folder), "PATH": os.environ["PATH"]}
        for number in range(hosts):
            add = [program, "--config", config, "host", "add", f"host{number}", "--path", folder / f"host{number}"]
            told = subprocess.run(add, env=env, check=True, capture_output=True, text=True).stdout
            self.tokens.append(re.search(r"^token = (.*)$", told, re.M)[1])
            sections += re.search(r"^\[HOST.*?\n\n", told, re.M | re.S)[0]
        config.write_text(sections)
        self.process = subprocess.Popen([program, "--config", config, "serve"], env=env, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "lets" in line:
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def connect(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=300)

    def put(self, connection, host, name, body, headers=()):
        headers = {"Authorization": f"Bearer {self.tokens[host]}", "If-None-Match": "*", **dict(headers)}
        connection.request("PUT", f"/v1/objects/{name}", body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201, (answer.status, name)

    def identify(self, host):
        import base64

        body = b"brackup target 1\nid: 00112233445566778899aabbccddeeff\n"
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        connection = self.connect()
        self.put(connection, host, "brackup-target.id", body, {"Content-Digest": f"sha-256=:{digest}:"}.items())

    def get(self, connection, host, name):
        connection.request("GET", f"/v1/objects/{name}", headers={"Authorization": f"Bearer {self.tokens[host]}"})
        answer, length = connection.getresponse(), 0
        while part := answer.read(1 << 20):
            length += len(part)
        return length


def at_once(count, act):
    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brackup", default="target/release/brackup")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--megabytes", type=int, default=64, help="of a chunk")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        house = House(os.path.abspath(options.brackup), pathlib.Path(folder), options.clients)
        try:
            run(house, options)
        finally:
            house.process.terminate()
            house.process.wait()


def run(house, options):
    pid = house.process.pid
    print(f"idle, nobody has asked yet: {measure.memory(pid, 'VmRSS')} KiB")
    payload = os.urandom(options.megabytes << 20)
    chunks = [payload[number:] + payload[:number] for number in range(options.clients)]
    names = [hashlib.sha1(chunk).hexdigest() + ".chunk" for chunk in chunks]
    at_once(options.clients, house.identify)

    def store(host):
        connection = house.connect()
        for number in range(options.rounds):
            # Others in each round, as each client has its own folder.
            house.put(connection, host, names[(host + number) % options.clients], chunks[(host + number) % options.clients])

    def read(host):
        connection = house.connect()
        assert house.get(connection, host, names[host]) == len(payload)

    total = options.clients * (options.megabytes << 20)
    took = at_once(options.clients, store)
    print(f"{options.clients} clients store {options.rounds} chunks of {options.megabytes} MiB each: {took:.1f} s, "
          f"{options.rounds * total / took / 1e6:.0f} MB/s, peak {measure.memory(pid, 'VmHWM')} KiB")
    took = at_once(options.clients, read)
    print(f"{options.clients} clients read one each: {took:.1f} s, {total / took / 1e6:.0f} MB/s, peak {measure.memory(pid, 'VmHWM')} KiB")
    # Threads for disks end after ten seconds, idle connections too.
    time.sleep(15)
    print(f"idle again: {measure.memory(pid, 'VmRSS')} KiB")


main()
