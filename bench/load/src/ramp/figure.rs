//! Numbers for people.

/// A whole number with its thousands apart: `1,232,000`.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in few letters: `950`, `19.8k`, `1.23M`.
pub(crate) fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        size if size >= 999_500_000.0 => (number / 1e9, "G"),
        size if size >= 999_500.0 => (number / 1e6, "M"),
        size if size >= 999.5 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    format!("{}{unit}", digits(scaled))
}

/// A time that is given in microseconds: `85 us`, `1.2 ms`, `3.7 s`.
pub(crate) fn time(microseconds: f64) -> String {
    match microseconds {
        us if us >= 999_500.0 => format!("{} s", digits(us / 1e6)),
        us if us >= 999.5 => format!("{} ms", digits(us / 1e3)),
        us => format!("{} us", digits(us)),
    }
}

/// At most three digits, without a tail of zeros.
fn digits(number: f64) -> String {
    let places = match number.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let numbers = [0.0, 999.4, 1_000.0, 12_345.6, 1_232_000.0];
        assert_eq!(numbers.map(grouped), ["0", "999", "1,000", "12,346", "1,232,000"]);
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.5, 950.0, 999.7, 10_000.0, 19_800.0, 1_234_567.0, 2e9];
        assert_eq!(numbers.map(short), ["0", "0.5", "950", "1k", "10k", "19.8k", "1.23M", "2G"]);
        assert_eq!([85.0, 1_234.0, 3_700_000.0].map(time), ["85 us", "1.23 ms", "3.7 s"]);
    }
}
