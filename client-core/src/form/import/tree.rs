//! The form's nodes, named as in an XForm, for people and programs that compare.

use serde::Serialize;

use super::node::{Nodes, Shape};
use super::types::Control;

/// A node of the form, as ODK's converter would make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TreeNode {
    /// From the root: `/data/member/age`.
    pub path: String,
    /// `group`, `repeat` or `question`.
    pub kind: &'static str,
    /// `group`, `repeat`, the element of a select (`select1`, `select`, `odk:rank`), else the data type (`string`, `int`,
    /// `decimal`, `date`, `time`, `dateTime`, `geopoint`, `geotrace`, `geoshape`, `barcode`, `binary`).
    #[serde(rename = "type")]
    pub type_name: String,
    /// The name alone.
    pub name: String,
    /// The data type of the answer; blank for groups and repeats.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bind: String,
    /// The element that asks for it (`input`, `select1`, `upload` ...); blank when nothing is asked.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub control: &'static str,
}

/// All nodes, parents before children; what every form has under `meta` is left out.
pub(super) fn tree(nodes: &Nodes) -> Vec<TreeNode> {
    let mut out = Vec::with_capacity(nodes.0.len());
    let root = format!("/{}", nodes.0[Nodes::ROOT].name);
    add(nodes, Nodes::ROOT, &root, &mut out);
    out
}

fn add(nodes: &Nodes, parent: usize, path: &str, out: &mut Vec<TreeNode>) {
    for child in &nodes.0[parent].children {
        let node = &nodes.0[*child];
        let path = format!("{path}/{}", node.name);
        let block = |kind: &'static str| (kind, kind.to_owned(), String::new(), "");
        let (kind, type_name, bind, control) = match &node.shape {
            Shape::Root => continue,
            Shape::Group(_) => block("group"),
            Shape::Repeat(_) => block("repeat"),
            Shape::Question { bind, control, hidden, .. } => {
                let element = if *hidden { "" } else { control.element().unwrap_or_default() };
                let is_select = matches!(control, Control::SelectOne | Control::SelectMultiple | Control::Rank);
                let type_name = match control.element() {
                    Some(element) if is_select => element.to_owned(),
                    _ => bind.clone(),
                };
                ("question", type_name, bind.clone(), element)
            }
        };
        out.push(TreeNode { path: path.clone(), kind, type_name, name: node.name.clone(), bind, control });
        add(nodes, *child, &path, out);
    }
}
