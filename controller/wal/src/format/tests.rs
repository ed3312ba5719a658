//! The bytes are frozen: when a test here fails, logs written by earlier versions can no longer be read.

use super::*;

const HEADER: Header = Header { sequence: 7, first_index: 41, salt: 0x0123_4567_89ab_cdef };

/// A segment with one record ("rempart", index 41) and its seal.
pub(crate) const GOLDEN: &str = "\
    52454d5057414c00 01000000 00000000 0700000000000000 2900000000000000 efcdab8967452301 \
    0000000000000000000000000000000000000000 bdbd7523 \
    49240328 07000001 2900000000000000 72656d70617274 000000000000000000 \
    0b1957f3 00000002 2900000000000000";

/// Bytes out of hexadecimal digits and blanks.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn frame(kind: Kind, payload: &[u8], offset: u32) -> Vec<u8> {
    let mut frame = vec![0xff; 3];
    let length = u32::try_from(payload.len()).unwrap();
    encode_frame(&mut frame, kind, 41, payload, length, HEADER.salt, offset);
    frame
}

#[test]
fn golden_bytes() {
    let mut bytes = HEADER.encode().to_vec();
    bytes.extend(frame(Kind::Record, b"rempart", 64));
    bytes.extend(frame(Kind::Seal, b"", 96));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden: String = GOLDEN.split_whitespace().collect();
    assert_eq!(hex, golden);
}

#[test]
fn a_header_comes_back_and_a_flipped_bit_is_noticed() {
    let good = HEADER.encode();
    assert_eq!(Header::decode(&good), Ok(HEADER));
    for bit in 0..good.len() * 8 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Header::decode(&bytes), Err(HeaderError::Damaged(_))), "bit {bit}");
    }
}

#[test]
fn a_later_format_is_told_from_damage() {
    let mut bytes = HEADER.encode();
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(2)));
}

#[test]
fn a_frame_head_comes_back() {
    for (kind, payload) in [(Kind::Record, &b"seventeen bytes.."[..]), (Kind::Record, b""), (Kind::Seal, b"")]
    {
        let frame = frame(kind, payload, 64);
        let head = FrameHead::decode(frame.first_chunk().unwrap()).unwrap();
        let length = u32::try_from(payload.len()).unwrap();
        assert_eq!((head.kind, head.length, head.index), (kind, length, 41));
        assert_eq!(head.crc, frame_checksum(HEADER.salt, 64, &frame));
        assert_eq!(frame.len(), frame_bytes(length) as usize);
        assert_eq!(frame.len() % 16, 0);
    }
}

#[test]
fn a_checksum_holds_in_one_place_of_one_segment() {
    let frame = frame(Kind::Record, b"payload", 64);
    let crc = frame_checksum(HEADER.salt, 64, &frame);
    assert_ne!(crc, frame_checksum(HEADER.salt, 80, &frame));
    assert_ne!(crc, frame_checksum(HEADER.salt + 1, 64, &frame));
}

#[test]
fn what_cannot_be_a_frame_is_none() {
    let head = |word: u32| {
        let mut bytes = [0; 16];
        bytes[4..8].copy_from_slice(&word.to_le_bytes());
        FrameHead::decode(&bytes)
    };
    let limit = u32::try_from(MAX_RECORD_BYTES).unwrap();
    assert!(head(0).is_none(), "zeros");
    assert!(head((1 << 24) | limit).is_some());
    assert!(head((1 << 24) | (limit + 1)).is_none(), "over the limit");
    assert!(head((2 << 24) | 1).is_none(), "a seal has no payload");
    assert!(head(3 << 24).is_none(), "unknown kind");
}
