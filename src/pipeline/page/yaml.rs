//! The texts of a character in YAML.

use serde_json::{Map, Value};
use yaml_rust2::Event;
use yaml_rust2::parser::Parser;

/// Reads the texts of a mapping, and nothing that lies deeper; `None` where the document is no mapping.
///
/// It walks over the parser's events: a document is not built, so that one of aliases or of brackets does no harm.
pub(super) fn texts(text: &str) -> Result<Option<Map<String, Value>>, String> {
    let mut parser = Parser::new_from_str(text);
    let mut texts = Map::new();
    let (mut depth, mut key, mut is_mapping) = (0usize, None::<String>, false);
    loop {
        let (event, _) = parser.next_token().map_err(|error| error.to_string())?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                is_mapping |= depth == 0 && matches!(event, Event::MappingStart(..));
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    key = None;
                }
            }
            Event::Scalar(value, ..) if depth == 1 && is_mapping => match key.take() {
                Some(key) => {
                    texts.insert(key, Value::String(value));
                }
                None => key = Some(value),
            },
            Event::Alias(_) if depth == 1 => key = None,
            Event::DocumentEnd | Event::StreamEnd => break,
            _ => {}
        }
    }
    Ok(is_mapping.then_some(texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_top_level_texts_are_read() {
        let texts = |text: &str| texts(text).unwrap();
        let card = "name: Mira\ntags: [a, b]\nmore:\n  deep: x\ncontext: |-\n  Mira sings.\n\n  She swims.\nyour_name: ''\n";
        let found = texts(card).unwrap();
        assert_eq!(found["context"], "Mira sings.\n\nShe swims.");
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            ["name", "context", "your_name"]
        );
        assert_eq!(texts("- a\n- b"), None);
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: *b\nname: Mira";
        assert_eq!(texts(bomb).unwrap().len(), 1);
    }

    #[test]
    fn nesting_does_no_harm() {
        for deep in [
            "[".repeat(100_000),
            "- ".repeat(100_000),
            "{a: ".repeat(50_000),
        ] {
            assert!(!matches!(texts(&deep), Ok(Some(read)) if !read.is_empty()));
        }
    }
}
