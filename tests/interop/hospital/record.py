"""Records, entries and endorsements: docs/protocol.md sections 8 and 9."""

import json
import re
import secrets

from jwcrypto.jwk import JWK

from wire import NODE_ID, UUID7, decode, digest, encode, expect, form, parse, sign
from wire import unverified, verify, verify_by

RECORD = "hdms-record+sd-jwt"
MALFORMED = "record/malformed"
MAX_BYTES = 570_000
PERSONS = {"Patient", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"}
OPEN_OF_PERSONS = {"resourceType", "gender", "active", "meta"}
NAMES = set("""
    id identifier distinctIdentifier serialNumber udiCarrier uid altId subscriberId policyNumber
    preAuthRef versionId source network header instantiatesUri fullUrl link request response
    name alias contact telecom photo signature address position
    note comment comments description conclusion summary title disposition patientInstruction
    valueMarkdown presentedForm content
""".split())
DAY = re.compile(r"\d{4}-\d{2}(-\d{2}(T.*)?)?")
ELEMENT = re.compile("(?=.{1,64}$)_?[A-Za-z][A-Za-z0-9]*")
NUMBER = "\0number:"
ENTRY = {
    "id": UUID7, "kind": re.compile("request|result"), "case": UUID7, "author": NODE_ID,
    "counterparty": NODE_ID, "verification_key": str, "previous": (str, type(None)),
    "case_secret?": str, "draw?": dict,
}


def fhir(text):
    """FHIR content with its number texts, as JSON values that `text` writes out again."""
    number = NUMBER.__add__
    return parse(text.encode(), "fhir/not-json", parse_float=number, parse_int=number)


def text(value):
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'"\\u0000number:([^"]*)"', r"\1", written)


def verification_key(compact):
    return digest(compact.split("~")[0])


# --- what is concealed ---

def identifies(resource, top, members, name, value):
    if top and resource in PERSONS and name not in OPEN_OF_PERSONS:
        return True
    element = name.removeprefix("_")
    return element in NAMES or by_place(resource, members, element, value) or by_form(value)


def by_place(resource, members, element, value):
    if element == "reference" and is_reference(members):
        return True
    if element == "text" and "coding" not in members or element == "data" and resource == "Binary":
        return True
    labels = ("display", "text", "unit", "data")
    return element.endswith("String") or element not in labels and has_space(value)


def is_text(value):
    return isinstance(value, str) and not value.startswith(NUMBER)


def has_space(value):
    if isinstance(value, list):
        return any(map(has_space, value))
    return is_text(value) and any(letter.isspace() for letter in value)


def by_form(value):
    if is_text(value):
        return bool(DAY.fullmatch(value)) or value.startswith("urn:uuid:")
    if isinstance(value, list):
        return any(map(by_form, value))
    if not isinstance(value, dict) or "resourceType" in value:
        return False
    document = "contentType" in value and ("data" in value or "url" in value)
    period = value and set(value) <= {"start", "end"} and all(map(by_form, value.values()))
    named = value.keys() & {"div", "family", "given", "line", "city", "postalCode"}
    product = "display" in value and target(value) in ("Medication", "Substance")
    reference = is_reference(value) and not product
    return bool(named or document or is_text(value.get("value")) or period or reference)


def is_reference(members):
    display = is_text(members.get("display"))
    coded = is_text(members.get("code")) or is_text(members.get("system"))
    return is_text(members.get("reference")) or display and not coded


def target(reference):
    path = reference.get("reference", "").split("/_history/")[0].split("/")
    return path[-2] if len(path) > 1 else reference.get("type")


