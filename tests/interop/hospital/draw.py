"""The draw of a case's notary: docs/protocol.md section 9.4."""

import hashlib
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from wire import NODE_ID, Refused, decode, digest, encode, expect, form
from wire import signing_keys, thumbprint, unverified, verify

DRAW = {"number": int, "manifest": NODE_ID, "key": NODE_ID, "value": NODE_ID}
OUTDATED, NOT_DRAWN = "treatment/outdated", "notary/not-drawn"
WEEK = 7 * 24 * 3600


def asked(trust, jwt, hospital):
    """The patient's part, by the documents that it holds."""
    key = thumbprint(trust.nodes[hospital]["signing_key"])
    value = encode(os.urandom(32))
    return {"number": trust.manifest["number"], "manifest": digest(jwt), "key": key, "value": value}


def message(entry):
    draw = form(entry["draw"], DRAW, "ledger/malformed")
    names = ("case", "id", "author", "counterparty", "verification_key", "case_secret")
    lines = ["hdms-notary-draw/v2", *(entry[name] for name in names)]
    lines += [str(draw["number"]), draw["manifest"], draw["key"], draw["value"]]
    return "\n".join(lines).encode()


def drawn(entry, key):
    """The hospital's part, by its signing key."""
    private = key.get_op_key("sign")
    return {"signature": encode(private.sign(message(entry), PKCS1v15(), SHA256()))}


def ranked(entry, signature, notaries):
    def rank(notary):
        parts = ("hdms-notary-rank/v2", entry["draw"]["value"], signature, notary)
        return hashlib.sha256("\n".join(parts).encode()).digest()
    return sorted(notaries, key=rank)


def check(entry, part, hospital):
    """That one of the hospital's keys, by this card, has signed its part."""
    for key, _ in signing_keys(hospital):
        if key.thumbprint() == entry["draw"]["key"]:
            signature = decode(part["signature"], NOT_DRAWN)
            try:
                return key.get_op_key("verify").verify(signature, message(entry), PKCS1v15(), SHA256())
            except InvalidSignature:
                break
    raise Refused(NOT_DRAWN)


def taken(entry, jwt, trust, key, now):
    """The hospital's part for a request that came with this manifest, and the notaries in rank."""
    draw = form(entry["draw"], DRAW, "ledger/mismatch")
    expect(digest(jwt) == draw["manifest"], "ledger/mismatch")
    manifest = known(jwt, trust)
    expect(manifest["number"] == draw["number"], "ledger/mismatch")
    expect(manifest["iat"] <= now + 300, "envelope/not-yet-valid")
    recent = draw["key"] == key.thumbprint() and now < manifest["exp"] + WEEK
    expect(recent, OUTDATED)
    part = drawn(entry, key)
    return part, ranked(entry, part["signature"], manifest["notaries"])


def known(jwt, trust):
    """What a manifest says that a Doorman has signed."""
    if jwt == trust.said["manifest"]:
        return trust.manifest
    unknown, typ = "network/unknown-manifest", "hdms-manifest+jwt"
    header, claims = unverified(jwt, typ, unknown, unknown)
    form(claims, {"iss": NODE_ID, "iat": int, "exp": int, "number": int, "notaries": list}, unknown, closed=False)
    key = trust.doorman(claims["iss"], claims["iat"])
    expect(key and header.get("kid") == claims["iss"], unknown)
    verify(jwt, typ, key, unknown, unknown)
    expect(claims["number"] != trust.manifest["number"], unknown)
    return claims
