"""What travels and what is trusted: docs/protocol.md sections 2 to 7, with jwcrypto."""

import base64
import hashlib
import json
import re
import time
import uuid

from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

MAX_ENVELOPE = 1_048_576
DAYS_30 = 30 * 24 * 3600
SENDERS = {
    "treatment/request": "personal", "treatment/data": "personal",
    "treatment/data-refusal": "personal", "treatment/confirmation": "personal",
    "treatment/dispute": "personal", "treatment/approval": "institution",
    "treatment/refusal": "institution", "treatment/data-request": "institution",
    "treatment/result": "institution", "notary/deposit": "personal institution",
    "notary/query": "personal institution", "notary/answer": "notary",
}
NODE_ID = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


def expect(holds, code):
    if not holds:
        raise Refused(code)


def encode(octets):
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def decode(text, code):
    """Canonical, unpadded base64url."""
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True)
    except ValueError:
        raise Refused(code) from None
    expect(encode(octets) == text, code)
    return octets


def digest(text):
    return encode(hashlib.sha256(text if isinstance(text, bytes) else text.encode()).digest())


def unique(members):
    expect(len(dict(members)) == len(members), "a member twice")
    return dict(members)


def parse(octets, code, **hooks):
    """JSON, member names unique, well-formed Unicode."""
    try:
        value = json.loads(octets.decode(), object_pairs_hook=unique, **hooks)
        json.dumps(value, ensure_ascii=False, default=vars).encode()
    except (ValueError, RecursionError, Refused):
        raise Refused(code) from None
    return value


def form(value, members, code, closed=True):
    """An object with members of these types; those whose name ends in `?` may be absent."""
    expect(isinstance(value, dict), code)
    names = {name.rstrip("?") for name in members}
    expect(not closed or set(value) <= names, code)
    for name, kind in members.items():
        if name.endswith("?") and name[:-1] not in value:
            continue
        expect(fits(value.get(name.rstrip("?")), kind), code)
    return value


def fits(value, kind):
    if isinstance(kind, re.Pattern):
        return isinstance(value, str) and bool(kind.fullmatch(value))
    if kind is int:
        return type(value) is int and value >= 0
    return isinstance(value, kind)


def new_entry():
    return str(uuid.uuid4())


def new_id():
    random, now = uuid.uuid4().int, int(time.time() * 1000)
    return str(uuid.UUID(int=now << 80 | 7 << 76 | random & ((1 << 76) - 1) & ~(3 << 62) | 2 << 62))


# --- keys (section 3) ---

def rsa(jwk, code):
    form(jwk, {"kty": str, "n": str, "e": str}, code, closed=False)
    expect(jwk["kty"] == "RSA" and jwk["e"] == "AQAB", code)
    expect(jwk.get("alg", "PS256") in ("PS256", "RSA-OAEP-256"), code)
    n = decode(jwk["n"], code)
    expect(n and n[0] and n[-1] % 2 and 2048 <= int.from_bytes(n).bit_length() <= 4096, code)
    return JWK(kty="RSA", n=jwk["n"], e=jwk["e"])


def p256(jwk, code):
    form(jwk, {"kty": str, "crv": str, "x": str, "y": str}, code, closed=False)
    expect(jwk["kty"] == "EC" and jwk["crv"] == "P-256", code)
    for_signing = jwk.get("alg", "ES256") == "ES256" and jwk.get("use", "sig") == "sig"
    expect(for_signing and "verify" in jwk.get("key_ops", ["verify"]), code)
    expect(all(len(decode(jwk[name], code)) == 32 for name in ("x", "y")), code)
    return JWK(**members(jwk))


def members(jwk):
    names = ("kty", "n", "e") if jwk["kty"] == "RSA" else ("kty", "crv", "x", "y")
    return {name: jwk[name] for name in names}


def thumbprint(jwk):
    return JWK(**members(jwk)).thumbprint()


def public(key):
    return members(key.export_public(as_dict=True))


