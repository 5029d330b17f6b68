//! The names of a log's resources below `/tile/` (C2SP tlog-tiles).

use std::fmt;
use std::ops::Range;

use super::tree::{Position, WIDTH};

/// Leaves have indexes below 2^62.
const MAX_NUMBER: u64 = (1 << 54) - 1;

/// What a resource holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The hashes of a tile of this level.
    Hashes(u8),
    /// Leaves.
    Entries,
}

/// A tile of hashes or a bundle of leaves, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    /// What it holds.
    pub content: Content,
    /// From 0.
    pub number: u64,
    /// How many it holds: 1 to 256.
    pub width: u64,
}

impl TilePath {
    /// From what follows `/tile/`: `<L>/<N>` or `entries/<N>`, and `.p/<W>` when it is partial.
    /// None for anything but the one form of a name, and for more hashes than a log can have.
    pub fn parse(path: &str) -> Option<Self> {
        let (content, rest) = path.split_once('/')?;
        let content = match content {
            "entries" => Content::Entries,
            level => Content::Hashes(level.parse().ok().filter(|level| *level < 64)?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, WIDTH),
        };
        let thousands = number.split('/').map(|digits| digits.trim_start_matches('x').parse().ok());
        let number = thousands
            .into_iter()
            .try_fold(0_u64, |number, digits| number.checked_mul(1000)?.checked_add(digits?))?;
        let parsed = Self { content, number, width };
        let is_one = (1..=WIDTH).contains(&width) && number <= MAX_NUMBER;
        (is_one && parsed.to_string() == path).then_some(parsed)
    }

    /// The tile of hashes, if it is one.
    pub fn position(&self) -> Option<Position> {
        match self.content {
            Content::Hashes(level) => Some(Position { level, number: self.number }),
            Content::Entries => None,
        }
    }

    /// The numbers of what it holds, in its level.
    pub fn range(&self) -> Range<u64> {
        let start = self.number.saturating_mul(WIDTH);
        start..start.saturating_add(self.width)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Hashes(level) => write!(f, "{level}/")?,
            Content::Entries => write!(f, "entries/")?,
        }
        let mut thousands = vec![self.number % 1000];
        let mut rest = self.number / 1000;
        while rest > 0 {
            thousands.push(rest % 1000);
            rest /= 1000;
        }
        for digits in thousands[1..].iter().rev() {
            write!(f, "x{digits:03}/")?;
        }
        write!(f, "{:03}", thousands[0])?;
        if self.width < WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, MAX_NUMBER, TilePath};

    #[test]
    fn every_resource_has_one_name() {
        let (hashes, entries) = (Content::Hashes, Content::Entries);
        for (name, content, number, width) in [
            ("0/000", hashes(0), 0, 256),
            ("3/x001/x234/067.p/1", hashes(3), 1_234_067, 1),
            ("entries/x001/000", entries, 1000, 256),
            ("entries/x018/x014/x398/x509/x481/983.p/255", entries, MAX_NUMBER, 255),
        ] {
            let path = TilePath { content, number, width };
            assert_eq!(TilePath::parse(name), Some(path));
            assert_eq!(path.to_string(), name);
        }
        for other in [
            "",
            "0",
            "0/",
            "0/0",
            "0/0000",
            "00/000",
            "64/000",
            "data/000",
            "0/x000/000",
            "0/1000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p/1/",
            "0/+00",
            "-1/000",
            "entries/x018/x014/x398/x509/x481/984",
            "0/xx001/000",
            "0/001/000",
            "0/000/",
        ] {
            assert_eq!(TilePath::parse(other), None, "{other}");
        }
    }
}
