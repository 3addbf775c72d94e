//! Paths and names to plans.

use super::super::code::{Base, Code, CodeKind, ItemPath, Level, NodePath, SetCode};
use super::super::error::{Fault, nearest};
use super::super::functions::Function;
use super::super::syntax::{Axis, Expr, ExprKind, Path, Start, Step};
use super::super::tree::{Named, NodeId, NodeKind, Tree};
use super::{Here, Notice, Resolve, Resolver};

/// How many outermost repeats two nodes have in common.
pub(super) fn common_repeats(tree: &Tree, a: NodeId, b: NodeId) -> usize {
    tree.repeats(a).iter().zip(tree.repeats(b)).take_while(|(x, y)| **x == *y).count()
}

/// The column that an expression plainly names.
pub(super) fn plain_column(expr: &Expr) -> Option<&str> {
    let ExprKind::Path(Path { start: Start::Here, steps }) = &expr.kind else { return None };
    let mut steps = steps.iter().filter(|s| s.axis != Axis::Here || !s.filters.is_empty());
    match (steps.next(), steps.next()) {
        (Some(Step { axis: Axis::Child(name), filters, .. }), None) if filters.is_empty() => Some(name),
        _ => None,
    }
}

/// True when a filter asks for positions.
pub(super) fn asks_position(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Text(_) | ExprKind::Number(_) | ExprKind::Path(_) => false,
        ExprKind::Negate(inner) => asks_position(inner),
        ExprKind::Chain(first, rest) => asks_position(first) || rest.iter().any(|(_, e)| asks_position(e)),
        ExprKind::Call(function, arguments) => {
            matches!(function, Function::Position | Function::Last) || arguments.iter().any(asks_position)
        }
    }
}

/// True when the value may differ between items, or isn't to be computed only once.
pub(super) fn reads_item(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Text(_) | ExprKind::Number(_) => false,
        ExprKind::Negate(inner) => reads_item(inner),
        ExprKind::Chain(first, rest) => reads_item(first) || rest.iter().any(|(_, e)| reads_item(e)),
        ExprKind::Call(function, arguments) => {
            use Function::{Last, NormalizeSpace, Once, Position, Random, StringLength, Uuid};
            let own =
                matches!(function, Once) || matches!(function, StringLength | NormalizeSpace) && arguments.is_empty();
            own || matches!(function, Last | Position | Random | Uuid) || arguments.iter().any(reads_item)
        }
        ExprKind::Path(path) => matches!(path.start, Start::Here | Start::Call(..)),
    }
}

/// A path while it is walked.
struct Walk {
    base: Base,
    node: NodeId,
    /// How many outer repeats are the base's.
    shared: usize,
    filters: Vec<(NodeId, Vec<Code>)>,
    /// No step was taken yet but `.`.
    own: bool,
}

