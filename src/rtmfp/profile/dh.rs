//! Diffie-Hellman over the groups of the profile (RFC 7425 §4.6.2), in constant time.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U1024, U1536, U2048, U4096, Uint};

use super::primes;
use super::random::Random;

/// A group; its generator is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Group 2, 1024 bits: the one every peer has.
    Modp1024,
    /// Group 5, 1536 bits.
    Modp1536,
    /// Group 14, 2048 bits.
    Modp2048,
    /// Group 16, 4096 bits.
    Modp4096,
}

impl Group {
    /// All groups, weakest first.
    pub const ALL: [Group; 4] = [Group::Modp1024, Group::Modp1536, Group::Modp2048, Group::Modp4096];

    /// The group of an id on the wire.
    pub fn from_id(id: u64) -> Option<Group> {
        Group::ALL.into_iter().find(|g| g.id() == id)
    }

    /// The id on the wire.
    pub const fn id(self) -> u64 {
        match self {
            Group::Modp1024 => 2,
            Group::Modp1536 => 5,
            Group::Modp2048 => 14,
            Group::Modp4096 => 16,
        }
    }

    /// Bytes of a private exponent: twice the strength of the group and some more.
    const fn exponent_len(self) -> usize {
        match self {
            Group::Modp1024 => 28,
            Group::Modp1536 => 34,
            Group::Modp2048 => 40,
            Group::Modp4096 => 60,
        }
    }

    /// `base` to the power of `exponent`, without leading zeros; `None` when `base` is no acceptable public key.
    fn power(self, base: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
        match self {
            Group::Modp1024 => power::<{ U1024::LIMBS }>(primes::MODP_1024, base, exponent),
            Group::Modp1536 => power::<{ U1536::LIMBS }>(primes::MODP_1536, base, exponent),
            Group::Modp2048 => power::<{ U2048::LIMBS }>(primes::MODP_2048, base, exponent),
            Group::Modp4096 => power::<{ U4096::LIMBS }>(primes::MODP_4096, base, exponent),
        }
    }
}

/// A private exponent and its public key.
#[derive(Clone)]
pub struct KeyPair {
    group: Group,
    exponent: Vec<u8>,
    public: Vec<u8>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({:?})", self.group)
    }
}

impl KeyPair {
    /// A new pair; long arithmetic.
    pub fn generate(group: Group, random: &mut Random) -> KeyPair {
        loop {
            let exponent = random.exponent(group.exponent_len());
            if let Some(pair) = KeyPair::from_exponent(group, exponent) {
                return pair;
            }
        }
    }

    /// The pair of a known exponent, big-endian; long arithmetic. `None` when the exponent is longer than the
    /// group's prime or its public key is one that peers refuse.
    pub fn from_exponent(group: Group, exponent: Vec<u8>) -> Option<KeyPair> {
        let public = group.power(&[2], &exponent)?;
        is_acceptable(group, &public).then_some(KeyPair {
            group,
            exponent,
            public,
        })
    }

    /// Its group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// The public key, big-endian without leading zeros.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The secret shared with the owner of `far`, without leading zeros (long arithmetic); `None` when that key
    /// is not acceptable.
    pub fn shared_secret(&self, far: &[u8]) -> Option<Vec<u8>> {
        if !is_acceptable(self.group, far) {
            return None;
        }
        self.group.power(far, &self.exponent)
    }
}

/// Whether a public key keeps the rules of RFC 7425 §4.6.2: not near 0 or the prime, and neither sparse nor full.
fn is_acceptable(group: Group, key: &[u8]) -> bool {
    let key = trim(key);
    let inside = match group {
        Group::Modp1024 => is_inside::<{ U1024::LIMBS }>(primes::MODP_1024, key),
        Group::Modp1536 => is_inside::<{ U1536::LIMBS }>(primes::MODP_1536, key),
        Group::Modp2048 => is_inside::<{ U2048::LIMBS }>(primes::MODP_2048, key),
        Group::Modp4096 => is_inside::<{ U4096::LIMBS }>(primes::MODP_4096, key),
    };
    let Some(first) = key.first().filter(|_| inside) else {
        return false;
    };
    let ones: u32 = key.iter().map(|b| b.count_ones()).sum();
    let bits = key.len() as u32 * 8 - first.leading_zeros();
    ones >= 16 && bits - ones >= 16
}

/// Without leading zero bytes.
fn trim(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    number.get(zeros..).unwrap_or(&[])
}

/// A big-endian number; `None` when it does not fit.
fn number<const L: usize>(bytes: &[u8]) -> Option<Uint<L>> {
    let bytes = trim(bytes);
    let mut wide = vec![0; Uint::<L>::BITS as usize / 8];
    let at = wide.len().checked_sub(bytes.len())?;
    wide.get_mut(at..)?.copy_from_slice(bytes);
    Some(Uint::from_be_slice(&wide))
}

/// Whether 2^24 <= key <= prime - 2^24.
fn is_inside<const L: usize>(prime: &str, key: &[u8]) -> bool {
    let prime = Uint::<L>::from_be_hex(prime);
    let margin = Uint::<L>::from_u32(1 << 24);
    number(key).is_some_and(|key| key >= margin && key <= prime.wrapping_sub(&margin))
}

fn power<const L: usize>(prime: &str, base: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let prime = Option::from(Odd::new(Uint::<L>::from_be_hex(prime)))?;
    let params = FixedMontyParams::new_vartime(prime);
    // Time depends on the length of the exponent, which is the group's and no secret.
    let bits = exponent.len() as u32 * 8;
    let base = FixedMontyForm::new(&number(base)?, &params);
    let result = base.pow_bounded_exp(&number::<L>(exponent)?, bits).retrieve();
    let mut bytes: Vec<u8> = result
        .as_words()
        .iter()
        .rev()
        .flat_map(|w| w.to_be_bytes())
        .collect();
    let zeros = bytes.len() - trim(&bytes).len();
    bytes.drain(..zeros);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_public_keys_are_refused() {
        let pair = KeyPair::generate(Group::Modp1024, &mut Random::new([1; 32]));
        let mut sparse = vec![0; 128];
        sparse[0] = 0x7F;
        let mut padded = vec![0; 3];
        padded.extend(pair.public());
        assert!(pair.shared_secret(&padded).is_some());
        for key in [&[][..], &[1], &[2], &sparse, &[0xFF; 128], &[0xFF; 129]] {
            assert_eq!(pair.shared_secret(key), None, "{key:?}");
        }
    }

    #[test]
    fn both_ends_agree_in_every_group() {
        let mut random = Random::new([2; 32]);
        for group in Group::ALL {
            let (a, b) = (
                KeyPair::generate(group, &mut random),
                KeyPair::generate(group, &mut random),
            );
            let secret = a.shared_secret(b.public());
            assert!(secret.is_some());
            assert_eq!(secret, b.shared_secret(a.public()));
            assert_ne!(a.public(), b.public());
        }
    }
}
