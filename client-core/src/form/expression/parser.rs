//! Reads words into a tree, by precedence; nesting is bounded.

use super::error::{ExpressionError, Fault};
use super::functions::{Function, is_foreign, nearest_function};
use super::lexer::{Token, lex};
use super::syntax::{Axis, Expr, ExprKind, Operator, Path, Start, Step};
use super::{DEPTH_MAX, TEXT_BYTES_MAX};

/// How tightly an operator binds, from 0.
fn level(operator: Operator) -> u8 {
    match operator {
        Operator::Or => 0,
        Operator::And => 1,
        Operator::Equal | Operator::NotEqual => 2,
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => 3,
        Operator::Add | Operator::Subtract => 4,
        Operator::Multiply | Operator::Divide | Operator::Modulo => 5,
    }
}

pub(super) fn parse(text: &str) -> Result<Expr, ExpressionError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExpressionError::new(TEXT_BYTES_MAX, Fault::TooLong));
    }
    let mut parser = Parser { text, tokens: lex(text)?, next: 0, depth: 0 };
    let root = parser.expression()?;
    if parser.next < parser.tokens.len() {
        return parser.unexpected();
    }
    Ok(root)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

type Read<T> = Result<T, ExpressionError>;

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.1)
    }

    fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.next + 1).map(|t| &t.1)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |t| t.0)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn unexpected<T>(&self) -> Read<T> {
        let at = self.at();
        let rest = self.text[at..].trim_start();
        if rest.is_empty() {
            return Err(ExpressionError::new(at, Fault::UnexpectedEnd));
        }
        let word = rest.char_indices().find(|(i, c)| *i > 0 && !c.is_alphanumeric()).map_or(rest.len(), |(i, _)| i);
        let shown = rest[..word].chars().take(20).collect();
        Err(ExpressionError::new(at, Fault::Unexpected(shown)))
    }

    fn expect(&mut self, token: &Token) -> Read<()> {
        if self.eat(token) { Ok(()) } else { self.unexpected() }
    }

    fn expression(&mut self) -> Read<Expr> {
        if self.depth >= DEPTH_MAX {
            return Err(ExpressionError::new(self.at(), Fault::TooDeep));
        }
        self.depth += 1;
        let expr = self.binary(0);
        self.depth -= 1;
        expr
    }

    /// Operators that bind at least as tightly as `least`, and what is between them.
    fn binary(&mut self, least: u8) -> Read<Expr> {
        let at = self.at();
        let mut left = self.negation()?;
        while let Some(tightness) = self.operator().map(level).filter(|l| *l >= least) {
            let mut rest = Vec::new();
            while let Some(operator) = self.operator().filter(|o| level(*o) == tightness) {
                self.next += 1;
                rest.push((operator, self.binary(tightness + 1)?));
            }
            left = Expr { at, kind: ExprKind::Chain(Box::new(left), rest) };
        }
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        match self.peek() {
            Some(Token::Operator(operator)) => Some(*operator),
            _ => None,
        }
    }

    fn negation(&mut self) -> Read<Expr> {
        let at = self.at();
        let mut times = 0;
        while self.eat(&Token::Operator(Operator::Subtract)) {
            times += 1;
        }
        let mut expr = self.primary()?;
        // two signs cancel out, but still make a number of it
        for _ in 0..if times > 2 { 2 - times % 2 } else { times } {
            expr = Expr { at, kind: ExprKind::Negate(Box::new(expr)) };
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Read<Expr> {
        let at = self.at();
        let kind = match self.peek() {
            Some(Token::Text(text)) => ExprKind::Text(text.clone()),
            Some(Token::Number(number)) => ExprKind::Number(*number),
            Some(Token::LeftParen) => {
                self.next += 1;
                let inside = self.expression()?;
                self.expect(&Token::RightParen)?;
                return Ok(inside);
            }
            Some(Token::Name(_)) if self.peek_second() == Some(&Token::LeftParen) && !self.is_node_test() => {
                return self.call();
            }
            _ => return self.path(),
        };
        self.next += 1;
        Ok(Expr { at, kind })
    }

    fn is_node_test(&self) -> bool {
        matches!(self.peek(), Some(Token::Name(name)) if name == "node")
    }

    fn call(&mut self) -> Read<Expr> {
        let at = self.at();
        let Some(Token::Name(name)) = self.peek().cloned() else { return self.unexpected() };
        let Some(function) = Function::named(&name) else {
            let fault = if is_foreign(&name) {
                Fault::ForeignFunction(name)
            } else {
                Fault::UnknownFunction(name.clone(), nearest_function(&name))
            };
            return Err(ExpressionError::new(at, fault));
        };
        self.next += 2;
        let mut arguments = Vec::new();
        if !self.eat(&Token::RightParen) {
            arguments.push(self.expression()?);
            while self.eat(&Token::Comma) {
                arguments.push(self.expression()?);
            }
            self.expect(&Token::RightParen)?;
        }
        if !function.accepts(arguments.len()) {
            let (takes, given) = (function.takes(), arguments.len());
            return Err(ExpressionError::new(at, Fault::Arguments { function: function.name(), takes, given }));
        }
        let start = match function {
            Function::Current => Start::Current,
            Function::Instance => match arguments.first().map(|a| &a.kind) {
                Some(ExprKind::Text(id)) => Start::Instance(id.clone()),
                _ => return Err(ExpressionError::new(at, Fault::NeedsQuoted(function.name()))),
            },
            _ => {
                let call = Expr { at, kind: ExprKind::Call(function, arguments) };
                if !matches!(self.peek(), Some(Token::LeftBracket | Token::Slash)) {
                    return Ok(call);
                }
                let filters = self.filters()?;
                Start::Call(Box::new(call), filters)
            }
        };
        let steps = self.more_steps()?;
        Ok(Expr { at, kind: ExprKind::Path(Path { start, steps }) })
    }

    fn path(&mut self) -> Read<Expr> {
        let at = self.at();
        let (start, steps) = match self.peek() {
            Some(Token::Reference(name)) => {
                let name = name.clone();
                self.next += 1;
                let filters = self.filters()?;
                let start = match name.strip_prefix("last-saved#") {
                    Some(_) if !filters.is_empty() => return Err(ExpressionError::new(at, Fault::FilterNotHere)),
                    Some(name) => Start::LastSaved(name.to_owned()),
                    None => Start::Name(name, filters),
                };
                (start, self.more_steps()?)
            }
            Some(Token::Slash) => {
                self.next += 1;
                if !self.at_step() {
                    return self.unexpected();
                }
                (Start::Root, self.steps()?)
            }
            _ if self.at_step() => (Start::Here, self.steps()?),
            _ => return self.unexpected(),
        };
        Ok(Expr { at, kind: ExprKind::Path(Path { start, steps }) })
    }

    fn at_step(&self) -> bool {
        matches!(self.peek(), Some(Token::Name(_) | Token::Dot | Token::DotDot | Token::Any))
    }

    fn more_steps(&mut self) -> Read<Vec<Step>> {
        if self.eat(&Token::Slash) { self.steps() } else { Ok(Vec::new()) }
    }

    fn steps(&mut self) -> Read<Vec<Step>> {
        let mut steps = vec![self.step()?];
        while self.eat(&Token::Slash) {
            steps.push(self.step()?);
        }
        Ok(steps)
    }

    fn step(&mut self) -> Read<Step> {
        let at = self.at();
        let axis = match self.peek() {
            Some(Token::Dot) => Axis::Here,
            Some(Token::DotDot) => Axis::Parent,
            Some(Token::Any) => Axis::AnyChild,
            Some(Token::Name(name)) if self.peek_second() == Some(&Token::Axis) => {
                let name = name.clone();
                self.next += 2;
                return self.long_step(at, &name);
            }
            Some(Token::Name(name)) if self.peek_second() == Some(&Token::LeftParen) => {
                return Err(ExpressionError::new(at, Fault::NotInDialect(format!("{name}()"))));
            }
            Some(Token::Name(name)) => Axis::Child(name.clone()),
            _ => return self.unexpected(),
        };
        self.next += 1;
        Ok(Step { at, axis, filters: self.filters()? })
    }

    /// `child::name`, `self::node()`, `parent::node()`.
    fn long_step(&mut self, at: usize, axis: &str) -> Read<Step> {
        let any_node = self.is_node_test();
        let axis = match (axis, self.peek()) {
            ("self", Some(Token::Name(_))) if any_node => Axis::Here,
            ("parent", Some(Token::Name(_))) if any_node => Axis::Parent,
            ("child", Some(Token::Name(name))) if !any_node => Axis::Child(name.clone()),
            ("child", Some(Token::Any)) => Axis::AnyChild,
            _ => return Err(ExpressionError::new(at, Fault::NotInDialect(format!("{axis}::")))),
        };
        self.next += 1;
        if any_node {
            self.expect(&Token::LeftParen)?;
            self.expect(&Token::RightParen)?;
        }
        Ok(Step { at, axis, filters: self.filters()? })
    }

    fn filters(&mut self) -> Read<Vec<Expr>> {
        let mut filters = Vec::new();
        while self.eat(&Token::LeftBracket) {
            filters.push(self.expression()?);
            self.expect(&Token::RightBracket)?;
        }
        Ok(filters)
    }
}