class Concealer:
    def __init__(self):
        self.disclosures, self.order = [], {}

    def disclose(self, *content):
        disclosure = encode(text([encode(secrets.token_bytes(16)), *content]).encode())
        self.disclosures.append(disclosure)
        return digest(disclosure)

    def value(self, value, resource, at):
        if isinstance(value, list):
            return [self.value(each, resource, f"{at}/{n}") for n, each in enumerate(value)]
        return self.object(value, resource, at) if isinstance(value, dict) else value

    def object(self, members, resource, at):
        own = members.get("resourceType")
        resource, visible, digests = own or resource, {}, []
        for name, value in members.items():
            below = f"{at}/{name}"
            if name == "contained" or name == "entry" and own == "Bundle":
                shown = (self.value(each, resource, f"{below}/{n}") for n, each in enumerate(value))
                visible[name] = [{"...": self.disclose(each)} for each in shown]
            elif identifies(resource, own is not None, members, name, value):
                digests.append(self.disclose(name, value))
            else:
                visible[name] = self.value(value, resource, below)
        if digests:
            self.order[at] = list(members)
            visible = {"_sd": sorted(digests)} | visible
        return visible


def issue(content, key, patient, case, holder, now):
    """The compact record of a FHIR text, signed by its author's `key`."""
    concealer = Concealer()
    visible = concealer.value(fhir(content), "", "")
    digests = [concealer.disclose("sub", patient), concealer.disclose("case", case),
               concealer.disclose("order", concealer.order)]
    claims = {
        "_sd": sorted(digests), "iss": key.thumbprint(), "iat": now, "cnf": {"jwk": holder},
        "fhir": "FHIR", "_sd_alg": "sha-256",
    }
    payload = json.dumps(claims).replace('"FHIR"', text(visible))
    compact = "~".join([sign(RECORD, payload, key), *concealer.disclosures, ""])
    expect(len(compact) <= MAX_BYTES, "record/too-large")
    return compact


# --- checking (8.1, 8.2) ---

class Processing:
    def __init__(self, disclosures):
        self.by_digest = {}
        for disclosure in disclosures:
            expect(digest(disclosure) not in self.by_digest, "record/signature")
            number = NUMBER.__add__
            octets = decode(disclosure, MALFORMED)
            content = parse(octets, MALFORMED, parse_float=number, parse_int=number)
            expect(isinstance(content, list) and len(content) in (2, 3), MALFORMED)
            expect(is_text(content[0]), MALFORMED)
            if len(content) == 3:
                expect(is_text(content[1]) and content[1] not in ("_sd", "..."), MALFORMED)
            self.by_digest[digest(disclosure)] = content
        self.seen, self.top = set(), set()

    def disclosed(self, digested, length):
        expect(isinstance(digested, str) and digested not in self.seen, MALFORMED)
        self.seen.add(digested)
        content = self.by_digest.pop(digested, None)
        expect(content is None or len(content) == length, MALFORMED)
        return content

    def value(self, value, depth=0):
        expect(depth <= 128, MALFORMED)
        if isinstance(value, list):
            return self.array(value, depth)
        return self.object(value, depth) if isinstance(value, dict) else value

    def object(self, members, depth):
        whole = {}
        digests = members.get("_sd", [])
        expect("..." not in members and isinstance(digests, list), MALFORMED)
        for name, value in members.items():
            if name != "_sd":
                whole[name] = self.value(value, depth + 1)
        for each in digests:
            if content := self.disclosed(each, 3):
                expect(content[1] not in whole, MALFORMED)
                whole[content[1]] = self.value(content[2], depth + 1)
                if depth == 0:
                    self.top.add(content[1])
        return whole

    def array(self, elements, depth):
        whole = []
        for element in elements:
            if isinstance(element, dict) and set(element) == {"..."}:
                if content := self.disclosed(element["..."], 2):
                    whole.append(self.value(content[1], depth + 1))
            else:
                whole.append(self.value(element, depth + 1))
        return whole


