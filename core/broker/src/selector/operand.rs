//! Values while a selector is evaluated: which of them compare with which, and arithmetic, pair by pair as ActiveMQ has it.

use std::cmp::Ordering;

use postrider_model::modified_utf8;
use postrider_model::properties::Value;

use super::Fault;
use super::text::Text;

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'a> {
    Null,
    Boolean(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    /// A literal beyond 64 bits; those beyond 128 are cut to that.
    Big(i128),
    Char(u16),
    Text(Text<'a>),
    /// Bytes, a map or a list of a message: it is there, and that is all that can be said of it.
    Opaque(Value<'a>),
    /// A list that a function has made.
    List,
}

/// What two values are to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    Ordered(Ordering),
    /// They are of kinds that do not compare: neither less, nor equal, nor greater.
    Unrelated,
}

/// An operator between numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

impl Arithmetic {
    fn of_doubles(self, left: f64, right: f64) -> f64 {
        match self {
            Arithmetic::Plus => left + right,
            Arithmetic::Minus => left - right,
            Arithmetic::Times => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Modulo => left % right,
        }
    }

    /// With wrap-around. Quotients are of doubles alone.
    fn of_longs(self, left: i64, right: i64) -> i64 {
        match self {
            Arithmetic::Plus => left.wrapping_add(right),
            Arithmetic::Minus => left.wrapping_sub(right),
            Arithmetic::Times => left.wrapping_mul(right),
            Arithmetic::Divide | Arithmetic::Modulo => 0,
        }
    }
}

impl<'a> Operand<'a> {
    pub(super) fn of_property(value: Value<'a>) -> Operand<'a> {
        match value {
            Value::Null => Operand::Null,
            Value::Boolean(value) => Operand::Boolean(value),
            Value::Byte(value) => Operand::Byte(value),
            Value::Char(value) => Operand::Char(value),
            Value::Short(value) => Operand::Short(value),
            Value::Int(value) => Operand::Int(value),
            Value::Long(value) => Operand::Long(value),
            Value::Double(value) => Operand::Double(value),
            Value::Float(value) => Operand::Float(value),
            Value::String(bytes) => Operand::Text(Text::new(bytes)),
            Value::Bytes(_) | Value::Map(_) | Value::List(_) => Operand::Opaque(value),
        }
    }

    pub(super) fn of_text(bytes: Option<&'a [u8]>) -> Operand<'a> {
        bytes.map_or(Operand::Null, |bytes| Operand::Text(Text::new(bytes)))
    }

    pub(super) fn of_truth(truth: Option<bool>) -> Operand<'a> {
        truth.map_or(Operand::Null, Operand::Boolean)
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self, Operand::Null)
    }

    pub(super) fn is_ordered(self) -> bool {
        !matches!(self, Operand::List | Operand::Opaque(_))
    }

    /// Whether both are of one kind and the same, as a member of a list is.
    pub(super) fn equals(self, other: Operand<'_>) -> bool {
        use Operand::{Big, Boolean, Byte, Char, Double, Float, Int, Long, Opaque, Short};
        match (self, other) {
            (Boolean(left), Boolean(right)) => left == right,
            (Byte(left), Byte(right)) => left == right,
            (Short(left), Short(right)) => left == right,
            (Int(left), Int(right)) => left == right,
            (Long(left), Long(right)) => left == right,
            (Float(left), Float(right)) => order_of_floats(left, right).is_eq(),
            (Double(left), Double(right)) => order_of_doubles(left, right).is_eq(),
            (Big(left), Big(right)) => left == right,
            (Char(left), Char(right)) => left == right,
            (Operand::Text(left), Operand::Text(right)) => left.equals(right),
            (Opaque(left), Opaque(right)) => left == right,
            _ => false,
        }
    }

    /// Whether they are equal as `=` has it; neither is null.
    pub(super) fn is_equal(self, other: Operand<'_>, convert: bool) -> Result<bool, Fault> {
        if let (Operand::Text(left), Operand::Text(right)) = (self, other) {
            return Ok(left.equals(right));
        }
        if !self.is_ordered() || !other.is_ordered() {
            return Ok(self.equals(other));
        }
        Ok(self.compare(other, convert)? == Relation::Ordered(Ordering::Equal))
    }

    /// What they are to each other. Only some pairs of kinds compare, and which side is which matters.
    #[expect(clippy::cast_precision_loss, reason = "as numbers are promoted")]
    pub(super) fn compare(self, other: Operand<'_>, convert: bool) -> Result<Relation, Fault> {
        use Operand::{Big, Boolean, Byte, Char, Double, Float, Int, Long, Short};
        let order = match (self, other) {
            (Int(left), Int(right)) => left.cmp(&right),
            (Operand::Text(left), Operand::Text(right)) => left.compare(right),
            (Boolean(left), Boolean(right)) => left.cmp(&right),
            (Char(left), Char(right)) => left.cmp(&right),
            (Big(left), Big(right)) => left.cmp(&right),

            (Byte(left), Byte(right)) => left.cmp(&right),
            (Byte(left), Short(right)) => i16::from(left).cmp(&right),
            (Byte(left), Int(right)) => i32::from(left).cmp(&right),
            (Byte(left), Long(right)) => i64::from(left).cmp(&right),
            (Byte(left), Float(right)) => order_of_floats(left.into(), right),
            (Byte(left), Double(right)) => order_of_doubles(left.into(), right),

            (Short(left), Short(right)) => left.cmp(&right),
            (Short(left), Int(right)) => i32::from(left).cmp(&right),
            (Short(left), Long(right)) => i64::from(left).cmp(&right),
            (Short(left), Float(right)) => order_of_floats(left.into(), right),
            (Short(left), Double(right)) => order_of_doubles(left.into(), right),

            (Int(left), Long(right)) => i64::from(left).cmp(&right),
            (Int(left), Float(right)) => order_of_floats(left as f32, right),
            (Int(left), Double(right)) => order_of_doubles(left.into(), right),

            (Long(left), Long(right)) => left.cmp(&right),
            (Long(left), Int(right)) => left.cmp(&right.into()),
            (Long(left), Float(right)) => order_of_floats(left as f32, right),
            (Long(left), Double(right)) => order_of_doubles(left as f64, right),

            (Float(left), Float(right)) => order_of_floats(left, right),
            (Float(left), Int(right)) => order_of_floats(left, right as f32),
            (Float(left), Long(right)) => order_of_floats(left, right as f32),
            (Float(left), Double(right)) => order_of_doubles(left.into(), right),

            (Double(left), Double(right)) => order_of_doubles(left, right),
            (Double(left), Int(right)) => order_of_doubles(left, right.into()),
            (Double(left), Long(right)) => order_of_doubles(left, right as f64),
            (Double(_), Float(_)) => return Err(Fault::Kind),

            (Boolean(_), Operand::Text(_)) if convert => return Err(Fault::Kind),
            (_, Operand::Text(text)) if convert => match self.read_alike(text) {
                Some(right) => return self.compare(right, false),
                None => return Ok(Relation::Unrelated),
            },
            (Operand::Text(text), _) if convert => match other.read_alike(text) {
                Some(left) => return left.compare(other, false),
                None => return Ok(Relation::Unrelated),
            },
            _ => return Ok(Relation::Unrelated),
        };
        Ok(Relation::Ordered(order))
    }

    /// A text read as a value of the kind that this is.
    fn read_alike(self, text: Text<'_>) -> Option<Operand<'static>> {
        let bytes = text.in_one();
        let text = std::str::from_utf8(&bytes).ok()?;
        Some(match self {
            Operand::Boolean(_) => Operand::Boolean(text.eq_ignore_ascii_case("true")),
            Operand::Byte(_) => Operand::Byte(text.parse().ok()?),
            Operand::Short(_) => Operand::Short(text.parse().ok()?),
            Operand::Int(_) => Operand::Int(text.parse().ok()?),
            Operand::Long(_) => Operand::Long(text.parse().ok()?),
            Operand::Float(_) => Operand::Float(decimal(text)?.parse().ok()?),
            Operand::Double(_) => Operand::Double(decimal(text)?.parse().ok()?),
            _ => return None,
        })
    }

    /// `-`: unknown of what is no number.
    pub(super) fn negate(self) -> Result<Operand<'a>, Fault> {
        Ok(match self {
            Operand::Int(value) => Operand::Int(value.wrapping_neg()),
            Operand::Long(value) => Operand::Long(value.wrapping_neg()),
            Operand::Float(value) => Operand::Float(-value),
            Operand::Double(value) => Operand::Double(-value),
            // The least long has no positive counterpart that a literal could state.
            Operand::Big(value) => i64::try_from(-value).map_or(Operand::Big(-value), Operand::Long),
            Operand::Byte(_) | Operand::Short(_) => return Err(Fault::Kind),
            _ => Operand::Null,
        })
    }

    /// Two numbers; neither is null.
    pub(super) fn calculate(self, operator: Arithmetic, other: Operand<'_>) -> Result<Operand<'a>, Fault> {
        let is_floating = |operand: Operand<'_>| matches!(operand, Operand::Float(_) | Operand::Double(_));
        let is_long = |operand: Operand<'_>| matches!(operand, Operand::Long(_));
        let is_quotient = matches!(operator, Arithmetic::Divide | Arithmetic::Modulo);
        if is_quotient || is_floating(self) || is_floating(other) {
            return Ok(Operand::Double(operator.of_doubles(self.double()?, other.double()?)));
        }
        // The low half of a result is that of the low halves.
        let result = operator.of_longs(self.integer()?, other.integer()?);
        Ok(if is_long(self) || is_long(other) { Operand::Long(result) } else { Operand::Int(low_int(result)) })
    }

    #[expect(clippy::cast_precision_loss, reason = "as numbers are promoted")]
    fn double(self) -> Result<f64, Fault> {
        Ok(match self {
            Operand::Byte(value) => value.into(),
            Operand::Short(value) => value.into(),
            Operand::Int(value) => value.into(),
            Operand::Long(value) => value as f64,
            Operand::Float(value) => value.into(),
            Operand::Double(value) => value,
            Operand::Big(value) => value as f64,
            _ => return Err(Fault::Kind),
        })
    }

    /// An integer's low 64 bits.
    #[expect(clippy::cast_possible_truncation, reason = "what is wider loses its high bits, as in arithmetic")]
    fn integer(self) -> Result<i64, Fault> {
        Ok(match self {
            Operand::Byte(value) => value.into(),
            Operand::Short(value) => value.into(),
            Operand::Int(value) => value.into(),
            Operand::Long(value) => value,
            Operand::Big(value) => value as i64,
            _ => return Err(Fault::Kind),
        })
    }

    /// Appends it as text, as Java shows it.
    pub(super) fn write(self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let shown = match self {
            Operand::Text(text) => {
                text.write(out);
                return Ok(());
            }
            Operand::Char(unit) => {
                let text = char::from_u32(unit.into()).ok_or(Fault::Kind)?.to_string();
                out.extend_from_slice(&modified_utf8::encode(&text));
                return Ok(());
            }
            Operand::Boolean(value) => value.to_string(),
            Operand::Byte(value) => value.to_string(),
            Operand::Short(value) => value.to_string(),
            Operand::Int(value) => value.to_string(),
            Operand::Long(value) => value.to_string(),
            Operand::Big(value) => value.to_string(),
            Operand::Float(value) => floating(value.into(), &format!("{value:E}"), &format!("{value:?}")),
            Operand::Double(value) => floating(value, &format!("{value:E}"), &format!("{value:?}")),
            Operand::Null | Operand::Opaque(_) | Operand::List => return Err(Fault::Kind),
        };
        out.extend_from_slice(shown.as_bytes());
        Ok(())
    }
}

/// The low 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "what is wider loses its high bits, as in arithmetic")]
fn low_int(value: i64) -> i32 {
    value as i32
}

/// Java's order: each not-a-number is the same and above all others, and -0.0 is below 0.0.
fn order_of_doubles(left: f64, right: f64) -> Ordering {
    let plain = |value: f64| if value.is_nan() { f64::NAN.abs() } else { value };
    plain(left).total_cmp(&plain(right))
}

fn order_of_floats(left: f32, right: f32) -> Ordering {
    order_of_doubles(left.into(), right.into())
}

/// What Java reads as a decimal number, in a form that Rust reads: blanks around it and a letter for its kind are left out.
fn decimal(text: &str) -> Option<&str> {
    let text = text.trim_matches(|letter: char| letter <= ' ');
    let unsigned = text.trim_start_matches(['+', '-']);
    if ["NaN", "Infinity"].contains(&unsigned) {
        return Some(text);
    }
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '+' | '-' | 'e' | 'E');
    number.chars().all(is_part).then_some(number)
}

/// A floating-point number from its shortest digits.
fn floating(value: f64, scientific: &str, plain: &str) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        if plain.contains('.') { plain.to_owned() } else { format!("{plain}.0") }
    } else {
        let (digits, exponent) = scientific.split_once('E').unwrap_or((scientific, "0"));
        let point = if digits.contains('.') { "" } else { ".0" };
        format!("{digits}{point}E{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(operand: Operand<'_>) -> String {
        let mut out = Vec::new();
        operand.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_shown_as_java_shows_them() {
        let doubles = [
            (5.0, "5.0"),
            (1e10, "1.0E10"),
            (0.001, "0.001"),
            (1e7, "1.0E7"),
            (9_999_999.5, "9999999.5"),
            (0.0001, "1.0E-4"),
            (-1.25e-9, "-1.25E-9"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
            (-0.0, "-0.0"),
        ];
        for (value, expected) in doubles {
            assert_eq!(shown(Operand::Double(value)), expected);
        }
        assert_eq!(shown(Operand::Float(1.1)), "1.1");
        assert_eq!(shown(Operand::Float(5.0)), "5.0");
        assert_eq!(shown(Operand::Float(3e9)), "3.0E9");
        assert_eq!(shown(Operand::Char(0x20AC)), "\u{20ac}");
    }

    #[test]
    fn not_a_number_is_above_all_and_like_itself() {
        assert_eq!(order_of_doubles(-f64::NAN, f64::NAN), Ordering::Equal);
        assert_eq!(order_of_doubles(-f64::NAN, f64::INFINITY), Ordering::Greater);
        assert_eq!(order_of_doubles(-0.0, 0.0), Ordering::Less);
    }

    #[test]
    fn texts_that_are_read_as_numbers() {
        assert_eq!(decimal(" 5.0d ").and_then(|text| text.parse::<f64>().ok()), Some(5.0));
        assert_eq!(decimal("-Infinity").and_then(|text| text.parse::<f64>().ok()), Some(f64::NEG_INFINITY));
        for wrong in ["", "inf", "nan", "0x1p3", "5dd", "1 2", "-"] {
            assert_eq!(decimal(wrong).and_then(|text| text.parse::<f64>().ok()), None, "{wrong}");
        }
    }
}
