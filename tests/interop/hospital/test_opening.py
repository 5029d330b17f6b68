"""Every check of docs/protocol.md section 7.2, in its order, by our personal node: what the hospital
sends wrongly lies in its quarantine under the code that the page names."""

import json
import time
from collections import Counter

import pytest
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

import record
from conftest import eventually
from wire import decode, encode, new_entry, new_id, public, rsa, sign

STRANGER = JWK.generate(kty="RSA", size=2048)


class Sender:
    """Makes envelopes of which one thing at a time is wrong."""

    def __init__(self, network, hospital, case):
        self.network, self.hospital, self.case = network, hospital, case
        self.to = hospital.trust.card(hospital.kept[hospital.cases[case]["patient"]], 0)
        self.key = rsa(self.to["encryption_key"], "")

    def claims(self, **changed):
        now = int(time.time())
        claims = {
            "iss": self.hospital.id, "aud": self.to["sub"], "iat": now, "exp": now + 3600,
            "jti": new_id(), "thd": self.case, "type": "treatment/refusal",
            "body": {"entry": self.hospital.cases[self.case]["entry"]["id"], "reason": "No"},
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, header={}, key=None, claims=None, **changed):
        key = key or self.hospital.keys["signing"]
        header = {"alg": "PS256", "typ": "hdms+jwt", "kid": self.hospital.id} | header
        token = JWS(claims or json.dumps(self.claims(**changed)))
        token.allowed_algs = [header["alg"]]
        token.add_signature(key, protected=json.dumps(header))
        return token.serialize(compact=True)

    def sealed(self, text, **header):
        header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT",
                  "kid": self.key.thumbprint()} | header
        token = JWE(text, json.dumps({k: v for k, v in header.items() if v}),
                    algs=[header["alg"], header["enc"]])
        token.add_recipient(self.key)
        return token.serialize(compact=True)

    def message(self, **changed):
        return self.sealed(self.signed(**changed))

    def refusal(self, envelope):
        """The code under which the patient's node quarantines this envelope."""
        before = Counter(self.network.ask("quarantined"))
        answer = self.hospital.deliver(self.to["sub"], new_id(), envelope)
        assert "accepted" in answer, answer
        new = eventually(lambda: Counter(self.network.ask("quarantined")) - before)
        [code] = new.elements()
        return code


@pytest.fixture
def sender(network, hospital, case):
    return Sender(network, hospital, case)


def altered(compact, part):
    parts = compact.split(".")
    octets = bytearray(decode(parts[part], ""))
    octets[-4] ^= 1
    parts[part] = encode(bytes(octets))
    return ".".join(parts)


def headed(compact, **changed):
    """With another protected header, which no key has seen."""
    header, rest = compact.split(".", 1)
    header = json.loads(decode(header, "")) | changed
    header = {name: value for name, value in header.items() if value}
    return encode(json.dumps(header).encode()) + "." + rest


def test_what_can_be_told_before_decryption(sender):
    good = sender.message()
    for bad, code in [
        ("e30." + good.split(".", 1)[1], "envelope/algorithm"),
        ("e30.e30.e30.e30.e30", "envelope/algorithm"),
        ("e3." + good.split(".", 1)[1], "envelope/malformed"),
        (headed(good, alg="RSA1_5"), "envelope/algorithm"),
        (headed(good, alg="RSA-OAEP"), "envelope/algorithm"),
        (headed(good, enc="A128GCM", zip="DEF"), "envelope/algorithm"),
        (headed(good, zip="DEF"), "envelope/malformed"),
        (headed(good, cty=None), "envelope/malformed"),
        (headed(good, kid=None), "envelope/wrong-key"),
        (good[:-2], "envelope/malformed"),
    ]:
        assert sender.refusal(bad) == code, bad[:200]


