//! Names of members: what an operator can judge of a text, and as what people take one for the other.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup as Group, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_security::confusable_detection::skeleton;

/// Most marks after one letter: as many as the scripts that are written with them need.
const MOST_MARKS: usize = 4;

/// EGYPTIAN HIEROGLYPH FULL BLANK and HALF BLANK: letters that no property tells from others.
const BLANKS: [char; 2] = ['\u{13441}', '\u{13442}'];

/// Whether a text is what an operator sees of it, and moves nothing else about: letters, numbers,
/// punctuation, spaces and the symbols of ASCII, none of which are drawn as nothing. A mark makes one
/// character with its letter (Unicode's form NFC), or belongs to the letter's own script, as vowels do in
/// many.
pub fn is_plain(text: &str) -> bool {
    first_odd(text).is_none()
}

/// The first character, after normalisation, for which it is not.
pub fn first_odd(text: &str) -> Option<char> {
    let (mut last, mut marks) = (Script::Common, 0);
    let mut is_plain = |one: char| {
        let (category, script) = (category(one), CodePointMapData::<Script>::new().get(one));
        if Group::Mark.contains(category) {
            marks += 1;
            return script == last
                && script != Script::Common
                && marks <= MOST_MARKS
                && is_drawn(one);
        }
        (last, marks) = (script, 0);
        let drawn = Group::Letter.union(Group::Number).union(Group::Punctuation).contains(category);
        one == ' ' || one.is_ascii_graphic() || (drawn && is_drawn(one))
    };
    let text = composed(text);
    let plain = text.chars().take_while(|one| is_plain(*one)).count();
    text.chars().nth(plain)
}

/// By what two names are the same, whatever their letter case and surplus white space: no two members
/// have them.
pub fn sameness(name: &str) -> String {
    let words: Vec<_> = composed(name).split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// By what two names look alike: by the confusable characters of Unicode (Technical Standard 39), whatever
/// their case, and by nothing but letters and digits. It finds too many rather than too few, and is for a
/// person to decide. A capital letter may look like another letter than its small one: so before and
/// after. A capital I is drawn as a small l.
pub fn look(name: &str) -> String {
    let letters: String = skeleton(name).filter(|one| is_letter(*one)).collect();
    skeleton(&letters.to_lowercase())
        .filter(|one| is_letter(*one))
        .map(|letter| if letter == 'i' { 'l' } else { letter })
        .collect()
}

fn composed(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
}

fn category(one: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(one)
}

/// Of those that are letters by their category some are blank, two hieroglyphs by their names.
fn is_drawn(one: char) -> bool {
    let blank = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(one);
    !blank && !BLANKS.contains(&one)
}

/// What only makes letters longer, higher or softer is none.
fn is_letter(one: char) -> bool {
    let category = category(one);
    let letter = Group::Letter.contains(category) && category != GeneralCategory::ModifierLetter;
    letter || Group::Number.contains(category)
}

#[cfg(test)]
mod tests {
    use super::{is_plain, look, sameness};

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
            // What hardly anybody sees, or reads as the same.
            "University Hospital 10.",
            "University-Hospital 10",
            "University Hospital (10)",
            "University Hosp\u{ed}tal 10",
            "University\u{640} Hospital 10",
            "University Hospital\u{2bc} 10",
        ] {
            assert_eq!(look(name), look(other), "{other}");
        }
        for other in ["University Hospital 11", "University Hospitals 10", "Univers Hospital 10"] {
            assert_ne!(look(name), look(other), "{other}");
        }
        assert_eq!(sameness("St.  Elsewhere"), sameness("st. elsewhere"));
        assert_eq!(sameness("Charit\u{e9}"), sameness("Charite\u{301}"));
        assert_ne!(sameness("St. Elsewhere"), sameness("St. Els\u{435}where"));
    }

    #[test]
    fn texts_of_many_scripts_are_plain() {
        for text in [
            "Charit\u{e9} \u{2013} Campus Mitte & Co. (No. 1)",
            "Charite\u{301}",
            "Vi\u{1ec7}n \u{110}a khoa",
            "L'Hospitalet, 2\u{ba}; kim@example.org, +00 1 2345, 100 %",
            "\u{627}\u{644}\u{645}\u{633}\u{62a}\u{634}\u{641}\u{649}",
            "\u{5d1}\u{5b5}\u{5d9}\u{5ea}",
            "\u{930}\u{93e}\u{937}\u{94d}\u{91f}\u{94d}\u{930}\u{940}\u{92f}",
            "\u{e42}\u{e23}\u{e07}\u{e1e}\u{e22}\u{e32}\u{e1a}\u{e32}\u{e25}",
            "\u{0e1e}\u{0e35}\u{0e48}",
            "\u{6771}\u{4eac}\u{75c5}\u{9662}\u{30bb}\u{30f3}\u{30bf}\u{30fc}",
            "\u{c11c}\u{c6b8}\u{b300}\u{d559}\u{ad50}\u{bcd1}\u{c6d0}",
            "\u{1472}\u{146f}\u{1591}",
            // Of Unicode 17: docs/protocol.md names the version.
            "\u{10940}",
        ] {
            assert!(is_plain(text), "{text}");
        }
    }

    #[test]
    fn what_nobody_sees_or_what_moves_other_text_about_is_not_plain() {
        for odd in [
            // Controls, separators, and what turns the direction.
            "\u{7}",
            "\n",
            "\u{1b}[2K",
            "\u{2028}",
            "\u{202e}",
            "\u{200e}",
            "\u{a0}",
            "\u{3000}",
            // Drawn as nothing, some of them letters.
            "\u{200b}",
            "\u{ad}",
            "\u{34f}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{115f}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{1d159}",
            "\u{fffc}",
            "\u{13430}",
            "\u{1343f}",
            "\u{13441}",
            "\u{13442}",
            // Of nobody's, or of nobody's yet.
            "\u{e000}",
            "\u{f8ff}",
            "\u{10ffff}",
            "\u{378}",
            // Marks that make no character with their letter, or are of another script.
            "\u{307}",
            "\u{20dd}",
            "\u{338}",
            "\u{93e}",
            "\u{1d165}",
            "\u{301}\u{301}\u{301}",
        ] {
            let text = format!("Hospital i{odd} 1");
            assert!(!is_plain(&text), "{odd:?}");
        }
        let stacked = format!("Hospita{}l", "\u{301}".repeat(80));
        let own = format!("\u{930}{}", "\u{93e}".repeat(5));
        for text in [&*stacked, &own, "\u{301}Hospital", "1\u{20e3}"] {
            assert!(!is_plain(text), "{text:?}");
        }
    }
}
