//! Looks names and paths up in a tree, and tells what an expression depends on.

mod call;
mod path;

use std::collections::BTreeSet;

use super::code::{Code, CodeKind, ItemFilter};
use super::data::{Context, Spot};
use super::error::{ExpressionError, Fault};
use super::eval;
use super::functions::Function;
use super::syntax::{Expr, ExprKind, Operator};
use super::table::TableId;
use super::tree::{NodeId, NodeKind, Tree};
use super::value::Value;

/// A node whose changes concern an expression: a leaf's value, or a repeat's number of instances. A change in rows R
/// concerns every asker whose first `shared` rows are the first `shared` of R.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dependency {
    /// The node.
    pub node: NodeId,
    /// How many of its outer repeats' instances are those of the asker.
    pub shared: usize,
}

/// What an expression reads beside answers, so that its result may change although they don't.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purity {
    /// `now()`, `today()`: changes with the clock.
    pub clock: bool,
    /// `random()`, `uuid()`, `randomize(x)`: differs each time.
    pub random: bool,
    /// `once(x)`: reads its own answer, which isn't among the dependencies.
    pub own_answer: bool,
    /// `position(..)`: changes when instances before it are added or removed; the repeat is among the dependencies.
    pub position: bool,
    /// `property(..)`, `${last-saved#x}`, `jr:choice-name(..)`: what this phone knows, and the language of its screen.
    pub device: bool,
}

impl Purity {
    /// True when the result depends on nothing but the dependencies, as far as one phone is concerned.
    pub fn is_pure(self) -> bool {
        !(self.clock || self.random || self.own_answer)
    }
}

/// What an importer should warn about; the expression works.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Notice {
    /// A path leads nowhere and counts as blank.
    NoSuchPath {
        /// Where in the text, in bytes.
        offset: usize,
        /// The step that isn't there.
        name: String,
    },
    /// Several instances as one value: the first counts. ODK Collect refuses this.
    FirstOfMany {
        /// Where in the text, in bytes.
        offset: usize,
        /// The node.
        node: NodeId,
    },
    /// A group or repeat as a value: always blank.
    GroupAsValue {
        /// Where in the text, in bytes.
        offset: usize,
        /// The node.
        node: NodeId,
    },
}

/// An expression ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub(super) code: Code,
    dependencies: Box<[Dependency]>,
    named_repeats: Box<[NodeId]>,
    tables: Box<[TableId]>,
    purity: Purity,
    notices: Box<[Notice]>,
}

impl Resolved {
    /// The nodes whose changes concern the expression, each once, in order.
    pub fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    /// True when a repeat is spoken of itself, not only what is in it: in `count(${member})`, `position(..)`.
    pub fn names_repeat(&self, repeat: NodeId) -> bool {
        self.named_repeats.contains(&repeat)
    }

    /// The tables that it reads.
    pub fn tables(&self) -> &[TableId] {
        &self.tables
    }

    /// What it reads beside answers.
    pub fn purity(&self) -> Purity {
        self.purity
    }

    /// What an importer should warn about.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Computes the value. Several nodes are the value of the first, none are blank.
    ///
    /// # Errors
    /// When a function can't take what it got, or the evaluation would take too much work.
    pub fn evaluate(&self, context: &Context<'_>) -> Result<Value, ExpressionError> {
        eval::value(&self.code, context)
    }

    /// Computes a condition: relevant, constraint, required, read-only.
    ///
    /// # Errors
    /// As [`Resolved::evaluate`].
    pub fn test(&self, context: &Context<'_>) -> Result<bool, ExpressionError> {
        Ok(self.evaluate(context)?.to_bool())
    }

    /// The nodes that the expression gives, in order: for choices from earlier answers. None when it gives a plain value.
    ///
    /// # Errors
    /// As [`Resolved::evaluate`].
    pub fn nodes(&self, context: &Context<'_>) -> Result<Vec<Spot>, ExpressionError> {
        eval::nodes(&self.code, context)
    }
}

/// A choice filter ready to be evaluated.
#[derive(Debug, Clone)]
pub struct ChoiceFilter {
    table: TableId,
    filter: ItemFilter,
    /// The same as an expression: dependencies and notices.
    pub resolved: Resolved,
}

impl ChoiceFilter {
    /// The items of the table that pass, in order, by index where the filter has a `column = value`.
    ///
    /// # Errors
    /// As [`Resolved::evaluate`].
    pub fn items(&self, context: &Context<'_>) -> Result<Vec<u32>, ExpressionError> {
        eval::items(self.table, &self.filter, context)
    }
}

pub(super) fn resolve(root: &Expr, tree: &Tree, asker: NodeId) -> Result<Resolved, ExpressionError> {
    let mut resolver = Resolver::new(tree, asker);
    let code = resolver.expr(root, Here::Node(asker))?;
    resolver.note_scalar(&code);
    Ok(resolver.finish(code))
}

pub(super) fn resolve_filter(
    root: &Expr,
    tree: &Tree,
    asker: NodeId,
    table: TableId,
) -> Result<ChoiceFilter, ExpressionError> {
    let mut resolver = Resolver::new(tree, asker);
    resolver.tables.insert(table);
    let filter = resolver.item_filter(root)?;
    let code = resolver.expr(root, Here::Item)?;
    Ok(ChoiceFilter { table, filter, resolved: resolver.finish(code) })
}