def test_decryption_and_what_is_inside(sender):
    for part in (1, 2, 3, 4):
        assert sender.refusal(altered(sender.message(), part)) == "envelope/decryption"
    signed = sender.signed()
    public = json.dumps(sender.hospital.keys["signing"].export_public(as_dict=True))
    as_secret = JWK(kty="oct", k=encode(public.encode()))
    for inside, code in [
        (json.dumps(sender.claims()), "envelope/malformed"),
        (headed(signed, alg="none"), "envelope/algorithm"),
        (sender.signed({"alg": "HS256"}, as_secret), "envelope/algorithm"),
        (sender.signed({"alg": "RS256"}), "envelope/algorithm"),
        (headed(signed, jwk={"kty": "RSA"}), "envelope/malformed"),
        (headed(signed, crit=["exp"]), "envelope/malformed"),
        (sender.signed({"typ": "JWT"}), "envelope/malformed"),
        (sender.signed(claims='{"iss":1,"iss":2}'), "envelope/malformed"),
        (sender.signed(extra=1), "envelope/malformed"),
        (sender.signed(jti=new_id().upper()), "envelope/malformed"),
        (sender.signed(iat=1.5), "envelope/malformed"),
        (sender.signed(thd=None), "envelope/malformed"),
    ]:
        assert sender.refusal(sender.sealed(inside)) == code, inside[:200]


def test_who_signed(sender):
    card, mine = sender.hospital.card, sender.hospital.keys["signing"]
    stranger = STRANGER.thumbprint()
    own = json.loads(decode(card.split(".")[1], ""))
    key = {name: STRANGER.export_public(as_dict=True)[name] for name in ("kty", "n", "e")}
    keys = {use: public(sender.hospital.keys[use]) for use in ("encryption", "request")}
    stated = {"iss": stranger, "iat": own["iat"]} | keys
    forged = own | {"sub": stranger, "signing_key": key,
                    "subkeys": sign("hdms-subkeys+jwt", stated, STRANGER)}
    for envelope, code in [
        (sender.message(iss=stranger), "card/unknown"),
        (sender.message(card="x.y.z"), "card/malformed"),
        (sender.message(card=sender.to["jwt"]), "card/mismatch"),
        (sender.message(card=sign("hdms-card+jwt", own | {"sub": stranger}, mine)), "card/mismatch"),
        (sender.message(key=STRANGER), "envelope/signature"),
        (sender.message(card=altered(card, 2)), "card/forged"),
        (sender.message(card=sign("hdms-card+jwt", own, mine)), "card/forged"),
        (sender.message(iss=stranger, key=STRANGER,
                        card=sign("hdms-card+jwt", forged, STRANGER)), "card/forged"),
        (sender.message(iss=stranger, key=STRANGER,
                        card=sign("hdms-card+jwt", forged | {"subkeys": own["subkeys"]},
                                  STRANGER)), "card/mismatch"),
    ]:
        assert sender.refusal(envelope) == code


def test_to_whom_when_and_what(sender):
    now = int(time.time())
    for changed, code in [
        ({"aud": sender.hospital.id, "exp": 1}, "envelope/wrong-audience"),
        ({"iat": now + 900, "exp": now + 901}, "envelope/not-yet-valid"),
        ({"exp": now - 1, "type": "x/y"}, "envelope/expired"),
        ({"exp": now + 31 * 24 * 3600}, "envelope/expired"),
        ({"type": "treatment/gossip"}, "envelope/unknown-type"),
        ({"type": "treatment/dispute"}, "envelope/type-not-for-role"),
        ({"type": "notary/deposit"}, "envelope/unknown-type"),
        ({"body": {"reason": "No"}}, "envelope/body"),
        ({"body": {"entry": new_id(), "reason": "No", "x": 1}}, "envelope/body"),
        ({"thd": new_id()}, "treatment/unknown-case"),
        ({"body": {"entry": new_id(), "reason": "No"}}, "ledger/mismatch"),
    ]:
        assert sender.refusal(sender.message(**changed)) == code, changed


def test_a_used_id_is_a_replay_and_the_same_envelope_a_repeat(sender, network, hospital, approved):
    request, sender.case = new_id(), approved
    body = {"id": new_id(), "resources": [], "purpose": "Why"}
    first = sender.message(jti=request, type="treatment/data-request", body=body)
    before = network.ask("quarantined")
    for _ in range(2):
        assert "accepted" in hospital.deliver(sender.to["sub"], new_id(), first)
    eventually(lambda: len(network.ask("state", case=approved)["data_requests"]) == 1)
    assert network.ask("quarantined") == before
    again = sender.message(jti=request, type="treatment/data-request", body=body)
    assert sender.refusal(again) == "envelope/replayed"
    other = body | {"purpose": "Because"}
    changed = sender.message(type="treatment/data-request", body=other)
    assert sender.refusal(changed) == "treatment/already-decided"


