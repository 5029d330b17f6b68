"""Transparency logs, receipts and conflicts: docs/protocol.md sections 9 and 10, with nothing but
SHA-256 and an Ed25519 of somebody else's."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wire import (
    NODE_ID, UUID4, Refused, decode, encode, expect, form, parse, unverified, verify_by,
)

FORGED = "ledger/receipt"
TITLE = "c2sp.org/tlog-proof@v1\n"


def sha256(*parts):
    octets = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(octets).digest()


def base64_octets(text):
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused(FORGED) from None
    expect(base64.b64encode(octets).decode() == text, FORGED)
    return octets


def number(text):
    expect(text.isascii() and text.isdigit() and str(int(text)) == text, FORGED)
    return int(text)


# --- the tree (RFC 9162 section 2.1) ---

def leaf_hash(leaf):
    return sha256(b"\0", leaf)


def root_of(index, size, node, proof):
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2)."""
    expect(index < size, FORGED)
    place, last = index, size - 1
    for sibling in proof:
        expect(last > 0, FORGED)
        if place & 1 or place == last:
            node = sha256(b"\1", sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(b"\1", node, sibling)
        place, last = place >> 1, last >> 1
    expect(last == 0, FORGED)
    return node


def continues(old, old_root, size, root, proof):
    """Whether a tree begins with another one (RFC 9162 section 2.1.4.2)."""
    if old == 0 or old == size:
        return not proof and (old == 0 or root == old_root)
    if old > size or not proof and old & (old - 1):
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = sha256(b"\1", sibling, before), sha256(b"\1", sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = sha256(b"\1", after, sibling)
        place, last = place >> 1, last >> 1
    return (before, after, last) == (old_root, root, 0)


# --- signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature) ---

class Note:
    def __init__(self, note):
        text, blank, lines = note.rpartition("\n\n")
        expect(blank and lines.endswith("\n"), FORGED)
        self.text, self.signatures = text + "\n", []
        for line in lines[:-1].split("\n"):
            dash, name, signature = (line.split(" ") + ["", ""])[:3]
            octets = base64_octets(signature)
            expect(dash == "\u2014" and name and len(octets) > 4, FORGED)
            self.signatures.append((name, octets[:4], octets[4:]))

    def signature(self, name, kind, key):
        """What a key of this name and kind has signed, if it has."""
        id = sha256(name, b"\n", bytes([kind]), key)[:4]
        found = [octets for who, which, octets in self.signatures if (who, which) == (name, id)]
        return found[0] if found else None


def signed(key, text, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text.encode())
    except InvalidSignature:
        raise Refused(FORGED) from None


def cosigned_at(note, witness):
    """When this witness co-signed, if it did."""
    name, key = "hdms-witness/" + witness["notary"], decode(witness["witness_key"], FORGED)
    signature = note.signature(name, 4, key)
    if signature is None:
        return None
    time = int.from_bytes(signature[:8])
    signed(key, f"cosignature/v1\ntime {time}\n{note.text}", signature[8:])
    return time


# --- the manifests' log (section 5) ---

def leads(step, seen, shown, root):
    """What is seen once this manifest was: `(size, root, list, witnesses)`. `shown` is the list of
    the Doorman's keys that is shown, with its digest."""
    text, forged = step["proof"], "network/forged"
    expect(text.startswith(TITLE), forged)
    head, blank, checkpoint = text[len(TITLE):].partition("\n\n")
    index, *proof = head.split("\n")
    _, claims = unverified(step["manifest"], "hdms-manifest+jwt", forged, forged)
    note = Note(checkpoint)
    origin, size, top = note.text.split("\n")[:3]
    size, top = number(size), base64_octets(top)
    expect(blank and origin == "hdms-manifests/" + root, forged)
    expect(index == f"index {claims['number'] - 1}" and size == claims["number"], forged)
    leaf = leaf_hash(sha256(step["manifest"]))
    expect(root_of(size - 1, size, leaf, [base64_octets(line) for line in proof]) == top, forged)
    (doormen, bound), (old, old_root, before, witnesses) = shown, seen
    key = decode(doormen["log"]["log_key"], forged)
    signature = note.signature(origin, 1, key)
    expect(signature is not None, forged)
    signed(key, note.text, signature)
    consistency = [base64_octets(line) for line in step.get("consistency", [])]
    expect(continues(old, old_root, size, top, consistency), "network/split")
    if size > old:
        if claims["doormen"] != before:
            expect(claims["doormen"] == bound, forged)
            witnesses = doormen["log"]["witnesses"]
        signers = [each for each in witnesses if cosigned_at(note, each) is not None]
        most = len(witnesses) // 2 + 1 if witnesses else 0
        expect(len(signers) >= most, "network/unwitnessed")
    return size, top, claims["doormen"], claims["witnesses"]


# --- receipts ---

OPENING = {
    "version?": int, "entry": UUID4, "verification_key": NODE_ID, "time": int, "salt": str, "place": str,
    "parties": str, "parties_salt?": str, "number?": int,
}


def place_of(secret, number, case):
    """Of the entry with this number in a case with this secret."""
    return encode(sha256("hdms-place/v2\n", decode(secret, FORGED), number.to_bytes(8), case))


def secret_of(secret):
    """What a case's first entry says of its secret."""
    octets = decode(secret, "ledger/mismatch")
    expect(len(octets) == 32, "ledger/mismatch")
    return encode(sha256("hdms-case-secret/v2\n", octets))


def parties_of(salt, entry):
    said = [entry["kind"], entry["case"], entry["author"], entry["counterparty"]]
    return encode(sha256("hdms-parties/v2\n", decode(salt, FORGED), "\n".join(said)))


def leaf_of(opening):
    document = sha256("hdms-document/v1\n", decode(opening["salt"], FORGED), opening["entry"], "\n",
                      opening["verification_key"])
    commitments = decode(opening["place"], FORGED) + decode(opening["parties"], FORGED)
    version = opening.get("version", 1)
    expect(version in (1, 2), FORGED)
    return bytes([version]) + opening["time"].to_bytes(8) + document + commitments


def receipted(text, trust, entry=None, key=None, secret=None, now=None):
    """What a receipt says, once all that it needs is checked; of this entry and verification key
    where they are given, and of a time that is not to come, where it comes just `now`. A whole `entry`
    is checked as its participants do, who know the secret of its case."""
    expect(text.startswith(TITLE), FORGED)
    head, blank, checkpoint = text[len(TITLE):].partition("\n\n")
    lines = head.split("\n")
    expect(blank and lines[0].startswith("extra ") and len(lines) > 1, FORGED)
    opening = parse(base64_octets(lines[0][6:]), FORGED)
    form(opening, OPENING, FORGED, closed=False)
    expect(lines[1].startswith("index "), FORGED)
    index, proof = number(lines[1][6:]), [base64_octets(line) for line in lines[2:]]

    note = Note(checkpoint)
    origin, size, root = note.text.split("\n")[:3]
    notary = origin.removeprefix("hdms-log/")
    log = trust.logs.get(notary)
    expect(log, "network/unknown-node")
    expect(root_of(index, number(size), leaf_hash(leaf_of(opening)), proof)
           == base64_octets(root), FORGED)
    log_key = decode(log["log_key"], FORGED)
    signature = note.signature(origin, 1, log_key)
    expect(signature is not None, FORGED)
    signed(log_key, note.text, signature)

    cosigned = [(cosigned_at(note, each), each) for each in trust.logs.values() if each is not log]
    cosigned = [(time, each) for time, each in cosigned if time is not None]
    times = sorted(time for time, _ in cosigned)
    if times:
        time = times[len(times) // 2]
        expect(opening["time"] <= time, FORGED)
        good = [each for _, each in cosigned if time < each.get("until", time + 1)]
        enough = (time < log.get("until", time + 1)
                  and len(good) >= trust.witnesses_needed(time))
    else:
        time = opening["time"]
        enough = "until" not in log and trust.witnesses_needed(None) == 0
    expect(enough or trust.pins(notary, number(size), base64_octets(root)), FORGED)
    expect(now is None or time <= now + 300, "envelope/not-yet-valid")

    if isinstance(entry, dict):
        expect(opening.get("version") == 2 and "number" in opening, "ledger/mismatch")
        expect((opening["number"] == 1) == (entry["kind"] == "request"), "ledger/mismatch")
        place = place_of(secret, opening["number"], entry["case"])
        expect(place == opening["place"], "ledger/mismatch")
        expect("parties_salt" in opening, "ledger/mismatch")
        expect(parties_of(opening["parties_salt"], entry) == opening["parties"], "ledger/mismatch")
        entry, key = entry["id"], entry["verification_key"]
    expect(entry in (None, opening["entry"]), "ledger/mismatch")
    expect(key in (None, opening["verification_key"]), "ledger/mismatch")
    return {"iss": notary, "index": index, **opening}


def conflict(jwt, trust, notary, entry):
    """The entry that a notary's signed conflict proves to be logged under the id of this one."""
    typ = "hdms-conflict+jwt"
    _, claims = verify_by(jwt, typ, notary, FORGED, FORGED)
    form(claims, {"iss": NODE_ID, "iat": int, "entry": dict, "receipt": str}, FORGED, closed=False)
    logged = claims["entry"]
    receipt = receipted(claims["receipt"], trust, logged["id"], logged["verification_key"])
    expect(claims["iss"] == receipt["iss"] == notary["sub"], FORGED)
    expect(parties_of(receipt.get("parties_salt", ""), logged) == receipt["parties"], FORGED)
    committed = ("kind", "case", "author", "counterparty", "verification_key")
    differs = any(logged[member] != entry[member] for member in committed)
    expect(logged["id"] == entry["id"] and differs, FORGED)
    return logged
