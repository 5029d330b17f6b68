"""The protocol reference is complete: the hospital of hospital.py, written from docs/protocol.md
alone, goes through treatments with our native server, notaries and personal node over HTTP."""

from conftest import WISH, eventually, phase
from wire import unverified

RESULT = (
    '{"resourceType":"Observation","id":"hba1c","status":"final","code":{"coding":[{"system":'
    '"http://loinc.org","code":"4548-4","display":"Hemoglobin A1c"}]},"subject":{"reference":'
    '"Patient/p"},"effectiveDateTime":"2026-01-01","valueQuantity":{"value":6.10,"unit":"%"}}'
)
BUNDLE = (
    '{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient",'
    '"id":"p","gender":"female","name":[{"family":"Kim"}]}},{"resource":' + RESULT + "}]}"
)
ALLERGY = '{"resourceType":"AllergyIntolerance","id":"a","code":{"text":"Penicillin"}}'


def status(network, case, entry):
    results = network.ask("state", case=case)["results"]
    return next((r["status"] for r in results if r["entry"]["id"] == entry), None)


def asked(network, hospital, case, *resources):
    request = hospital.ask_for_data(case, list(resources), "Before prescribing")
    known = lambda: network.ask("state", case=case)["data_requests"]
    eventually(lambda: any(each["asked"]["id"] == request for each in known()))
    return request


def committed(network, hospital, case, fhir):
    """A result that both sides hold to be final."""
    return all_committed(network, hospital, case, fhir)[0]


def all_committed(network, hospital, case, *results):
    """Results that are handed in, and confirmed, together."""
    entries = hospital.hand_in(case, *results)
    for entry in entries:
        eventually(lambda: status(network, case, entry) == "received")
    network.ask("confirm", case=case, entries=entries)
    for entry in entries:
        result = hospital.cases[case]["results"][entry]
        eventually(lambda: result["status"] == "committed")
        assert "committed" in status(network, case, entry)
    return entries


def test_a_whole_treatment(network, hospital, approved):
    case = hospital.cases[approved]
    assert (case["request"], case["name"]) == (WISH, "Kim Minji")
    assert "name" not in unverified(hospital.kept[case["patient"]], "hdms-card+jwt", "")[1]

    own = network.ask("add-record", fhir=ALLERGY)
    request = asked(network, hospital, approved, "AllergyIntolerance")
    network.ask("share", case=approved, request=request, records=[own])
    [share] = eventually(lambda: case["asked"][request])
    assert (share["fhir"], share["notary"]) == (ALLERGY, None)

    entries = all_committed(network, hospital, approved, RESULT, BUNDLE)
    for entry, fhir in zip(entries, (RESULT, BUNDLE)):
        assert network.ask("read", case=approved, entry=entry) == fhir

    request = asked(network, hospital, approved, "Observation")
    network.ask("share", case=approved, request=request, records=[[approved, entries[0]]])
    [share] = eventually(lambda: case["asked"][request])
    assert (share["fhir"], share["notary"]) == (RESULT, case["notary"])
    assert hospital.quarantine == [] and network.ask("quarantined") == []


def test_a_declined_request(network, hospital, case):
    hospital.decline(case, "No ward for this")
    declined = {"declined": {"reason": "No ward for this"}}
    eventually(lambda: phase(network, case) == declined)


def test_refused_data(network, hospital, approved):
    request = asked(network, hospital, approved, "Condition")
    network.ask("refuse-data", case=approved, request=request, reason="Not needed")
    answers = hospital.cases[approved]["asked"]
    eventually(lambda: answers[request] == "Not needed")


def test_a_disputed_result_is_corrected(network, hospital, approved):
    [wrong] = hospital.hand_in(approved, RESULT)
    eventually(lambda: status(network, approved, wrong) == "received")
    network.ask("dispute", case=approved, entries=[wrong], reason="Not my value")
    result = hospital.cases[approved]["results"][wrong]
    eventually(lambda: result["status"] == "disputed")
    assert result["reason"] == "Not my value"
    right = committed(network, hospital, approved, RESULT)
    assert hospital.cases[approved]["numbers"][2] == right
