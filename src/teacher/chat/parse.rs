//! Parses a chat model's reply.
//!
//! Models that are asked for one JSON object answer with fences around it, in single quotes, with a comma too many, or
//! with a list of lines. All of that is accepted; a reply that is cut off or anything else is rejected, not guessed at.

use serde_json::Value;

use crate::pattern::pattern;
use crate::teacher::chat::thoughts::answer_of;

/// Why a reply cannot be used; shown to the model and to the user.
pub(super) type Unusable = String;

/// Reads a list of strings: the JSON field `name`, else the lines of the reply. If any line begins with a bullet or a number,
/// those lines are the list; otherwise the lines for which `likely` is true.
pub(super) fn strings(
    reply: &str,
    name: &str,
    likely: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Unusable> {
    let reply = answer(reply)?;
    let found = match json(&reply, name)? {
        Some(Value::Array(list)) => texts_of(&Value::Array(list))?,
        Some(value) => {
            texts_of(field(&value, name).ok_or_else(|| format!("it has no \"{name}\""))?)?
        }
        None => {
            let mut found = marked_lines(&reply);
            if found.is_empty() {
                let lines = reply.lines().map(without_markup);
                found = lines.filter(|line| likely(line)).collect();
            }
            if found.is_empty() {
                return Err("it is not a JSON object".into());
            }
            found
        }
    };
    Ok(found
        .iter()
        .map(|text| unquoted(text))
        .filter(|text| !text.is_empty())
        .collect())
}

/// The text of each of some names: of JSON fields, or of lines that begin with the name.
pub(super) fn fields(reply: &str, names: &[&[&str]]) -> Result<Vec<String>, Unusable> {
    let reply = answer(reply)?;
    let value = json(&reply, names[0][0])?;
    let of_line = |name: &str| {
        reply.lines().find_map(|line| {
            let line = MARK.replace(line, "");
            let (before, after) = line.split_once([':', '：'])?;
            let before = before.trim_matches(|c: char| !c.is_alphanumeric());
            let after = after.trim_start_matches(['*', ' ']);
            before.eq_ignore_ascii_case(name).then(|| after.to_string())
        })
    };
    let text = |name: &&str| match &value {
        Some(value) => field(value, name)?.as_str().map(str::to_string),
        None => of_line(name),
    };
    names
        .iter()
        .map(|spellings| {
            spellings
                .iter()
                .find_map(text)
                .map(|text| unquoted(&text))
                .filter(|text| !text.is_empty())
                .ok_or_else(|| format!("it has no \"{}\"", spellings[0]))
        })
        .collect()
}

/// Reads one label: from the JSON field `name`, or if there is no JSON from the whole reply. Returns its index in `labels`,
/// which has all spellings of each.
pub(super) fn label(reply: &str, name: &str, labels: &[&[&str]]) -> Result<usize, Unusable> {
    let reply = answer(reply)?;
    let text = match json(&reply, name)? {
        Some(value) => {
            let value = field(&value, name).unwrap_or(&value);
            text_of(value).ok_or_else(|| format!("\"{name}\" is no text"))?
        }
        None => reply,
    };
    label_of(&text, labels)
}

/// Reads a list of exactly `count` labels, as [`strings`] reads a list; returns their indices in `labels`.
pub(super) fn labels(
    reply: &str,
    name: &str,
    labels: &[&[&str]],
    count: usize,
) -> Result<Vec<usize>, Unusable> {
    let found = strings(reply, name, |line| label_of(line, labels).is_ok())?;
    if found.len() != count {
        return Err(format!(
            "it has {} answers, but {count} are needed",
            found.len()
        ));
    }
    found.iter().map(|text| label_of(text, labels)).collect()
}

/// The index of the label that is the first word of a text, or else of the only label that occurs in it.
fn label_of(text: &str, labels: &[&[&str]]) -> Result<usize, Unusable> {
    let text = text.trim().to_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    // Scripts without spaces have no word boundaries: there a label may be anywhere.
    let has = |spelling: &&str| {
        words.contains(spelling) || (!spelling.is_ascii() && text.contains(*spelling))
    };
    let first = |spelling: &&str| words.first() == Some(spelling);
    let places = |holds: &dyn Fn(&&str) -> bool| -> Vec<usize> {
        (0..labels.len())
            .filter(|&label_idx| labels[label_idx].iter().any(holds))
            .collect()
    };
    match (&places(&first)[..], &places(&has)[..]) {
        ([only], _) | (_, [only]) => Ok(*only),
        _ => {
            let names: Vec<&str> = labels.iter().map(|spellings| spellings[0]).collect();
            Err(format!("it is none of {}", names.join(", ")))
        }
    }
}

/// Removes the model's thinking from a reply.
fn answer(reply: &str) -> Result<String, Unusable> {
    if reply.trim().is_empty() {
        return Err("it is empty".into());
    }
    match answer_of(reply) {
        Some(answer) => Ok(answer.to_string()),
        None => Err("it has reasoning but no answer".into()),
    }
}

/// The JSON value in a reply that has the field `name`, else the first; JSON5 is read too. Several objects without that field
/// are a list, as JSON Lines are.
fn json(reply: &str, name: &str) -> Result<Option<Value>, Unusable> {
    pattern!(FENCE, r"(?s)```[a-zA-Z0-9]*\s*(.*?)(?:```|$)");
    if let Ok(Value::String(inner)) = serde_json::from_str(reply.trim()) {
        return json(&inner, name);
    }
    let fenced = FENCE
        .captures(reply)
        .map(|found| found[1].trim().to_string());
    let text = fenced.as_deref().unwrap_or(reply);
    let Some(start) = text.find(['{', '[']) else {
        return Ok(None);
    };
    // A bracket inside a list of plain lines opens no JSON.
    if fenced.is_none() && !marked_lines(&text[..start]).is_empty() {
        return Ok(None);
    }
    let mut found = values(&text[start..]);
    let has_name = |value: &Value| {
        value.as_object().is_some_and(|fields| {
            let mut keys = fields.keys();
            keys.any(|key| key.trim().eq_ignore_ascii_case(name))
        })
    };
    match found.iter().rposition(has_name) {
        Some(place) => Ok(Some(found.swap_remove(place))),
        None if found.is_empty() => Err("it is not a complete JSON object".into()),
        None if found.len() > 1 && found.iter().all(Value::is_object) => {
            Ok(Some(Value::Array(found)))
        }
        None => Ok(Some(found.swap_remove(0))),
    }
}

/// The JSON values in a text, in their order. What follows the beginning of an incomplete value is a part of it, not an answer:
/// reading ends there, unless the text in between does not look like JSON.
fn values(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let (mut at, mut damaged) = (0, None);
    for _ in 0..MOST_STARTS {
        let Some(start) = text[at..].find(['{', '[']).map(|start| at + start) else {
            break;
        };
        if damaged.is_some_and(|damaged: usize| is_json_like(&text[damaged..start])) {
            break;
        }
        let end = closing(&text[start..]).map(|len| start + len);
        match end.and_then(|end| read_value(&text[start..end])) {
            Some(value) => {
                found.push(value);
                (at, damaged) = (end.unwrap_or(text.len()), None);
            }
            None => {
                at = start + 1;
                damaged = damaged.or(Some(start));
            }
        }
    }
    found
}

fn read_value(text: &str) -> Option<Value> {
    let straight = || text.replace(['“', '”', '„', '＂'], "\"");
    json5_of(text, MOST_DEPTH).or_else(|| json5_of(&straight(), MOST_DEPTH))
}

/// The length of a text up to the bracket that closes the one at its beginning; brackets in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let (mut open, mut quote, mut is_escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some('"'), '"') | (Some('\''), '\'') | (Some('“'), '”') | (Some('„'), '“' | '”') =>
            {
                quote = None;
            }
            (Some(_), _) => {}
            (None, '"' | '\'' | '“' | '„') => quote = Some(c),
            (None, '[' | '{') => open += 1,
            (None, ']' | '}') => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Some(at + c.len_utf8());
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether a text with brackets may be JSON: it has texts in quotes, or names with colons in braces.
fn is_json_like(text: &str) -> bool {
    let mut braces = text.split('{').skip(1);
    let is_named = |inside: &str| {
        inside
            .split('}')
            .next()
            .is_some_and(|inside| inside.contains(':'))
    };
    text.contains(['"', '“']) || text.contains("['") || braces.any(is_named)
}

/// Places where an object may begin that are tried.
const MOST_STARTS: usize = 16;

/// JSON that is nested deeper is no answer.
const MOST_DEPTH: usize = 32;

/// Reads JSON5, unless its brackets are nested deeper than `most_depth`: the parser calls itself for each of them, and would
/// use up the stack.
pub(super) fn json5_of(text: &str, most_depth: usize) -> Option<Value> {
    if depth(text) > most_depth {
        return None;
    }
    json5::from_str(text).ok()
}

/// The deepest nesting of brackets.
fn depth(text: &str) -> usize {
    let mut open = 0_usize;
    let depth_at = |c: char| {
        match c {
            '[' | '{' => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        open
    };
    text.chars().map(depth_at).max().unwrap_or(0)
}

/// Finds a field by name, ignoring case; else looks into the only list or object.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = value.as_object()?;
    let named = fields
        .iter()
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    if let Some((_, value)) = named {
        return Some(value);
    }
    let only = fields.values().next().filter(|_| fields.len() == 1)?;
    match only {
        Value::Array(_) => Some(only),
        _ => field(only, name),
    }
}

/// The texts of a list, each a text or an object with one in it; the list may be an object with numbers for keys.
fn texts_of(value: &Value) -> Result<Vec<String>, Unusable> {
    let list: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        Value::String(text) => {
            let lines = marked_lines(text);
            return match lines.is_empty() {
                false => Ok(lines),
                // One alone; more without a mark cannot be told apart.
                true if !text.contains([',', '，', '、']) => Ok(vec![text.clone()]),
                true => Err("it has no list".into()),
            };
        }
        _ => return Err("it has no list".into()),
    };
    list.into_iter()
        .filter(|item| !item.is_null())
        .map(|item| {
            let inner = item
                .as_object()
                .and_then(|fields| fields.values().find(|value| value.is_string()));
            text_of(inner.unwrap_or(item))
                .ok_or_else(|| "its list has something that is no text".to_string())
        })
        .collect()
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_string()),
        _ => None,
    }
}

