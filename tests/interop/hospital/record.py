"""Records, entries and endorsements: docs/protocol.md sections 8 and 9."""

import json
import re
import secrets

from jwcrypto.jwk import JWK

from identifying import NUMBER, WHERE, WHO, is_text, leads
from wire import NODE_ID, UUID7, Refused, decode, digest, encode, expect, form, parse, sign
from wire import unverified, verify, verify_by

RECORD, FORMER = "hdms-record-2+sd-jwt", "hdms-record+sd-jwt"
MALFORMED = "record/malformed"
MAX_BYTES = 570_000
A_DAY = 86_400
OPEN = {"_sd", "_sd_alg", "iss", "iat", "cnf", "fhir"}
HIDDEN = {RECORD: {"sub", "case", "kinds", "codes", "year", "age"}, FORMER: {"sub", "case", "order"}}
DATES = """
    effectiveDateTime effectiveInstant effectivePeriod performedDateTime performedPeriod
    occurrenceDateTime occurrencePeriod onsetDateTime onsetPeriod authoredOn period billablePeriod
    servicedDate started start whenHandedOver recordedDate issued sent created date timestamp
""".split()
A_NUMBER = re.compile(NUMBER + r"\d+")
ELEMENT = re.compile("(?=.{1,64}$)_?[A-Za-z][A-Za-z0-9]*")
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


# --- issuing ---

