"""Being a member of a network: docs/protocol.md sections 6, 10 and 12."""

import json
import time
import urllib.error
import urllib.request

from jwcrypto.jwk import JWK

from wire import Refused, Trust, answer_to, digest, new_id, open_envelope, public, seal, sign


ABOUT = {
    "registry_number": "Commercial Register 4711", "address": "1 Snake Street",
    "contact": "The administrator, +1 555 0100",
}


def ask(url, body=None, **headers):
    """The JSON of an answer, `None` where there is none; what is refused comes as `Refused`."""
    text = fetch(url, body, **headers)
    return json.loads(text) if text else None


def fetch(url, body=None, **headers):
    """The octets of an answer."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    octets = None if body is None else body.encode()
    request = urllib.request.Request(url, octets, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as problem:
        content = json.load(problem)
        assert problem.headers["content-type"] == "application/problem+json"
        assert (content["status"], content["type"]) == (problem.code, "urn:hdms:" + content["code"])
        raise Refused(content["code"]) from None
    if status == 202 and "code" in json.loads(text or "{}"):
        raise Refused(json.loads(text)["code"])
    return text


class Member:
    """A node with keys of its own; `endpoint` is `None` for a personal one, whose name is nobody's
    business."""

    def __init__(self, server, role, name, endpoint=None):
        self.server, self.role, self.name, self.endpoint = server, role, name, endpoint
        self.keys = {use: JWK.generate(kty="RSA", size=3072) for use in ("signing", "encryption")}
        self.keys["request"] = JWK.generate(kty="EC", crv="P-256")
        self.id = self.keys["signing"].thumbprint()
        self.root = ask(server + "/network/root")
        self.trust = self.card = None

    def apply(self):
        """Asks the Doorman for a card: `doorman/pending` until the operator has decided."""
        request = {
            "iss": self.id, "iat": int(time.time()), "jti": new_id(), "role": self.role,
            "signing_key": public(self.keys["signing"]), "subkeys": self.subkeys(),
        }
        if self.endpoint:
            request |= {"name": self.name, "endpoint": self.endpoint, "about": ABOUT}
        jwt = sign("hdms-admission+jwt", request, self.keys["signing"])
        url = self.server + "/doorman/"
        asked = ask(url + "admissions", jwt, content_type="application/jwt")
        answer = answer_to(asked["challenge"], self.keys["encryption"], self.id)
        answer = json.dumps({"request": jwt, "expires": asked["expires"], "answer": answer})
        self.card = ask(url + "answers", answer, content_type="application/json")["card"]

    def subkeys(self):
        """The statement which other keys this node has (section 5)."""
        claims = {"iss": self.id, "iat": int(time.time())}
        claims |= {use: public(self.keys[use]) for use in ("encryption", "request")}
        return sign("hdms-subkeys+jwt", claims, self.keys["signing"])

    def renew(self):
        """Asks for a card with a new encryption key."""
        self.keys["encryption"] = JWK.generate(kty="RSA", size=3072)
        self.apply()

    def refresh(self):
        """Takes the newest network documents."""
        size = self.trust.manifest["number"] if self.trust else 0
        documents = ask(f"{self.server}/network?size={size}")
        self.trust = Trust(documents, self.root, int(time.time()), self.trust)

    def proof(self, method, path, body=""):
        """The header with which a request to the server is authorised."""
        claims = {
            "iss": self.id, "iat": int(time.time()), "jti": new_id(), "htm": method,
            "htu": self.server + path.split("?")[0], "body": digest(body),
        }
        return sign("hdms-proof+jwt", claims, self.keys["request"], "ES256", self.id)

    def get(self, path):
        return ask(self.server + path, hdms_proof=self.proof("GET", path))

    def post(self, path, content):
        body = json.dumps(content)
        headers = {"content_type": "application/json", "hdms_proof": self.proof("POST", path, body)}
        return ask(self.server + path, body, **headers)

    def deliver(self, to, id, envelope):
        """The server's answer to one delivery."""
        deliveries = {"deliveries": [{"to": to, "id": id, "envelope": envelope}]}
        [answer] = self.post("/mailbox/deliveries", deliveries)["answers"]
        return answer

    def reports(self):
        """What became of what was delivered since this was asked last (section 12.2)."""
        reports, more = [], True
        while more:
            after = reports[-1]["number"] if reports else 0
            page = self.get(f"/mailbox/reports?after={after}&limit=100")
            reports, more = reports + page["reports"], page["more"]
        if reports:
            self.post("/mailbox/reports/acknowledgement", {"upto": reports[-1]["number"]})
        return reports

    def deposit(self, notary, case, deposits):
        """The notary's answers to deposits, each `(entry's id, endorsements, cards, secret, draw)`."""
        notary = self.trust.card(self.trust.notary(notary)["jwt"], int(time.time()))
        cards = list(dict.fromkeys(card for _, _, cards, *_ in deposits for card in cards))
        said = list(dict.fromkeys(jwt for _, both, *_ in deposits for jwt in both))
        each = [{"entry": entry} | ({"case_secret": secret} if secret else {})
                | ({"draw": draw} if draw else {}) for entry, _, _, secret, draw in deposits]
        body = {"cards": cards, "endorsements": said, "deposits": each}
        return self.submit(notary, case, "notary/deposit", body)["answers"]

    def submit(self, notary, case, kind, body):
        _, envelope = seal(self.keys, notary, kind, case, body, self.card)
        url = notary["endpoint"] + "/deposits"
        return ask(url, envelope, content_type="application/jose")

    def query(self, notary, entries):
        """The receipts that a notary gives for entries, each `{entry, salt}` (section 10)."""
        notary = self.trust.card(self.trust.notary(notary)["jwt"], int(time.time()))
        body, case = {"entries": entries}, new_id()
        _, envelope = seal(self.keys, notary, "notary/query", case, body, self.card)
        url = notary["endpoint"] + "/queries"
        answer = fetch(url, envelope, content_type="application/jose")
        message, sender, _ = open_envelope(answer, self.keys, self.trust, {}, int(time.time()))
        fits = (message["type"], message["thd"], sender["sub"])
        assert fits == ("notary/answer", case, notary["sub"])
        return message["body"]["receipts"]
