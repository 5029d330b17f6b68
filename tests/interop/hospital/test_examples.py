"""The examples of docs/protocol.md, read with nothing but what the page says."""

import json
import pathlib
import re

import pytest
from jwcrypto.jwk import JWK

import draw
import facts
import identifying
import log
import record
import wire

ROOT = pathlib.Path(__file__).parents[3]
TEXT = (ROOT / "docs/examples.json").read_text()
EXAMPLES = json.loads(TEXT)
KEYS = json.loads((ROOT / "tests/simulation/vectors/keys.json").read_text())
NOW = 1767268800


def keys(name):
    return {use: JWK(**jwk) for use, jwk in KEYS[name].items()}


@pytest.fixture
def trust():
    return wire.Trust(EXAMPLES["network"], wire.public(keys("root")["signing"]), NOW)


@pytest.fixture
def hospital(trust):
    return trust.card(EXAMPLES["card of the hospital"], NOW)


def test_thumbprints(hospital):
    thumbprints = EXAMPLES["thumbprints of the hospital's keys"]
    for use, thumbprint in thumbprints.items():
        assert wire.thumbprint(hospital[use]) == thumbprint
    assert hospital["sub"] == thumbprints["signing_key"]


def test_another_root_key_is_not_trusted():
    with pytest.raises(wire.Refused, match="network/forged"):
        wire.Trust(EXAMPLES["network"], wire.public(keys("stranger")["signing"]), NOW)


def test_the_envelope_and_all_that_it_carries(trust, hospital):
    envelope = EXAMPLES["envelope"].encode()
    message, patient, _ = wire.open_envelope(envelope, keys("hospital"), trust, {}, NOW)
    assert message["body"]["record"] == EXAMPLES["record of a treatment request"]
    claims = record.check(message["body"]["record"], patient)
    assert claims["fhir"]["resourceType"] == "ServiceRequest"
    [entry] = record.endorsed(message["body"]["endorsement"], patient).values()
    assert entry["verification_key"] == record.verification_key(message["body"]["record"])
    secret = message["body"]["case_secret"]
    assert entry == EXAMPLES["entry of a request"]
    key, manifest = keys("hospital")["signing"], message["body"]["manifest"]
    part, ranked = draw.taken(entry, manifest, trust, key, NOW)
    assert ranked == trust.manifest["notaries"]
    draw.check(entry, part, hospital)
    log.receipted(EXAMPLES["receipt"], trust, entry, secret=secret)


def test_the_record_of_a_result_has_its_authors_text(hospital):
    claims = record.check(EXAMPLES["record of a result"], hospital)
    content = record.fhir(TEXT)["content of the result"]
    assert record.text(claims["fhir"]) == record.text(content)
    assert '"value":6.10,' in record.text(content)


def shape(compact):
    """A record without digests and salts, and its disclosures without the orders, which are random."""
    jwt, *disclosures = compact.split("~")[:-1]
    blank = lambda value: re.sub(r'"[\w-]{43}"', '""', record.text(value))
    payload = record.fhir(wire.decode(jwt.split(".")[1], "").decode())
    contents = [record.fhir(wire.decode(each, "").decode())[1:] for each in disclosures]
    return blank(payload), sorted(blank(each) for each in contents if each[0] != "$order")


def test_the_result_is_concealed_as_the_page_says(hospital):
    theirs = EXAMPLES["record of a result"]
    claims = record.check(theirs, hospital)
    content = record.text(record.fhir(TEXT)["content of the result"])
    key, holder = keys("hospital")["signing"], claims["cnf"]["jwk"]
    mine = record.issue(content, key, claims["sub"], claims["case"], holder, NOW)
    assert shape(mine) == shape(theirs)
    assert record.text(record.check(mine, hospital)["fhir"]) == content


def test_no_text_poses_as_a_number_and_no_foreign_digit_as_a_date():
    content = '{"resourceType":"Basic","id":"\\u0000number:5","created":"٢٠٢٦-٠٥-٠١","value":6.10}'
    assert record.text(record.fhir(content)) == content
    assert facts.facts(record.fhir(content)) == {"kinds": ["Basic"], "codes": []}
    assert identifying.by_form("٢٠٢٦-٠٥-٠١") is None


