//! Time as the store keeps it (milliseconds since 1970) and as the wire shows it (RFC 3339, UTC).

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970. A clock before 1970 counts as 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds. What is out of jiff's range (year 9999) shows as 1970.
pub fn text(ms: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(super::text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::text(1_767_603_600_123), "2026-01-05T09:00:00.123Z");
        assert_eq!(super::text(i64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
