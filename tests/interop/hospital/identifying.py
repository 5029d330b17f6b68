"""What leads to a person: docs/protocol.md section 8."""

import re

PERSONS = {"Patient", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"}
NOT_OF_PERSONS = {"resourceType", "gender", "active", "meta"}
WHO, WHERE, OTHERWISE = "who", "where", "otherwise"
NAMES = {
    WHO: "name alias contact telecom photo signature".split(),
    WHERE: ["address", "position"],
    OTHERWISE: """
        id identifier distinctIdentifier serialNumber udiCarrier uid altId subscriberId policyNumber
        preAuthRef versionId source network header instantiatesUri fullUrl link request response
        note comment comments description conclusion summary title disposition patientInstruction
        valueMarkdown presentedForm content
    """.split(),
}
DAY = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2}(T.*)?)?", re.DOTALL)


class Number:
    """A number as its author wrote it: no text, so that no text can pose as one."""

    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return isinstance(other, Number) and self.text == other.text

    def __hash__(self):
        return hash((Number, self.text))


def leads(resource, top, members, name, value):
    """Whether a member says who or where a person is, or leads there otherwise; else None."""
    if name == "contained" or top and resource == "Bundle" and name == "entry":
        return None
    if top and resource in PERSONS and name not in NOT_OF_PERSONS:
        return WHO
    element = name.removeprefix("_")
    named = (how for how, names in NAMES.items() if element in names)
    return next(named, None) or by_place(resource, members, element, value) or by_form(value)


def by_place(resource, members, element, value):
    label = element in ("display", "text", "unit", "data")
    found = (
        element == "reference" and is_reference(members)
        or element == "text" and "coding" not in members
        or element == "data" and resource == "Binary"
        or element.endswith("String") or not label and has_space(value)
    )
    return OTHERWISE if found else None


def is_text(value):
    return isinstance(value, str)


def has_space(value):
    if isinstance(value, list):
        return any(map(has_space, value))
    return is_text(value) and any(letter.isspace() for letter in value)


def by_form(value):
    if is_text(value):
        return OTHERWISE if DAY.fullmatch(value) or value.startswith("urn:uuid:") else None
    if isinstance(value, list):
        return next(filter(None, map(by_form, value)), None)
    if not isinstance(value, dict) or "resourceType" in value:
        return None
    if "div" not in value and value.keys() & {"family", "given"}:
        return WHO
    if "div" not in value and value.keys() & {"line", "city", "postalCode"}:
        return WHERE
    document = "contentType" in value and ("data" in value or "url" in value)
    period = value and set(value) <= {"start", "end"} and all(map(by_form, value.values()))
    product = "display" in value and target(value) in ("Medication", "Substance")
    reference = is_reference(value) and not product
    found = "div" in value or document or is_text(value.get("value")) or period or reference
    return OTHERWISE if found else None


def is_reference(members):
    display = is_text(members.get("display"))
    coded = is_text(members.get("code")) or is_text(members.get("system"))
    return is_text(members.get("reference")) or display and not coded


def target(reference):
    path = reference.get("reference", "").split("/_history/")[0].split("/")
    return path[-2] if len(path) > 1 else reference.get("type")
