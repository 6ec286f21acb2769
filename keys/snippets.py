"""Code to call the portal with a key, ready to run: in each dialect, in four languages. Pure.

No snippet holds a secret: programs read it from the environment, which keeps it out of
source code. In the code below, @URL@ and the like stand for what differs by dialect.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from keys.models.keys import Dialect

# Where programs find the secret, and what a client of the token exchange is configured with.
KEY_VARIABLE = "KEYHAVEN_API_KEY"
EXCHANGE_VARIABLE = "NETOSECRET"


class Language(StrEnum):
    """What a snippet is written in."""

    CURL = "curl"
    PYTHON = "python"
    JAVASCRIPT = "javascript"
    GO = "go"

    @property
    def label(self) -> str:
        return {"curl": "curl", "python": "Python", "javascript": "JavaScript", "go": "Go"}[self]


# How a file of it is run.
_COMMANDS = {
    Language.CURL: "",
    Language.PYTHON: "python3 call.py",
    Language.JAVASCRIPT: "node call.mjs",
    Language.GO: "go run call.go",
}


@dataclass(frozen=True)
class Snippet:
    """A program, or the end of one line, that calls the portal once and prints the answer."""

    dialect: Dialect
    language: Language
    # The variable of the environment that has to hold the secret.
    variable: str
    code: str

    @property
    def command(self) -> str:
        """How it is run when saved as a file; empty where it is typed."""
        return _COMMANDS[self.language]


@dataclass(frozen=True)
class _Call:
    header: str
    scheme: str
    path: str


# For a key that may see keys (itself at least), and for one that may do nothing here.
_READING = {
    Dialect.NATIVE: _Call("Authorization", "Bearer ", "/v1/api-keys"),
    Dialect.OPENROUTER: _Call("Authorization", "Bearer ", "/api/v1/key"),
    Dialect.I3D: _Call("PRIVATE-TOKEN", "", "/v3/account/apiKey"),
    Dialect.NETOGRAPHY: _Call("Authorization", "Bearer ", "/api/v1/api-keys"),
    Dialect.XYRA: _Call("X-API-Key", "", "/api/account/api-keys"),
}
_PROVING = {
    Dialect.NATIVE: _Call("Authorization", "Bearer ", "/v1/auth"),
    Dialect.OPENROUTER: _Call("Authorization", "Bearer ", "/api/v1/key"),
}


def snippets_of(base_url: str, born_in: str, *, is_reading: bool) -> list[Snippet]:
    """Return the snippets for a key, by dialect (its own first) and language.

    `is_reading`: whether it may see keys. A key born in Netography's dialect goes through
    the token exchange there, as that vendor's clients do.
    """
    calls = _READING if is_reading else _PROVING
    dialects = sorted(calls, key=lambda dialect: dialect != born_in)
    return [
        snippet for dialect in dialects for snippet in _snippets(base_url, dialect, born_in, calls)
    ]


def _snippets(
    base_url: str, dialect: Dialect, born_in: str, calls: dict[Dialect, _Call]
) -> Iterator[Snippet]:
    is_exchange = dialect == born_in == Dialect.NETOGRAPHY
    call = calls[dialect]
    for language in Language:
        if is_exchange:
            yield Snippet(dialect, language, EXCHANGE_VARIABLE, _EXCHANGES[language])
        else:
            code = (
                _CALLS[language]
                .replace("@URL@", base_url + call.path)
                .replace("@HEADER@", call.header)
                .replace("@VALUE@", _value(language, call.scheme))
            )
            yield Snippet(dialect, language, KEY_VARIABLE, code)


def _value(language: Language, scheme: str) -> str:
    """Return the expression for the value of the header."""
    match language:
        case Language.CURL:
            return f"{scheme}$KEYHAVEN_API_KEY"
        case Language.PYTHON:
            return f'"{scheme}" + key' if scheme else "key"
        case Language.JAVASCRIPT:
            return f'"{scheme}" + key' if scheme else "key"
        case Language.GO:
            return f'"{scheme}"+key' if scheme else "key"


_CALLS = {
    Language.CURL: """\