# --- signing and sealing (section 4) ---

def sign(typ, claims, key, alg="PS256", kid=None):
    """A compact JWS; claims that are JSON text already stay as they are."""
    header = {"alg": alg, "typ": typ, "kid": kid or key.thumbprint()}
    token = JWS(claims if isinstance(claims, str) else json.dumps(claims))
    token.allowed_algs = [alg]
    token.add_signature(key, protected=json.dumps(header))
    return token.serialize(compact=True)


# Characters of the longest of each kind; of all others 4096.
LONGEST = {
    "hdms-card+jwt": 61440, "hdms-conflict+jwt": 262144, "hdms-record+sd-jwt": 570000,
    "hdms-record-2+sd-jwt": 570000,
    "hdms+jwt": 1048576, "hdms-manifest+jwt": 1048576,
} | {f"hdms-{one}+jwt": 33554432 for one in ("doormen", "parameters", "map", "revocations")}
HEADER = 512


def unverified(compact, typ, code, algorithm="envelope/algorithm"):
    expect(len(compact) <= LONGEST.get(typ, 4096), code)
    parts = compact.split(".")
    expect(len(parts) == 3 and len(parts[0]) <= HEADER, code)
    header = parse(decode(parts[0], code), code)
    expect(isinstance(header, dict), code)
    expect(header.get("alg") in ("PS256", "ES256"), algorithm)
    form(header, {"alg": str, "typ?": str, "kid?": str}, code)
    expect(header.get("typ") == typ, code)
    decode(parts[2], code)
    claims = parse(decode(parts[1], code), code)
    expect(isinstance(claims, dict), code)
    return header, claims


def verify(compact, typ, key, malformed, forged, alg="PS256"):
    header, claims = unverified(compact, typ, malformed)
    expect(header["alg"] == alg, "envelope/algorithm")
    token = JWS()
    token.allowed_algs = [alg]
    try:
        token.deserialize(compact, key)
    except Exception:
        raise Refused(forged) from None
    return header, claims


def encrypt(text, key, **more):
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key.thumbprint(), **more}
    token = JWE(text, json.dumps(header), algs=["RSA-OAEP-256", "A256GCM"])
    token.add_recipient(key)
    return token.serialize(compact=True)


def decrypt(compact, key, cty):
    code = "envelope/malformed"
    parts = compact.split(".")
    expect(len(parts) == 5, code)
    header = parse(decode(parts[0], code), code)
    expect(isinstance(header, dict), code)
    algorithms = (header.get("alg"), header.get("enc"))
    expect(algorithms == ("RSA-OAEP-256", "A256GCM"), "envelope/algorithm")
    form(header, {"alg": str, "enc": str, "cty?": str, "kid?": str}, code)
    lengths = [len(decode(part, code)) for part in parts]
    expect(lengths[2] == 12 and lengths[4] == 16 and header.get("cty") == cty, code)
    expect(header.get("kid") == key.thumbprint(), "envelope/wrong-key")
    token = JWE(algs=["RSA-OAEP-256", "A256GCM"])
    try:
        token.deserialize(compact, key)
    except Exception:
        raise Refused("envelope/decryption") from None
    return token.payload


# --- challenges (section 6) ---

