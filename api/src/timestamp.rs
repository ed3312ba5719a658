//! Points in time, as SECA writes them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch; RFC 3339 in UTC with milliseconds in JSON.
///
/// SECA promises at most one modification per millisecond and resource, so nothing finer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Latest representable time (9999-12-31T23:59:59.999Z).
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// From milliseconds since the Unix epoch, clamped to the years 1970 to 9999.
    pub fn from_unix_ms(unix_ms: i64) -> Timestamp {
        Timestamp(unix_ms.clamp(0, Timestamp::MAX.0))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .map_err(|_| std::fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
            moment.millisecond()
        )
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time", "description": "RFC 3339, in UTC, with milliseconds."
        })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let moment = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|error| de::Error::custom(format!("{text:?} is not an RFC 3339 time: {error}")))?;
        let unix_ms = i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000))
            .map_err(|_| de::Error::custom(format!("{text:?} is out of range")))?;
        Ok(Timestamp::from_unix_ms(unix_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_milliseconds_and_reads_what_others_write() {
        let moment = Timestamp::from_unix_ms(1_795_464_912_045);
        assert_eq!(moment.to_string(), "2026-11-23T20:15:12.045Z");
        let back: Timestamp = serde_json::from_str("\"2026-11-23T21:15:12.045999+01:00\"").unwrap();
        assert_eq!(back, moment);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
