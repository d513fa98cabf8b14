//! From words to expressions.

use super::error::{Problem, SelectorError};
use super::expression::{Constant, Expression, Header, Order};
use super::like::Like;
use super::operand::Arithmetic;
use super::regular::Pattern;
use super::token::{Keyword, Kind, Token, tokens};
use super::{DEPTH_LIMIT, NODE_LIMIT, PATTERN_LIMIT};

/// What a text says.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) condition: Expression,
    /// Properties that are named, each once.
    pub(super) names: Vec<Vec<u8>>,
    /// How many texts may be made.
    pub(super) texts: usize,
    /// How many expressions there are.
    pub(super) nodes: usize,
}

/// Reads a selector behind its prefixes, which begins at `start`.
pub(super) fn parse(text: &[u8], start: usize, hyphens: bool) -> Result<Parsed> {
    let tokens = tokens(text, start, hyphens)?;
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        names: Vec::new(),
        texts: 0,
        nodes: 0,
        patterns: 0,
        nesting: 0,
    };
    let part = parser.disjunction()?;
    let condition = parser.condition(part)?.expression;
    match parser.next() {
        Token { kind: Kind::End, .. } => {
            Ok(Parsed { condition, names: parser.names, texts: parser.texts, nodes: parser.nodes })
        }
        token => Err(token.instead_of("an operator or the end")),
    }
}

/// An expression, how high its tree is, and where it begins.
struct Part {
    expression: Expression,
    height: usize,
    at: usize,
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    names: Vec<Vec<u8>>,
    texts: usize,
    nodes: usize,
    /// Regular expressions.
    patterns: usize,
    /// Calls of the parser within each other that a text can ask for.
    nesting: usize,
}

type Result<T> = std::result::Result<T, SelectorError>;

fn wrong<T>(position: usize, problem: Problem) -> Result<T> {
    Err(SelectorError { position, problem })
}

impl Token {
    fn instead_of(&self, what: &'static str) -> SelectorError {
        SelectorError { position: self.at, problem: Problem::Expected(what) }
    }
}

impl Parser {
    fn next(&mut self) -> Token {
        // The end stays.
        match self.tokens.peek() {
            Some(Token { kind: Kind::End, at }) => Token { kind: Kind::End, at: *at },
            _ => self.tokens.next().unwrap_or(Token { at: 0, kind: Kind::End }),
        }
    }

    fn is_next(&mut self, kind: &Kind) -> bool {
        self.tokens.peek().is_some_and(|token| token.kind == *kind)
    }

    /// Takes the next token if it is this one.
    fn take(&mut self, kind: &Kind) -> bool {
        let is_next = self.is_next(kind);
        if is_next {
            self.next();
        }
        is_next
    }

    fn take_keyword(&mut self, keyword: Keyword) -> bool {
        self.take(&Kind::Keyword(keyword))
    }

    fn take_symbol(&mut self, symbol: &'static str) -> bool {
        self.take(&Kind::Symbol(symbol))
    }

    fn require(&mut self, kind: &Kind, what: &'static str) -> Result<()> {
        let token = self.next();
        if token.kind == *kind { Ok(()) } else { Err(token.instead_of(what)) }
    }

    fn text(&mut self) -> Result<Vec<u8>> {
        match self.next() {
            Token { kind: Kind::Text(text), .. } => Ok(text),
            token => Err(token.instead_of("a text in quotes")),
        }
    }

    /// A tree above others, the highest of which is so high.
    fn part(&mut self, at: usize, highest: usize, expression: Expression) -> Result<Part> {
        self.nodes += 1;
        if self.nodes > NODE_LIMIT {
            return wrong(at, Problem::TooManyNodes);
        }
        let height = highest + 1;
        if height > DEPTH_LIMIT {
            return wrong(at, Problem::TooDeep);
        }
        Ok(Part { expression, height, at })
    }

    fn condition(&mut self, part: Part) -> Result<Part> {
        if part.expression.is_boolean() {
            Ok(part)
        } else if part.expression.is_name() {
            self.part(part.at, part.height, Expression::Cast(Box::new(part.expression)))
        } else {
            wrong(part.at, Problem::NotBoolean)
        }
    }

