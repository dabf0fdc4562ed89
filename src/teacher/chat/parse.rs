//! Parses a chat model's reply.
//!
//! Models that are asked for one JSON object answer with fences around it, in single quotes, with a comma too many, or
//! with a list of lines. All of that is accepted; a reply that is cut off or anything else is rejected, not guessed at.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::teacher::chat::thoughts::answer_of;

/// Why a reply cannot be used; shown to the model and to the user.
pub(super) type Unusable = String;

/// Reads a list of strings: the JSON field `name`, or one per line; a line without a bullet or number must be `likely`.
pub(super) fn strings(
    reply: &str,
    name: &str,
    likely: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Unusable> {
    let reply = answer(reply)?;
    let found = match json(&reply)? {
        Some(Value::Array(list)) => texts_of(&Value::Array(list))?,
        Some(value) => {
            texts_of(field(&value, name).ok_or_else(|| format!("it has no \"{name}\""))?)?
        }
        None => {
            let mut found = marked_lines(&reply);
            if found.is_empty() {
                let lines = reply.lines().map(str::to_string);
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
    let value = json(&reply)?;
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

/// The place, among `labels`, of the label that the JSON field `name` or the whole reply is.
pub(super) fn label(reply: &str, name: &str, labels: &[&[&str]]) -> Result<usize, Unusable> {
    let reply = answer(reply)?;
    let text = match json(&reply)? {
        Some(value) => {
            let value = field(&value, name).unwrap_or(&value);
            text_of(value).ok_or_else(|| format!("\"{name}\" is no text"))?
        }
        None => reply,
    };
    label_of(&text, labels)
}

/// The same for a list of `count` labels.
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

/// Which label a text begins with, or is the only one that it has.
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

/// The JSON value in a reply, if it has one; JSON5 is read too.
fn json(reply: &str) -> Result<Option<Value>, Unusable> {
    static FENCE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?s)```[a-zA-Z0-9]*\s*(.*?)(?:```|$)"));
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
    let end = text.rfind(['}', ']']).map_or(text.len(), |end| end + 1);
    // What a model says before the object may have brackets, too.
    let whole = text.get(start..end).unwrap_or_default();
    let starts = whole.char_indices().filter(|(_, c)| *c == '{');
    let starts = std::iter::once(0).chain(starts.map(|(at, _)| at).take(MOST_STARTS));
    for start in starts {
        let text = &whole[start..];
        if is_json_like(&whole[..start]) {
            break; // that may be a part of the answer
        }
        if depth(text) > MOST_DEPTH {
            continue;
        }
        let straight = text.replace(['“', '”', '„', '＂'], "\"");
        let read = |text: &str| json5::from_str::<Value>(text).ok();
        if let Some(value) = read(text).or_else(|| read(&straight)) {
            return Ok(Some(value));
        }
    }
    Err("it is not a complete JSON object".into())
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

/// Deeper JSON is no answer, and the parser goes down bracket by bracket.
const MOST_DEPTH: usize = 32;

/// The deepest nesting of brackets.
pub(super) fn depth(text: &str) -> usize {
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
        _ => return Err("it has no list".into()),
    };
    list.into_iter()
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

/// The marker before a list item: a bullet, a number, a letter with a bracket.
static MARK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*(?:[-*+•·●▪–—]\s*|\(?(?:\d{1,3}|[a-zA-Z])[.)）、:：]\s*|（\d{1,3}）\s*|[①-⑳]\s*|[Qq]\d{1,3}\s*[.:：]\s*)",
    )
});

/// The lines that a bullet or a number marks, without it.
fn marked_lines(reply: &str) -> Vec<String> {
    reply
        .lines()
        .filter(|line| MARK.is_match(line))
        .map(|line| MARK.replace(line, "").trim().to_string())
        .collect()
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

fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("the pattern compiles")
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
            assert_eq!(json(&deep).unwrap_err(), "it is not a complete JSON object");
        }
        assert!(json("[[1, {\"a\": [2]}]]").unwrap().is_some());
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
