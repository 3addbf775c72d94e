//! Faults of expressions in plain words, Chinese and English.

use super::error::{ExpressionError, Fault};

impl ExpressionError {
    /// The id of the message, for apps that bring their own texts.
    pub fn message_id(&self) -> &'static str {
        match &self.fault {
            Fault::TooLong => "expression.too_long",
            Fault::TooDeep => "expression.too_deep",
            Fault::UnexpectedEnd => "expression.unexpected_end",
            Fault::Unexpected(_) => "expression.unexpected",
            Fault::UnclosedQuote => "expression.unclosed_quote",
            Fault::BadReference(_) => "expression.bad_reference",
            Fault::BareDollar(_) => "expression.bare_dollar",
            Fault::ForeignOperator(..) => "expression.foreign_operator",
            Fault::Exponent => "expression.exponent",
            Fault::NotInDialect(_) => "expression.not_in_dialect",
            Fault::UnknownFunction(..) => "expression.unknown_function",
            Fault::ForeignFunction(_) => "expression.foreign_function",
            Fault::Arguments { .. } => "expression.arguments",
            Fault::UnknownName(..) => "expression.unknown_name",
            Fault::AmbiguousName(_) => "expression.ambiguous_name",
            Fault::UnknownTable(..) => "expression.unknown_table",
            Fault::NeedsNodes(_) => "expression.needs_nodes",
            Fault::NeedsQuoted(_) => "expression.needs_quoted",
            Fault::NotARepeatAround(_) => "expression.not_a_repeat_around",
            Fault::FilterNotHere => "expression.filter_not_here",
            Fault::BadPattern(_) => "expression.bad_pattern",
            Fault::BadDateFormat(_) => "expression.bad_date_format",
            Fault::ImpossibleDate => "expression.impossible_date",
            Fault::NotADate => "expression.not_a_date",
            Fault::NotAPlace(_) => "expression.not_a_place",
            Fault::UnknownAlgorithm(_) => "expression.unknown_algorithm",
            Fault::UnequalSets => "expression.unequal_sets",
            Fault::TooMuchWork => "expression.too_much_work",
            Fault::ResultTooLong => "expression.result_too_long",
        }
    }

    /// What is wrong, in Chinese (`zh`, also for `zh-CN`) or English (everything else).
    pub fn message(&self, language: &str) -> String {
        let (zh, en) = texts(&self.fault);
        if language.starts_with("zh") { zh } else { en }
    }

    /// What was perhaps meant.
    pub fn hint(&self, language: &str) -> Option<String> {
        let (zh, en) = hints(&self.fault)?;
        Some(if language.starts_with("zh") { zh } else { en })
    }
}

