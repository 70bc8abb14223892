//! Chance that can be repeated.

/// `SplitMix64` (Steele, Lea and Flood, 2014): the same run from the same seed, as far as processes let it.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Another one, for somebody else.
    pub(super) fn other(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }
}
