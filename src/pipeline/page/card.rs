//! A character card as a page: what it says of the character, as fields, prose and a talk.

use std::path::Path;

use regex::{NoExpand, Regex};
use serde_json::{Map, Value};

use super::macros;
use crate::persona::Opening;
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
    let data = data_of(card);
    let text = |keys: &[&str]| first_text(data, keys);
    // Agnai's persona is what other cards call the description; it has both.
    let description = text(&["description", "char_persona", "context"]);
    let description = match (persona(data), description) {
        (Some(persona), Some(description)) => Some(format!("{persona}\n\n{description}")),
        (persona, description) => persona.or(description),
    };
    let personality = text(&["personality"]);
    let scenario = text(&SCENARIO);
    let examples = text(&EXAMPLES);
    let greetings = greetings(data);
    let texts = [&description, &personality, &scenario, &examples];
    if greetings.is_empty() && texts.iter().all(|text| text.is_none()) {
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
    let nickname = text(&["nickname"])
        .filter(|nickname| nickname != character && Some(nickname) != name.as_ref());
    parts.extend(
        nickname
            .as_ref()
            .map(|nickname| format!("Nickname: {nickname}")),
    );
    let n_named = parts.len();
    let others: Vec<&String> = name.iter().chain(&nickname).collect();
    parts.extend(description);
    parts.extend(personality.map(|text| field("Personality", &text)));
    parts.extend(scenario.map(|text| field("Scenario", &text)));
    parts.extend(lore(data, &others, character));
    let talk = examples.unwrap_or_default();
    parts.extend(talk.split("<START>").map(|talk| spoken(talk, None)));
    parts.extend(greetings.iter().map(|text| spoken(text, Some(character))));
    let tags = texts_of(data.get("tags"));
    parts.extend((!tags.is_empty()).then(|| format!("Tags: {}", tags.join(", "))));
    let parts = parts.iter().enumerate().map(|(place, part)| {
        let part = macros::resolve(part, character, true);
        let others = others.iter().filter(|_| place >= n_named);
        others.fold(part, |part, name| renamed(&part, name, character))
    });
    let parts: Vec<String> = parts
        .map(|part| part.trim().to_string())
        .filter(|part| !part.is_empty())
        .collect();
    Ok(parts.join("\n\n"))
}

/// How a conversation with the character begins, by a card of any version: greetings, the scenario with what the author tells
/// the model, and the examples of talk.
pub(super) fn opening(card: &Map<String, Value>, character: &str) -> Opening {
    let data = data_of(card);
    let resolved = |text: &str| {
        let text = macros::resolve_for_user(text, character);
        text.trim().to_string()
    };
    let parts = [
        &SCENARIO[..],
        &["system_prompt"],
        &["post_history_instructions"],
    ];
    let parts = parts.iter().filter_map(|keys| first_text(data, keys));
    let parts = parts.map(|part| resolved(&part));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    let examples = resolved(&first_text(data, &EXAMPLES).unwrap_or_default());
    let lines = examples.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let greetings = greetings(data);
    let greetings = greetings.iter().map(|text| resolved(text));
    Opening {
        greetings: greetings.filter(|text| !text.is_empty()).collect(),
        scene: parts.join("\n\n"),
        examples: lines.join("\n"),
    }
}

const SCENARIO: [&str; 2] = ["scenario", "world_scenario"];
const EXAMPLES: [&str; 3] = ["mes_example", "example_dialogue", "sampleChat"];

/// The texts of a card: V1 keeps them at the top, V2 and V3 in "data".
fn data_of(card: &Map<String, Value>) -> &Map<String, Value> {
    card.get("data").and_then(Value::as_object).unwrap_or(card)
}

/// The first of the fields that says something.
fn first_text(data: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let mut texts = keys.iter().map(|key| text_of(data.get(*key)));
    texts.find(|text| !text.is_empty())
}