def rounded(count):
    return 1 << (count - 1).bit_length() if count <= 16 else -(-count // 16) * 16


def mixed(items, others):
    """The items in their order, and among them the others, anywhere."""
    items = list(items)
    for other in others:
        items.insert(secrets.randbelow(len(items) + 1), other)
    return items


class Concealer:
    def __init__(self):
        self.disclosures = []

    def disclose(self, *content):
        disclosure = encode(text([encode(secrets.token_bytes(16)), *content]).encode())
        self.disclosures.append(disclosure)
        return digest(disclosure)

    def decoys(self, count):
        return [digest(encode(secrets.token_bytes(32))) for _ in range(count)]

    def array(self, elements):
        shown = [self.disclose(each) for each in elements]
        decoys = self.decoys(rounded(len(shown)) - len(shown) if shown else 0)
        return [{"...": each} for each in mixed(shown, decoys)]

    def value(self, value, resource, parts=False, asks=True):
        """What stays visible of a value: below who or where a person is, `parts`, nothing; below what
        leads to a person otherwise, where nobody `asks`, all."""
        if isinstance(value, list):
            elements = [self.value(each, resource, parts, asks) for each in value]
            return self.array(elements) if parts else elements
        return self.object(value, resource, parts, asks) if isinstance(value, dict) else value

    def object(self, members, resource, parts, asks):
        own = members.get("resourceType")
        parts, asks = (False, True) if own else (parts, asks)
        visible, digests, order = {}, [], []
        for name, value in members.items():
            how = leads(own or resource, own is not None, members, name, value) if asks else None
            below = (parts or how in (WHO, WHERE), asks and not how)
            shown = self.value(value, own or resource, *below)
            if own and isinstance(value, list) and not below[0]:
                shown = self.array(shown)
            if own and name != "resourceType" or how or parts:
                digests.append(self.disclose(name, shown))
                order.append(digests[-1])
            else:
                visible[name] = shown
                order.append(name)
        return self.whole(visible, digests, order) if digests else visible

    def whole(self, visible, digests, order):
        ordered = len(order) > 1
        decoys = self.decoys(rounded(len(digests) + ordered) - len(digests) - ordered)
        numbers = {each: number for number, each in enumerate(sorted(digests + decoys))}
        slots = [each if each in visible else numbers[each] for each in order]
        slots = mixed(slots, [numbers[each] for each in decoys])
        orders = [self.disclose("$order", slots)] if ordered else []
        return {"_sd": sorted(digests + decoys + orders)} | visible


def facts(content):
    """What a content is about: `kinds`, `codes` and `year`."""
    def date(resource):
        own = (resource[name] for name in DATES if name in resource)
        starts = (each.get("start") if isinstance(each, dict) else each for each in own)
        return next(filter(is_text, starts), None)

    entries = content.get("entry", []) if content["resourceType"] == "Bundle" else None
    inside = [each["resource"] for each in entries or [] if "resource" in each]
    resources, dated = ([content], []) if entries is None else (inside, inside)
    concepts = []
    for resource in resources:
        own = ("code", "medicationCodeableConcept", "vaccineCode")
        concepts += [resource.get(name) for name in own]
        concepts += [each.get("code") for each in resource.get("component", [])]
    codings = [coding for concept in concepts if isinstance(concept, dict)
               for coding in concept.get("coding", []) if "code" in coding]
    codes = dict.fromkeys(f"{coding.get('system', '')}|{coding['code']}" for coding in codings)
    when = next(filter(None, map(date, [content, *dated])), "")
    year = {"year": int(when[:4])} if re.match(r"\d{4}(-|T|$)", when) else {}
    kinds = dict.fromkeys(resource["resourceType"] for resource in resources)
    return {"kinds": list(kinds), "codes": list(codes)[:64]} | year


def issue(content, key, patient, case, holder, now):
    """The compact record of a FHIR text, signed by its author's `key`."""
    concealer, content = Concealer(), fhir(content)
    visible = concealer.value(content, "")
    hidden = {"sub": patient, "case": case} | facts(content)
    for name in ("kinds", "codes"):
        hidden[name] = concealer.array(hidden[name])
    digests = [concealer.disclose(name, value) for name, value in hidden.items()]
    claims = {
        "_sd": sorted(digests + concealer.decoys(8 - len(digests))), "iss": key.thumbprint(),
        "iat": now - now % A_DAY, "cnf": {"jwk": holder}, "fhir": "FHIR", "_sd_alg": "sha-256",
    }
    payload = json.dumps(claims).replace('"FHIR"', text(visible))
    compact = "~".join([sign(RECORD, payload, key), *concealer.disclosures, ""])
    expect(len(compact) <= MAX_BYTES, "record/too-large")
    return compact


# --- checking (8.1, 8.2) ---

def kind(jwt):
    """The `typ` of a record's signed JWT: what is of no format counts as the present one."""
    try:
        unverified(jwt, FORMER, MALFORMED)
    except Refused:
        return RECORD
    return FORMER


class Processing:
    def __init__(self, disclosures, ordered):
        self.by_digest, self.ordered = {}, ordered
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
        shown = {name: value for name, value in members.items() if name != "_sd"}
        digests = members.get("_sd", [])
        expect("..." not in members and isinstance(digests, list), MALFORMED)
        hidden, order = {}, None
        for each in digests:
            content = self.disclosed(each, 3)
            if content and self.ordered and depth and content[1] == "$order":
                expect(order is None, MALFORMED)
                order = content[2]
            else:
                hidden[each] = content and content[1:]
        whole = {}
        for name, value in in_order(shown, hidden, order):
            expect(name not in whole, MALFORMED)
            whole[name] = self.value(value, depth + 1)
        if depth == 0:
            self.top = whole.keys() - shown.keys()
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


def in_order(shown, hidden, order):
    """The members of an object; of those hidden, digest by digest, only what was disclosed."""
    if order is None:
        return [*shown.items(), *filter(None, hidden.values())]
    expect(isinstance(order, list), MALFORMED)
    numbered = {f"{NUMBER}{n}": hidden[each] for n, each in enumerate(sorted(hidden))}
    slots = numbered | {name: (name, value) for name, value in shown.items()}
    expect(all(isinstance(slot, str) for slot in order), MALFORMED)
    expect(sorted(order) == sorted(slots), MALFORMED)
    return list(filter(None, (slots[slot] for slot in order)))


def check(compact, author):
    """The claims of a record by the node with the card `author`, disclosures in their places."""
    expect(len(compact) <= MAX_BYTES, "record/too-large")
    expect(compact.isascii() and compact.endswith("~"), MALFORMED)
    jwt, *disclosures = compact.split("~")[:-1]
    typ = kind(jwt)
    header, claims = unverified(jwt, typ, MALFORMED)
    named = header.get("kid") == claims.get("iss") == author["sub"]
    expect(named, "record/wrong-author")
    verify_by(jwt, typ, author, MALFORMED, "record/signature")
    number = NUMBER.__add__
    payload = decode(jwt.split(".")[1], MALFORMED)
    claims = parse(payload, MALFORMED, parse_float=number, parse_int=number)
    if typ == RECORD:
        shown = claims.get("fhir")
        expect(claims.keys() <= OPEN and isinstance(shown, dict), MALFORMED)
        expect(shown.keys() <= {"_sd", "resourceType"}, MALFORMED)
        expect(isinstance(shown.get("resourceType"), str), MALFORMED)
        if "cnf" in claims:
            jwk = form(claims["cnf"], {"jwk": dict}, MALFORMED)["jwk"]
            form(jwk, {"kty": str, "crv": str, "x": str, "y": str}, MALFORMED)
        day = str(claims.get("iat")).removeprefix(NUMBER)
        expect(day.isdigit() and int(day) % A_DAY == 0, MALFORMED)
    expect(claims.pop("_sd_alg", "sha-256") == "sha-256", MALFORMED)
    processing = Processing(disclosures, typ == RECORD)
    claims = processing.value(claims)
    expect(not processing.by_digest, "record/signature")
    expect(processing.top <= HIDDEN[typ], MALFORMED)
    form(claims, {"iss": NODE_ID, "cnf?": dict, "sub?": str, "case?": str, "order?": dict,
                  "kinds?": list, "codes?": list, "year?": A_NUMBER, "age?": A_NUMBER, "fhir": object},
         MALFORMED, closed=False)
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
