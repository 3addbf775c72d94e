//! XML lists as ODK's secondary instances: a root, its items, and their child elements as columns.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::{Fault, List};

/// How deep elements may stand in one another; what is deeper than a column is no part of the list.
const DEPTH_MAX: usize = 16;

pub(super) fn read(text: &str) -> Result<List, Fault> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut list = List::default();
    let mut depth = 0;
    let mut item: Vec<(String, String)> = Vec::new();
    let mut ended = false;
    loop {
        match reader.read_event().map_err(|_| Fault::Damaged)? {
            Event::Start(_) if ended || depth >= DEPTH_MAX => return Err(Fault::Damaged),
            Event::Start(element) => {
                depth += 1;
                if depth == 3 {
                    item.push((element.local_name().as_ref().to_owned(), String::new()));
                }
            }
            Event::End(_) => {
                if depth == 2 {
                    item.iter_mut().for_each(|(_, text)| *text = text.trim().to_owned());
                    if !list.push(std::mem::take(&mut item)) {
                        return Ok(list);
                    }
                }
                depth -= 1;
                ended = depth == 0;
            }
            Event::Text(text) if depth == 3 => add(&mut item, &text.xml10_content()),
            Event::CData(text) if depth == 3 => add(&mut item, &text.xml10_content()),
            Event::GeneralRef(entity) => {
                let sign = match entity.resolve_char_ref() {
                    Ok(Some(sign)) => sign,
                    Ok(None) => predefined(&entity.xml10_content()).ok_or(Fault::Entities)?,
                    Err(_) => return Err(Fault::Damaged),
                };
                if depth == 3 {
                    add(&mut item, sign.encode_utf8(&mut [0; 4]));
                }
            }
            Event::DocType(_) => return Err(Fault::Entities),
            Event::Eof if !ended => return Err(Fault::Damaged),
            Event::Eof if list.rows.is_empty() => return Err(Fault::NoItems),
            Event::Eof => return Ok(list),
            _ => {}
        }
    }
}

fn add(item: &mut [(String, String)], text: &str) {
    if let Some((_, cell)) = item.last_mut() {
        cell.push_str(text);
    }
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}
