use super::*;

const V4: IpVersion = IpVersion::V4;
const V6: IpVersion = IpVersion::V6;

fn block(text: &str) -> Block {
    Block::parse_any(text).unwrap()
}

#[test]
fn texts_come_back() {
    for text in ["10.0.0.0/8", "0.0.0.0/0", "255.255.255.255/32", "::/0", "fd00:1::/56", "::1/128"] {
        assert_eq!(block(text).to_string(), text);
    }
}

#[test]
fn ends_and_what_is_inside() {
    assert_eq!(address_of(V4, block("10.0.0.0/24").last()).to_string(), "10.0.0.255");
    assert_eq!(block("::/0").last(), u128::MAX);
    assert_eq!(block("0.0.0.0/0").last(), u128::from(u32::MAX));
    assert!(block("10.0.0.0/8").contains(&block("10.255.0.0/16")));
    assert!(!block("10.0.0.0/16").contains(&block("10.0.0.0/8")));
    assert!(!block("::/0").contains(&block("10.0.0.0/8")), "families are apart");
    assert!(block("10.0.0.0/16").overlaps(&block("10.0.0.0/8")));
    assert!(!block("10.0.0.0/16").overlaps(&block("10.1.0.0/16")));
    assert!(block("10.0.0.0/24").holds("10.0.0.255".parse().unwrap()));
    assert!(!block("10.0.0.0/24").holds("10.0.1.0".parse().unwrap()));
    assert!(!block("::/96").holds("0.0.0.1".parse().unwrap()));
}

#[test]
fn the_next_place_for_a_block() {
    let at = |version, from, length| Block::aligned(version, from, length).map(|block| block.to_string());
    let ten = u128::from(Ipv4Addr::new(10, 0, 0, 0).to_bits());
    assert_eq!(at(V4, ten, 24).unwrap(), "10.0.0.0/24");
    assert_eq!(at(V4, ten + 1, 24).unwrap(), "10.0.1.0/24");
    assert_eq!(at(V4, u128::from(u32::MAX), 24), None, "none behind the last");
    assert_eq!(at(V6, u128::MAX - 5, 64), None);
    assert_eq!(at(V6, u128::MAX, 128).unwrap(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}

#[test]
fn counts_are_words() {
    assert_eq!(block("10.0.0.0/24").count_without(2), "254");
    assert_eq!(block("10.0.0.0/31").count_without(2), "0");
    assert_eq!(block("10.0.0.0/32").count_without(2), "0");
    assert_eq!(block("fd00::/64").count_without(2), "2^64");
}
