//! Numbers from text and back.

use super::strip;
use super::tables::DIGIT_ZEROS;
use crate::engine::json::next_point;

/// The longest run of digits that `int()` converts.
const MAX_DIGITS: usize = 4300;

/// Text with every decimal digit of any script as its ASCII digit; anything else outside ASCII spoils a number.
fn ascii_digits(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((point, length)) = next_point(rest) {
        rest = &rest[length..];
        if point < 0x80 {
            out.push(point as u8);
            continue;
        }
        let run = DIGIT_ZEROS.partition_point(|zero| *zero <= point).checked_sub(1)?;
        let digit = point - DIGIT_ZEROS[run];
        out.push(if digit < 10 { b'0' + digit as u8 } else { return None });
    }
    Some(out)
}

/// Removes underscores, each of which must stand between two digits.
fn without_underscores(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for (i, b) in text.iter().enumerate() {
        if *b != b'_' {
            out.push(*b);
        } else if !(i > 0 && text[i - 1].is_ascii_digit() && text.get(i + 1).is_some_and(u8::is_ascii_digit)) {
            return None;
        }
    }
    Some(out)
}

/// `int(text)` in canonical decimal form, or nothing where Python raises.
pub fn int_from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = without_underscores(&ascii_digits(strip(text))?)?;
    let (sign, digits) = match text.first()? {
        b'-' => (&b"-"[..], &text[1..]),
        b'+' => (&b""[..], &text[1..]),
        _ => (&b""[..], &text[..]),
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(match digits.iter().position(|d| *d != b'0') {
        Some(first) => [sign, &digits[first..]].concat(),
        None => b"0".to_vec(),
    })
}

/// `float(text)`, or nothing where Python raises.
pub fn float_from_text(text: &[u8]) -> Option<f64> {
    let text = without_underscores(&ascii_digits(strip(text))?)?;
    // Rust's grammar of decimal floats is Python's: sign, digits, point, exponent, `inf`, `infinity`, `nan`.
    std::str::from_utf8(&text).ok()?.parse().ok()
}

/// `str(int(literal))` of a JSON integer: only `-0` is written differently.
pub fn write_int_literal(literal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if literal == b"-0" { b"0" } else { literal });
}

/// `repr(float)`; `special` words NaN and the infinities.
pub fn write_float(number: f64, special: [&str; 3], out: &mut Vec<u8>) {
    if !number.is_finite() {
        let word = if number.is_nan() { 0 } else { 1 + usize::from(number < 0.0) };
        out.extend_from_slice(special[word].as_bytes());
        return;
    }
    let shortest = format!("{number:e}");
    let digits = shortest.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    // Where two shortest decimals are equally near, Python takes the even one and Rust the larger one.
    let even = format!("{number:.*e}", digits.saturating_sub(1));
    let scientific = if even.parse() == Ok(number) { even } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
        let digits = mantissa.replace('.', "");
        let (zeros, point) = if exponent < 0 { (-exponent as usize, 1) } else { (0, exponent as usize + 1) };
        let whole = format!("{}{digits}", "0".repeat(zeros));
        let (left, right) = whole.split_at(point.min(whole.len()));
        let right = if right.is_empty() { "0" } else { right };
        out.extend_from_slice(format!("{sign}{left:0<point$}.{right}").as_bytes());
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("{mantissa}e{sign}{:02}", exponent.abs()).as_bytes());
    }
}

/// `round(number, 4)`: the decimal nearest to the exact value, a tie to the even digit.
pub fn round4(number: f64) -> f64 {
    match units4(number) {
        // The quotient is the nearest double.
        Some(units) => f64::from(units) / 1e4,
        None => format!("{number:.4}").parse().unwrap_or(number),
    }
}

/// The number in ten-thousandths, where it is far from a tie: the scaling error cannot change the digit.
#[inline]
fn units4(number: f64) -> Option<u32> {
    let scaled = number * 1e4;
    if !(0.0..1e9).contains(&scaled) {
        return None;
    }
    let floor = scaled as u32;
    let rest = scaled - f64::from(floor);
    ((rest - 0.5).abs() >= 1e-6).then(|| floor + u32::from(rest > 0.5))
}

/// Appends a number in [0, 1], rounded as [`round4`] does, as `repr` writes it.
pub fn write_round4(number: f64, out: &mut Vec<u8>) {
    let units = units4(number).unwrap_or_else(|| (round4(number) * 1e4 + 0.5) as u32);
    let digits = [1000, 100, 10, 1].map(|place| b'0' + (units / place % 10) as u8);
    let text = [b'0' + (units / 10_000) as u8, b'.', digits[0], digits[1], digits[2], digits[3]];
    let zeros =
        usize::from(digits[3] == b'0') + usize::from(digits[2..] == *b"00") + usize::from(digits[1..] == *b"000");
    out.extend_from_slice(&text[..6 - zeros]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int_is_pythons() {
        let int = |text: &str| int_from_text(text.as_bytes()).map(|b| String::from_utf8_lossy(&b).into_owned());
        assert_eq!(int(" 12 ").as_deref(), Some("12"));
        assert_eq!(int("1_000").as_deref(), Some("1000"));
        assert_eq!(int("+007").as_deref(), Some("7"));
        assert_eq!(int("-0").as_deref(), Some("0"));
        assert_eq!(int("٣४").as_deref(), Some("34"));
        for bad in ["", "_1", "1__0", "1_", "3.7", "True", "+ 1", "0x10", "1e3", "²"] {
            assert_eq!(int(bad), None, "{bad}");
        }
        assert!(int(&"9".repeat(4300)).is_some());
        assert!(int(&"9".repeat(4301)).is_none());
    }

    #[test]
    fn float_is_pythons() {
        assert_eq!(float_from_text(b" 1_0.5 "), Some(10.5));
        assert_eq!(float_from_text(b"-Infinity"), Some(f64::NEG_INFINITY));
        assert!(float_from_text(b"nan").is_some_and(f64::is_nan));
        for bad in ["", "1_.5", "0x1p3", "inf_", "1e", ".", "True"] {
            assert_eq!(float_from_text(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn repr_of_floats() {
        let repr = |x: f64| {
            let mut out = Vec::new();
            write_float(x, ["nan", "inf", "-inf"], &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        let cases = [
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0.0"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
            (5e-324, "5e-324"),
            (236_564_146_017_719.12, "236564146017719.12"),
            (123456789012345680.0, "1.2345678901234568e+17"),
        ];
        for (number, text) in cases {
            assert_eq!(repr(number), text);
        }
    }

    #[test]
    fn rounds_a_tie_to_even() {
        assert_eq!(round4(0.03125), 0.0312);
        assert_eq!(round4(0.09375), 0.0938);
        assert_eq!(round4(0.00005), 0.0001);
        let mut out = Vec::new();
        write_round4(0.4455, &mut out);
        write_round4(1.0, &mut out);
        write_round4(0.05, &mut out);
        write_round4(0.0, &mut out);
        assert_eq!(out, b"0.44551.00.050.0");
    }

    #[test]
    fn rounded_numbers_are_written_as_their_repr() {
        for i in 0..200_000 {
            let number = f64::from(i) / 200_000.0;
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            write_round4(number, &mut fast);
            write_float(format!("{number:.4}").parse().expect("a number"), [""; 3], &mut slow);
            assert_eq!(fast, slow, "{number}");
        }
    }
}