    fn nested(&mut self, at: usize, read: impl FnOnce(&mut Parser) -> Result<Part>) -> Result<Part> {
        self.nesting += 1;
        if self.nesting > DEPTH_LIMIT {
            return wrong(at, Problem::TooDeep);
        }
        let part = read(self)?;
        self.nesting -= 1;
        Ok(part)
    }

    fn disjunction(&mut self) -> Result<Part> {
        self.series(Keyword::Or, Parser::conjunction, Expression::Or)
    }

    fn conjunction(&mut self) -> Result<Part> {
        self.series(Keyword::And, Parser::equality, Expression::And)
    }

    /// Conditions one behind the other are one expression, however many they are.
    fn series(
        &mut self,
        between: Keyword,
        read: fn(&mut Parser) -> Result<Part>,
        made: fn(Vec<Expression>) -> Expression,
    ) -> Result<Part> {
        let mut next = read(self)?;
        if !self.is_next(&Kind::Keyword(between)) {
            return Ok(next);
        }
        let (at, mut highest, mut parts) = (next.at, 0, Vec::new());
        loop {
            let part = self.condition(next)?;
            highest = part.height.max(highest);
            parts.push(part.expression);
            if !self.take_keyword(between) {
                return self.part(at, highest, made(parts));
            }
            next = read(self)?;
        }
    }

    fn equality(&mut self) -> Result<Part> {
        let mut left = self.comparison()?;
        loop {
            let is_equal = self.take_symbol("=");
            if is_equal || self.take_symbol("<>") {
                let right = self.comparison()?;
                left = self.equal(left, right)?;
                if !is_equal {
                    left = self.not(left)?;
                }
            } else if self.take_keyword(Keyword::Is) {
                let is_not = self.take_keyword(Keyword::Not);
                self.require(&Kind::Keyword(Keyword::Null), "NULL")?;
                left = self.part(left.at, left.height, Expression::IsNull(Box::new(left.expression)))?;
                if is_not {
                    left = self.not(left)?;
                }
            } else {
                return Ok(left);
            }
        }
    }

    fn equal(&mut self, left: Part, right: Part) -> Result<Part> {
        for part in [&left, &right] {
            if matches!(part.expression, Expression::Constant(Constant::Null)) {
                return wrong(part.at, Problem::NotComparable);
            }
        }
        if let (Expression::Constant(Constant::Boolean(_)), Expression::Constant(stated)) =
            (&left.expression, &right.expression)
            && !matches!(stated, Constant::Boolean(_))
        {
            return wrong(right.at, Problem::NotComparable);
        }
        let highest = left.height.max(right.height);
        self.part(left.at, highest, Expression::Equal(Box::new([left.expression, right.expression])))
    }

    fn not(&mut self, part: Part) -> Result<Part> {
        self.part(part.at, part.height, Expression::Not(Box::new(part.expression)))
    }

    fn comparison(&mut self) -> Result<Part> {
        const ORDERS: [(&str, Order); 4] =
            [(">", Order::Greater), (">=", Order::GreaterOrEqual), ("<", Order::Less), ("<=", Order::LessOrEqual)];
        let mut left = self.addition()?;
        loop {
            if let Some((_, order)) = ORDERS.iter().find(|(symbol, _)| self.take_symbol(symbol)) {
                let right = self.addition()?;
                for part in [&left, &right] {
                    ordered(part)?;
                }
                let pair = Box::new([left.expression, right.expression]);
                left = self.part(left.at, left.height.max(right.height), Expression::Order(*order, pair))?;
                continue;
            }
            let is_not = self.take_keyword(Keyword::Not);
            left = match self.tokens.peek().map(|token| &token.kind) {
                Some(Kind::Keyword(Keyword::Like)) => self.like(left, is_not)?,
                Some(Kind::Keyword(Keyword::Between)) => self.between(left, is_not)?,
                Some(Kind::Keyword(Keyword::In)) => self.membership(left, is_not)?,
                _ if is_not => return Err(self.next().instead_of("LIKE, BETWEEN or IN")),
                _ => return Ok(left),
            };
        }
    }