/// The persona of an Agnai character: a text, or attributes with lists of values, each a field.
fn persona(data: &Map<String, Value>) -> Option<String> {
    let persona = data.get("persona")?;
    let attributes = persona.get("attributes").and_then(Value::as_object);
    let Some(attributes) = attributes else {
        let text = text_of(Some(persona));
        return (!text.is_empty()).then_some(text);
    };
    let of = |(key, values): (&String, &Value)| {
        let values = texts_of(Some(values));
        match key.as_str() {
            "text" => values.join("\n"),
            key => field_of_list(key, &values),
        }
    };
    let lines: Vec<String> = attributes
        .iter()
        .map(of)
        .filter(|text| !text.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A field with short values on one line; a sentence is a line of its own.
fn field_of_list(key: &str, values: &[String]) -> String {
    let is_sentence = |value: &&String| value.ends_with(['.', '!', '?']);
    let (sentences, items): (Vec<&String>, Vec<&String>) = values.iter().partition(is_sentence);
    let items: Vec<&str> = items.into_iter().map(String::as_str).collect();
    let list = (!items.is_empty()).then(|| format!("{key}: {}", items.join(", ")));
    let sentences = sentences
        .iter()
        .map(|sentence| format!("{key}: {sentence}"));
    list.into_iter()
        .chain(sentences)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first greeting and those that may stand in its place.
fn greetings(data: &Map<String, Value>) -> Vec<String> {
    let first = first_text(data, &["first_mes", "char_greeting", "greeting"]);
    let others = [
        "alternate_greetings",
        "alternateGreetings",
        "group_only_greetings",
    ];
    // Only lists: other types come from broken exports.
    let lists = others
        .iter()
        .filter_map(|key| data.get(*key).filter(|list| list.is_array()));
    let others = lists.flat_map(|list| texts_of(Some(list)));
    first.into_iter().chain(others).collect()
}

/// The texts of a list, or the one text.
fn texts_of(value: Option<&Value>) -> Vec<String> {
    let texts: Vec<String> = match value {
        Some(Value::Array(items)) => items.iter().map(|item| text_of(Some(item))).collect(),
        value => vec![text_of(value)],
    };
    texts.into_iter().filter(|text| !text.is_empty()).collect()
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

/// Whether a text has the first word of a longer name: `Idris` of `Idris Kane`, but not `The` of `The Fox`.
fn has_first_name(text: &str, character: &str) -> bool {
    let Some((first, _)) = character
        .split_once(' ')
        .filter(|(first, _)| first.chars().count() > 3 && first.starts_with(char::is_uppercase))
    else {
        return false;
    };
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word == first)
}

/// The entries of the lorebook that are in use and name the character, as the card calls it or as we do.
fn lore(data: &Map<String, Value>, names: &[&String], character: &str) -> Vec<String> {
    let book = data
        .get("character_book")
        .or_else(|| data.get("characterBook"));
    let entries = book.and_then(|book| book.get("entries"));
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
        .filter(|text| {
            let whole = text.contains(character) || names.iter().any(|name| text.contains(*name));
            whole || has_first_name(text, character)
        })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(card: Value, expected: &str) {
        let card = card.as_object().unwrap();
        assert_eq!(
            page(Path::new("card.json"), card, "Mira").unwrap(),
            expected
        );
    }

    #[test]
    fn the_persona_of_agnai_is_a_text_or_fields() {
        let agnai = |kind: &str, attributes: Value| json!({"name": "Mira", "persona": {"kind": kind, "attributes": attributes}, "greeting": "", "sampleChat": "{{char}}: I sing."});
        check(
            agnai("text", json!({"text": ["{{char}} is 34. She sings."]})),
            "Mira is 34. She sings.\n\nMira: I sing.",
        );
        check(
            agnai(
                "boostyle",
                json!({"likes": ["tea", "rain", "She loves maps."], "age": ["34"]}),
            ),
            "likes: tea, rain\nlikes: She loves maps.\nage: 34\n\nMira: I sing.",
        );
    }

    #[test]
    fn a_card_says_how_a_conversation_begins() {
        let card = json!({"data": {
            "name": "Mira", "description": "{{char}} sings.", "scenario": "{{user}} enters {{char}}'s shop.",
            "system_prompt": "{{original}}", "post_history_instructions": "Keep it short.",
            "first_mes": "*{{char}} nods.*\n\"Yes, {{user}}?\"", "alternate_greetings": ["Good evening, <USER>."],
            "mes_example": "<START>\n{{user}}: Hi.\n\n{{char}}: I sing.",
        }});
        let wanted = Opening {
            greetings: vec![
                "*Mira nods.*\n\"Yes, {{user}}?\"".into(),
                "Good evening, {{user}}.".into(),
            ],
            scene: "{{user}} enters Mira's shop.\n\nKeep it short.".into(),
            examples: "{{user}}: Hi.\nMira: I sing.".into(),
        };
        let opening = opening(card.as_object().unwrap(), "Mira");
        assert_eq!(opening, wanted);
        let known = opening.with_user("Tom");
        assert_eq!(known.scene, "Tom enters Mira's shop.\n\nKeep it short.");
        assert_eq!(known.conversation(1).greeting, "Good evening, Tom.");
        assert_eq!(known.conversation(2).greeting, "");
    }

    #[test]
    fn every_greeting_and_the_nickname_are_of_the_character() {
        check(
            json!({"spec": "chara_card_v3", "data": {
                "name": "Mira", "nickname": "Sparrow", "description": "Sparrow sings.", "first_mes": "Hello.",
                "alternate_greetings": ["I grew up in Cluj.", ""], "group_only_greetings": ["Hi, all."],
                "character_book": {"entries": [{"content": "Sparrow has a boat."}]},
            }}),
            "Nickname: Sparrow\n\nMira sings.\n\nMira has a boat.\n\nMira: Hello.\n\nMira: I grew up in Cluj.\n\nMira: Hi, all.",
        );
    }
}
