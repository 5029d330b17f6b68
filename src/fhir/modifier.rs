//! Elements that may turn what stands beside them into its opposite: that it is refuted, was not done, was
//! entered in error, is a plan only. Who is shown a part of an object is shown these of it.

/// Those that FHIR R4 calls modifiers (`isModifier` in the StructureDefinitions of 4.0.1), wherever they stand,
/// and `exclude` of groups, which says the same. Not here are `link` and `deceased[x]` of persons, which say who
/// somebody is and how it went on, `code` of Basic, and the low limits of an ingredient's strength.
#[rustfmt::skip]
const MODIFIERS: [&str; 22] = [
    // Of every resource and element.
    "implicitRules", "modifierExtension",
    // How far it is so.
    "status", "clinicalStatus", "verificationStatus", "lifecycleStatus", "participantStatus",
    "forecastStatus", "active", "actuality", "doNotPerform", "intent", "isSubpotent", "scope",
    // What is in a list or group, and which way a comparison goes.
    "mode", "deleted", "exclude", "equivalence", "improvementNotation",
    // Of data types: an old name, less than this value.
    "use", "comparator",
    // Of questions: whether they were to be answered.
    "enableWhen",
];

/// Whether an element of this name, or what extends it, is such a one.
pub fn is_modifier(name: &str) -> bool {
    MODIFIERS.contains(&name.strip_prefix('_').unwrap_or(name))
}
