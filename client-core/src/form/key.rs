//! The compound keys under which answers stand in a record: `question`, `question=choice`, `repeat#instance/question`,
//! `repeat#instance/@order`, and nested `outer#i/inner#j/question`.

/// A parsed answer key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerKey<'a> {
    /// The repeat instances around the answer, outermost first: repeat and instance.
    pub instances: Vec<(&'a str, &'a str)>,
    /// What the key names in the innermost of them.
    pub leaf: Leaf<'a>,
}

/// What a key names within its repeat instance, or within the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// The answer to a question.
    Question(&'a str),
    /// One tick of a multiple choice.
    Tick {
        /// The question's key.
        question: &'a str,
        /// The choice.
        choice: &'a str,
    },
    /// Where the instance stands among its like: a number.
    Order,
    /// Whether the instance was removed.
    Deleted,
}

impl<'a> AnswerKey<'a> {
    /// Parses a key; `None` when it has none of the allowed forms.
    pub fn parse(key: &'a str) -> Option<Self> {
        let mut instances = Vec::new();
        // A choice may hold any sign, so what follows the first "=" isn't split.
        let (place, choice) = key
            .split_once('=')
            .map_or((key, None), |(place, choice)| (place, Some(choice)));
        let (parents, leaf) = place
            .rsplit_once('/')
            .map_or((None, place), |(parents, leaf)| (Some(parents), leaf));
        for part in parents.into_iter().flat_map(|p| p.split('/')) {
            let (repeat, instance) = part.split_once('#')?;
            if repeat.is_empty() || instance.is_empty() || instance.contains('#') {
                return None;
            }
            instances.push((repeat, instance));
        }
        let leaf = match (leaf, choice) {
            ("", _) | (_, Some("")) => return None,
            ("@order", None) if !instances.is_empty() => Leaf::Order,
            ("@deleted", None) if !instances.is_empty() => Leaf::Deleted,
            (name, _) if name.contains(['#', '@']) => return None,
            (question, Some(choice)) => Leaf::Tick { question, choice },
            (question, None) => Leaf::Question(question),
        };
        Some(Self { instances, leaf })
    }

    /// The key of a question inside a repeat instance.
    pub fn in_repeat(repeat: &str, instance: &str, question: &str) -> String {
        format!("{repeat}#{instance}/{question}")
    }

    /// The key of one tick.
    pub fn tick(question: &str, choice: &str) -> String {
        format!("{question}={choice}")
    }
}
