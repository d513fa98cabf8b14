//! What an expression is for a message.
//!
//! A condition is true, false or unknown. Unknown is what a null on its left makes of a comparison, and AND, OR and NOT pass it on; at
//! the top it is as good as false. No expression is evaluated twice, so the steps are bounded by the size of the selector.

use std::cell::OnceCell;

use postrider_model::modified_utf8;
use postrider_model::properties::{PropertyError, Value};

use super::Fault;
use super::expression::{Expression, Order, Pair};
use super::message::Message;
use super::operand::{Arithmetic, Operand, Relation};
use super::regular::Pattern;
use super::text::{Text, utf8};
use super::work::Work;

/// One evaluation.
pub(super) struct Evaluation<'a> {
    pub(super) message: &'a Message<'a>,
    /// The properties that are named, by their number; null where the message has none.
    pub(super) properties: &'a [Value<'a>],
    /// Why its properties cannot be read.
    pub(super) damage: Option<PropertyError>,
    /// Whether texts are read as the kind of what they are compared with.
    pub(super) convert: bool,
    /// How many texts may be made.
    pub(super) texts: usize,
    /// Texts that were made, by their number: few selectors make any.
    pub(super) made: OnceCell<Box<[OnceCell<Vec<u8>>]>>,
    pub(super) work: Work,
}

type Truth = Result<Option<bool>, Fault>;