pattern!(
    /// The marker before a list item: a bullet, a number, a letter with a bracket.
    MARK,
    r"^\s*(?:[-*+•·●▪–—]\s*|\(?(?:\d{1,3}|[a-zA-Z])[.)）、:：]\s*|（\d{1,3}）\s*|[①-⑳]\s*|[Qq]\d{1,3}\s*[.:：]\s*)"
);

/// The lines that a bullet or a number marks, without it.
fn marked_lines(reply: &str) -> Vec<String> {
    reply
        .lines()
        .filter(|line| MARK.is_match(line))
        .map(|line| MARK.replace(line, "").trim().to_string())
        .collect()
}

/// A line without tags around it; of a table's row the longest cell.
fn without_markup(line: &str) -> String {
    pattern!(TAG, r"^<\w+[^<>]*>|</\w+>$");
    let line = TAG.replace_all(line.trim(), "");
    let cells = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    let longest = cells.and_then(|cells| cells.split('|').max_by_key(|cell| cell.chars().count()));
    longest.unwrap_or(&line).trim().to_string()
}

/// A text without quotes or stars around it.
fn unquoted(text: &str) -> String {
    const PAIRS: [(&str, &str); 10] = [
        ("\"", "\""),
        ("'", "'"),
        ("“", "”"),
        ("„", "“"),
        ("‘", "’"),
        ("«", "»"),
        ("「", "」"),
        ("『", "』"),
        ("**", "**"),
        ("`", "`"),
    ];
    let mut text = text.trim();
    if text.ends_with("\",") {
        text = &text[..text.len() - 1]; // a line of a JSON list
    }
    loop {
        let inner = PAIRS.iter().find_map(|(open, close)| {
            let inner = text.strip_prefix(open)?.strip_suffix(close)?;
            (!inner.contains(open) && !inner.contains(close)).then_some(inner)
        });
        match inner {
            Some(inner) => text = inner.trim(),
            None => return text.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::teacher::chat::{LABEL, NLI, QUERIES, RELEVANCE, RELEVANT, STATEMENTS, is_question};
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn unclosed_brackets_are_rejected() {
        for deep in ["[".repeat(100_000), "{\"a\":".repeat(50_000)] {
            assert_eq!(
                json(&deep, "a").unwrap_err(),
                "it is not a complete JSON object"
            );
        }
        assert!(json("[[1, {\"a\": [2]}]]", "a").unwrap().is_some());
    }

    #[test]
    fn replies_of_every_kind_are_read_as_they_were_or_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/model-replies.jsonl");
        let mut records: Vec<Value> = files::read_jsonl(&path).unwrap();
        assert!(records.len() > 200);
        for record in &mut records {
            let reply = record["reply"].as_str().unwrap();
            let named = |line: &str| line.contains("Odile");
            let read = match record["task"].as_str().unwrap() {
                "statements" => strings(reply, STATEMENTS.field(), named).map(|read| json!(read)),
                "queries" => strings(reply, QUERIES.field(), is_question).map(|read| json!(read)),
                "relevance" => {
                    labels(reply, RELEVANT.field(), &RELEVANCE, 3).map(|read| json!(read))
                }
                "replies" => fields(reply, &[NLI[2], NLI[1], NLI[0]]).map(|read| json!(read)),
                _ => label(reply, LABEL.field(), &NLI).map(|read| json!(read)),
            };
            let read = read.unwrap_or_else(|reason| json!({"unusable": reason}));
            if std::env::var_os("APC_TEST_UPDATE").is_some() {
                record["read"] = read;
            } else {
                assert_eq!(record["read"], read, "{record}");
            }
        }
        if std::env::var_os("APC_TEST_UPDATE").is_some() {
            files::write_jsonl(&path, &records).unwrap();
        }
    }
}
