"""Our server and notaries answer as docs/protocol.md says, also what they refuse."""

import json
import os
import time
import urllib.request

import pytest

import draw
import log
import record
import wire
from member import Member, ask
from test_examples import EXAMPLES
from wire import Refused, answer_to, encode, message, new_entry, new_id, public, seal, sealed, sign, thumbprint


@pytest.fixture(scope="module")
def patient(network, hospital):
    """A personal node: admitted at once."""
    patient = Member(network.server, "personal", "")
    patient.apply()
    patient.refresh()
    return patient


@pytest.fixture
def notary(hospital):
    return next(card for card in hospital.trust.nodes.values() if card["role"] == "notary")


def refused(code):
    return pytest.raises(Refused, match=f"^{code}$")


def envelope(patient, hospital):
    to = patient.trust.card(patient.card, int(time.time()))
    return seal(hospital.keys, to, "treatment/refusal", new_id(), {})


# --- former keys (section 7.3) ---

def test_what_is_sealed_to_a_former_key_is_not_delivered(patient, hospital):
    to = patient.trust.card(patient.card, int(time.time()))
    id, signed = message(hospital.keys, to, "treatment/refusal", new_id(), {})
    assert to["encryption_key"] == public(patient.keys["encryption"])
    patient.renew()
    answer = hospital.deliver(patient.id, id, sealed(signed, to))
    assert answer == {"former_key": patient.card}
    newer = hospital.newer(to, answer["former_key"])
    assert newer["encryption_key"] == public(patient.keys["encryption"])
    assert "accepted" in hospital.deliver(patient.id, id, sealed(signed, newer))
    with refused("envelope/former-key"):
        hospital.newer(newer, patient.card)
    with refused("card/mismatch"):
        hospital.newer(newer, hospital.card)


# --- admission (section 6) ---

def test_a_card_is_given_again_and_not_in_another_role(network, patient):
    before = patient.card
    patient.apply()
    assert patient.card == before
    patient.role, patient.endpoint = "notary", "http://127.0.0.1:1"
    with refused("doorman/malformed"):
        patient.apply()
    patient.role, patient.endpoint = "personal", None


def request(member, **changed):
    claims = {
        "iss": member.id, "iat": int(time.time()), "jti": new_id(), "role": "personal", "name": "",
        "signing_key": public(member.keys["signing"]), "subkeys": member.subkeys(),
    } | changed
    jwt = sign("hdms-admission+jwt", claims, member.keys["signing"])
    return ask(member.server + "/doorman/admissions", jwt, content_type="application/jwt")


@pytest.mark.parametrize("changed, code", [
    ({"iat": 1767268800}, "envelope/expired"),
    ({"iat": 4102444800}, "envelope/not-yet-valid"),
    ({"endpoint": "http://127.0.0.1:1"}, "doorman/malformed"),
    ({"name": "Kim"}, "doorman/malformed"),
    ({"admin": True}, "doorman/malformed"),
    ({"iss": "g9mCCyLJoJw_z_HPvgFN27DFGed9QPDvKTBY7KhsAKo"}, "doorman/possession"),
])
def test_bad_admission_requests(patient, changed, code):
    with refused(code):
        request(patient, **changed)


def test_an_answer_is_for_its_request_and_no_other(patient):
    asked = request(patient)
    answer = answer_to(asked["challenge"], patient.keys["encryption"], patient.id)
    another = sign("hdms-admission+jwt", {"iss": patient.id}, patient.keys["signing"])
    with refused("doorman/possession"):
        body = json.dumps({"request": another, "expires": asked["expires"], "answer": answer})
        ask(patient.server + "/doorman/answers", body, content_type="application/json")


def test_an_envelope_is_no_challenge(patient, hospital):
    _, compact = envelope(patient, hospital)
    with refused("doorman/challenge"):
        answer_to(compact, patient.keys["encryption"], patient.id)


# --- mailboxes (section 12.2) ---

def test_a_proof_is_for_one_request(patient):
    proof = patient.proof("GET", "/mailbox")
    assert ask(patient.server + "/mailbox?after=0&limit=1", hdms_proof=proof)["more"] is False
    other = patient.proof("GET", "/mailbox/stream")
    for bad in (proof, other, patient.proof("POST", "/mailbox"), "e30.e30.e30"):
        with refused("proof/invalid"):
            ask(patient.server + "/mailbox", hdms_proof=bad)
    with refused("proof/invalid"):
        ask(patient.server + "/mailbox")


def test_who_is_no_member_has_no_mailbox(network):
    with refused("card/unknown"):
        Member(network.server, "personal", "").get("/mailbox")


