"""Records, entries and endorsements: docs/protocol.md sections 8 and 9."""

import json
import re
import secrets

from jwcrypto.jwk import JWK

from facts import facts
from identifying import Number, WHERE, WHO, is_text, leads
from wire import NODE_ID, UUID4, UUID7, Refused, decode, digest, encode, expect, form, parse, sign
from wire import p256, unverified, verify, verify_by

RECORD, FORMER = "hdms-record-2+sd-jwt", "hdms-record+sd-jwt"
MALFORMED = "record/malformed"
MAX_BYTES = 570_000
A_DAY = 86_400
OPEN = {"_sd", "_sd_alg", "iss", "iat", "cnf", "fhir"}
HIDDEN = {
    RECORD: {"sub", "case", "kinds", "codes", "year", "age", "decoys"},
    FORMER: {"sub", "case", "order"},
}
CLAIMS = 8
ELEMENT = re.compile("(?=.{1,64}$)_?[A-Za-z][A-Za-z0-9]*")
ENTRY = {
    "id": UUID4, "kind": re.compile("request|result"), "case": UUID7, "author": NODE_ID,
    "counterparty": NODE_ID, "verification_key": str,
    "case_secret?": str, "draw?": dict,
}


def fhir(text):
    """FHIR content with its number texts, as JSON values that `text` writes out again."""
    return parse(text.encode(), "fhir/not-json", parse_float=Number, parse_int=Number)


def text(value):
    if isinstance(value, dict):
        members = (f"{text(name)}:{text(value[name])}" for name in value)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return value.text if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def verification_key(compact):
    return digest(compact.split("~")[0])


# --- issuing ---