def test_facts_are_those_of_the_page():
    def of(kind, *resources, **members):
        entry = [{"resource": one} for one in resources]
        return facts.facts({"resourceType": "Bundle", "type": kind, "entry": entry} | members)

    code = {"coding": [{"system": "s", "code": "1"}, {"display": "x"}, {"code": "2"}]}
    patient = {"resourceType": "Patient", "birthDate": "1984-03-02"}
    value = {"resourceType": "Observation", "code": code, "effectiveDateTime": "2026-03-01"}
    written = {"resourceType": "Composition", "date": "2025"}
    refuted = {"coding": [{"code": "refuted"}]}
    assert of("collection", patient, value) == {
        "kinds": ["Patient", "Observation"], "codes": ["s|1", "|2"], "year": 2026, "age": 41}
    assert of("document", written, value)["year"] == 2025
    assert of("collection", {"resourceType": "Encounter", "period": {"start": "2020"}}, value)["year"] == 2020
    for no in [{"status": "not-done"}, {"verificationStatus": refuted}, {"doNotPerform": True}]:
        assert of("collection", value | no)["codes"] == []


def test_one_signature_over_two_contents_is_refused(hospital):
    key, theirs = keys("hospital")["signing"], EXAMPLES["record of a result"]
    claims, concealer = record.check(theirs, hospital), record.Concealer()
    members = [concealer.disclose("status", code) for code in ("final", "cancelled")]
    said = {"sub": "p", "case": "c", "kinds": ["Basic"], "codes": [], "decoys": concealer.seed}
    digests = [concealer.disclose(name, value) for name, value in said.items()]
    payload = {
        "_sd": digests + concealer.decoys(3), "iss": hospital["sub"], "iat": 0,
        "cnf": claims["cnf"], "fhir": {"resourceType": "Basic", "_sd": members},
    }
    jwt = wire.sign(record.RECORD, json.dumps(payload), key)
    for withheld in (0, 1):
        shown = [one for number, one in enumerate(concealer.disclosures) if number != withheld]
        with pytest.raises(wire.Refused, match="record/incomplete"):
            record.check("~".join([jwt, *shown, ""]), hospital)


def test_records_of_format_1_are_read():
    former = json.loads((ROOT / "tests/records/vectors/format_1.json").read_text())
    for one in former.values():
        author = {"sub": wire.thumbprint(one["author"]), "signing_key": one["author"]}
        claims = record.check(one["compact"], author)
        assert record.text(claims["fhir"]) == one["content"]
        assert (claims["sub"], claims["case"]) == (one["patient"], one["case"])


def test_the_presentation_is_for_one_data_request_at_one_hospital(trust, hospital):
    presentation, nonce = EXAMPLES["presentation of the result"], "019b7985-7400-7000-8000-000000000005"
    claims = record.check_presentation(presentation, hospital, hospital["sub"], nonce, NOW)
    assert claims["sub"] == keys("patient")["signing"].thumbprint()
    for audience, nonce in [(claims["sub"], nonce), (hospital["sub"], wire.new_id())]:
        with pytest.raises(wire.Refused, match="record/holder"):
            record.check_presentation(presentation, hospital, audience, nonce, NOW)


def test_the_challenge_and_the_request_proof(hospital):
    challenge, answer = EXAMPLES["challenge"], EXAMPLES["challenge answer"]
    key, node = keys("hospital")["encryption"], hospital["sub"]
    assert answer["answer"] == wire.answer_to(challenge["challenge"], key, node)
    assert answer["expires"] == challenge["expires"]
    assert answer["request"] == EXAMPLES["admission request"]
    key = wire.p256(hospital["request_key"], "")
    _, proof = wire.verify(EXAMPLES["request proof"], "hdms-proof+jwt", key, "", "", alg="ES256")
    deliveries = json.dumps(EXAMPLES["deliveries"], separators=(",", ":"))
    assert proof["body"] == wire.digest(deliveries)
    assert (proof["htm"], proof["iss"]) == ("POST", hospital["sub"])


@pytest.mark.parametrize("text", [b'{"a":1,"\\u0061":2}', b'"\\ud800"', b"\xef\xbb\xbf{}", b"{}x"])
def test_what_is_not_json_here(text):
    with pytest.raises(wire.Refused, match="not-json"):
        wire.parse(text, "fhir/not-json")