def answer_to(challenge, key, node):
    """The answer to a challenge of `node`, which is given nothing else to decrypt."""
    code = "doorman/challenge"
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "hdms-challenge", "kid": "t" * 43}
    head = len(json.dumps(header, separators=(",", ":")))
    parts = [head, len(decode(public(key)["n"], code)), 12, 115, 16]
    length = sum((octets * 4 + 2) // 3 for octets in parts) + 4
    expect(len(challenge) == length, code)
    try:
        text = decrypt(challenge, key, "hdms-challenge").decode("ascii")
    except (Refused, UnicodeDecodeError):
        raise Refused(code) from None
    expect(text.startswith(f"hdms-challenge/v2\nadmission\n{node}\n"), code)
    secret = text[-43:]
    expect(len(decode(secret, code)) == 32, code)
    return digest(f"hdms-challenge-answer/v2\nadmission\n{node}\n{secret}")


# --- cards and trust (section 5) ---

class Trust:
    """The network's documents, once they are seen to lead to the pinned root key."""

    def __init__(self, documents, root, now, previous=None):
        forged = "network/forged"
        bound = ("doormen", "parameters", "map", "revocations")
        texts = dict.fromkeys((*bound, "manifest", "proof"), str)
        form(documents, texts | {"consistency?": list, "before?": list}, forged)
        self.doormen = self.listed_doormen(documents["doormen"], root, now)
        self.manifest = self.document(documents["manifest"], "hdms-manifest+jwt")
        for name in bound:
            expect(self.manifest[name] == digest(documents[name]), forged)
        self.parameters = self.document(documents["parameters"], "hdms-parameters+jwt")
        expect(self.parameters["root"] == thumbprint(root), forged)
        self.map = self.document(documents["map"], "hdms-map+jwt")
        self.revocations = self.document(documents["revocations"], "hdms-revocations+jwt")
        self.logs = {log["notary"]: log for log in self.map.get("logs", [])}
        self.said = {name: documents[name] for name in (*bound, "manifest")}
        if previous:
            numbers = {name: [getattr(trust, name)["number"] for trust in (previous, self)]
                       for name in self.said}
            expect(all(old <= new for old, new in numbers.values()), "network/rollback")
            for name, (old, new) in numbers.items():
                expect(old < new or self.said[name] == previous.said[name], "network/split")
        self.seen = self.follow(documents, thumbprint(root), previous)
        self.nodes = {}
        for jwt in self.map["nodes"]:
            try:
                _, card = unverified(jwt, "hdms-card+jwt", forged)
                card = with_keys(card_form(card))
            except Refused:
                raise Refused(forged) from None
            ended = card["sub"] in self.revocations["revoked"] or self.superseded(card)
            if now < card["exp"] and not ended:
                self.nodes[card["sub"]] = card | {"jwt": jwt}

    def follow(self, documents, root, previous):
        """Where in the log of manifests the documents are, once all that leads there holds."""
        import log
        seen = previous.seen if previous else (0, log.sha256(), "", [])
        shown = self.doormen, self.manifest["doormen"]
        try:
            for step in (*documents.get("before", []), documents):
                seen = log.leads(step, seen, shown, root)
        except Refused as refused:
            known = refused.code.startswith("network/")
            raise Refused(refused.code if known else "network/forged") from None
        return seen

    @staticmethod
    def listed_doormen(jwt, root, now):
        forged = "network/forged"
        try:
            _, claims = verify(jwt, "hdms-doormen+jwt", rsa(root, forged), forged, forged)
        except Refused:
            raise Refused(forged) from None
        expect(claims["iss"] == thumbprint(root) and now < claims["exp"], forged)
        return claims

    def doorman(self, kid, time=None):
        """The Doorman's key that signs now, or signed cards at `time`."""
        for each in self.doormen["doormen"]:
            until = each.get("until")
            then = until is None or (time is not None and time < until)
            if thumbprint(each["key"]) == kid and then:
                return rsa(each["key"], "network/forged")
        return None

    def document(self, jwt, typ):
        forged = "network/forged"
        header, _ = unverified(jwt, typ, forged, forged)
        key = self.doorman(header.get("kid"))
        expect(key, forged)
        _, claims = verify(jwt, typ, key, forged, forged)
        expect(claims["iss"] == header["kid"], forged)
        return claims

    def witnesses_needed(self, time):
        """At this time; without one, by the last rule."""
        rules = self.parameters.get("witnesses", [])
        begun = [rule for rule in rules if time is None or rule["since"] <= time] or rules[:1]
        return begun[-1]["needed"] if begun else 0

    def pins(self, notary, size, root):
        """Whether this is a log of before there were witnesses."""
        pinned = self.parameters.get("pinned_logs", [])
        return {"notary": notary, "size": size, "root": encode(root)} in pinned

    def chain(self, jwt):
        code, typ = "card/malformed", "hdms-card+jwt"
        header, claims = unverified(jwt, typ, code)
        expect("kid" in header, code)
        claims = card_form(claims)
        key = self.doorman(header["kid"], claims["iat"])
        expect(key, "card/forged")
        verify(jwt, typ, key, code, "card/forged")
        expect(claims["iss"] == header["kid"], "card/forged")
        return with_keys(claims)

    def card(self, jwt, now):
        """A card's claims, when all of section 5 holds."""
        claims = self.chain(jwt)
        expect(now < claims["exp"], "card/expired")
        expect(claims["sub"] not in self.revocations["revoked"], "card/revoked")
        expect(not self.superseded(claims), "card/superseded")
        age = now - self.revocations["iat"]
        fresh = age <= self.parameters["revocation_age"] and now < self.manifest["exp"]
        expect(fresh, "network/stale")
        return claims | {"jwt": jwt}

    def superseded(self, card):
        """Whether the node has changed its keys since it got this card."""
        ended = self.revocations.get("superseded", [])
        return any(one["node"] == card["sub"] and card["iat"] < one["before"] for one in ended)

    def notary(self, node):
        card = self.nodes.get(node)
        expect(card and card["role"] == "notary", "network/unknown-node")
        return card


def card_form(claims):
    code = "card/malformed"
    form(claims, {
        "iss": NODE_ID, "sub": NODE_ID, "role": re.compile("personal|institution|notary"),
        "name?": str, "endpoint?": str, "signing_key": dict, "subkeys": str,
        "changes?": list, "iat": int, "exp": int,
    }, code, closed=False)
    rsa(claims["signing_key"], code)
    return claims


def with_keys(card):
    """The claims of a card whose keys hold, with those that its node states to be its subkeys."""
    malformed, mismatch, typ = "card/malformed", "card/mismatch", "hdms-subkeys+jwt"
    signing_keys(card)
    _, stated = unverified(card["subkeys"], typ, malformed)
    form(stated, {"iss": NODE_ID, "iat": int, "encryption": dict, "request": dict}, malformed)
    encryption, request = stated["encryption"], stated["request"]
    rsa(encryption, malformed)
    p256(request, malformed)
    verify(card["subkeys"], typ, rsa(card["signing_key"], malformed), malformed, mismatch)
    own = thumbprint(encryption) != thumbprint(card["signing_key"])
    expect(stated["iss"] == card["sub"] and own, mismatch)
    return card | {
        "encryption_key": encryption, "request_key": request, "subkeys_stated": stated["iat"],
    }


CHANGE = {
    "iss": NODE_ID, "iat": int, "former_signing_key": dict, "signing_key": dict,
}


def signing_keys(card):
    """The node's signing keys, newest first, each with the time until which it signed."""
    malformed, mismatch = "card/malformed", "card/mismatch"
    keys, follows, last = [], card["sub"], 0
    expect(len(card.get("changes", [])) <= 16, malformed)
    for jwt in card.get("changes", []):
        _, change = unverified(jwt, "hdms-key-change+jwt", malformed)
        form(change, CHANGE, malformed)
        key = rsa(change["former_signing_key"], malformed)
        verify(jwt, "hdms-key-change+jwt", key, malformed, mismatch)
        expect((change["iss"], key.thumbprint()) == (card["sub"], follows), mismatch)
        expect(last <= change["iat"] <= card["iat"] + 300, mismatch)
        keys.insert(0, (key, change["iat"]))
        follows, last = thumbprint(change["signing_key"]), change["iat"]
    expect(thumbprint(card["signing_key"]) == follows, mismatch)
    return [(rsa(card["signing_key"], malformed), None), *keys]


def verify_by(compact, typ, card, malformed, forged):
    """As `verify`, for what the node with this card signed, with the key of that time."""
    _, claims = unverified(compact, typ, malformed)
    for key, until in signing_keys(card):
        try:
            expect(until is None or claims.get("iat", until) <= until, forged)
            return verify(compact, typ, key, malformed, forged)
        except Refused as refused:
            if refused.code != forged:
                raise
    raise Refused(forged)


# --- envelopes (section 7) ---

def size_class(length):
    """To how many octets so many are padded (section 7.1)."""
    if length >= 588000:
        return length
    exponent = max(length, 1024).bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return min(max(-(-length // step) * step, 1024), 588000)


def padded(text):
    """JSON text, in ASCII, with the spaces that bring it to its size class."""
    return text.ljust(size_class(len(text)))


def seal(keys, to, kind, case, body, card=None):
    """The message's id and its envelope to the node with the card `to`."""
    id, signed = message(keys, to, kind, case, body, card)
    return id, sealed(signed, to)


def message(keys, to, kind, case, body, card=None):
    """The message's id and the signed JWT, which stays the same when it is sealed anew."""
    now, id = int(time.time()), new_id()
    claims = {
        "iss": keys["signing"].thumbprint(), "aud": to["sub"], "iat": now, "exp": now + DAYS_30,
        "jti": id, "thd": case, "type": kind, "body": body,
    }
    if card:
        claims["card"] = card
    return id, sign("hdms+jwt", padded(json.dumps(claims)), keys["signing"])


def sealed(signed, to):
    """The envelope around a signed JWT to the node with the card `to`."""
    envelope = encrypt(signed, rsa(to["encryption_key"], "card/malformed"), cty="JWT")
    expect(len(envelope) <= MAX_ENVELOPE, "envelope/too-large")
    return envelope


def addressed(envelope):
    """The key that an envelope's open header names; none where it can't be read."""
    try:
        return parse(decode(envelope.split(".")[0], ""), "").get("kid")
    except (Refused, AttributeError):
        return None


def claimed(card):
    _, claims = unverified(card, "hdms-card+jwt", "card/malformed")
    return form(claims, {"sub": NODE_ID, "iat": int}, "card/malformed", closed=False)


def open_envelope(octets, keys, trust, kept, now):
    """The claims of a message, its sender's card and the signed JWT: checks 1 to 18."""
    code = "envelope/malformed"
    expect(len(octets) <= MAX_ENVELOPE, "envelope/too-large")
    expect(octets.isascii(), code)
    signed = decrypt(octets.decode(), keys["encryption"], "JWT").decode()
    header, claims = unverified(signed, "hdms+jwt", code)
    expect(header["alg"] == "PS256", "envelope/algorithm")
    form(claims, {
        "iss": NODE_ID, "aud": NODE_ID, "iat": int, "exp": int, "jti": UUID7, "thd": UUID7,
        "type": str, "body": object, "card?": str,
    }, code)
    listed = trust.nodes.get(claims["iss"], {}).get("jwt")
    cards = [jwt for jwt in (kept.get(claims["iss"]), listed, claims.get("card")) if jwt]
    expect(cards, "card/unknown")
    for jwt in cards:
        expect(claimed(jwt)["sub"] == claims["iss"], "card/mismatch")
    jwt = max(reversed(cards), key=lambda jwt: claimed(jwt)["iat"])
    _, card = unverified(jwt, "hdms-card+jwt", "card/malformed")
    card = with_keys(card_form(card))
    verify_by(signed, "hdms+jwt", card, code, "envelope/signature")
    sender = trust.card(jwt, now)
    expect(claims["aud"] == keys["signing"].thumbprint(), "envelope/wrong-audience")
    expect(claims["iat"] <= now + 300, "envelope/not-yet-valid")
    alive = now < claims["exp"] <= claims["iat"] + DAYS_30
    expect(alive, "envelope/expired")
    expect(claims["type"] in SENDERS, "envelope/unknown-type")
    may = sender["role"] in SENDERS[claims["type"]].split()
    expect(may, "envelope/type-not-for-role")
    return claims, sender, signed