    fn like(&mut self, left: Part, is_not: bool) -> Result<Part> {
        self.next();
        let pattern = self.text()?;
        let mut at = left.at;
        let mut escape = None;
        if self.take_keyword(Keyword::Escape) {
            at = self.tokens.peek().map_or(at, |token| token.at);
            escape = Some(self.text()?);
        }
        let Some(like) = Like::new(&pattern, escape.as_deref()) else { return wrong(at, Problem::Escape) };
        let expression = Expression::Like(Box::new(like), Box::new(left.expression));
        let part = self.part(left.at, left.height, expression)?;
        if is_not { self.not(part) } else { Ok(part) }
    }

    fn between(&mut self, left: Part, is_not: bool) -> Result<Part> {
        self.next();
        let low = self.addition()?;
        self.require(&Kind::Keyword(Keyword::And), "AND")?;
        let high = self.addition()?;
        for part in [&left, &low, &high] {
            ordered(part)?;
        }
        let highest = left.height.max(low.height).max(high.height);
        let parts = Box::new([left.expression, low.expression, high.expression]);
        self.part(left.at, highest, Expression::Between(parts, is_not))
    }

    fn membership(&mut self, left: Part, is_not: bool) -> Result<Part> {
        self.next();
        self.require(&Kind::Symbol("("), "(")?;
        let mut texts = vec![self.text()?];
        while self.take_symbol(",") {
            texts.push(self.text()?);
        }
        self.require(&Kind::Symbol(")"), ", or )")?;
        if !left.expression.is_name() {
            return wrong(left.at, Problem::Expected("a property before IN"));
        }
        texts.sort_unstable();
        texts.dedup();
        self.part(left.at, left.height, Expression::In(texts, Box::new(left.expression), is_not))
    }

    fn addition(&mut self) -> Result<Part> {
        self.calculation(Parser::multiplication, &[("+", Arithmetic::Plus), ("-", Arithmetic::Minus)])
    }

    fn multiplication(&mut self) -> Result<Part> {
        let operators = [("*", Arithmetic::Times), ("/", Arithmetic::Divide), ("%", Arithmetic::Modulo)];
        self.calculation(Parser::unary, &operators)
    }

    /// Operands with some of these operators between them, from the left.
    fn calculation(
        &mut self,
        operand: fn(&mut Self) -> Result<Part>,
        operators: &[(&'static str, Arithmetic)],
    ) -> Result<Part> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.take_symbol(symbol)) {
            let right = operand(self)?;
            left = self.calculate(*operator, left, right)?;
        }
        Ok(left)
    }

    fn calculate(&mut self, operator: Arithmetic, left: Part, right: Part) -> Result<Part> {
        let pair = Box::new([left.expression, right.expression]);
        let text = self.next_text();
        self.part(left.at, left.height.max(right.height), Expression::Calculate(operator, pair, text))
    }

    /// The number of a text that may be made.
    fn next_text(&mut self) -> usize {
        self.texts += 1;
        self.texts - 1
    }

    fn unary(&mut self) -> Result<Part> {
        let token = self.next();
        let at = token.at;
        match token.kind {
            Kind::Symbol("+") => self.nested(at, Parser::unary),
            Kind::Symbol("-") => {
                let inner = self.nested(at, Parser::unary)?;
                self.part(at, inner.height, Expression::Negate(Box::new(inner.expression)))
            }
            Kind::Keyword(Keyword::Not) => {
                let inner = self.nested(at, Parser::unary)?;
                let inner = self.condition(inner)?;
                self.part(at, inner.height, Expression::Not(Box::new(inner.expression)))
            }
            Kind::Keyword(Keyword::XPath) => self.xml(at, "XPATH"),
            Kind::Keyword(Keyword::XQuery) => self.xml(at, "XQUERY"),
            Kind::Keyword(Keyword::True) => self.part(at, 0, Expression::Constant(Constant::Boolean(true))),
            Kind::Keyword(Keyword::False) => self.part(at, 0, Expression::Constant(Constant::Boolean(false))),
            Kind::Keyword(Keyword::Null) => self.part(at, 0, Expression::Constant(Constant::Null)),
            Kind::Number(constant) => self.part(at, 0, Expression::Constant(constant)),
            Kind::Text(text) => self.part(at, 0, Expression::Constant(Constant::Text(text))),
            Kind::Symbol("(") => {
                let inner = self.nested(at, Parser::disjunction)?;
                self.require(&Kind::Symbol(")"), "an operator or )")?;
                Ok(inner)
            }
            Kind::Name(name) if self.take_symbol("(") => self.function(at, &name),
            Kind::Name(name) => {
                let named = match Header::of_name(&name) {
                    Some(header) => Expression::Header(header),
                    None if name == b"JMSXUserID" => Expression::User(self.property(name)),
                    None => Expression::Property(self.property(name)),
                };
                self.part(at, 0, named)
            }
            _ => Err(token.instead_of("a value")),
        }
    }