curl -i -H "@HEADER@: @VALUE@" "@URL@\"""",
    Language.PYTHON: """\
import os
import urllib.request

key = os.environ["KEYHAVEN_API_KEY"]
request = urllib.request.Request("@URL@", headers={"@HEADER@": @VALUE@})
with urllib.request.urlopen(request) as response:
    print(response.status, response.read().decode())""",
    Language.JAVASCRIPT: """\
const key = process.env.KEYHAVEN_API_KEY;
const response = await fetch("@URL@", {
  headers: { "@HEADER@": @VALUE@ },
});
console.log(response.status, await response.text());""",
    Language.GO: """\
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	key := os.Getenv("KEYHAVEN_API_KEY")
	request, err := http.NewRequest("GET", "@URL@", nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("@HEADER@", @VALUE@)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(response.StatusCode, string(body))
}""",
}

# A request token is signed with the shared secret, and exchanged for an access token.
_EXCHANGES = {
    Language.CURL: """\
config=$(printf %s "$NETOSECRET" | openssl base64 -d -A)
part() { printf %s "$config" | sed "s/.*\\"$1\\": *\\"\\([^\\"]*\\)\\".*/\\1/"; }
encode() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
head=$(printf %s '{"alg":"HS256","typ":"JWT"}' | encode)
claims=$(printf '{"shortname":"%s","appname":"%s","appkey":"%s","iat":%s}' \\
  "$(part shortname)" "$(part appname)" "$(part appkey)" "$(date +%s)" | encode)
sign=$(printf %s "$head.$claims" |
  openssl dgst -sha256 -hmac "$(part sharedsecret)" -binary | encode)
curl -i -H "Content-Type: application/json" \\
  -d "{\\"jwt\\": \\"$head.$claims.$sign\\"}" "$(part url)/auth/token\"""",
    Language.PYTHON: """\
import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request


def encode(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def call(path: str, body=None, **headers: str):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(config["url"] + path, data, headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


config = json.loads(base64.b64decode(os.environ["NETOSECRET"]))
claims = {name: config[name] for name in ("shortname", "appname", "appkey")}
claims["iat"] = int(time.time())
text = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps(claims).encode())
sign = encode(hmac.digest(config["sharedsecret"].encode(), text, hashlib.sha256))
token = (text + b"." + sign).decode()
session = call("/auth/token", {"jwt": token}, **{"Content-Type": "application/json"})
print(call("/api-keys", Authorization="Bearer " + session["access_token"]))""",
    Language.JAVASCRIPT: """\
import { createHmac } from "node:crypto";

const config = JSON.parse(Buffer.from(process.env.NETOSECRET, "base64"));
const { url, sharedsecret, shortname, appname, appkey } = config;
const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
const iat = Math.floor(Date.now() / 1000);
const claims = { shortname, appname, appkey, iat };
const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
const sign = createHmac("sha256", sharedsecret).update(text).digest("base64url");
const exchange = await fetch(`${url}/auth/token`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ jwt: `${text}.${sign}` }),
});
const { access_token: token } = await exchange.json();
const response = await fetch(`${url}/api-keys`, {
  headers: { Authorization: `Bearer ${token}` },
});
console.log(response.status, await response.text());""",
    Language.GO: """\
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

func encode(part []byte) string { return base64.RawURLEncoding.EncodeToString(part) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var config map[string]string
	decoded, err := base64.StdEncoding.DecodeString(os.Getenv("NETOSECRET"))
	check(err)
	check(json.Unmarshal(decoded, &config))
	claims, err := json.Marshal(map[string]any{
		"shortname": config["shortname"], "appname": config["appname"],
		"appkey": config["appkey"], "iat": time.Now().Unix(),
	})
	check(err)
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(config["sharedsecret"]))
	mac.Write([]byte(text))
	body, err := json.Marshal(map[string]string{"jwt": text + "." + encode(mac.Sum(nil))})
	check(err)
	url := config["url"] + "/auth/token"
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	check(err)
	defer response.Body.Close()
	var session struct {
		AccessToken string `json:"access_token"`
	}
	check(json.NewDecoder(response.Body).Decode(&session))
	fmt.Println(response.StatusCode, len(session.AccessToken) > 0)
}""",
}
