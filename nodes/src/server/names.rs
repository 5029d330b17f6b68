//! Names of members, as people take one for the other.

use unicode_security::confusable_detection::skeleton;

/// Whether two names are the same but for letter case and surplus white space: no two members have them.
pub fn are_the_same(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// Whether two names look alike: by the confusable characters of Unicode (Technical Standard 39), whatever
/// their case and white space. It finds too many rather than too few, and is for a person to decide.
pub fn look_alike(one: &str, other: &str) -> bool {
    drawn(one) == drawn(other)
}

fn plain(name: &str) -> String {
    let words: Vec<_> = name.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// A capital letter may look like another letter than its small one: so before and after. A capital I
/// is drawn as a small l.
fn drawn(name: &str) -> String {
    let letters: String = skeleton(name).filter(|letter| !letter.is_whitespace()).collect();
    skeleton(&letters.to_lowercase())
        .map(|letter| if letter == 'i' { 'l' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{are_the_same, look_alike};

    #[test]
    fn names_that_people_take_for_one_are_found() {
        let name = "University Hospital 10";
        for other in [
            "UNIVERSITY  hospital 10",
            // Cyrillic, Greek and Latin; capitals too.
            "University H\u{43e}spital 10",
            "University \u{41d}ospital 10",
            "Un\u{456}versity Hospital 10",
            "UNIVERSITY \u{397}OSPITAL 10",
            "Universlty Hospital lO",
            "University Hosp\u{131}tal 10",
            "\u{1d580}niversity Hospital 10",
            "UniversityHospital 10",
        ] {
            assert!(look_alike(name, other), "{other}");
        }
        for other in ["University Hospital 11", "University Hospitals 10", "Univers Hospital 10"] {
            assert!(!look_alike(name, other), "{other}");
        }
        assert!(are_the_same("St.  Elsewhere", "st. elsewhere"));
        assert!(!are_the_same("St. Elsewhere", "St. Els\u{435}where"));
    }
}
