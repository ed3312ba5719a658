//! Sizes and ages as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use rempart_api::Timestamp;

/// `1536 MiB` as `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..UNITS.len() - 1).take_while(|unit| count >> (10 * (unit + 1)) > 0).count();
    let whole = count >> (10 * unit);
    // One digit behind the point where it says something: tenths of the unit, cut off.
    let tenths = if unit == 0 { 0 } else { ((count >> (10 * (unit - 1))) % 1024) * 10 / 1024 };
    if tenths == 0 || whole >= 100 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenths} {}", UNITS[unit])
    }
}

/// A number of MiB.
pub(crate) fn mebibytes(count: u64) -> String {
    bytes(count.saturating_mul(1 << 20))
}

/// Milliseconds since the epoch, now.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Time from `then` to `now_ms`: `42s`, `7m`, `3h`, `12d`.
pub(crate) fn age(then: Timestamp, now_ms: i64) -> String {
    // Clocks differ: what is ahead of ours is new.
    let seconds = now_ms.saturating_sub(then.unix_ms()).max(0) / 1000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (300 << 20, "300 MiB"),
            (1 << 30, "1 GiB"),
            (24_576 << 20, "24 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(mebibytes(2560), "2.5 GiB");
    }

    #[test]
    fn ages_are_short_and_never_negative() {
        let at = |ms: i64| age(Timestamp::from_unix_ms(1_000_000_000), 1_000_000_000 + ms);
        assert_eq!(at(-5000), "0s");
        assert_eq!(at(119_000), "119s");
        assert_eq!(at(120_000), "2m");
        assert_eq!(at(7_200_000), "2h");
        assert_eq!(at(172_800_000), "2d");
    }
}
