#!/usr/bin/env python3
"""A client of AWS's own making (botocore), for what tests ask of a server besides Brackup.

usage: tests/aws.py ENDPOINT ACCESS_KEY SECRET_KEY COMMAND…

  bucket NAME                a new bucket; locked-bucket NAME: with Object Lock
  locked BUCKET KEY          how an object is locked, days until then, and the status of an attempt to delete that version
  versions BUCKET            how many versions of chunks and metafiles it keeps, and how many of them marks hide
  read BUCKET KEY            the bytes of an object in hexadecimal digits, or "none"; write BUCKET KEY HEX
  vanish BUCKET              removes it with all that is in it
  user NAME POLICY           a new user with this policy (JSON): its access key and its secret
  try METHOD BUCKET KEY      the status of one request: put (over what is there), delete, get; or of what undoes protection: policy,
                             versioning, lifecycle (KEY is of no matter)
"""

import datetime
import sys

import botocore.exceptions
import botocore.session
from botocore.config import Config


def main(endpoint, access_key, secret_key, command, *words):
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})

    def client(service):
        return botocore.session.Session().create_client(
            service, "us-east-1", endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret_key, config=config
        )

    s3 = client("s3")
    match command, *words:
        case "bucket", name:
            s3.create_bucket(Bucket=name)
        case "locked-bucket", name:
            s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        case "locked", bucket, key:
            there = s3.head_object(Bucket=bucket, Key=key)
            left = there["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.timezone.utc)
            deletes = status(lambda: s3.delete_object(Bucket=bucket, Key=key, VersionId=there["VersionId"]))
            print(there["ObjectLockMode"], left.days, deletes)
        case "versions", bucket:
            there = s3.list_object_versions(Bucket=bucket)
            kept = [version["Key"] for version in there.get("Versions", []) if version["Key"].endswith((".chunk", ".meta"))]
            print(len(kept), len({mark["Key"] for mark in there.get("DeleteMarkers", [])} & set(kept)))
        case "read", bucket, key:
            try:
                print(s3.get_object(Bucket=bucket, Key=key)["Body"].read().hex())
            except s3.exceptions.NoSuchKey:
                print("none")
        case "write", bucket, key, text:
            s3.put_object(Bucket=bucket, Key=key, Body=bytes.fromhex(text))
        case "vanish", bucket:
            for there in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=there["Key"])
            s3.delete_bucket(Bucket=bucket)
        case "user", name, policy:
            iam = client("iam")
            iam.create_user(UserName=name)
            iam.put_user_policy(UserName=name, PolicyName="box", PolicyDocument=policy)
            made = iam.create_access_key(UserName=name)["AccessKey"]
            print(made["AccessKeyId"], made["SecretAccessKey"])
        case "try", "put", bucket, key:
            print(status(lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"other")))
        case "try", "delete", bucket, key:
            print(status(lambda: s3.delete_object(Bucket=bucket, Key=key)))
        case "try", "get", bucket, key:
            print(status(lambda: s3.get_object(Bucket=bucket, Key=key)))
        case "try", "policy", bucket, _:
            print(status(lambda: s3.delete_bucket_policy(Bucket=bucket)))
        case "try", "versioning", bucket, _:
            print(status(lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})))
        case "try", "lifecycle", bucket, _:
            rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
            print(status(lambda: s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})))
        case _:
            sys.exit(__doc__)


def status(request):
    try:
        return request()["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


if __name__ == "__main__":
    main(*sys.argv[1:])
