//! Blocks and addresses of both families, as numbers.
//!
//! What always holds: a block begins at its first address; a text has one meaning or is refused. Deliberately absent:
//! what may be used for what (private, public, reserved): that is its users' to say.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rempart_api::network::IpVersion;

/// Width of an address in bits.
fn bits(version: IpVersion) -> u32 {
    match version {
        IpVersion::V4 => 32,
        IpVersion::V6 => 128,
    }
}

/// A CIDR block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    pub(crate) version: IpVersion,
    /// First address.
    pub(crate) first: u128,
    /// Bits of the prefix.
    pub(crate) length: u32,
}

impl Block {
    pub(crate) const fn new(version: IpVersion, first: u128, length: u32) -> Block {
        Block { version, first, length }
    }

    /// A block of this family.
    ///
    /// # Errors
    /// Words for who wrote it.
    pub(crate) fn parse(version: IpVersion, text: &str) -> Result<Block, String> {
        let shown: String = text.chars().take(43).collect();
        let bad = || format!("{shown:?} is not a CIDR block such as 10.0.0.0/16 or fd00:1::/56");
        if text.len() > 43 {
            return Err(bad());
        }
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let length = prefix.parse::<u32>().map_err(|_| bad())?;
        if length > bits(version) || prefix != length.to_string() {
            return Err(bad());
        }
        let first = match version {
            IpVersion::V4 => address.parse::<Ipv4Addr>().ok().map(|address| u128::from(address.to_bits())),
            IpVersion::V6 => address.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits),
        };
        let first = first.ok_or_else(|| format!("{shown:?} has no valid {version} address"))?;
        let block = Block { version, first, length };
        if first & block.host_bits() != 0 {
            return Err(format!("{shown:?} has host bits set: the address must be the first of the block"));
        }
        Ok(block)
    }

    /// A block of either family.
    pub(crate) fn parse_any(text: &str) -> Result<Block, String> {
        let version = if text.contains(':') { IpVersion::V6 } else { IpVersion::V4 };
        Block::parse(version, text)
    }

    fn host_bits(&self) -> u128 {
        1u128.checked_shl(bits(self.version) - self.length).map_or(u128::MAX, |size| size - 1)
    }

    /// Last address.
    pub(crate) fn last(&self) -> u128 {
        self.first | self.host_bits()
    }

    /// All-zero address: the server is to choose.
    pub(crate) fn is_automatic(&self) -> bool {
        self.first == 0
    }

    pub(crate) fn contains(&self, other: &Block) -> bool {
        self.version == other.version && self.first <= other.first && other.last() <= self.last()
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let (version, number) = number_of(address);
        self.version == version && (self.first..=self.last()).contains(&number)
    }

    pub(crate) fn overlaps(&self, other: &Block) -> bool {
        self.version == other.version && self.first <= other.last() && other.first <= self.last()
    }

    /// The first place for a block of `length` bits at `from` or behind it; none behind the last address there is.
    pub(crate) fn aligned(version: IpVersion, from: u128, length: u32) -> Option<Block> {
        let block = Block { version, first: 0, length };
        let host_bits = block.host_bits();
        let first = if from & host_bits == 0 { from } else { (from | host_bits).checked_add(1)? };
        let block = Block { first, ..block };
        let last_there_is = Block { first: 0, length: 0, version }.last();
        (block.first <= last_there_is).then_some(block)
    }

    /// How many addresses it has, in words: `254`, or `2^64` where digits tell nobody anything.
    pub(crate) fn count_without(&self, reserved: u128) -> String {
        let host = bits(self.version) - self.length;
        if host > 32 {
            format!("2^{host}")
        } else {
            (self.host_bits() + 1).saturating_sub(reserved).to_string()
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", address_of(self.version, self.first), self.length)
    }
}

/// An address as a number.
pub(crate) fn number_of(address: IpAddr) -> (IpVersion, u128) {
    match address {
        IpAddr::V4(address) => (IpVersion::V4, address.to_bits().into()),
        IpAddr::V6(address) => (IpVersion::V6, address.to_bits()),
    }
}

/// A number as an address.
pub(crate) fn address_of(version: IpVersion, number: u128) -> IpAddr {
    match version {
        IpVersion::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpVersion::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// An address as a client writes it, 1 to 39 characters.
///
/// # Errors
/// Words for who wrote it.
pub(crate) fn parse_address(text: &str) -> Result<IpAddr, String> {
    let shown: String = text.chars().take(43).collect();
    let address = if text.len() <= 39 { text.parse().ok() } else { None };
    address.ok_or_else(|| format!("{shown:?} is not an IPv4 or IPv6 address"))
}

#[cfg(test)]
mod tests;