def check(compact, author):
    """The claims of a record by the node with the card `author`, disclosures in their places."""
    expect(len(compact) <= MAX_BYTES, "record/too-large")
    expect(compact.isascii() and compact.endswith("~"), MALFORMED)
    jwt, *disclosures = compact.split("~")[:-1]
    header, claims = unverified(jwt, RECORD, MALFORMED)
    named = header.get("kid") == claims.get("iss") == author["sub"]
    expect(named, "record/wrong-author")
    verify_by(jwt, RECORD, author, MALFORMED, "record/signature")
    number = NUMBER.__add__
    payload = decode(jwt.split(".")[1], MALFORMED)
    claims = parse(payload, MALFORMED, parse_float=number, parse_int=number)
    expect(claims.pop("_sd_alg", "sha-256") == "sha-256", MALFORMED)
    processing = Processing(disclosures)
    claims = processing.value(claims)
    expect(not processing.by_digest, "record/signature")
    expect(processing.top <= {"sub", "case", "order"}, MALFORMED)
    form(claims, {"iss": NODE_ID, "cnf?": dict, "sub?": str, "case?": str, "order?": dict,
                  "fhir": object}, MALFORMED, closed=False)
    expect(has_element_names(claims["fhir"]), MALFORMED)
    for pointer, names in claims.get("order", {}).items():
        reorder(claims["fhir"], pointer, names)
    return claims


def has_element_names(value):
    if isinstance(value, list):
        return all(map(has_element_names, value))
    names = value if isinstance(value, dict) else {}
    return all(ELEMENT.fullmatch(name) and has_element_names(names[name]) for name in names)


def reorder(content, pointer, names):
    for name in pointer.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        try:
            content = content[int(name) if isinstance(content, list) else name]
        except (LookupError, TypeError, ValueError):
            return
    if isinstance(content, dict):
        members = {name: content.pop(name) for name in names if name in content} | content
        content.clear()
        content.update(members)


def holder_key(jwk):
    form(jwk, {"kty": str, "crv": str, "x": str, "y": str}, MALFORMED, closed=False)
    expect(jwk["kty"] == "EC" and jwk["crv"] == "P-256", MALFORMED)
    for_signing = jwk.get("alg", "ES256") == "ES256" and jwk.get("use", "sig") == "sig"
    expect(for_signing and "verify" in jwk.get("key_ops", ["verify"]), MALFORMED)
    return JWK(**{name: jwk[name] for name in ("kty", "crv", "x", "y")})


def check_presentation(compact, author, audience, nonce, now):
    presented, _, binding = compact.rpartition("~")
    claims = check(presented + "~", author)
    code = "record/holder"
    expect(binding and "cnf" in claims, code)
    key = holder_key(claims["cnf"]["jwk"])
    _, bound = verify(binding, "kb+jwt", key, code, code, alg="ES256")
    form(bound, {"iat": int, "aud": str, "nonce": str, "sd_hash": str}, code, closed=False)
    fitting = (bound["sd_hash"], bound["aud"], bound["nonce"])
    expect(fitting == (digest(presented + "~"), audience, nonce), code)
    expect(abs(bound["iat"] - now) <= 30 * 24 * 3600, code)
    return claims


# --- the ledger (section 9) ---

def endorse(entry, key, now):
    claims = {"iss": key.thumbprint(), "iat": now, "entry": entry}
    return sign("hdms-endorsement+jwt", claims, key)


def endorsed(jwt, card):
    """The entry that the node with this card has endorsed."""
    malformed, forged = "ledger/malformed", "ledger/endorsement"
    _, claims = verify_by(jwt, "hdms-endorsement+jwt", card, malformed, forged)
    form(claims, {"iss": NODE_ID, "iat": int, "entry": dict}, malformed, closed=False)
    entry = form(claims["entry"], ENTRY, malformed)
    expect(entry["previous"] is None or UUID7.fullmatch(entry["previous"]), malformed)
    expect(claims["iss"] == card["sub"], forged)
    expect(card["sub"] in (entry["author"], entry["counterparty"]), "ledger/not-participant")
    return entry
