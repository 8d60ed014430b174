//! Amounts (`50%`, `512MiB`, `10MiB/s`, `100Mbit/s`) and times of day (`22:00`).

/// An amount with its unit resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// `50%`
    Percent(u32),
    /// Bytes: `512MiB`, `1GB`.
    Bytes(u64),
    /// Bytes a second: `10MiB/s`.
    BytesPerSecond(u64),
    /// Bits a second: `100Mbit/s`.
    BitsPerSecond(u64),
}

/// Why an amount has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The unit is not known.
    #[error("unknown unit")]
    Unit,
    /// More than 64 bits.
    #[error("the amount is too large")]
    Overflow,
}

/// Powers of 1000 have the SI prefixes, powers of 1024 the IEC ones (IEC 80000-13).
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("TB", 1000 * 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
const BITS: [(&str, u64); 4] =
    [("bit/s", 1), ("kbit/s", 1000), ("Mbit/s", 1000 * 1000), ("Gbit/s", 1000 * 1000 * 1000)];

/// The value of a quantity token.
pub fn parse_quantity(text: &str) -> Result<Quantity, QuantityError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| QuantityError::Overflow)?;
    let times = |factor: u64| number.checked_mul(factor).ok_or(QuantityError::Overflow);
    let find = |table: &[(&str, u64)], unit: &str| table.iter().find(|(u, _)| *u == unit).map(|(_, f)| *f);
    if unit == "%" {
        return u32::try_from(number).map(Quantity::Percent).map_err(|_| QuantityError::Overflow);
    }
    if let Some(factor) = find(&BITS, unit) {
        return times(factor).map(Quantity::BitsPerSecond);
    }
    match unit.strip_suffix("/s") {
        Some(unit) => times(find(&UNITS, unit).ok_or(QuantityError::Unit)?).map(Quantity::BytesPerSecond),
        None => times(find(&UNITS, unit).ok_or(QuantityError::Unit)?).map(Quantity::Bytes),
    }
}

/// The minutes after midnight of a time token, up to 24:00.
pub fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() > 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 24 * 60).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(parse_quantity("50%"), Ok(Quantity::Percent(50)));
        assert_eq!(parse_quantity("512MiB"), Ok(Quantity::Bytes(512 << 20)));
        assert_eq!(parse_quantity("10KB/s"), Ok(Quantity::BytesPerSecond(10_000)));
        assert_eq!(parse_quantity("100Mbit/s"), Ok(Quantity::BitsPerSecond(100_000_000)));
        assert_eq!(parse_quantity("5parsec"), Err(QuantityError::Unit));
        assert_eq!(parse_quantity("99999999999TiB"), Err(QuantityError::Overflow));
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("22:00"), Some(1320));
        assert_eq!(parse_time("24:00"), Some(1440));
        for bad in ["24:01", "25:00", "9:5", "009:00", "12:60"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
