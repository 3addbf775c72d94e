//! What the user reads when an answer doesn't fit, by message id.

use super::check::AnswerError;
use super::session::{ProblemKind, Refusal};

impl AnswerError {
    /// The id of the message, for apps that bring their own texts.
    pub fn message_id(&self) -> &'static str {
        match self {
            Self::MalformedKey => "answer.malformed_key",
            Self::UnknownQuestion => "answer.unknown_question",
            Self::NotAnswerable => "answer.not_answerable",
            Self::NotMultipleChoice => "answer.not_multiple_choice",
            Self::WrongKind => "answer.wrong_kind",
            Self::UnknownChoice => "answer.unknown_choice",
            Self::ChoiceTwice => "answer.choice_twice",
            Self::NotADate => "answer.not_a_date",
            Self::NotAPlace => "answer.not_a_place",
            Self::OutOfRange { .. } => "answer.out_of_range",
            Self::TooLong => "answer.too_long",
        }
    }

    /// The message in Chinese (`zh`, also for `zh-CN`) or English (everything else).
    pub fn message(&self, language: &str) -> String {
        let chinese = language.starts_with("zh");
        if let Self::OutOfRange { min, max } = self {
            return range_message(*min, *max, chinese);
        }
        let (zh, en) = texts(self.message_id());
        if chinese { zh } else { en }.to_owned()
    }
}

impl Refusal {
    /// What the user reads, in Chinese (`zh`, also for `zh-CN`) or English (everything else): the form's own words where it has
    /// some.
    pub fn message(&self, language: &str) -> String {
        let (zh, en) = match self {
            Self::Required { message } | Self::Constraint { message } if !message.is_empty() => return message.clone(),
            Self::Answer(error) => return error.message(language),
            Self::Required { .. } => ("这一项必须填写", "An answer is needed here."),
            Self::Constraint { .. } => ("填写的内容不符合要求", "This answer doesn't fulfil the form's condition."),
            Self::NoSuchPlace => texts("answer.unknown_question"),
            Self::NotRelevant => ("按现在的填写，这一项不用填", "As things stand, this question doesn't apply."),
            Self::ReadOnly => {
                ("这一项由系统计算，不能直接修改", "This answer is computed and can't be changed by hand.")
            }
            Self::Counted => ("条数由其他填报项决定", "How many there are follows from another answer."),
            Self::TooMany => ("不能再增加了", "No more can be added."),
        };
        if language.starts_with("zh") { zh } else { en }.to_owned()
    }
}

impl ProblemKind {
    /// What the user reads; see [`Refusal::message`].
    pub fn message(&self, language: &str) -> String {
        match self {
            Self::Required(message) => Refusal::Required { message: message.clone() }.message(language),
            Self::Constraint(message) => Refusal::Constraint { message: message.clone() }.message(language),
            Self::Answer(error) => error.message(language),
        }
    }
}

/// Chinese and English text of a message id.
fn texts(id: &str) -> (&'static str, &'static str) {
    match id {
        "answer.malformed_key" => ("填报项编号格式不对", "This isn't the key of an answer."),
        "answer.unknown_question" => ("本表没有这个填报项", "This form has no such question."),
        "answer.not_answerable" => ("这一项只是说明，不用填", "This is only a note; it takes no answer."),
        "answer.not_multiple_choice" => ("多选项须逐个勾选", "Several choices are ticked one by one."),
        "answer.wrong_kind" => ("填写的内容类型不对", "This kind of answer doesn't fit the question."),
        "answer.unknown_choice" => ("所选内容不在选项中", "This isn't one of the choices."),
        "answer.choice_twice" => ("同一选项出现了两次", "One choice stands twice."),
        "answer.not_a_date" => ("日期或时间不正确", "This isn't a date or time."),
        "answer.not_a_place" => ("位置不正确", "This isn't a place."),
        "answer.too_long" => ("文字太长，请缩短", "This text is too long; please shorten it."),
        _ => ("填写有误", "This answer doesn't fit."),
    }
}

fn range_message(min: Option<f64>, max: Option<f64>, chinese: bool) -> String {
    match (min, max, chinese) {
        (Some(min), Some(max), true) => format!("数字应在 {min} 到 {max} 之间"),
        (Some(min), Some(max), false) => format!("The number must be between {min} and {max}."),
        (Some(min), None, true) => format!("数字不能小于 {min}"),
        (Some(min), None, false) => format!("The number must be at least {min}."),
        (None, Some(max), true) => format!("数字不能大于 {max}"),
        (None, Some(max), false) => format!("The number must be at most {max}."),
        (None, None, true) => "数字不正确".to_owned(),
        (None, None, false) => "This isn't a usable number.".to_owned(),
    }
}