    fn xml(&mut self, at: usize, keyword: &'static str) -> Result<Part> {
        let path = self.text()?;
        self.part(at, 0, Expression::Xml(keyword, path))
    }

    fn property(&mut self, name: Vec<u8>) -> usize {
        self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }

    fn function(&mut self, at: usize, name: &[u8]) -> Result<Part> {
        let mut arguments = vec![self.nested(at, Parser::unary)?];
        while self.take_symbol(",") {
            arguments.push(self.nested(at, Parser::unary)?);
        }
        self.require(&Kind::Symbol(")"), ", or )")?;
        let highest = arguments.iter().map(|part| part.height).max().unwrap_or_default();
        let expression = self.call(at, name, arguments)?;
        self.part(at, highest, expression)
    }

    fn call(&mut self, at: usize, name: &[u8], arguments: Vec<Part>) -> Result<Expression> {
        let boxed = |part: Part| Box::new(part.expression);
        if name == b"MAKELIST" {
            return Ok(Expression::MakeList(arguments.into_iter().map(|part| part.expression).collect()));
        }
        let mut arguments = arguments.into_iter();
        let given = [arguments.next(), arguments.next(), arguments.next(), arguments.next()];
        Ok(match (name, given) {
            (b"INLIST", [Some(list), Some(value), None, None]) => {
                Expression::InList(Box::new([list.expression, value.expression]))
            }
            (b"REGEX", [Some(regex), Some(value), None, None]) => {
                Expression::Regex(self.pattern(&regex)?, boxed(value))
            }
            (b"SPLIT", [Some(text), Some(regex), limit, None]) => {
                Expression::Split(self.pattern(&regex)?, boxed(text), limit.map(boxed))
            }
            (b"REPLACE", [Some(text), Some(regex), Some(by), None]) => {
                let pair = Box::new([text.expression, by.expression]);
                Expression::Replace(self.pattern(&regex)?, pair, self.next_text())
            }
            (b"INLIST", _) => return wrong(at, Problem::Arguments("INLIST")),
            (b"REGEX", _) => return wrong(at, Problem::Arguments("REGEX")),
            (b"SPLIT", _) => return wrong(at, Problem::Arguments("SPLIT")),
            (b"REPLACE", _) => return wrong(at, Problem::Arguments("REPLACE")),
            _ => return wrong(at, Problem::UnknownFunction(String::from_utf8_lossy(name).into_owned())),
        })
    }
}

/// What is compared by order is no condition, and if it is stated, a number.
fn ordered(part: &Part) -> Result<()> {
    let may_be = match &part.expression {
        Expression::Constant(constant) => constant.is_number(),
        other => !other.is_boolean(),
    };
    if may_be { Ok(()) } else { wrong(part.at, Problem::NotComparable) }
}

impl Parser {
    fn pattern(&mut self, part: &Part) -> Result<Box<Pattern>> {
        self.patterns += 1;
        if self.patterns > PATTERN_LIMIT {
            return wrong(part.at, Problem::TooManyPatterns);
        }
        pattern(part)
    }
}

fn pattern(part: &Part) -> Result<Box<Pattern>> {
    let Expression::Constant(Constant::Text(source)) = &part.expression else {
        return wrong(part.at, Problem::PatternNotStated);
    };
    match Pattern::new(source) {
        Ok(pattern) => Ok(Box::new(pattern)),
        Err(reason) => wrong(part.at, Problem::Pattern(reason)),
    }
}
