//! How long to wait before something is tried again.

use std::time::Duration;

use hdms::provider::Randomness;

use crate::base::system::SystemRandomness;

/// The pause after `failures` attempts in vain: `first` doubled with each of them, at most `longest`;
/// half of it is chance, so that those who failed together do not come back together.
pub fn doubled(failures: u32, first: Duration, longest: Duration) -> Duration {
    let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(longest);
    let mut random = [0; 4];
    // Without randomness they come back together.
    let drawn = SystemRandomness.fill(&mut random).map_or(0, |()| u32::from_le_bytes(random));
    whole / 2 + (whole / 2).mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::doubled;
    use std::time::Duration;

    #[test]
    fn a_pause_doubles_until_it_is_long_enough_and_half_of_it_is_chance() {
        let [first, longest] = [Duration::from_secs(1), Duration::from_secs(60)];
        for (failures, whole) in [(1, 1), (2, 2), (4, 8), (7, 60), (1000, 60)] {
            let whole = Duration::from_secs(whole);
            let pause = doubled(failures, first, longest);
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?}");
        }
    }
}
