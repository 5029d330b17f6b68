"""A hospital written with jwcrypto and with joserfc approves our patient's request: it opens what
we seal and we open what it seals; what is tampered with is refused by both."""

import base64
import hashlib
import json
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from jwcrypto.jwk import JWK

from libraries import Joserfc, Jwcrypto
from network import KEYS, Network

MINE = KEYS["hospital"]
WISH = {"reason": "Cough", "date": None, "may_read": []}


@pytest.fixture(scope="module")
def network():
    network = Network()
    yield network
    network.stop()


@pytest.fixture(params=[Jwcrypto, Joserfc])
def lib(request):
    return request.param


def uuid(network):
    digits = f"{network.now * 1000:012x}7{secrets.token_hex(2)[1:]}8{secrets.token_hex(8)[1:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def verified(lib, jwt, jwk, typ):
    header, claims = lib.verify(jwt, jwk)
    assert header["typ"] == typ
    return header, claims


def card(lib, network, jwt):
    """A card's claims, seen to lead to the network's root key."""
    _, listed = verified(lib, network.documents["doormen"], network.root, "hdms-doormen+jwt")
    [doorman] = [each["key"] for each in listed["doormen"] if "until" not in each]
    header, claims = verified(lib, jwt, doorman, "hdms-card+jwt")
    assert header["kid"] == lib.thumbprint(doorman)
    assert lib.thumbprint(claims["signing_key"]) == claims["sub"]
    _, stated = verified(lib, claims["subkeys"], claims["signing_key"], "hdms-subkeys+jwt")
    assert stated["iss"] == claims["sub"]
    return claims | {"encryption_key": stated["encryption"]}


def enclose(lib, claims, to):
    header = {"alg": "PS256", "typ": "hdms+jwt", "kid": claims["iss"]}
    kid = lib.thumbprint(to["encryption_key"])
    outer = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", "kid": kid}
    return lib.encrypt(lib.sign(claims, header, MINE["signing"]), outer, to["encryption_key"])


def message(lib, network, to, kind, case, body):
    me = lib.thumbprint(MINE["signing"])
    claims = {
        "iss": me, "aud": to["sub"], "iat": network.now, "exp": network.now + 3600,
        "jti": uuid(network), "thd": case, "type": kind, "body": body,
    }
    return claims | ({"card": network.cards["hospital"]} if kind == "notary/deposit" else {})


