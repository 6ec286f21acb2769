"""The served documents against the vendors' own: each difference is one that we decided on."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from keys.api.dialects import i3d, netography
from keys.api.openapi import build_document
from tests.api.seeds import seed_openapi

# Differences by pattern, each with its reason: "-" is the vendor's alone, "+" ours.
COMMON = {
    "+ * 429*": "The portal's own request limits answer 429, in the dialect's words.",
    "+ * 413*": "A body may not be larger than the portal reads.",
    "+ * 415*": "Bodies are of the media type that the document names.",
}
I3D = COMMON | {
    "+ * /v3/account/apiKey/{apiKeyId}/whitelist*": "The vendor's provider knows the whitelist.",
    "+ * 403*: *": "Clients know an error by its errorCode, so 403 has the Error body.",
    "+ * 404*: *": "So has 404.",
    "+ PUT /v3/account/apiKey/{apiKeyId} 404": "An unknown key is 404, as for DELETE.",
    "+ PUT /v3/account/apiKey/{apiKeyId} 422*: *": "422 has the Error body, with its properties.",
    "+ POST /v3/account/apiKey 422*": "Invalid input is 422, as for the API's other POSTs.",
    "+ * 400*": "What is no JSON at all is 400.",
    "- * request: object closed": "Members that only we write may be sent; they are ignored.",
    "+ * request: object": "The same.",
    "- * request.category: integer required": "Without a category a key gets `readonly`.",
    "+ * request.category: integer optional": "The same; in a PUT it then stays as it is.",
    "- * request.assignOdpServerIps: integer required": "It is 0 by default.",
    "+ * request.assignOdpServerIps: integer optional": "The same; in a PUT it then stays.",
}
NETOGRAPHY = COMMON | {
    "+ POST /api/v1/auth/token*": "The exchange, which the vendor documents elsewhere.",
    "+ POST /api/auth/bearer/*": "The same.",
    "+ * 404*": "The vendor has it under `default`.",
    "+ * 409*": "The same: an appname that is taken.",
    "+ * 500*": "The same.",
    "+ PUT * request.appname: string optional": "A record may be sent back as it was read.",
}


def facts(document: dict[str, Any]) -> Iterator[str]:
    """Yield what a document says: methods, parameters, bodies, statuses, members and types."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            yield name
            for each in operation.get("parameters", ()):
                schema = each["schema"]
                presence = "required" if each.get("required") else "optional"
                yield f"{name} {each['in']} {each['name']}: {schema['type']} {presence}"
            if body := operation.get("requestBody"):
                yield f"{name} request is {'required' if body.get('required') else 'optional'}"
                for media_type, content in body["content"].items():
                    yield f"{name} request is {media_type}"
                    yield from _members(document, f"{name} request", content["schema"])
            for status, response in operation["responses"].items():
                yield f"{name} {status}"
                for content in response.get("content", {}).values():
                    yield from _members(document, f"{name} {status}", content["schema"])


def _members(document, place: str, schema: dict[str, Any], presence: str = "") -> Iterator[str]:
    schema = _resolved(document, schema)
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if schema.get("nullable"):
        types = [*types, "null"]
    closed = "closed" if schema.get("additionalProperties") is False else ""
    yield " ".join(filter(None, (f"{place}:", "|".join(sorted(types)), closed, presence)))
    if "items" in schema:
        yield from _members(document, f"{place}[]", schema["items"])
    for name, member in schema.get("properties", {}).items():
        if " request" in place and member.get("readOnly"):
            continue
        needed = "required" if name in schema.get("required", ()) else "optional"
        yield from _members(document, f"{place}.{name}", member, needed)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without references and with the parts of `allOf` as one.

    One part that is closed does not close the whole: nothing would ever fit it.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _resolved(document, document["components"]["schemas"][name])
    if "allOf" not in schema:
        return schema
    whole: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in (_resolved(document, each) for each in schema["allOf"]):
        for name, member in part.get("properties", {}).items():
            whole["properties"][name] = whole["properties"].get(name, {}) | member
        whole["required"] += part.get("required", [])
    parts = schema["allOf"]
    if all(part.get("additionalProperties") is False or not _adds(part, parts) for part in parts):
        whole["additionalProperties"] = False
    return whole


def _adds(part: dict[str, Any], parts: list[dict[str, Any]]) -> bool:
    others = [each for each in parts if each is not part]
    known = {name for each in others for name in each.get("properties", {})}
    return bool(part.get("properties", {}).keys() - known) or len(parts) == 1


@pytest.mark.parametrize(
    ("module", "seed", "allowed"),
    [
        pytest.param(i3d, 0, I3D, id="i3d"),
        pytest.param(netography, 2, NETOGRAPHY, id="netography"),
    ],
)
def test_the_documents_differ_only_where_we_decided_so(module, seed, allowed):
    theirs, ours = set(facts(seed_openapi(seed))), set(facts(build_document(module)))
    assert len(theirs) > 50
    differences = {f"- {fact}" for fact in theirs - ours} | {f"+ {fact}" for fact in ours - theirs}
    unexplained = {
        each
        for each in differences
        if not any(fnmatchcase(each, pattern.replace("[", "[[]")) for pattern in allowed)
    }
    assert sorted(unexplained) == []
    # A reason that explains nothing any more goes.
    for pattern in allowed:
        found = [each for each in differences if fnmatchcase(each, pattern.replace("[", "[[]"))]
        assert found, pattern