def rounded(count):
    if count == 0:
        return 0
    return 1 << (count - 1).bit_length() if count <= 16 else -(-count // 16) * 16


def mixed(items, others):
    """The items in their order, and among them the others, anywhere."""
    items = list(items)
    for other in others:
        items.insert(secrets.randbelow(len(items) + 1), other)
    return items


def decoy(seed, number):
    return digest(f"hdms-decoy:{seed}:{number}")


class Concealer:
    def __init__(self):
        self.disclosures, self.seed, self.made = [], encode(secrets.token_bytes(32)), 0

    def disclose(self, *content):
        disclosure = encode(text([encode(secrets.token_bytes(16)), *content]).encode())
        self.disclosures.append(disclosure)
        return digest(disclosure)

    def decoys(self, count):
        self.made += count
        return [decoy(self.seed, number) for number in range(self.made - count, self.made)]

    def array(self, elements):
        shown = [self.disclose(each) for each in elements]
        decoys = self.decoys(rounded(len(shown)) - len(shown))
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
        first = slots[:1] if slots[0] == "resourceType" else []
        slots = first + mixed(slots[len(first):], [numbers[each] for each in decoys])
        orders = [self.disclose("$order", slots)] if ordered else []
        return {"_sd": sorted(digests + decoys + orders)} | visible


def issue(content, key, patient, case, holder, now):
    """The compact record of a FHIR text, signed by its author's `key`."""
    concealer, content = Concealer(), fhir(content)
    visible = concealer.value(content, "")
    hidden = {"sub": patient, "case": case} | facts(content) | {"decoys": concealer.seed}
    for name in ("kinds", "codes"):
        hidden[name] = concealer.array(hidden[name])
    digests = [concealer.disclose(name, value) for name, value in hidden.items()]
    claims = {
        "_sd": sorted(digests + concealer.decoys(CLAIMS - len(digests))), "iss": key.thumbprint(),
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
        self.by_digest, self.ordered, self.salts = {}, ordered, []
        for disclosure in disclosures:
            expect(digest(disclosure) not in self.by_digest, "record/signature")
            octets = decode(disclosure, MALFORMED)
            content = parse(octets, MALFORMED, parse_float=Number, parse_int=Number)
            expect(isinstance(content, list) and len(content) in (2, 3), MALFORMED)
            expect(is_text(content[0]), MALFORMED)
            if len(content) == 3:
                expect(is_text(content[1]) and content[1] not in ("_sd", "..."), MALFORMED)
            self.by_digest[digest(disclosure)] = content
            self.salts.append(content[0])
        self.seen, self.top, self.withheld = set(), set(), {}

    def disclosed(self, digested, length, depth):
        expect(isinstance(digested, str) and digested not in self.seen, MALFORMED)
        if self.ordered:
            expect(len(decode(digested, MALFORMED)) == 32, MALFORMED)
        self.seen.add(digested)
        content = self.by_digest.pop(digested, None)
        expect(content is None or len(content) == length, MALFORMED)
        if content is None:
            self.withheld[digested] = depth
        return content

    def end(self):
        """Once all is in its place."""
        expect(not self.by_digest, "record/signature")
        salted = all(len(salt) >= 22 for salt in self.salts)
        salted = salted and len(set(self.salts)) == len(self.salts)
        expect(salted or not self.ordered, MALFORMED)

    def expect_rounded(self, count):
        expect(not self.ordered or rounded(count) == count, MALFORMED)

    def expect_whole(self, seed, has_case):
        """That nothing but the case is withheld."""
        expect(len(decode(seed, MALFORMED)) == 32, MALFORMED)
        decoys = {decoy(seed, number) for number in range(len(self.withheld))}
        others = [self.withheld[each] for each in self.withheld.keys() - decoys]
        expect(others in ([], [0]) and not (has_case and others), "record/incomplete")

    def value(self, value, depth=0):
        expect(depth <= 128, MALFORMED)
        if isinstance(value, list):
            return self.array(value, depth)
        return self.object(value, depth) if isinstance(value, dict) else value

    def object(self, members, depth):
        shown = {name: value for name, value in members.items() if name != "_sd"}
        digests = members.get("_sd", [])
        expect("..." not in members and isinstance(digests, list), MALFORMED)
        self.expect_rounded(len(digests))
        hidden, order = {}, None
        for each in digests:
            content = self.disclosed(each, 3, depth)
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
        whole, hidden = [], 0
        for element in elements:
            if isinstance(element, dict) and set(element) == {"..."}:
                hidden += 1
                if content := self.disclosed(element["..."], 2, depth):
                    whole.append(self.value(content[1], depth + 1))
            else:
                whole.append(self.value(element, depth + 1))
        self.expect_rounded(hidden)
        return whole


def in_order(shown, hidden, order):
    """The members of an object; of those hidden, digest by digest, only what was disclosed."""
    if order is None:
        return [*shown.items(), *filter(None, hidden.values())]
    expect(isinstance(order, list), MALFORMED)
    numbered = {Number(f"{n}"): hidden[each] for n, each in enumerate(sorted(hidden))}
    slots = numbered | {name: (name, value) for name, value in shown.items()}
    expect(all(isinstance(slot, str | Number) for slot in order), MALFORMED)
    expect(len(order) == len(slots) and set(order) == set(slots), MALFORMED)
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
    payload = decode(jwt.split(".")[1], MALFORMED)
    claims = parse(payload, MALFORMED, parse_float=Number, parse_int=Number)
    if typ == RECORD:
        check_open(claims)
    expect(claims.pop("_sd_alg", "sha-256") == "sha-256", MALFORMED)
    processing = Processing(disclosures, typ == RECORD)
    claims = processing.value(claims)
    processing.end()
    expect(processing.top <= HIDDEN[typ], MALFORMED)
    form(claims, {"iss": NODE_ID, "cnf?": dict, "sub?": str, "case?": str, "order?": dict,
                  "kinds?": list, "codes?": list, "year?": Number, "age?": Number, "decoys?": str,
                  "fhir": object}, MALFORMED, closed=False)
    for name in {"year", "age"} & claims.keys():
        claims[name] = whole(claims[name])
    expect(has_element_names(claims["fhir"]), MALFORMED)
    for pointer, names in claims.get("order", {}).items():
        reorder(claims["fhir"], pointer, names)
    if typ == RECORD and "decoys" in claims:
        processing.expect_whole(claims["decoys"], "case" in claims)
        check_facts(claims)
    return claims


def check_new(compact, author):
    """The same of a record that is handed over when it is new."""
    claims = check(compact, author)
    expect(kind(compact.split("~")[0]) == RECORD, "record/former-format")
    expect("decoys" in claims, "record/incomplete")
    return claims


def check_open(claims):
    """That nothing stands in the open but author, holder, day and structure."""
    shown, digests = claims.get("fhir"), claims.get("_sd")
    expect(claims.keys() <= OPEN and isinstance(shown, dict), MALFORMED)
    expect(isinstance(digests, list) and len(digests) == CLAIMS, MALFORMED)
    expect(shown.keys() <= {"_sd", "resourceType"}, MALFORMED)
    expect(isinstance(shown.get("resourceType"), str), MALFORMED)
    if "cnf" in claims:
        jwk = form(claims["cnf"], {"jwk": dict}, MALFORMED)["jwk"]
        form(jwk, {"kty": str, "crv": str, "x": str, "y": str}, MALFORMED)
    expect(whole(claims.get("iat")) % A_DAY == 0, MALFORMED)


def whole(number):
    """A whole number, not negative."""
    text = number.text if isinstance(number, Number) else ""
    expect(re.fullmatch("[0-9]+", text), MALFORMED)
    return int(text)


def check_facts(claims):
    """That the author says of a whole content what it gives."""
    names, given = ("kinds", "codes", "year"), facts(claims["fhir"])
    alike = all(claims.get(name) == given.get(name) for name in names)
    alike = alike and claims.get("age") in (None, given.get("age", claims.get("age")))
    expect(alike, "record/facts")


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


def check_presentation(compact, author, audience, nonce, now):
    presented, _, binding = compact.rpartition("~")
    claims = check(presented + "~", author)
    code = "record/holder"
    expect(binding and "cnf" in claims, code)
    key = p256(claims["cnf"]["jwk"], MALFORMED)
    _, bound = verify(binding, "kb+jwt", key, code, code, alg="ES256")
    form(bound, {"iat": int, "aud": str, "nonce": str, "sd_hash": str}, code, closed=False)
    fitting = (bound["sd_hash"], bound["aud"], bound["nonce"])
    expect(fitting == (digest(presented + "~"), audience, nonce), code)
    expect(abs(bound["iat"] - now) <= 30 * 24 * 3600, code)
    return claims


# --- the ledger (section 9) ---

def endorse(entries, key, now):
    """Signs entries of one case, all together."""
    claims = {"iss": key.thumbprint(), "iat": now, "entries": entries}
    return sign("hdms-endorsement+jwt", claims, key)


def endorsed(jwt, card):
    """The entries that the node with this card has endorsed, by id."""
    malformed, forged = "ledger/malformed", "ledger/endorsement"
    _, claims = verify_by(jwt, "hdms-endorsement+jwt", card, malformed, forged)
    form(claims, {"iss": NODE_ID, "iat": int, "entries": list}, malformed, closed=False)
    entries = [form(entry, ENTRY, malformed) for entry in claims["entries"]]
    expect(1 <= len(entries) <= 256, malformed)
    expect(all(entry["kind"] == "result" or "case_secret" in entry for entry in entries), malformed)
    alike = {(entry["case"], *sorted((entry["author"], entry["counterparty"]))) for entry in entries}
    by_id = {entry["id"]: entry for entry in entries}
    expect(len(alike) == 1 and len(by_id) == len(entries), malformed)
    expect(claims["iss"] == card["sub"], forged)
    expect(card["sub"] in alike.pop()[1:], "ledger/not-participant")
    return by_id