def test_a_message_is_delivered_once_fetched_and_acknowledged(patient, hospital):
    id, compact = envelope(patient, hospital)
    place = hospital.deliver(patient.id, id, compact)["accepted"]
    assert hospital.deliver(patient.id, id, compact) == {"accepted": place}
    page = patient.get(f"/mailbox?after={place - 1}&limit=100")
    kid = thumbprint(public(patient.keys["encryption"]))
    messages = [{"seq": place, "from": hospital.id, "envelope": compact}]
    assert page == {"messages": messages, "more": False, "subscriptions": [], "kid": kid}
    assert patient.get(f"/mailbox?after={place}")["messages"] == []
    assert patient.post("/mailbox/acknowledgement", {"upto": place}) is None
    assert patient.get("/mailbox")["messages"] == []
    assert hospital.deliver(patient.id, id, compact) == {"accepted": place}
    assert patient.get("/mailbox")["messages"] == []


def test_who_delivered_is_told_what_became_of_it(patient, hospital):
    hospital.reports()
    taken, refused_ = (
        hospital.deliver(patient.id, *envelope(patient, hospital))["accepted"] for _ in range(2)
    )
    refusals = [{"seq": refused_, "code": "card/forged"}, {"seq": refused_ + 9, "code": "card/forged"}]
    patient.post("/mailbox/acknowledgement", {"upto": refused_, "refused": refusals})
    told = [(one["to"], one["seq"], one["outcome"]) for one in hospital.reports()]
    assert told == [
        (patient.id, refused_, {"refused": "card/forged"}), (patient.id, refused_, "fetched"),
    ]
    assert hospital.reports() == [] and taken < refused_
    for bad in ([{"seq": 1}], [{"seq": 1, "code": "x" * 65}], [refusals[0]] * 101):
        with refused("api/malformed"):
            patient.post("/mailbox/acknowledgement", {"upto": refused_, "refused": bad})
    for path in ("/mailbox/reports?limit=0", "/mailbox/reports?limit=101"):
        with refused("api/malformed"):
            hospital.get(path)


