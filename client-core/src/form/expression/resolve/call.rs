//! Function calls whose arguments need a look beforehand.

use super::super::code::{Base, Code, CodeKind, IndexedRepeat, NodePath, Pulldata, SetCode};
use super::super::error::{ExpressionError, Fault, nearest};
use super::super::functions::Function;
use super::super::pattern;
use super::super::syntax::{Expr, ExprKind, Parsed, Start};
use super::super::tree::{NodeId, NodeKind};
use super::path::common_repeats;
use super::{Here, Resolve, Resolver};

impl Resolver<'_> {
    pub(super) fn call(&mut self, at: usize, function: Function, args: &[Expr], here: Here) -> Resolve<CodeKind> {
        self.mark(function);
        match function {
            Function::IndexedRepeat => return self.indexed_repeat(at, args, here),
            Function::ChoiceName => return self.choice_name(args, here),
            Function::Pulldata => return self.pulldata(args, here),
            Function::Randomize => return self.randomize(args, here),
            _ => {}
        }
        let takes_sets = takes_sets(function);
        let mut code = Vec::with_capacity(args.len());
        for arg in args {
            code.push(if takes_sets { self.expr(arg, here)? } else { self.scalar(arg, here)? });
        }
        if needs_set(function) && !code.iter().take(1).all(|c| matches!(c.kind, CodeKind::Set(_))) {
            return Self::fail(args[0].at, Fault::NeedsNodes(function.name()));
        }
        if function == Function::Position {
            self.depend_on_rows(code.first());
        }
        if function == Function::Regex
            && let (Some(ExprKind::Text(source)), Some(subject)) = (args.get(1).map(|a| &a.kind), code.first())
        {
            let compiled = pattern::compile(source).map_err(|fault| ExpressionError::new(args[1].at, fault))?;
            return Ok(CodeKind::Matches(Box::new(subject.clone()), compiled));
        }
        Ok(CodeKind::Call(function, code))
    }

    /// `position(..)` changes with the instances of the repeat.
    fn depend_on_rows(&mut self, argument: Option<&Code>) {
        if let Some(Code { kind: CodeKind::Set(SetCode::Nodes(path)), .. }) = argument
            && self.tree.kind(path.target) == NodeKind::Repeat
            && path.base == Base::Asker
        {
            let outer = self.tree.depth(path.target) - 1;
            self.depend(path.target, outer.min(path.shared));
        }
    }

    /// The node that an argument names; a path's filters and the asker's place don't matter.
    fn node_of(&mut self, function: Function, arg: &Expr, here: Here) -> Resolve<NodeId> {
        if let ExprKind::Path(path) = &arg.kind
            && let (Start::Name(name, filters), true) = (&path.start, path.steps.is_empty())
            && filters.is_empty()
        {
            return self.name(arg.at, name);
        }
        match self.expr(arg, here)?.kind {
            CodeKind::Set(SetCode::Nodes(path)) => Ok(path.target),
            _ => Self::fail(arg.at, Fault::NeedsNodes(function.name())),
        }
    }

    fn indexed_repeat(&mut self, at: usize, args: &[Expr], here: Here) -> Resolve<CodeKind> {
        let function = Function::IndexedRepeat;
        let Some((field, pairs)) = args.split_first() else { return Self::fail(at, Fault::UnexpectedEnd) };
        // what only names nodes isn't a dependency of its own
        let before = self.dependencies.clone();
        let target = self.node_of(function, field, here)?;
        let mut repeats: Vec<(NodeId, Option<Code>)> =
            self.tree.repeats(target).into_iter().map(|r| (r, None)).collect();
        let mut named = Vec::new();
        for pair in pairs.chunks(2) {
            named.push((pair[0].at, self.node_of(function, &pair[0], here)?));
        }
        self.dependencies = before;
        for ((at, node), pair) in named.into_iter().zip(pairs.chunks(2)) {
            let index = self.scalar(&pair[1], here)?;
            self.named_repeats.insert(node);
            let Some(place) = repeats.iter_mut().find(|(repeat, _)| *repeat == node) else {
                return Self::fail(at, Fault::NotARepeatAround(self.tree.name(node).to_owned()));
            };
            place.1 = Some(index);
        }
        let shared = common_repeats(self.tree, target, self.asker);
        let free = repeats.iter().position(|(_, index)| index.is_some()).unwrap_or(0).min(shared);
        self.depend(target, free);
        for (depth, (repeat, _)) in repeats.iter().enumerate().skip(free) {
            self.dependencies.insert(super::Dependency { node: *repeat, shared: free.min(depth) });
        }
        Ok(CodeKind::Set(SetCode::IndexedRepeat(Box::new(IndexedRepeat { target, shared, repeats }))))
    }

    /// The second argument is a name or path inside quotes.
    fn choice_name(&mut self, args: &[Expr], here: Here) -> Resolve<CodeKind> {
        let function = Function::ChoiceName;
        let value = self.scalar(&args[0], here)?;
        let ExprKind::Text(text) = &args[1].kind else {
            return Self::fail(args[1].at, Fault::NeedsQuoted(function.name()));
        };
        let inside_quotes = |e: ExpressionError| ExpressionError::new(args[1].at + 1 + e.offset, e.fault);
        let parsed = Parsed::new(text).map_err(inside_quotes)?;
        match self.expr(&parsed.root, Here::Node(self.asker)).map_err(inside_quotes)?.kind {
            CodeKind::Set(SetCode::Nodes(path)) => {
                let path = NodePath { own: false, ..path };
                Ok(CodeKind::ChoiceName(Box::new(value), path))
            }
            _ => Self::fail(args[1].at, Fault::NeedsNodes(function.name())),
        }
    }

    fn pulldata(&mut self, args: &[Expr], here: Here) -> Resolve<CodeKind> {
        let ExprKind::Text(file) = &args[0].kind else {
            return Self::fail(args[0].at, Fault::NeedsQuoted(Function::Pulldata.name()));
        };
        let Some(table) = self.tree.table(file) else {
            let near = nearest(file, self.tree.table_names());
            return Self::fail(args[0].at, Fault::UnknownTable(file.clone(), near));
        };
        self.tables.insert(table);
        let column = self.scalar(&args[1], here)?;
        let key_column = self.scalar(&args[2], here)?;
        let key = self.scalar(&args[3], here)?;
        Ok(CodeKind::Pulldata(Box::new(Pulldata { table, column, key_column, key })))
    }

    fn randomize(&mut self, args: &[Expr], here: Here) -> Resolve<CodeKind> {
        let CodeKind::Set(set) = self.expr(&args[0], here)?.kind else {
            return Self::fail(args[0].at, Fault::NeedsNodes(Function::Randomize.name()));
        };
        let seed = match args.get(1) {
            Some(seed) => Some(Box::new(self.scalar(seed, here)?)),
            None => None,
        };
        self.purity.random |= seed.is_none();
        Ok(CodeKind::Set(SetCode::Randomize(Box::new(set), seed)))
    }
}

/// Functions that take all nodes of a set, not only the first.
fn takes_sets(function: Function) -> bool {
    use Function::{Area, Checklist, Concat, Distance, EnclosedArea, Join, Max, Min, Position, WeightedChecklist};
    needs_set(function)
        || matches!(
            function,
            Area | Checklist | Concat | Distance | EnclosedArea | Join | Max | Min | Position | WeightedChecklist
        )
}

/// Functions whose first argument must be a set.
fn needs_set(function: Function) -> bool {
    matches!(function, Function::Count | Function::CountNonEmpty | Function::Sum | Function::Position)
}