def open_envelope(lib, envelope, sender, kind):
    header, jwt = lib.decrypt(envelope, MINE["encryption"])
    kid = lib.thumbprint(MINE["encryption"])
    assert header == {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", "kid": kid}
    inner, claims = verified(lib, jwt, sender["signing_key"], "hdms+jwt")
    assert inner["kid"] == claims["iss"] == sender["sub"]
    assert claims["aud"] == lib.thumbprint(MINE["signing"])
    assert claims["type"] == kind
    return claims


def drawn(entry):
    """Our part of the draw of a case's notary, of which there is one here."""
    names = ("case", "id", "author", "counterparty", "verification_key", "case_secret")
    lines = ["hdms-notary-draw/v2", *(entry[name] for name in names)]
    lines += [str(entry["draw"][name]) for name in ("number", "manifest", "key", "value")]
    key = JWK(**MINE["signing"]).get_op_key("sign")
    signature = key.sign("\n".join(lines).encode(), PKCS1v15(), SHA256())
    return base64.urlsafe_b64encode(signature).decode().rstrip("=")


def altered(compact, part):
    """One bit of a part changed."""
    parts = compact.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    data[-4] ^= 1
    parts[part] = base64.urlsafe_b64encode(data).decode().rstrip("=")
    return ".".join(parts)


def asked(network):
    """A request for treatment by our patient, in a case of its own."""
    case = uuid(network)
    network.ask({"ask": {"case": case, "request": WISH}})
    return case, network.mail("treatment/request")


def test_a_request_of_ours_is_opened_and_the_approval_taken_in(lib, network):
    case, envelope = asked(network)
    patient = card(lib, network, network.cards["patient"])
    notary = card(lib, network, network.cards["notary"])
    claims = open_envelope(lib, envelope, patient, "treatment/request")
    assert claims["card"] == network.cards["patient"] and claims["thd"] == case

    theirs, record = claims["body"]["endorsement"], claims["body"]["record"]
    _, endorsed = verified(lib, theirs, patient["signing_key"], "hdms-endorsement+jwt")
    [entry], jwt = endorsed["entries"], record.split("~")[0]
    digest = hashlib.sha256(jwt.encode()).digest()
    assert entry["verification_key"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    header, _ = verified(lib, jwt, patient["signing_key"], "hdms-record-2+sd-jwt")
    assert header["kid"] == patient["sub"]

    me = lib.thumbprint(MINE["signing"])
    header = {"alg": "PS256", "typ": "hdms-endorsement+jwt", "kid": me}
    mine = lib.sign({"iss": me, "iat": network.now, "entries": [entry]}, header, MINE["signing"])
    cards = [network.cards["patient"], network.cards["hospital"]]
    secret = claims["body"]["case_secret"]
    draw = {"signature": drawn(entry)}
    first = {"entry": entry["id"], "case_secret": secret, "draw": draw}
    deposits = {"cards": cards, "endorsements": [theirs, mine], "deposits": [first]}
    deposit = message(lib, network, notary, "notary/deposit", case, deposits)
    answers = network.ask({"deposit": {"envelope": enclose(lib, deposit, notary)}})["answers"]
    receipt = answers[0]["receipt"]
    opening = json.loads(base64.b64decode(receipt.split("\n")[1].removeprefix("extra ")))
    assert (opening["entry"], opening["number"]) == (entry["id"], 1)
    assert f"\nhdms-log/{notary['sub']}\n" in receipt

    body = {"endorsement": mine, "receipt": answers[0]["receipt"], "draw": draw}
    approval = message(lib, network, patient, "treatment/approval", case, body)
    assert network.receive(True, enclose(lib, approval, patient)) == {"ok": "applied"}
    state = network.ask({"state": {"ofPatient": True, "case": case}})
    assert state["phase"] == "approved"


def test_what_is_altered_of_ours_is_refused_by_the_library(lib, network):
    _, envelope = asked(network)
    patient = card(lib, network, network.cards["patient"])
    theirs = open_envelope(lib, envelope, patient, "treatment/request")["body"]["endorsement"]
    for part in range(5):
        with pytest.raises(Exception):
            lib.decrypt(altered(envelope, part), MINE["encryption"])
    for part in (1, 2):
        with pytest.raises(Exception):
            lib.verify(altered(theirs, part), patient["signing_key"])
        with pytest.raises(Exception):
            card(lib, network, altered(network.cards["patient"], part))
    with pytest.raises(Exception):
        lib.verify(theirs, patient["encryption_key"])


def test_what_is_altered_of_the_library_is_refused_by_us(lib, network):
    case, _ = asked(network)
    patient = card(lib, network, network.cards["patient"])
    body = {"entry": uuid(network), "reason": "No bed"}
    claims = message(lib, network, patient, "treatment/refusal", case, body)
    envelope = enclose(lib, claims, patient)
    assert network.receive(True, altered(envelope, 0)) == {"refused": "envelope/wrong-key"}
    for part in (1, 2, 3, 4):
        answer = network.receive(True, altered(envelope, part))
        assert answer == {"refused": "envelope/decryption"}
    forged = lib.sign(claims, {"alg": "PS256", "typ": "hdms+jwt"}, KEYS["stranger"]["signing"])
    outer = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT"}
    outer["kid"] = lib.thumbprint(patient["encryption_key"])
    envelope = lib.encrypt(forged, outer, patient["encryption_key"])
    assert network.receive(True, envelope) == {"refused": "envelope/signature"}
    hidden = lib.encrypt(json.dumps(claims), outer, patient["encryption_key"])
    assert network.receive(True, hidden) == {"refused": "envelope/malformed"}