/// What `.` stands for where an expression is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    /// The asking node.
    Node(NodeId),
    /// A node that a filter stands on.
    Filtered(NodeId),
    /// An item of a table that a filter stands on.
    Item,
}

type Resolve<T> = Result<T, ExpressionError>;

struct Resolver<'a> {
    tree: &'a Tree,
    asker: NodeId,
    dependencies: BTreeSet<Dependency>,
    named_repeats: BTreeSet<NodeId>,
    tables: BTreeSet<TableId>,
    purity: Purity,
    notices: BTreeSet<Notice>,
}

impl<'a> Resolver<'a> {
    fn new(tree: &'a Tree, asker: NodeId) -> Self {
        Self {
            tree,
            asker,
            dependencies: BTreeSet::new(),
            named_repeats: BTreeSet::new(),
            tables: BTreeSet::new(),
            purity: Purity::default(),
            notices: BTreeSet::new(),
        }
    }

    fn finish(self, code: Code) -> Resolved {
        Resolved {
            code,
            dependencies: self.dependencies.into_iter().collect(),
            named_repeats: self.named_repeats.into_iter().collect(),
            tables: self.tables.into_iter().collect(),
            purity: self.purity,
            notices: self.notices.into_iter().collect(),
        }
    }

    fn fail<T>(at: usize, fault: Fault) -> Resolve<T> {
        Err(ExpressionError::new(at, fault))
    }

    fn expr(&mut self, expr: &Expr, here: Here) -> Resolve<Code> {
        let kind = match &expr.kind {
            ExprKind::Text(text) => CodeKind::Value(Value::text(text.as_str())),
            ExprKind::Number(number) => CodeKind::Value(Value::Number(*number)),
            ExprKind::Negate(inner) => CodeKind::Negate(Box::new(self.scalar(inner, here)?)),
            ExprKind::Chain(first, rest) => {
                let first = Box::new(self.scalar(first, here)?);
                let rest: Resolve<Vec<(Operator, Code)>> =
                    rest.iter().map(|(operator, e)| Ok((*operator, self.scalar(e, here)?))).collect();
                CodeKind::Chain(first, rest?)
            }
            ExprKind::Call(function, arguments) => self.call(expr.at, *function, arguments, here)?,
            ExprKind::Path(path) => self.path(expr.at, path, here)?,
        };
        Ok(Code { at: expr.at, kind })
    }

    /// An expression that is used as one value.
    fn scalar(&mut self, expr: &Expr, here: Here) -> Resolve<Code> {
        let code = self.expr(expr, here)?;
        self.note_scalar(&code);
        Ok(code)
    }

    /// Notes what is odd about a set as one value.
    fn note_scalar(&mut self, code: &Code) {
        let CodeKind::Set(super::code::SetCode::Nodes(path)) = &code.kind else { return };
        let (offset, node) = (code.at, path.target);
        let leaf = matches!(self.tree.kind(node), NodeKind::Leaf(_));
        let picked = |level: &super::code::Level| !level.expand || !level.filters.is_empty();
        if !leaf {
            self.notices.insert(Notice::GroupAsValue { offset, node });
        } else if !path.levels.iter().all(picked) {
            self.notices.insert(Notice::FirstOfMany { offset, node });
        }
    }

    fn depend(&mut self, node: NodeId, shared: usize) {
        self.dependencies.insert(Dependency { node, shared });
    }

    /// A filter over items of a table, with the condition that an index answers taken out.
    fn item_filter(&mut self, expr: &Expr) -> Resolve<ItemFilter> {
        let code = self.expr(expr, Here::Item)?;
        let conditions: Vec<&Expr> = match &expr.kind {
            ExprKind::Chain(first, rest) if rest.iter().all(|(o, _)| *o == Operator::And) => {
                std::iter::once(&**first).chain(rest.iter().map(|(_, e)| e)).collect()
            }
            _ => vec![expr],
        };
        // positions count the items before any condition
        let by_index = !path::asks_position(expr);
        for condition in conditions.iter().filter(|_| by_index) {
            let ExprKind::Chain(left, rest) = &condition.kind else { continue };
            let [(Operator::Equal, right)] = rest.as_slice() else { continue };
            for (column, value) in [(&**left, right), (right, &**left)] {
                let Some(name) = path::plain_column(column) else { continue };
                if path::reads_item(value) {
                    continue;
                }
                let value = self.expr(value, Here::Item)?;
                let test = (conditions.len() > 1).then_some(code);
                return Ok(ItemFilter { equal: Some((name.to_owned(), value)), test });
            }
        }
        Ok(ItemFilter { equal: None, test: Some(code) })
    }

    fn mark(&mut self, function: Function) {
        match function {
            Function::Now | Function::Today => self.purity.clock = true,
            Function::Random | Function::Uuid => self.purity.random = true,
            Function::Once => self.purity.own_answer = true,
            Function::Position => self.purity.position = true,
            Function::Property | Function::ChoiceName => self.purity.device = true,
            _ => {}
        }
    }
}
