//! Chance that can be repeated.

use std::{ops::Range, time::Duration};

/// A sequence of numbers that look like chance and follow from a seed: SplitMix64 (Steele, Lea, Flood: Fast splittable
/// pseudorandom number generators). The same on every machine and for ever, which no crate promises of its generators.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of these numbers in this order, such as a seed and what is to be decided by it.
    pub fn of(seeds: &[u64]) -> Self {
        seeds.iter().fold(Self(0), |mut dice, seed| {
            dice.0 ^= *seed;
            Self(dice.number())
        })
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of this range, which must not be empty.
    pub fn among(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    /// A place of this range, which must not be empty.
    pub fn place(&mut self, range: Range<usize>) -> usize {
        let steps = self.among(0..range.len() as u64);
        range.start + usize::try_from(steps).expect("shorter than the range")
    }

    /// So many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.among(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
        let numbers = |seeds: &[u64]| {
            let mut dice = Dice::of(seeds);
            [dice.number(), dice.number(), dice.number()]
        };
        assert_eq!(numbers(&[1, 2]), numbers(&[1, 2]));
        assert_ne!(numbers(&[1, 2]), numbers(&[2, 1]));
        // The first outputs for state 0, as published with the algorithm.
        assert_eq!(numbers(&[])[..2], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }
}
