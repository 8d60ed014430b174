//! Time stamps.

/// An RFC 3339 time stamp as nanoseconds since 1970; nothing if it is none, or outside 1970 to 2261.
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let number = |from: usize, length: usize| -> Option<i64> {
        let digits = text.get(from..from + length)?;
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let mark = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|b| wanted.contains(b));
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let valid = (1970..2262).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (mut nanos, mut at) = (0, 19);
    if mark(at, b".") {
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        nanos = number(at + 1, digits.min(9))? * 10i64.pow(9 - digits.min(9) as u32);
        at += 1 + digits;
    }
    let offset = match *text.get(at)? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let minutes = number(at + 1, 2)? * 60 + number(at + 4, 2)?;
            if sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970 of a date of the proleptic Gregorian calendar, the year starting in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::parse_time;

    #[test]
    fn reads_rfc_3339() {
        assert_eq!(parse_time(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time(b"2026-11-20T10:59:10.5Z"), Some(1_795_172_350_500_000_000));
        assert_eq!(parse_time(b"2024-02-29T23:59:59.123456789+01:30"), Some(1_709_245_799_123_456_789));
        for bad in ["", "2026", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "1969-12-31T23:59:59Z", "x"] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
    }
}