impl Evaluation<'_> {
    /// Whether a condition is true. What is not needed for that is not looked at: AND ends at the first that is not true.
    pub(super) fn is_true(&self, condition: &Expression) -> Result<bool, Fault> {
        match condition {
            Expression::And(parts) => all(parts.iter().map(|part| self.is_true(part))),
            Expression::Or(parts) => {
                all(parts.iter().map(|part| self.is_true(part).map(|is_true| !is_true))).map(|none| !none)
            }
            Expression::Between(parts, is_negated) => Ok(self.between(parts, *is_negated, false)? == Some(true)),
            other => Ok(self.truth(other)? == Some(true)),
        }
    }

    fn truth(&self, condition: &Expression) -> Truth {
        Ok(match condition {
            Expression::And(parts) => self.first_of(parts, false)?,
            Expression::Or(parts) => self.first_of(parts, true)?,
            Expression::Not(inner) => self.truth(inner)?.map(|is_true| !is_true),
            Expression::Equal(pair) => self.equal(pair)?,
            Expression::Order(order, pair) => {
                let [left, right] = pair.as_ref();
                let Some(left) = self.ordered(left)? else { return Ok(None) };
                let Some(right) = self.ordered(right)? else { return Ok(None) };
                Some(self.compare(left, *order, right)?)
            }
            Expression::Between(parts, is_negated) => self.between(parts, *is_negated, true)?,
            Expression::Cast(inner) => match self.value(inner)? {
                Operand::Null => None,
                value => Some(matches!(value, Operand::Boolean(true))),
            },
            Expression::IsNull(inner) => Some(self.value(inner)?.is_null()),
            Expression::Like(like, value) => match self.value(value)? {
                Operand::Null => None,
                Operand::Text(text) => Some(text.with_one(|text| like.matches(text, &self.work))?),
                _ => Some(false),
            },
            Expression::In(texts, value, is_negated) => match self.value(value)? {
                Operand::Text(text) => {
                    let find = |text: &[u8]| texts.binary_search_by(|known| known.as_slice().cmp(text)).is_ok();
                    Some(text.with_one(find) != *is_negated)
                }
                _ => None,
            },
            Expression::Regex(pattern, value) => Some(self.is_found(pattern, value)?),
            Expression::InList(pair) => Some(self.is_in_list(pair)?),
            Expression::Xml(..) => Some(false),
            other => match self.value(other)? {
                Operand::Boolean(value) => Some(value),
                Operand::Null => None,
                _ => return Err(Fault::Kind),
            },
        })
    }

    /// AND ends at the first that is false, OR at the first that is true; without one, what is unknown decides.
    fn first_of(&self, parts: &[Expression], wanted: bool) -> Truth {
        let mut is_known = true;
        for part in parts {
            match self.truth(part)? {
                Some(is_true) if is_true == wanted => return Ok(Some(wanted)),
                Some(_) => {}
                None => is_known = false,
            }
        }
        Ok(is_known.then_some(!wanted))
    }

    /// A null on the left is unknown, one on the right alone false, and two are equal.
    fn equal(&self, pair: &Pair) -> Truth {
        let [left, right] = pair.as_ref();
        let (left, right) = (self.value(left)?, self.value(right)?);
        Ok(match (left.is_null(), right.is_null()) {
            (true, true) => Some(true),
            (true, false) => None,
            (false, true) => Some(false),
            (false, false) => Some(left.is_equal(right, self.convert)?),
        })
    }

    /// A value that has an order; None if it is null.
    fn ordered<'b>(&'b self, expression: &'b Expression) -> Result<Option<Operand<'b>>, Fault> {
        match self.value(expression)? {
            Operand::Null => Ok(None),
            value if value.is_ordered() => Ok(Some(value)),
            _ => Err(Fault::Kind),
        }
    }

    fn compare(&self, left: Operand<'_>, order: Order, right: Operand<'_>) -> Result<bool, Fault> {
        Ok(match left.compare(right, self.convert)? {
            Relation::Unrelated => false,
            Relation::Ordered(found) => match order {
                Order::Less => found.is_lt(),
                Order::LessOrEqual => found.is_le(),
                Order::Greater => found.is_gt(),
                Order::GreaterOrEqual => found.is_ge(),
            },
        })
    }

    /// `value >= low AND value <= high`, or `value < low OR value > high`. Where what is unknown ends an AND, the second half is not
    /// looked at.
    fn between(&self, parts: &[Expression; 3], is_negated: bool, goes_on: bool) -> Truth {
        let [value, low, high] = parts;
        let Some(value) = self.ordered(value)? else { return Ok(None) };
        let (below, above) = match is_negated {
            false => (Order::GreaterOrEqual, Order::LessOrEqual),
            true => (Order::Less, Order::Greater),
        };
        let half = |order: Order, bound: &Expression| match self.ordered(bound)? {
            Some(bound) => self.compare(value, order, bound).map(Some),
            None => Ok(None),
        };
        let first = half(below, low)?;
        if first == Some(is_negated) || (first.is_none() && !is_negated && !goes_on) {
            return Ok(first);
        }
        let second = half(above, high)?;
        Ok(match (first, second) {
            (_, Some(decided)) if decided == is_negated => Some(decided),
            (None, _) | (_, None) => None,
            _ => Some(!is_negated),
        })
    }

    fn is_found(&self, pattern: &Pattern, value: &Expression) -> Result<bool, Fault> {
        match self.value(value)? {
            Operand::Null => Ok(false),
            Operand::Text(text) => text.with_one(|text| pattern.is_found(&utf8(text), &self.work)),
            other => {
                let mut shown = Vec::new();
                other.write(&mut shown)?;
                pattern.is_found(&utf8(&shown), &self.work)
            }
        }
    }

    fn is_in_list(&self, pair: &Pair) -> Result<bool, Fault> {
        let [list, wanted] = pair.as_ref();
        let wanted = self.value(wanted)?;
        let mut is_found = false;
        let mut look_at = |member: Operand<'_>| match member {
            _ if is_found => Ok(()),
            Operand::Null => Err(Fault::Kind),
            member => {
                is_found = member.equals(wanted);
                Ok(())
            }
        };
        match list {
            Expression::MakeList(members) => {
                for member in members {
                    look_at(self.value(member)?)?;
                }
            }
            Expression::Split(pattern, text, limit) => self.split(pattern, text, limit.as_deref(), |part| {
                let part = modified_utf8::encode(part);
                look_at(Operand::Text(Text::new(&part)))
            })?,
            other => {
                let Operand::Opaque(Value::List(members)) = self.value(other)? else { return Err(Fault::Kind) };
                for member in members.iter() {
                    look_at(Operand::of_property(member.map_err(Fault::Properties)?))?;
                }
            }
        }
        Ok(is_found)
    }

    fn split(
        &self,
        pattern: &Pattern,
        text: &Expression,
        limit: Option<&Expression>,
        mut part: impl FnMut(&str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Operand::Text(text) = self.value(text)? else { return Err(Fault::Kind) };
        let limit = match limit.map(|limit| self.value(limit)).transpose()? {
            None => 0,
            Some(Operand::Int(limit)) => limit,
            Some(_) => return Err(Fault::Kind),
        };
        let text = text.in_one();
        let text = utf8(&text);
        pattern.split(&text, limit, &self.work)?.into_iter().try_for_each(&mut part)
    }

    fn value<'b>(&'b self, expression: &'b Expression) -> Result<Operand<'b>, Fault> {
        Ok(match expression {
            Expression::Constant(constant) => constant.operand(),
            Expression::Property(number) => self.property(*number)?,
            Expression::Header(header) => self.message.value_of(*header),
            Expression::User(number) => match self.message.user() {
                Operand::Null => self.property(*number)?,
                user => user,
            },
            Expression::Negate(inner) => self.value(inner)?.negate()?,
            Expression::Calculate(operator, pair, number) => {
                let [left, right] = pair.as_ref();
                let left = self.value(left)?;
                if left.is_null() {
                    return Ok(Operand::Null);
                }
                let right = self.value(right)?;
                match (left, right) {
                    (_, Operand::Null) => Operand::Null,
                    (Operand::Text(text), _) if *operator == Arithmetic::Plus => self.joined(text, right, *number)?,
                    _ => left.calculate(*operator, right)?,
                }
            }
            Expression::MakeList(members) => {
                members.iter().try_for_each(|member| self.value(member).map(|_| ()))?;
                Operand::List
            }
            Expression::Split(pattern, text, limit) => {
                self.split(pattern, text, limit.as_deref(), |_| Ok(()))?;
                Operand::List
            }
            Expression::Replace(pattern, pair, number) => {
                let [text, replacement] = pair.as_ref();
                let Operand::Text(text) = self.value(text)? else { return Err(Fault::Kind) };
                let replacement = match self.value(replacement)? {
                    Operand::Text(replacement) => Some(replacement.in_one()),
                    // Nobody asks for it where nothing is found.
                    Operand::Null => None,
                    _ => return Err(Fault::Kind),
                };
                let whole = text.in_one();
                let (text, replacement) = (utf8(&whole), replacement.as_deref().map(utf8));
                let made = pattern.replace(&text, replacement.as_deref(), &self.work)?;
                self.keep(*number, modified_utf8::encode(&made).into_owned())?
            }
            condition => Operand::of_truth(self.truth(condition)?),
        })
    }

    fn property(&self, number: usize) -> Result<Operand<'_>, Fault> {
        match self.damage {
            Some(damage) => Err(Fault::Properties(damage)),
            None => Ok(self.properties.get(number).map_or(Operand::Null, |value| Operand::of_property(*value))),
        }
    }

    fn joined<'b>(&'b self, text: Text<'b>, other: Operand<'b>, number: usize) -> Result<Operand<'b>, Fault> {
        let mut made = Vec::new();
        self.work.take(text.len())?;
        if let Operand::Text(other) = other {
            self.work.take(other.len())?;
        }
        text.write(&mut made);
        other.write(&mut made)?;
        self.keep(number, made)
    }

    fn keep(&self, number: usize, text: Vec<u8>) -> Result<Operand<'_>, Fault> {
        let made = self.made.get_or_init(|| (0..self.texts).map(|_| OnceCell::new()).collect());
        let place = made.get(number).ok_or(Fault::Kind)?;
        Ok(Operand::Text(Text::new(place.get_or_init(|| text))))
    }
}

/// Whether all are true; those behind the first that is not are not asked for.
fn all(mut truths: impl Iterator<Item = Result<bool, Fault>>) -> Result<bool, Fault> {
    loop {
        match truths.next() {
            None => return Ok(true),
            Some(Ok(true)) => {}
            Some(other) => return other,
        }
    }
}
