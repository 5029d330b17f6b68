"""What a content is about, as its author signs it beside it: docs/protocol.md section 8."""

import re

from identifying import is_text

DATES = """
    effectiveDateTime effectiveInstant effectivePeriod performedDateTime performedPeriod
    occurrenceDateTime occurrencePeriod onsetDateTime onsetPeriod authoredOn period billablePeriod
    servicedDate started start whenHandedOver recordedDate issued sent created date timestamp
""".split()
NEGATING = ["entered-in-error", "cancelled", "declined", "not-done", "not-taken", "refuted"]
DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?(?:T.*)?", re.DOTALL)


def at(value, *names):
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def each(value):
    return value if isinstance(value, list) else []


def facts(content):
    """`kinds`, `codes`, and if the content gives them `year` and `age`."""
    resources = inside(content) if kind(content) == "Bundle" else [content]
    concepts = [concept for resource in resources if not is_negated(resource)
                for concept in concepts_of(resource)]
    codings = [coding for concept in concepts for coding in each(at(concept, "coding"))]
    codes = (token(coding) for coding in codings if is_text(at(coding, "code")))
    said = {
        "kinds": list(dict.fromkeys(map(kind, resources))),
        "codes": list(dict.fromkeys(codes))[:64],
    }
    when = date(content)
    if when and DATE.fullmatch(when):
        said["year"] = int(when[:4])
        if (years := age(born(resources), when)) is not None:
            said["age"] = years
    return said


def inside(bundle):
    """The resources in a Bundle's entries."""
    resources = (at(entry, "resource") for entry in each(at(bundle, "entry")))
    return [resource for resource in resources if isinstance(resource, dict)]


def kind(resource):
    return at(resource, "resourceType")


def concepts_of(resource):
    own = [at(resource, name) for name in ("code", "medicationCodeableConcept", "vaccineCode")]
    return own + [at(component, "code") for component in each(at(resource, "component"))]


def is_negated(resource):
    codings = each(at(resource, "verificationStatus", "coding"))
    codes = [at(resource, "status"), *(at(coding, "code") for coding in codings)]
    return any(code in NEGATING for code in codes) or at(resource, "doNotPerform") is True


def token(coding):
    system = at(coding, "system")
    return f"{system if is_text(system) else ''}|{coding['code']}"


def date(resource):
    """When what a resource or Bundle tells of happened."""
    resources = inside(resource) if kind(resource) == "Bundle" else []
    chief = resources[:1] if at(resource, "type") == "document" else []
    chief += [one for one in resources if kind(one) == "Encounter"][:1]
    found = next(filter(None, map(own_date, chief)), None)
    return found or max(filter(None, map(own_date, resources)), default=own_date(resource))


def own_date(resource):
    own = (resource[name] for name in DATES if name in resource)
    starts = (at(value, "start") if isinstance(value, dict) else value for value in own)
    return next(filter(is_text, starts), None)


def born(resources):
    """When the patient was born, if all Patient resources say so alike."""
    patients = [one for one in resources if kind(one) == "Patient"]
    dates = [at(patient, "birthDate") for patient in patients]
    alike = dates and is_text(dates[0]) and all(other == dates[0] for other in dates)
    return dates[0] if alike else ""


def age(birth, when):
    """Whole years between two dates, if they are fine enough to tell."""
    birth, when = DATE.fullmatch(birth), DATE.fullmatch(when)
    if not birth or not when[2] or not birth[2]:
        return None
    fine = 2 if when[2] != birth[2] else 3
    if not when[fine] or not birth[fine]:
        return None
    years = int(when[1]) - int(birth[1]) - (when[fine] < birth[fine])
    return years if years >= 0 else None