fn texts(fault: &Fault) -> (String, String) {
    let both = |zh: &str, en: &str| (zh.to_owned(), en.to_owned());
    match fault {
        Fault::TooLong => both("表达式太长", "The expression is too long."),
        Fault::TooDeep => both("表达式括号嵌套太深", "The expression is nested too deeply."),
        Fault::UnexpectedEnd => both("表达式不完整", "The expression ends too early."),
        Fault::Unexpected(found) => (format!("这里不能写“{found}”"), format!("{found:?} can't stand here.")),
        Fault::UnclosedQuote => both("引号没有配对", "A quote isn't closed."),
        Fault::BadReference(found) => {
            (format!("引用写法不对：“{found}”"), format!("{found:?} isn't a reference to a question."))
        }
        Fault::BareDollar(name) => (format!("“${name}”缺少花括号"), format!("${name} lacks its braces.")),
        Fault::ForeignOperator(found, _) => {
            (format!("没有“{found}”这个运算符"), format!("There is no operator {found}."))
        }
        Fault::Exponent => both("数字不能用科学计数法", "A number can't have an exponent."),
        Fault::NotInDialect(what) => (format!("表单不支持“{what}”"), format!("Forms can't use {what:?}.")),
        Fault::UnknownFunction(name, _) => (format!("没有函数 {name}()"), format!("There is no function {name}().")),
        Fault::ForeignFunction(name) => (
            format!("函数 {name}() 属于其他系统，这里不能用"),
            format!("{name}() belongs to another system and can't be used here."),
        ),
        Fault::Arguments { function, takes, given } => (
            format!("函数 {function}() 需要参数 {takes} 个，实际有 {given} 个"),
            format!("{function}() takes {takes} arguments, not {given}."),
        ),
        Fault::UnknownName(name, _) => (format!("本表没有“{name}”"), format!("The form has nothing called {name}.")),
        Fault::AmbiguousName(name) => (
            format!("“{name}”在本表出现多次，分不清是哪一个"),
            format!("Several questions are called {name}; it isn't clear which is meant."),
        ),
        Fault::UnknownTable(name, _) => {
            (format!("没有名单或文件“{name}”"), format!("There is no list or file {name}."))
        }
        Fault::NeedsNodes(function) => (
            format!("函数 {function}() 的参数应是填报项，不能是算出的值"),
            format!("{function}() takes questions, not computed values."),
        ),
        Fault::NeedsQuoted(function) => {
            (format!("函数 {function}() 的参数应写在引号里"), format!("{function}() takes this argument in quotes."))
        }
        Fault::NotARepeatAround(name) => {
            (format!("“{name}”不是包含该填报项的重复组"), format!("{name} isn't a repeat around the question."))
        }
        Fault::FilterNotHere => both("这里不能加筛选条件", "A filter can't stand here."),
        Fault::BadPattern(why) => {
            (format!("正则表达式不能用：{why}"), format!("The regular expression can't be used: {why}"))
        }
        Fault::BadDateFormat(sign) => (format!("日期格式里没有“{sign}”"), format!("Date formats have no {sign:?}.")),
        Fault::ImpossibleDate => both("没有这个日期", "This date doesn't exist."),
        Fault::NotADate => both("这个值不能当作日期", "This value can't be a date."),
        Fault::NotAPlace(function) => (
            format!("函数 {function}() 的参数不是位置"),
            format!("{function}() was given something that isn't a place."),
        ),
        Fault::UnknownAlgorithm(name) => {
            (format!("没有算法或编码“{name}”"), format!("There is no algorithm or encoding {name:?}."))
        }
        Fault::UnequalSets => both("条件和权重的个数不一致", "There must be as many weights as conditions."),
        Fault::TooMuchWork => both("表达式计算量太大", "The expression takes too much work."),
        Fault::ResultTooLong => both("算出的文字太长", "The computed text is too long."),
    }
}

fn hints(fault: &Fault) -> Option<(String, String)> {
    let meant = |what: &str| Some((format!("是不是“{what}”？"), format!("Perhaps {what} is meant.")));
    let say = |zh: &str, en: &str| Some((zh.to_owned(), en.to_owned()));
    match fault {
        Fault::BadReference(found) => {
            let name: String = found.chars().filter(|c| c.is_alphanumeric() || "_-.#".contains(*c)).collect();
            if name.is_empty() { say("应写成 ${名称}", "Write ${name}.") } else { meant(&format!("${{{name}}}")) }
        }
        Fault::BareDollar(name) => meant(&format!("${{{name}}}")),
        Fault::ForeignOperator(_, operator) => meant(operator),
        Fault::UnknownFunction(_, Some(name)) => meant(&format!("{name}()")),
        Fault::UnknownName(_, Some(name)) => meant(&format!("${{{name}}}")),
        Fault::UnknownTable(_, Some(name)) => meant(name),
        Fault::Arguments { function: "if", .. } => say(
            "写法：if(条件, 成立时的值, 不成立时的值)",
            "Write if(condition, value, other value); the last may be ''.",
        ),
        Fault::UnclosedQuote => {
            say("每段文字前后要用同样的引号", "A text begins and ends with the same quote, ' or \".")
        }
        Fault::AmbiguousName(_) => say("请改名，使每个名称只出现一次", "Rename one of them."),
        Fault::BadPattern(_) => say("不支持前后查找和反向引用", "Look-around and back-references aren't supported."),
        Fault::BadDateFormat(_) => {
            say("可用 %Y %y %m %n %b %d %e %a %H %h %M %S %3", "There are %Y %y %m %n %b %d %e %a %H %h %M %S %3.")
        }
        _ => None,
    }
}
