//! A character card as a page: what it says of the character, as fields, prose and a talk.

use std::path::Path;

use regex::{NoExpand, Regex};
use serde_json::{Map, Value};

use super::macros;
use crate::{Error, Result};

/// Writes a card of any version as a page about `character`.
///
/// Instructions to a model, notes of the author and entries of the lorebook that do not name the character are left out.
///
/// # Errors
///
/// A JSON object that is no card, or a card that says nothing of the character.
pub(super) fn page(path: &Path, card: &Map<String, Value>, character: &str) -> Result<String> {
    let spec = card.get("spec").and_then(Value::as_str).unwrap_or("");
    // V1 keeps the texts at the top, V2 and V3 in "data".
    let data = card.get("data").and_then(Value::as_object).unwrap_or(card);
    let text = |keys: &[&str]| {
        let texts = keys.iter().map(|key| text_of(data.get(*key)));
        texts.into_iter().find(|text| !text.is_empty())
    };
    let description = text(&["description", "char_persona", "context"]);
    let personality = text(&["personality"]);
    let scenario = text(&["scenario", "world_scenario"]);
    let examples = text(&["mes_example", "example_dialogue"]);
    let greeting = text(&["first_mes", "char_greeting", "greeting"]);
    if [&description, &personality, &scenario, &examples, &greeting]
        .iter()
        .all(|text| text.is_none())
    {
        let is = match spec {
            "" => "is JSON or YAML, but no character card".to_string(),
            spec if spec.starts_with("chara_card") => {
                "is a character card without texts".to_string()
            }
            spec => format!("is a {spec:?}, no character card"),
        };
        return Err(Error::invalid(
            path,
            format!(
                "{is}: it has no \"description\", \"personality\", \"scenario\", \"mes_example\" or \"first_mes\"; write some \
                 sentences about the character"
            ),
        ));
    }

    let mut parts: Vec<String> = Vec::new();
    let name = text(&["name", "char_name"]).filter(|name| name != character);
    parts.extend(name.as_ref().map(|name| format!("Name: {name}")));
    let n_named = parts.len();
    parts.extend(description);
    parts.extend(personality.map(|text| field("Personality", &text)));
    parts.extend(scenario.map(|text| field("Scenario", &text)));
    parts.extend(lore(data, name.as_deref().unwrap_or(character), character));
    let talk = examples.unwrap_or_default();
    parts.extend(talk.split("<START>").map(|talk| spoken(talk, None)));
    parts.extend(greeting.map(|text| spoken(&text, Some(character))));
    let parts = parts.iter().enumerate().map(|(place, part)| {
        let part = macros::resolve(part, character, true);
        match &name {
            Some(name) if place >= n_named => renamed(&part, name, character),
            _ => part,
        }
    });
    let parts: Vec<String> = parts
        .map(|part| part.trim().to_string())
        .filter(|part| !part.is_empty())
        .collect();
    Ok(parts.join("\n\n"))
}

/// A value as text: cards have numbers, null and lists where a text belongs.
fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.replace("\r\n", "\n").trim().to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| text_of(Some(item))).collect();
            items.join("\n").trim().to_string()
        }
        _ => String::new(),
    }
}

/// A text under its name, on one line if it is one.
fn field(name: &str, text: &str) -> String {
    let gap = if text.contains('\n') { "\n" } else { " " };
    format!("{name}:{gap}{text}")
}

/// Writes the character's name in place of the card's, where neither is a part of the other.
fn renamed(text: &str, name: &str, character: &str) -> String {
    let words = |name: &str| -> Vec<String> {
        let words = name.split_whitespace().map(str::to_lowercase);
        words.collect()
    };
    let (own, wanted) = (words(name), words(character));
    let is_part = own.iter().all(|word| wanted.contains(word))
        || wanted.iter().all(|word| own.contains(word));
    match Regex::new(&format!(r"\b{}\b", regex::escape(name))) {
        Ok(pattern) if !is_part => pattern.replace_all(text, NoExpand(character)).into_owned(),
        _ => text.to_string(),
    }
}

/// The entries of the lorebook that are in use and name the character, as the card calls it or as we do.
fn lore(data: &Map<String, Value>, name: &str, character: &str) -> Vec<String> {
    let entries = data
        .get("character_book")
        .and_then(|book| book.get("entries"));
    // Old books are objects by number.
    let entries: Vec<&Value> = match entries {
        Some(Value::Array(entries)) => entries.iter().collect(),
        Some(Value::Object(entries)) => entries.values().collect(),
        _ => Vec::new(),
    };
    let is_on = |entry: &&Value| entry.get("enabled") != Some(&Value::Bool(false));
    let content = |entry: &Value| {
        let text = text_of(entry.get("content"));
        let lines = text.lines().filter(|line| !line.starts_with("@@"));
        macros::resolve(&lines.collect::<Vec<_>>().join("\n"), character, true)
    };
    entries
        .into_iter()
        .filter(is_on)
        .map(content)
        .filter(|text| text.contains(character) || text.contains(name))
        .collect()
}

/// A talk with each turn on one line, so that whose words they are is plain; `speaker` says what no line says.
fn spoken(talk: &str, speaker: Option<&str>) -> String {
    let mut turns: Vec<String> = speaker.map(|name| format!("{name}:")).into_iter().collect();
    for line in talk.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let label = line.split(':').next().unwrap_or("").trim();
        let opens = label.len() < line.len()
            && (1..=40).contains(&label.len())
            && label.split_whitespace().count() <= 4
            && (label.starts_with("{{")
                || label.starts_with(|c: char| c == '<' || c.is_uppercase()));
        match turns.last_mut() {
            Some(turn) if !opens => {
                turn.push(' ');
                turn.push_str(line);
            }
            _ => turns.push(line.to_string()),
        }
    }
    turns.join("\n")
}
