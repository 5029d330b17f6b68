"""A hospital written from docs/protocol.md alone: takes in envelopes, and plays the hospital's side
of a treatment. Its state lives in memory: it is a peer for tests."""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import draw
import log
import record
from identifying import is_text
from member import Member
from wire import MAX_ENVELOPE, NODE_ID, UUID7, Refused, digest, expect, form, new_entry, new_id
from wire import addressed, claimed, message, open_envelope, p256, sealed, unverified

DATE = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
STATUS = {
    "envelope/former-key": 409, "treatment/unknown-case": 404, "treatment/unknown-entry": 404,
    "network/stale": 503,
}
BODIES = {
    "treatment/request": {"record": str, "endorsement": str, "name": str, "case_secret": str,
                          "manifest": str},
    "treatment/data": {"request": UUID7, "records": list, "cards?": list},
    "treatment/data-refusal": {"request": UUID7, "reason": str},
    "treatment/confirmation": {"endorsement": str, "receipts": list},
    "treatment/dispute": {"entries": list, "reason": str},
}


def claims_to_be(card, node):
    """Whether this is the node's card, if it is any."""
    try:
        return claimed(card)["sub"] == node
    except Refused:
        return False


class Hospital(Member):
    """An institution of the network whose server has the base URL `server`."""

    def __init__(self, server, name):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        endpoint = f"http://127.0.0.1:{self.http.server_port}"
        super().__init__(server, "institution", name, endpoint)
        self.cases, self.kept, self.seen, self.quarantine = {}, {}, {}, []
        self.one_at_a_time = threading.RLock()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def send(self, case, kind, body):
        """Seals a message to the case's patient and puts it into the patient's mailbox."""
        patient = self.trust.card(self.kept[case["patient"]], int(time.time()))
        id, signed = message(self.keys, patient, kind, case["id"], body)
        answer = self.deliver(patient["sub"], id, sealed(signed, patient))
        if "former_key" in answer:
            patient = self.newer(patient, answer["former_key"])
            answer = self.deliver(patient["sub"], id, sealed(signed, patient))
        expect("accepted" in answer, answer.get("refused"))

    def newer(self, known, jwt):
        """The card that came with the answer that a key is a former one, kept (section 7.3)."""
        card = self.trust.card(jwt, int(time.time()))
        expect(card["sub"] == known["sub"], "card/mismatch")
        later = card["subkeys_stated"] >= known["subkeys_stated"]
        expect(card["iat"] > known["iat"] and later, "envelope/former-key")
        self.kept[card["sub"]] = jwt
        return card

    def notarise(self, case, entries, endorsements, authors, first=(None, None)):
        """The receipts of the case's notary for entries (section 10), of which the first brings the
        case's secret and how the notary was drawn."""
        cards = [self.card if node == self.id else self.kept[node] for node in authors]
        deposits = [(entry, endorsements, cards, *first) for entry in entries]
        answers = self.deposit(case["notary"], case["id"], deposits)
        for answer in answers:
            expect("receipt" in answer, answer.get("refused"))
        return [answer["receipt"] for answer in answers]

    # --- taking in (section 7.2) ---

    def receive(self, octets):
        """What became of an envelope: applied or repeated; what is refused is quarantined."""
        now = int(time.time())
        kid = addressed(octets.decode("ascii", "replace"))
        expect(kid in (None, self.keys["encryption"].thumbprint()), "envelope/former-key")
        with self.one_at_a_time:
            try:
                return self.take_in(octets, now)
            except Refused as refused:
                if refused.code != "network/stale":
                    self.quarantine.append((refused.code, octets))
                raise

    def take_in(self, octets, now):
        opened, sender, signed = open_envelope(octets, self.keys, self.trust, self.kept, now)
        name = (opened["iss"], opened["jti"])
        if name in self.seen:
            expect(self.seen[name] == digest(signed), "envelope/replayed")
            return "repeated"
        expect(opened["type"] in BODIES, "envelope/type-not-for-role")
        body = form(opened["body"], BODIES[opened["type"]], "envelope/body")
        case = self.cases.get(opened["thd"])
        if opened["type"] == "treatment/request":
            outcome = self.requested(opened["thd"], sender, body, case)
        else:
            known = case and case["patient"] == sender["sub"]
            expect(known, "treatment/unknown-case")
            take = getattr(self, opened["type"].split("/")[1].replace("-", "_"))
            outcome = take(case, sender, body, now)
        self.seen[name] = digest(signed)
        self.kept[sender["sub"]] = sender["jwt"]
        return outcome

    # --- the states (section 11.11) ---

    def requested(self, id, patient, body, known):
        expect(len(body["name"].encode()) <= 200, "envelope/body")
        claims = record.check_new(body["record"], patient)
        entries = record.endorsed(body["endorsement"], patient)
        expect(len(entries) == 1, "ledger/mismatch")
        [entry] = entries.values()
        here = entry["case"] == id and entry["counterparty"] == self.id
        expect(here, "ledger/mismatch")
        if known:
            expect(known["entry"] == entry, "treatment/not-allowed-now")
            return "repeated"
        own = (claims.get("sub"), claims.get("case")) == (patient["sub"], id)
        expect(own, "record/wrong-author")
        fits = entry["kind"] == "request" and entry["author"] == patient["sub"]
        fits = fits and entry.get("case_secret") == log.secret_of(body["case_secret"])
        key = record.verification_key(body["record"])
        expect(fits and entry["verification_key"] == key, "ledger/mismatch")
        expect("draw" in entry, "ledger/mismatch")
        key, now = self.keys["signing"], int(time.time())
        part, notaries = draw.taken(entry, body["manifest"], self.trust, key, now)
        expect("cnf" in claims, "record/malformed")
        p256(claims["cnf"]["jwk"], "record/malformed")
        self.cases[id] = {
            "id": id, "patient": patient["sub"], "name": body["name"], "holder": claims["cnf"]["jwk"], "entry": entry,
            "theirs": body["endorsement"], "request": wish(claims["fhir"]), "phase": "requested",
            "secret": body["case_secret"], "draw": part, "notary": notaries[0], "numbers": {}, "asked": {}, "results": {},
        }
        return "applied"

    def approve(self, id):
        """Steps 4 to 10."""
        with self.one_at_a_time:
            case = self.cases[id]
            expect(case["phase"] == "requested", "treatment/already-decided")
            mine = record.endorse([case["entry"]], self.keys["signing"], int(time.time()))
            both = [case["theirs"], mine]
            authors = [case["patient"], self.id]
            first = (case["secret"], case["draw"])
            [receipt] = self.notarise(case, [case["entry"]["id"]], both, authors, first)
            self.check_receipt(receipt, case, case["entry"])
            case["phase"] = "approved"
            body = {"endorsement": mine, "receipt": receipt, "draw": case["draw"]}
            self.send(case, "treatment/approval", body)

    def decline(self, id, reason):
        """Steps 4 and 10."""
        with self.one_at_a_time:
            case = self.cases[id]
            expect(case["phase"] == "requested", "treatment/already-decided")
            case["phase"] = "declined"
            body = {"entry": case["entry"]["id"], "reason": reason}
            self.send(case, "treatment/refusal", body)

    def ask_for_data(self, id, resources, purpose):
        """Step 11; answers the data request's id."""
        with self.one_at_a_time:
            case, request = self.cases[id], new_id()
            expect(case["phase"] == "approved", "treatment/not-allowed-now")
            case["asked"][request] = None
            body = {"id": request, "resources": resources, "purpose": purpose}
            self.send(case, "treatment/data-request", body)
            return request

    def data(self, case, sender, body, now):
        cards = body.get("cards", [])
        good = len(cards) <= len(body["records"]) and all(isinstance(jwt, str) for jwt in cards)
        expect(good, "envelope/body")
        expect(body["request"] in case["asked"], "treatment/unknown-entry")
        shares = [self.shared(share, sender, body, now) for share in body["records"]]
        answer = case["asked"][body["request"]]
        if answer is not None:
            same = isinstance(answer, list) and keys(answer) == keys(shares)
            expect(same, "treatment/already-decided")
            return "repeated"
        case["asked"][body["request"]] = shares
        return "applied"

    def shared(self, share, sender, body, now):
        """One shared record (section 11.5)."""
        form(share, {"record": str, "receipt?": str}, "envelope/body")
        compact = share["record"]
        jwt = compact.split("~")[0]
        _, claims = unverified(jwt, record.kind(jwt), "record/malformed")
        form(claims, {"iss": NODE_ID}, "record/malformed", closed=False)
        own = claims["iss"] == sender["sub"]
        if own:
            content = record.check(compact, sender)
        else:
            author, jwt = self.author(claims["iss"], body.get("cards", []))
            content = record.check_presentation(compact, author, self.id, body["request"], now)
        expect(content.get("sub") == sender["sub"], "record/wrong-author")
        key, notary = record.verification_key(compact), None
        if "receipt" in share:
            notary = log.receipted(share["receipt"], self.trust, None, key, now=now)["iss"]
        if not own:
            if notary is None:
                self.trust.card(jwt, now)
            self.kept[author["sub"]] = jwt
        return {"key": key, "fhir": record.text(content["fhir"]), "notary": notary}

    def author(self, node, cards):
        """The card of a shared record's author, valid or not, and its JWT: the youngest of those that
        are known and that came along; of the latter, an institution's."""
        known = [jwt for jwt in (self.trust.nodes.get(node, {}).get("jwt"), self.kept.get(node)) if jwt]
        every = known + [jwt for jwt in cards if claims_to_be(jwt, node)]
        expect(every, "card/unknown")
        youngest = max(every, key=lambda jwt: claimed(jwt)["iat"])
        author = self.trust.chain(youngest)
        expect(youngest in known or author["role"] == "institution", "card/unknown")
        return author, youngest

    def data_refusal(self, case, sender, body, now):
        expect(body["request"] in case["asked"], "treatment/unknown-entry")
        answer = case["asked"][body["request"]]
        if isinstance(answer, str):
            return "repeated"
        expect(answer is None, "treatment/already-decided")
        case["asked"][body["request"]] = body["reason"]
        return "applied"

    def hand_in(self, id, *results):
        """Steps 14 to 18, all in one message; answers the entries' ids."""
        with self.one_at_a_time:
            case, now, key = self.cases[id], int(time.time()), self.keys["signing"]
            expect(case["phase"] == "approved", "treatment/not-allowed-now")
            entries, records = [], []
            for fhir in results:
                compact = record.issue(fhir, key, case["patient"], id, case["holder"], now)
                entries.append({
                    "id": new_entry(), "kind": "result", "case": id, "author": self.id,
                    "counterparty": case["patient"],
                    "verification_key": record.verification_key(compact),
                })
                records.append({"entry": entries[-1]["id"], "record": compact})
            mine = record.endorse(entries, key, now)
            for entry in entries:
                case["results"][entry["id"]] = {"entry": entry, "mine": mine, "status": "sent"}
            body = {"hand_in": new_id(), "of": len(records), "results": records, "endorsement": mine}
            self.send(case, "treatment/result", body)
            return [entry["id"] for entry in entries]

    def confirmation(self, case, sender, body, now):
        """Steps 20 and 21."""
        expect(1 <= len(body["receipts"]) <= 256, "treatment/count")
        said = record.endorsed(body["endorsement"], sender)
        for id, entry in said.items():
            expect(entry["case"] == case["id"], "ledger/mismatch")
            expect(id in case["results"], "treatment/unknown-entry")
            expect(case["results"][id]["entry"] == entry, "ledger/mismatch")
        theirs = {}
        for text in body["receipts"]:
            id = log.receipted(text, self.trust)["entry"]
            expect(id in said, "ledger/mismatch")
            claims = self.check_receipt(text, case, said[id])
            result = case["results"][id]
            if result["status"] == "committed":
                continue
            expect(result["status"] == "sent", "treatment/already-decided")
            theirs[id] = claims
        if not theirs:
            return "repeated"
        both = [*(case["results"][id]["mine"] for id in theirs), body["endorsement"]]
        receipts = self.notarise(case, list(theirs), both, [self.id, case["patient"]])
        for (id, their), receipt in zip(theirs.items(), receipts):
            expect(self.check_receipt(receipt, case, said[id]) == their, "ledger/mismatch")
            case["results"][id]["status"] = "committed"
        return "applied"

    def dispute(self, case, sender, body, now):
        expect(1 <= len(body["entries"]) <= 256, "treatment/count")
        results = [case["results"].get(id) for id in body["entries"]]
        expect(all(results), "treatment/unknown-entry")
        fits = all(result["status"] in ("sent", "disputed") for result in results)
        expect(fits, "treatment/already-decided")
        new = [result for result in results if result["status"] == "sent"]
        for result in new:
            result |= {"status": "disputed", "reason": body["reason"]}
        return "applied" if new else "repeated"

    def check_receipt(self, text, case, entry):
        """A receipt of the case's notary for this entry."""
        secret, now = case["secret"], int(time.time())
        claims = log.receipted(text, self.trust, entry, secret=secret, now=now)
        expect(claims["iss"] == case["notary"], "ledger/receipt")
        taken = case["numbers"].setdefault(claims["number"], entry["id"])
        expect(taken == entry["id"], "ledger/number-taken")
        return claims