def test_the_stream_rings_when_something_came(patient, hospital):
    headers = {"HDMS-Proof": patient.proof("GET", "/mailbox/stream")}
    asked = urllib.request.Request(patient.server + "/mailbox/stream", headers=headers)
    with urllib.request.urlopen(asked, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        place = hospital.deliver(patient.id, *envelope(patient, hospital))["accepted"]
        event = {}
        while line := stream.readline().decode().strip():
            if not line.startswith(":"):
                event |= dict([line.split(": ", 1)])
    assert (event["event"], event["id"]) == ("mail", str(place))
    assert json.loads(event["data"]) == {"seq": place}
    patient.post("/mailbox/acknowledgement", {"upto": place})


def test_bad_deliveries(patient, hospital):
    id, compact = envelope(patient, hospital)
    stranger = "d6cOSifZtmZeYlXfOPshSjhA8UAakxMV6WdNHWjLfoc"
    assert hospital.deliver(stranger, id, compact) == {"refused": "network/unknown-node"}
    assert hospital.deliver(patient.id, id, "e30.e30") == {"refused": "envelope/malformed"}
    large = compact + "A" * 1_048_577
    assert hospital.deliver(patient.id, id, large) == {"refused": "envelope/too-large"}
    for bad in ({"deliveries": []}, {}, {"deliveries": [{"to": patient.id}]}):
        with refused("api/malformed"):
            hospital.post("/mailbox/deliveries", bad)
    for path in ("/mailbox?limit=0", "/mailbox?limit=101", "/mailbox?after=x"):
        with refused("api/malformed"):
            hospital.get(path)


def test_personal_nodes_deliver_to_no_mailbox(patient):
    with refused("envelope/type-not-for-role"):
        patient.deliver(patient.id, new_id(), "a.b.c.d.e")


def test_a_subscription_stands_until_it_is_removed(patient):
    subscription = EXAMPLES["subscription"]
    name = wire.digest(subscription["endpoint"])
    assert EXAMPLES["subscription removal"] == {"id": name}
    for _ in range(2):
        assert patient.post("/mailbox/subscriptions", subscription) is None
        assert patient.get("/mailbox")["subscriptions"] == [name]
    for bad in (
        subscription | {"endpoint": "http://push.example.net/1"},
        subscription | {"endpoint": "https://127.0.0.1/1"},
        subscription | {"auth": "AAAA"},
        {"kind": "firebase", "token": "a token"},
    ):
        with refused("push/subscription"):
            patient.post("/mailbox/subscriptions", bad)
    for _ in range(2):
        assert patient.post("/mailbox/subscriptions/removal", {"id": name}) is None
        assert patient.get("/mailbox")["subscriptions"] == []


def test_addresses_and_methods_that_are_not_there(network):
    with refused("api/not-found"):
        ask(network.server + "/nowhere")
    with refused("api/method"):
        ask(network.server + "/network", "{}")


# --- the notary (section 10) ---

@pytest.fixture
def place(patient, hospital, notary):
    """Deposits an entry of one case, member by member as asked for."""
    return Place(patient, hospital, notary)


class Place:
    def __init__(self, patient, hospital, notary):
        self.patient, self.hospital, self.notary = patient, hospital, notary
        self.case, self.secret = new_id(), encode(os.urandom(32))

    def entry(self, **changed):
        entry = {
            "id": new_entry(), "kind": "request", "case": self.case, "author": self.patient.id,
            "counterparty": self.hospital.id, "verification_key": "A" * 43,
        } | changed
        return entry if entry["kind"] == "result" else self.first(entry)

    def result(self, **changed):
        author, counterparty = self.hospital.id, self.patient.id
        return self.entry(kind="result", author=author, counterparty=counterparty, **changed)

    def first(self, entry):
        """What the first entry of a case has besides: of many draws the one for our notary."""
        trust = self.hospital.trust
        while True:
            asked = draw.asked(trust, trust.said["manifest"], self.hospital.id)
            first = entry | {"case_secret": log.secret_of(self.secret), "draw": asked}
            signature, notaries = self.drawn(first)["signature"], trust.manifest["notaries"]
            if draw.ranked(first, signature, notaries)[0] == self.notary["sub"]:
                return first

    def drawn(self, entry):
        """The hospital's part, if the patient has one."""
        return draw.drawn(entry, self.hospital.keys["signing"]) if "draw" in entry else None

    def endorsed(self, entry, by):
        return record.endorse([entry], by.keys["signing"], int(time.time()))

    def deposit(self, entry, depositor=None, by=None):
        by = by or (self.patient, self.hospital)
        both = [self.endorsed(entry, each) for each in by]
        depositor = depositor or self.hospital
        secret = self.secret if "case_secret" in entry else None
        cards = [each.card for each in by]
        deposits = [(entry["id"], both, cards, secret, self.drawn(entry))]
        [answer] = depositor.deposit(self.notary["sub"], self.case, deposits)
        return answer


def refused_for(place, entry, first):
    """A deposit of `entry` gets the notary's proof that `first` was there before."""
    [(kind, jwt)] = place.deposit(entry).items()
    trust = place.hospital.trust
    notary = trust.notary(place.notary["sub"])
    return kind == "conflict" and log.conflict(jwt, trust, notary, entry) == first


def test_an_entry_has_one_receipt_and_a_number_of_its_own(place):
    first, second = place.entry(), place.entry()
    answer = place.deposit(first)
    receipt = log.receipted(answer["receipt"], place.hospital.trust, first, secret=place.secret)
    assert receipt["iss"] == place.notary["sub"]
    assert place.deposit(first) == place.deposit(first, place.patient) == answer
    same_id = place.entry(id=first["id"], verification_key="B" * 42 + "A")
    assert refused_for(place, same_id, first)
    assert place.deposit(second) == {"refused": "notary/known-case"}
    for number in (2, 3):
        next, trust = place.result(), place.hospital.trust
        receipt = place.deposit(next)["receipt"]
        assert log.receipted(receipt, trust, next, secret=place.secret)["number"] == number


def test_a_request_is_logged_by_the_notary_that_was_drawn_for_it(place, network):
    entry, not_drawn = place.entry(), {"refused": "notary/not-drawn"}
    good, case, (patient, hospital) = place.drawn(entry), place.case, (place.patient, place.hospital)
    both = [place.endorsed(entry, each) for each in (patient, hospital)]
    cards = [patient.card, hospital.card]
    others = [node for node in hospital.trust.manifest["notaries"] if node != place.notary["sub"]]
    for part, notary in [
        (good, others[0]), (None, place.notary["sub"]),
        (good | {"signature": "A" + good["signature"][1:]}, place.notary["sub"]),
        (good | {"passed": [{"notary": place.notary["sub"], "silent": int(time.time())}]}, others[0]),
    ]:
        deposits = [(entry["id"], both, cards, place.secret, part)]
        assert hospital.deposit(notary, case, deposits) == [not_drawn]
    assert "receipt" in place.deposit(entry)


def altered(receipt):
    """The receipt with one thing changed, for each thing that there is."""
    lines = receipt.split("\n")
    for place, line in enumerate(lines):
        if len(line) > 8:
            middle = len(line) // 2
            other = "A" if line[middle] != "A" else "B"
            changed = line[:middle] + other + line[middle + 1:]
            yield "\n".join([*lines[:place], changed, *lines[place + 1:]])


def test_no_altered_receipt_is_taken(place):
    entry = place.entry()
    receipt, trust = place.deposit(entry)["receipt"], place.hospital.trust
    assert log.receipted(receipt, trust, entry, secret=place.secret)["entry"] == entry["id"]
    logged = log.receipted(receipt, trust, entry, secret=place.secret)["time"]
    log.receipted(receipt, trust, entry, secret=place.secret, now=logged - 200)
    with refused("envelope/not-yet-valid"):
        log.receipted(receipt, trust, entry, secret=place.secret, now=logged - 400)
    forgeries = list(altered(receipt))
    assert len(forgeries) > 4
    for forged in forgeries:
        with pytest.raises(Refused):
            log.receipted(forged, trust, entry, secret=place.secret)


def test_a_query_is_answered_to_whom_the_entry_was_given(place, network):
    entry, notary = place.entry(), place.notary["sub"]
    receipt = place.deposit(entry)["receipt"]
    trust = place.hospital.trust
    salt = log.receipted(receipt, trust, entry, secret=place.secret)["salt"]
    asked = [
        {"entry": entry["id"], "salt": salt}, {"entry": new_entry(), "salt": salt},
        {"entry": entry["id"], "salt": "A" * 22},
    ]
    known, unknown, guessed = place.hospital.query(notary, asked)
    said = log.receipted(known, trust, entry["id"], entry["verification_key"])
    assert "parties_salt" not in said and unknown is guessed is None


def test_a_result_follows_the_request_of_its_own_case(place):
    unknown = {"refused": "notary/unknown-case"}
    assert place.deposit(place.result()) == unknown
    assert "receipt" in place.deposit(place.entry())
    assert place.deposit(place.result(case=new_id())) == unknown
    assert "receipt" in place.deposit(place.result())


def test_both_participants_endorse_and_one_of_them_deposits(place, network):
    patient, hospital, entry = place.patient, place.hospital, place.entry()
    once = place.deposit(entry, by=(patient, patient))
    assert once == {"refused": "ledger/endorsement-missing"}
    other = entry | {"verification_key": "B" * 42 + "A"}
    both = [place.endorsed(entry, patient), place.endorsed(other, hospital)]
    drawn = place.drawn(entry)
    deposits = [(entry["id"], both, [patient.card, hospital.card], place.secret, drawn)]
    answers = hospital.deposit(place.notary["sub"], place.case, deposits)
    assert answers == [{"refused": "ledger/mismatch"}]
    alone = [(entry["id"], both, [patient.card], place.secret, drawn)]
    answers = hospital.deposit(place.notary["sub"], place.case, alone)
    assert answers == [{"refused": "card/unknown"}]
    third = Member(network.server, "personal", "")
    third.apply()
    third.refresh()
    assert place.deposit(entry, third) == {"refused": "ledger/not-participant"}
    assert place.deposit(entry, by=(patient, third)) == {"refused": "ledger/not-participant"}


def test_envelopes_that_a_notary_refuses_as_a_whole(place):
    hospital, notary, case = place.hospital, place.notary, place.case
    for kind, body, code in [
        ("treatment/refusal", {}, "envelope/unknown-type"),
        ("treatment/request", {}, "envelope/type-not-for-role"),
        ("notary/gossip", {}, "envelope/unknown-type"),
        ("notary/deposit", {"cards": [], "endorsements": [], "deposits": []}, "envelope/body"),
        ("notary/deposit", {"cards": [], "deposit": []}, "envelope/body"),
        ("notary/query", {"entries": []}, "envelope/unknown-type"),
    ]:
        with refused(code):
            hospital.submit(notary, case, kind, body)
    hidden = place.patient.card
    place.patient.card = None
    with refused("card/unknown"):
        place.patient.submit(notary, case, "notary/deposit", {"cards": [], "endorsements": [], "deposits": []})
    place.patient.card = hidden
    for octets, code in [("x", "envelope/malformed"), ("A" * 1_048_577, "envelope/too-large")]:
        with refused(code):
            ask(notary["endpoint"] + "/deposits", octets, content_type="application/jose")