impl Resolver<'_> {
    pub(super) fn path(&mut self, at: usize, path: &Path, here: Here) -> Resolve<CodeKind> {
        let set = match (&path.start, here) {
            (Start::Instance(id), _) => return self.instance(at, id, &path.steps),
            (Start::LastSaved(name), _) => {
                let node = self.name(at, name)?;
                self.purity.device = true;
                return Ok(CodeKind::LastSaved(node));
            }
            (Start::Call(call, filters), _) => {
                if !filters.is_empty() || !path.steps.is_empty() {
                    return Self::fail(at, Fault::FilterNotHere);
                }
                return Ok(self.expr(call, here)?.kind);
            }
            (Start::Here, Here::Item) => self.column(at, &path.steps)?,
            (Start::Root, _) => self.absolute(at, &path.steps)?,
            (Start::Name(name, filters), _) => self.reference(at, name, filters, &path.steps, here)?,
            (Start::Current, _) => {
                let walk = self.start(Base::Asker, self.asker);
                self.walk(walk, &path.steps)?
            }
            (Start::Here, Here::Node(node)) => {
                let walk = self.start(Base::Asker, node);
                self.walk(walk, &path.steps)?
            }
            (Start::Here, Here::Filtered(node)) => {
                let walk = self.start(Base::Item, node);
                self.walk(walk, &path.steps)?
            }
        };
        Ok(CodeKind::Set(set))
    }

    fn start(&self, base: Base, node: NodeId) -> Walk {
        Walk { base, node, shared: self.tree.depth(node), filters: Vec::new(), own: true }
    }

    /// The node of a name.
    pub(super) fn name(&self, at: usize, name: &str) -> Resolve<NodeId> {
        match self.tree.named(name) {
            Named::One(node) => Ok(node),
            Named::Several => Self::fail(at, Fault::AmbiguousName(name.to_owned())),
            Named::Unknown => {
                let near = nearest(name, self.tree.names());
                Self::fail(at, Fault::UnknownName(name.to_owned(), near))
            }
        }
    }

    /// `${name}`: the instance in the repeats shared with the asker (or with the filtered node, if it shares more).
    fn reference(&mut self, at: usize, name: &str, filters: &[Expr], steps: &[Step], here: Here) -> Resolve<SetCode> {
        let node = self.name(at, name)?;
        let around = match self.tree.kind(node) {
            NodeKind::Repeat => self.tree.parent(node).unwrap_or(Tree::ROOT),
            _ => node,
        };
        let mut base = Base::Asker;
        let mut shared = common_repeats(self.tree, around, self.asker);
        if let Here::Filtered(item) = here {
            let with_item = common_repeats(self.tree, around, item);
            if with_item > shared {
                (base, shared) = (Base::Item, with_item);
            }
        }
        let own = node == self.asker && base == Base::Asker;
        let mut walk = Walk { base, node, shared, filters: Vec::new(), own };
        self.add_filters(&mut walk, filters)?;
        self.walk(walk, steps)
    }

    fn absolute(&mut self, at: usize, steps: &[Step]) -> Resolve<SetCode> {
        let walk = Walk { base: Base::Asker, node: Tree::ROOT, shared: 0, filters: Vec::new(), own: false };
        let Some((root, steps)) = steps.split_first() else { return Ok(SetCode::Empty) };
        match &root.axis {
            Axis::Child(name) if name == self.tree.name(Tree::ROOT) => {}
            Axis::AnyChild => {}
            Axis::Child(name) => {
                self.notices.insert(Notice::NoSuchPath { offset: at, name: name.clone() });
                return Ok(SetCode::Empty);
            }
            Axis::Here | Axis::Parent => return Self::fail(root.at, Fault::Unexpected("/.".to_owned())),
        }
        let mut walk = walk;
        self.add_filters(&mut walk, &root.filters)?;
        self.walk(walk, steps)
    }

    fn walk(&mut self, mut walk: Walk, steps: &[Step]) -> Resolve<SetCode> {
        for (i, step) in steps.iter().enumerate() {
            match &step.axis {
                Axis::Here => {}
                Axis::Parent => {
                    if walk.filters.iter().any(|(node, _)| *node == walk.node) {
                        return Self::fail(step.at, Fault::FilterNotHere);
                    }
                    let Some(parent) = self.tree.parent(walk.node) else { return Ok(SetCode::Empty) };
                    walk.node = parent;
                    walk.shared = walk.shared.min(self.tree.depth(parent));
                    walk.own = false;
                }
                Axis::Child(name) => {
                    let Some(child) = self.tree.child(walk.node, name) else {
                        self.notices.insert(Notice::NoSuchPath { offset: step.at, name: name.clone() });
                        return Ok(SetCode::Empty);
                    };
                    walk.node = child;
                    walk.own = false;
                }
                Axis::AnyChild => return self.any_child(&walk, step, &steps[i + 1..]),
            }
            self.add_filters(&mut walk, &step.filters)?;
        }
        Ok(SetCode::Nodes(self.plan(walk)))
    }

    fn any_child(&mut self, walk: &Walk, step: &Step, rest: &[Step]) -> Resolve<SetCode> {
        let mut paths = Vec::new();
        for child in self.tree.children(walk.node).to_vec() {
            let (base, shared, filters) = (walk.base, walk.shared, walk.filters.clone());
            let mut each = Walk { base, node: child, shared, filters, own: false };
            self.add_filters(&mut each, &step.filters)?;
            match self.walk(each, rest)? {
                SetCode::Nodes(path) => paths.push(path),
                SetCode::Union(more) => paths.extend(more),
                _ => {}
            }
        }
        Ok(SetCode::Union(paths))
    }

    fn add_filters(&mut self, walk: &mut Walk, filters: &[Expr]) -> Resolve<()> {
        if filters.is_empty() {
            return Ok(());
        }
        let code: Resolve<Vec<Code>> = filters.iter().map(|f| self.expr(f, Here::Filtered(walk.node))).collect();
        let code = code?;
        match walk.filters.iter_mut().find(|(node, _)| *node == walk.node) {
            Some((_, all)) => all.extend(code),
            None => walk.filters.push((walk.node, code)),
        }
        walk.own = false;
        Ok(())
    }

    /// The plan of a path, and what it depends on.
    fn plan(&mut self, walk: Walk) -> NodePath {
        let Walk { base, node: target, shared, mut filters, own } = walk;
        let mut levels = Vec::new();
        // rows shared with a filtered node needn't be the asker's
        let with_asker = if base == Base::Item { 0 } else { shared };
        for node in self.tree.chain(target) {
            let expand = self.tree.kind(node) == NodeKind::Repeat && self.tree.depth(node) > shared;
            let at = filters.iter().position(|(filtered, _)| *filtered == node);
            let filters = at.map_or_else(Vec::new, |i| filters.swap_remove(i).1);
            if expand {
                self.depend(node, with_asker.min(self.tree.depth(node) - 1));
            }
            if expand || !filters.is_empty() {
                levels.push(Level { node, expand, filters });
            }
        }
        if matches!(self.tree.kind(target), NodeKind::Leaf(_)) {
            self.depend(target, with_asker);
        }
        if self.tree.kind(target) == NodeKind::Repeat {
            self.named_repeats.insert(target);
        }
        NodePath { base, shared, target, levels, own }
    }

    /// A path from an item of a table: a column, or the item.
    fn column(&mut self, at: usize, steps: &[Step]) -> Resolve<SetCode> {
        let mut column = None;
        for step in steps {
            if !step.filters.is_empty() {
                return Self::fail(step.at, Fault::FilterNotHere);
            }
            match &step.axis {
                Axis::Here => {}
                Axis::Child(name) if column.is_none() => column = Some(name.clone()),
                Axis::Child(name) => {
                    self.notices.insert(Notice::NoSuchPath { offset: step.at, name: name.clone() });
                    return Ok(SetCode::Empty);
                }
                Axis::Parent if column.is_some() => column = None,
                Axis::Parent | Axis::AnyChild => {
                    return Self::fail(at, Fault::NotInDialect("..".to_owned()));
                }
            }
        }
        Ok(SetCode::Column(column))
    }

    /// `instance('id')/root/item[...]/column`
    fn instance(&mut self, at: usize, id: &str, steps: &[Step]) -> Resolve<CodeKind> {
        if id == "__last-saved" {
            let set = self.absolute(at, steps)?;
            let SetCode::Nodes(path) = set else { return Ok(CodeKind::Set(SetCode::Empty)) };
            self.purity.device = true;
            return Ok(CodeKind::LastSaved(path.target));
        }
        let Some(table) = self.tree.table(id) else {
            let near = nearest(id, self.tree.table_names());
            return Self::fail(at, Fault::UnknownTable(id.to_owned(), near));
        };
        self.tables.insert(table);
        let mut steps = steps.iter().filter(|s| s.axis != Axis::Here || !s.filters.is_empty());
        let (root, item) = (steps.next(), steps.next());
        let known = |step: Option<&Step>, name: &str| {
            step.is_some_and(|s| matches!(&s.axis, Axis::AnyChild) || matches!(&s.axis, Axis::Child(n) if n == name))
        };
        if !known(root, "root") || !known(item, "item") || root.is_some_and(|s| !s.filters.is_empty()) {
            self.notices.insert(Notice::NoSuchPath { offset: at, name: id.to_owned() });
            return Ok(CodeKind::Set(SetCode::Empty));
        }
        let mut filters = Vec::new();
        for filter in item.map_or(&[][..], |s| &s.filters) {
            filters.push(self.item_filter(filter)?);
        }
        let (mut column, mut column_filters) = (None, Vec::new());
        if let Some(step) = steps.next() {
            let Axis::Child(name) = &step.axis else {
                return Self::fail(step.at, Fault::NotInDialect("*".to_owned()));
            };
            column = Some(name.clone());
            for filter in &step.filters {
                column_filters.push(self.expr(filter, Here::Item)?);
            }
        }
        if let Some(step) = steps.next() {
            return Self::fail(step.at, Fault::NotInDialect("/".to_owned()));
        }
        Ok(CodeKind::Set(SetCode::Items(ItemPath { table, filters, column, column_filters })))
    }
}