def wish(request):
    """What a ServiceRequest asks for (section 11.1)."""
    try:
        reason = request["reasonCode"][0]["text"]
        may_read = [each["type"] for each in request.get("supportingInfo", []) if "type" in each]
        expect(request["resourceType"] == "ServiceRequest", "envelope/body")
    except (LookupError, TypeError):
        raise Refused("envelope/body") from None
    date = request.get("occurrenceDateTime")
    texts = all(map(is_text, [reason, *may_read, "" if date is None else date]))
    expect(texts and (date is None or DATE.fullmatch(date)), "envelope/body")
    return {"reason": reason, "date": date, "may_read": may_read}


def keys(shares):
    return [share["key"] for share in shares]


def handler(hospital):
    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["content-length"])
            octets = self.rfile.read(min(length, MAX_ENVELOPE + 1))
            try:
                expect(self.path == "/inbox", "api/not-found")
                answer, status = {"outcome": hospital.receive(octets)}, 202
                media_type = "application/json"
            except Refused as refused:
                status = STATUS.get(refused.code, 400)
                answer = {"type": f"urn:hdms:{refused.code}", "status": status,
                          "code": refused.code}
                if refused.code == "envelope/former-key":
                    answer["card"] = hospital.card
                media_type = "application/problem+json"
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    return Inbox
