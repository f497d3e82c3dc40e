#!/usr/bin/env python3
"""Makes vectors.txt: requests signed by botocore, AWS's own client, for src/target/s3/sign.rs.

    tests/servers
    target/servers-venv/bin/python tests/sigv4/make.py >tests/sigv4/vectors.txt

Randomness comes from a seed, so a second run changes nothing. All keys are made up and public. No server that tests can start looks at the digest of the
body that is signed (x-amz-content-sha256), so it is held against these.
"""

import datetime
import hashlib
import random
import string
from urllib.parse import quote

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

random.seed(2026)
SIGNS = string.ascii_letters + string.digits + "-_.~!$&'()*+,;=:@ %"


def text(alphabet, most):
    return "".join(random.choice(alphabet) for _ in range(random.randint(1, most)))


def main():
    print(f"# botocore {botocore.__version__}, tests/sigv4/make.py")
    for number in range(60):
        when = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=random.randint(0, 2**31))
        botocore.auth.get_current_datetime = lambda remove_tzinfo=True: when.replace(tzinfo=None) if remove_tzinfo else when
        method = random.choice(["GET", "PUT", "POST", "DELETE"])
        names = [text(SIGNS + ("äß日" if number % 2 else ""), 20) for _ in range(random.randint(1, 4))]
        path = "".join("/" + quote(name, safe="-_.~") for name in names)
        query = [(text(string.ascii_lowercase + "-", 12), "" if random.random() < 0.2 else text(SIGNS + "/?äß", 16)) for _ in range(random.randint(0, 3))]
        query = sorted(dict(query).items())
        body = b"" if method in ("GET", "DELETE") else random.randbytes(random.randint(0, 200))
        headers = {f"x-amz-{text(string.ascii_lowercase, 8)}": text(string.ascii_letters + "=/+,", 20) for _ in range(random.randint(0, 3))}
        if random.random() < 0.5:
            headers["content-type"] = "application/octet-stream"
        if random.random() < 0.5:
            headers["if-none-match"] = "*"
        credentials = Credentials(text(string.ascii_uppercase, 20), text(string.ascii_letters + "/+=", 40), text(string.ascii_letters + "/+=", 60) if random.random() < 0.4 else None)
        host = random.choice(["s3.example.com", "bucket.s3.eu-west-1.amazonaws.com", "127.0.0.1:8333"])
        region = random.choice(["us-east-1", "eu-central-1", "garage"])
        encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
        request = AWSRequest(method=method, url=f"http://{host}{path}" + (f"?{encoded}" if query else ""), data=body, headers=headers)
        request.context["payload_signing_enabled"] = True
        auth = botocore.auth.S3SigV4Auth(credentials, "s3", region)
        auth.add_auth(request)
        signed = dict(part.split("=", 1) for part in request.headers["Authorization"].split(" ", 1)[1].split(", "))
        digest = request.headers["X-Amz-Content-SHA256"]
        assert digest == hashlib.sha256(body).hexdigest()
        print()
        print(f"method: {method}\npath: {path}\nhost: {host}\nregion: {region}\ndate: {request.headers['X-Amz-Date']}")
        print(f"id: {credentials.access_key}\nsecret: {credentials.secret_key}")
        if credentials.token:
            print(f"token: {credentials.token}")
        for name, value in query:
            print(f"query: {name}={value}")
        for name, value in headers.items():
            print(f"header: {name}={value}")
        print(f"body: {body.hex()}\nsigned: {signed['SignedHeaders']}\nsignature: {signed['Signature']}")


if __name__ == "__main__":
    main()
