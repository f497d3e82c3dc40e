"""Holds requests against Google's discovery document of Drive (drive.v3.json of the package google-api-python-client).

What it does not describe, the grammar of searches, the resumable protocol, errors, is written after Google's guides in server.py.
"""

import json
import re


class Violation(Exception):
    """A request that Google's own description does not allow."""


class Discovery:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.document = json.load(file)
        self.schemas = self.document["schemas"]
        self.methods = []
        self._collect(self.document)

    def _collect(self, resource):
        for method in resource.get("methods", {}).values():
            self.methods.append((method, "/" + self.document["servicePath"] + method["path"], None))
            for protocol in method.get("mediaUpload", {}).get("protocols", {}).values():
                self.methods.append((method, protocol["path"], protocol))
        for inner in resource.get("resources", {}).values():
            self._collect(inner)

    def method(self, verb, path):
        """The method, the values in the path, and whether it is an upload. A path without variables comes first, as `files/trash` before `files/{fileId}`."""
        found = []
        for method, template, upload in self.methods:
            pattern = "".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", template))
            match = re.fullmatch(pattern, path)
            if match and method["httpMethod"] == verb:
                names = re.findall(r"\{([^}]*)\}", template)
                found.append((len(names), method, dict(zip(names, match.groups())), upload))
        if not found:
            raise Violation(f"no method is {verb} {path}")
        _, method, values, upload = min(found, key=lambda one: one[0])
        return method, values, upload is not None

    def check_query(self, method, query, more=()):
        """`query`: pairs, decoded. `more`: what the resumable protocol adds."""
        known = {**self.document["parameters"], **method.get("parameters", {})}
        seen = set()
        for name, value in query:
            if name in more:
                continue
            parameter = known.get(name)
            if parameter is None or parameter.get("location") != "query":
                raise Violation(f"{method['id']} has no parameter {name}")
            if name in seen and not parameter.get("repeated"):
                raise Violation(f"{name} is there twice")
            seen.add(name)
            self._check_value(name, value, parameter)
            if parameter.get("deprecated"):
                raise Violation(f"{name} is deprecated")
        for name, parameter in method.get("parameters", {}).items():
            if parameter.get("required") and parameter["location"] == "query" and name not in seen:
                raise Violation(f"{name} is required")

    def _check_value(self, name, value, parameter):
        kind = parameter["type"]
        right = {
            "string": True,
            "boolean": value in ("true", "false"),
            "integer": re.fullmatch(r"-?\d+", value) is not None,
        }[kind]
        if right and kind == "integer":
            right = int(parameter.get("minimum", value)) <= int(value) <= int(parameter.get("maximum", value))
        if right and "enum" in parameter:
            right = value in parameter["enum"]
        if right and "pattern" in parameter:
            right = re.fullmatch(parameter["pattern"], value) is not None
        if not right:
            raise Violation(f"{name}={value} is not of type {parameter}")

    def check_body(self, method, body):
        """`body`: bytes of a JSON text, or nothing."""
        request = method.get("request")
        if not body:
            return {}
        if request is None:
            raise Violation(f"{method['id']} takes no body")
        value = json.loads(body)
        self._check_schema(request["$ref"], value, self.schemas[request["$ref"]])
        return value

    def _check_schema(self, place, value, schema):
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind = schema.get("type")
        python = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list, "object": dict}[kind]
        if not isinstance(value, python) or (kind in ("integer", "number") and isinstance(value, bool)):
            raise Violation(f"{place} is no {kind}: {value!r}")
        if kind == "array":
            for one in value:
                self._check_schema(place, one, schema["items"])
        if kind == "object":
            for name, inner in value.items():
                found = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
                if found is None:
                    raise Violation(f"{place} has no property {name}")
                self._check_schema(f"{place}.{name}", inner, found)

    def mask(self, method, fields):
        """`a,b(c,d),e/f` as {a: None, b: {c: None, d: None}, e: {f: None}}, of what the answer has."""
        tokens = re.findall(r"[A-Za-z0-9_*]+|[(),/]", fields)
        if "".join(tokens) != fields.replace(" ", ""):
            raise Violation(f"fields={fields}")
        mask, rest = self._fields(tokens, {"$ref": method["response"]["$ref"]})
        if rest:
            raise Violation(f"fields={fields} ends in {rest}")
        return mask

    def _fields(self, tokens, schema):
        while "$ref" in schema or schema.get("type") == "array":
            schema = self.schemas[schema["$ref"]] if "$ref" in schema else schema["items"]
        mask = {}
        while True:
            name, tokens = tokens[0], tokens[1:]
            inner = schema.get("properties", {}).get(name)
            if inner is None and name != "*" and "additionalProperties" not in schema:
                raise Violation(f"the answer has no field {name}")
            mask[name] = None
            if tokens[:1] == ["("]:
                mask[name], tokens = self._fields(tokens[1:], inner)
                if tokens[:1] != [")"]:
                    raise Violation("a parenthesis is not closed")
                tokens = tokens[1:]
            elif tokens[:1] == ["/"]:
                one, tokens = self._one(tokens[1:], inner)
                mask[name] = one
            if tokens[:1] != [","]:
                return mask, tokens
            tokens = tokens[1:]

    def _one(self, tokens, schema):
        rest = tokens[1:]
        mask, _ = self._fields(tokens[:1], schema)
        return mask, rest


def masked(value, mask):
    """What of a value a mask lets through."""
    if mask is None or "*" in mask:
        return value
    if isinstance(value, list):
        return [masked(one, mask) for one in value]
    return {name: masked(inner, mask[name]) for name, inner in value.items() if name in mask}