def test_results_that_do_not_belong(sender, network, hospital, approved):
    case = hospital.cases[approved]
    patient, holder, key = case["patient"], case["holder"], hospital.keys["signing"]
    fhir, now = '{"resourceType":"Basic","code":{"text":"x"}}', int(time.time())
    other_holder = JWK.generate(kty="EC", crv="P-256").export_public(as_dict=True)
    other_holder = {name: other_holder[name] for name in ("kty", "crv", "x", "y")}

    def result(compact=None, body={}, **changed):
        compact = compact or record.issue(fhir, key, patient, approved, holder, now)
        entry = {
            "id": new_entry(), "kind": "result", "case": approved, "author": hospital.id,
            "counterparty": patient, "verification_key": record.verification_key(compact),
        } | changed
        body = {
            "hand_in": new_id(), "of": 1, "results": [{"entry": entry["id"], "record": compact}],
            "endorsement": record.endorse([entry], key, now),
        } | body
        return sender.message(type="treatment/result", thd=approved, body=body)

    claims = {"iss": hospital.id, "iat": now, "cnf": {"jwk": holder}, "sub": patient,
              "case": approved, "fhir": json.loads(fhir)}
    former = sign(record.FORMER, json.dumps(claims), key) + "~"
    good = record.issue(fhir, key, patient, approved, holder, now)
    jwt, *disclosures = good.split("~")[:-1]
    for envelope, code in [
        (result("x"), "record/malformed"),
        (result(good + "e30.e30.e30"), "record/malformed"),
        (result("~".join([altered(jwt, 2), *disclosures, ""])), "record/signature"),
        (result("~".join([jwt, *disclosures, disclosures[0], ""])), "record/signature"),
        (result("~".join([jwt, *disclosures, "WyJhIiwiYiIsMV0", ""])), "record/signature"),
        (result("~".join([jwt, ""])), "record/incomplete"),
        (result("~".join([jwt, *disclosures[:-1], ""])), "record/incomplete"),
        (result("~".join([jwt, *disclosures[1:], ""])), "record/incomplete"),
        (result(former), "record/former-format"),
        (result(record.issue(fhir, STRANGER, patient, approved, holder, now)), "record/wrong-author"),
        (result(record.issue(fhir, key, hospital.id, approved, holder, now)), "record/wrong-author"),
        (result(record.issue(fhir, key, patient, new_id(), holder, now)), "record/wrong-author"),
        (result(record.issue(fhir, key, patient, approved, other_holder, now)),
         "record/wrong-author"),
        (result(body={"endorsement": "x"}), "ledger/malformed"),
        (result(body={"endorsement": record.endorse([{"id": 1}], key, now)}), "ledger/malformed"),
        (result(body={"endorsement": case["theirs"]}), "ledger/endorsement"),
        (result(author=STRANGER.thumbprint()), "ledger/not-participant"),
        (result(case=new_id()), "ledger/mismatch"),
        (result(counterparty=STRANGER.thumbprint()), "ledger/mismatch"),
        (result(kind="request"), "ledger/malformed"),
        (result(verification_key="A" * 43), "ledger/mismatch"),
        (result(body={"of": 0}), "treatment/count"),
        (result(body={"of": 257}), "treatment/count"),
        (result(body={"results": []}), "treatment/count"),
        (result(body={"results": [{"entry": new_entry(), "record": good}]}), "ledger/mismatch"),
    ]:
        assert sender.refusal(envelope) == code
    before = network.ask("quarantined")
    [entry] = hospital.hand_in(approved, fhir)
    eventually(lambda: network.ask("state", case=approved)["results"])
    assert [r["entry"]["id"] for r in network.ask("state", case=approved)["results"]] == [entry]
    assert network.ask("quarantined") == before
