//! From which rate to which one a ramp goes, as it is asked for: `FROM..TO`, either of them left open.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::{Serialize, Serializer};

/// More than any generator sends.
const RATE_LIMIT: f64 = 1e9;

/// Messages a second.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Range {
    /// The first rate.
    pub from: Option<f64>,
    /// The highest one.
    pub to: Option<f64>,
}

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Range> {
        let expected = "FROM..TO is expected, messages a second, as in 10000..800000 \
                        (an address goes before --ramp or behind another option)";
        let (from, to) = text.split_once("..").context(expected)?;
        let rate = |text: &str| -> Result<Option<f64>> {
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            let rate: f64 =
                text.replace('_', "").parse().with_context(|| format!("{text:?} is no rate: {expected}"))?;
            ensure!(rate > 0.0 && rate <= RATE_LIMIT, "a rate is more than 0 and at most {RATE_LIMIT}, not {text}");
            Ok(Some(rate))
        };
        let range = Range { from: rate(from)?, to: rate(to)? };
        if let (Some(from), Some(to)) = (range.from, range.to) {
            ensure!(from < to, "a ramp goes up first: FROM is less than TO, but {from} is not less than {to}");
        }
        Ok(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |rate: Option<f64>| rate.map_or(String::new(), |rate| rate.to_string());
        write!(out, "{}..{}", text(self.from), text(self.to))
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_end_may_be_left_open() {
        for (text, from, to) in [
            ("10..20.5", Some(10.0), Some(20.5)),
            ("10_000..", Some(10_000.0), None),
            ("..800000", None, Some(800_000.0)),
            ("..", None, None),
        ] {
            let range: Range = text.parse().unwrap();
            assert_eq!(range, Range { from, to }, "{text}");
            assert_eq!(range.to_string().parse::<Range>().unwrap(), range);
        }
    }

    #[test]
    fn what_is_refused_says_what_is_expected() {
        for (text, word) in [
            ("127.0.0.1:61616", "an address goes before --ramp"),
            ("fast..faster", "\"fast\" is no rate: FROM..TO"),
            ("0..5", "more than 0"),
            ("5..inf", "at most"),
            ("5..-6", "more than 0"),
            ("20..10", "20 is not less than 10"),
            ("10..10", "a ramp goes up first"),
        ] {
            let refusal = format!("{:#}", text.parse::<Range>().unwrap_err());
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }
}
