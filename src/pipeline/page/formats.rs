//! What a file is, by its content: text, a character card, or something that is refused by its name.

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::{card, macros, yaml};
use crate::persona::Opening;
use crate::{Error, Result, files};

/// Some programs write no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const AS_TEXT: &str = "save what it says about the character as a text file (.txt or .md)";
const AS_CARD: &str = "export the character as a PNG or JSON card";

/// Files that are known by their first bytes and not read, and what to do.
const REFUSED: [(&[u8], &str, &str); 12] = [
    (b"%PDF", "a PDF", AS_TEXT),
    (b"{\\rtf", "an RTF document", AS_TEXT),
    (
        b"PK\x03\x04",
        "a ZIP archive (.charx, .docx, .epub and others)",
        "export a character as a PNG or JSON card, and save a document as a text file (.txt or .md)",
    ),
    (b"\xd0\xcf\x11\xe0", "an old Office document", AS_TEXT),
    (b"\xff\xd8\xff", "a JPEG picture", AS_CARD),
    (b"GIF8", "a GIF picture", AS_CARD),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"\x7fELF", "a program", AS_TEXT),
];

/// Returns a file's text as a page about `character`, and how a conversation begins by a card.
///
/// # Errors
///
/// A file that is neither text nor a card.
pub(super) fn read(path: &Path, bytes: Vec<u8>, character: &str) -> Result<(String, Opening)> {
    let of_card = |card: &Map<String, Value>| {
        let page = card::page(path, card, character)?;
        Ok((page, card::opening(card, character)))
    };
    let refused = |is: &str, to_do: &str| {
        Err(Error::invalid(
            path,
            format!("is {is}, which is not supported; {to_do}"),
        ))
    };
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return of_card(&from_png(path, &bytes)?);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return refused("a WebP picture", AS_CARD);
    }
    if let Some((_, is, to_do)) = REFUSED.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return refused(is, to_do);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return refused("UTF-16 text", "save the file as UTF-8");
    }
    let text = files::decode_text(path, bytes)?;
    let start = text.trim_start();
    let opening: String = start.chars().take(15).collect::<String>().to_lowercase();
    if opening.starts_with("<!doctype html") || opening.starts_with("<html") {
        return refused("an HTML page", AS_TEXT);
    }
    if opening.starts_with("<?xml") {
        return refused("XML", AS_TEXT);
    }
    if let Some(card) = from_json(path, start)? {
        return of_card(&card);
    }
    if let Some(card) = from_yaml(path, &text)? {
        return of_card(&card);
    }
    let page = macros::resolve(&text, character, false);
    Ok((page, Opening::default()))
}

/// The card that a JSON file holds; `None` for a text that is not JSON.
fn from_json(path: &Path, text: &str) -> Result<Option<Map<String, Value>>> {
    let looks_like_json = text
        .strip_prefix('{')
        .is_some_and(|rest| rest.trim_start().starts_with(['"', '}']));
    if !looks_like_json && !text.starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(card)) => Ok(Some(card)),
        Ok(_) => Err(Error::invalid(
            path,
            format!("is a JSON array and no character card; {AS_TEXT}"),
        )),
        Err(error) if looks_like_json => Err(Error::invalid(
            path,
            format!("looks like a card in JSON, but: {error}; {AS_CARD} again, or {AS_TEXT}"),
        )),
        Err(_) => Ok(None),
    }
}

/// The card that a YAML file of text-generation-webui holds; `None` for another text.
fn from_yaml(path: &Path, text: &str) -> Result<Option<Map<String, Value>>> {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    let named = path
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml");
    if !named && !(has("name:") && (has("context:") || has("greeting:"))) {
        return Ok(None);
    }
    match yaml::texts(text) {
        Ok(Some(card)) if named || card.contains_key("context") => Ok(Some(card)),
        Ok(None) if named => Err(Error::invalid(
            path,
            format!("is YAML without keys, no character card; {AS_TEXT}"),
        )),
        Err(error) if named => Err(Error::invalid(path, format!("is no YAML: {error}"))),
        _ => Ok(None),
    }
}

/// The card within a picture: the chunk `ccv3`, else `chara`, as base64 of JSON.
fn from_png(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>> {
    let unreadable =
        |reason: String| Error::invalid(path, format!("is a PNG {reason}; {AS_CARD} again"));
    let decoder = png::Decoder::new(Cursor::new(bytes));
    let mut reader = decoder
        .read_info()
        .map_err(|error| unreadable(format!("that cannot be read: {error}")))?;
    // Chunks may come after the picture.
    reader
        .finish()
        .map_err(|error| unreadable(format!("that cannot be read: {error}")))?;
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter();
    let plain = plain.map(|chunk| (chunk.keyword.as_str(), Ok(chunk.text.clone())));
    let packed = info.compressed_latin1_text.iter();
    let packed = packed.map(|chunk| (chunk.keyword.as_str(), chunk.get_text()));
    let international = info.utf8_text.iter();
    let international = international.map(|chunk| (chunk.keyword.as_str(), chunk.get_text()));
    let mut chunks: Vec<_> = plain.chain(packed).chain(international).collect();
    let position = |keyword: &str| {
        ["ccv3", "chara"]
            .iter()
            .position(|name| keyword.eq_ignore_ascii_case(name))
    };
    chunks.retain(|(keyword, _)| position(keyword).is_some());
    chunks.sort_by_key(|(keyword, _)| position(keyword));
    let Some((keyword, text)) = chunks.into_iter().next() else {
        return Err(Error::invalid(
            path,
            format!("is a picture without a character card; {AS_CARD}, or {AS_TEXT}"),
        ));
    };
    let text =
        text.map_err(|error| unreadable(format!("whose {keyword:?} cannot be read: {error}")))?;
    let text: String = text.split_whitespace().collect();
    let json = BASE64
        .decode(text)
        .map_err(|error| unreadable(format!("whose {keyword:?} is not base64: {error}")))?;
    serde_json::from_slice(&json)
        .map_err(|error| unreadable(format!("whose {keyword:?} is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How a card is packed into a picture.
    #[derive(Clone, Copy)]
    enum Chunk {
        Text,
        Packed,
        International,
    }

    /// A picture with text chunks before and after its pixels.
    fn picture(before: &[(&str, String)], after: &[(Chunk, &str, String)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        for (keyword, text) in before {
            let added = encoder.add_text_chunk(keyword.to_string(), text.clone());
            added.unwrap();
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[7]).unwrap();
        for (kind, keyword, text) in after {
            use png::text_metadata::{ITXtChunk, TEXtChunk, ZTXtChunk};
            let (keyword, text) = (keyword.to_string(), text.clone());
            match kind {
                Chunk::Text => writer.write_text_chunk(&TEXtChunk::new(keyword, text)),
                Chunk::Packed => writer.write_text_chunk(&ZTXtChunk::new(keyword, text)),
                Chunk::International => writer.write_text_chunk(&ITXtChunk::new(keyword, text)),
            }
            .unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn packed(card: &Value) -> String {
        BASE64.encode(card.to_string())
    }

    fn text(name: &str, bytes: impl Into<Vec<u8>>) -> Result<String> {
        Ok(read(Path::new(name), bytes.into(), "Mira")?.0)
    }

    fn described(text: &str) -> Value {
        json!({"spec": "chara_card_v2", "data": {"name": "Mira", "description": text}})
    }

    #[test]
    fn a_card_is_found_in_a_picture_wherever_it_stands_and_the_newest_wins() {
        let (old, new) = (described("{{char}} sings."), described("{{char}} swims."));
        let comment = ("Comment", "made by hand".to_string());
        for (before, after, wanted) in [
            (
                vec![comment.clone(), ("Chara", packed(&old))],
                vec![],
                "Mira sings.",
            ),
            (
                vec![comment.clone()],
                vec![(Chunk::Text, "chara", packed(&old))],
                "Mira sings.",
            ),
            (
                vec![],
                vec![(Chunk::Packed, "chara", packed(&old))],
                "Mira sings.",
            ),
            (
                vec![],
                vec![(Chunk::International, "chara", packed(&old))],
                "Mira sings.",
            ),
            (
                vec![("chara", packed(&old))],
                vec![(Chunk::Packed, "ccv3", packed(&new))],
                "Mira swims.",
            ),
        ] {
            assert_eq!(text("Mira.png", picture(&before, &after)).unwrap(), wanted);
        }
    }

    #[test]
    fn cards_of_every_version_are_read() {
        let flat = json!({"name": "Mira Voss", "description": "{{char}} is a smith.", "personality": "kind, slow",
            "scenario": "", "first_mes": "*{{char}} nods.*\n\"Yes?\"", "mes_example": "<START>\n{{user}}: Hi.\n{{char}}: I sing.\nOften."});
        let wanted = "Name: Mira Voss\n\nMira is a smith.\n\nPersonality: kind, slow\n\nUser: Hi.\nMira: I sing. Often.\n\n\
            Mira: *Mira nods.* \"Yes?\"";
        let nested = |version: &str| json!({"spec": version, "spec_version": "9", "data": flat});
        for card in [
            flat.clone(),
            nested("chara_card_v2"),
            nested("chara_card_v3"),
        ] {
            assert_eq!(text("card.txt", card.to_string()).unwrap(), wanted);
        }
        let old = json!({"char_name": "Mira", "char_persona": "Mira sings."});
        assert_eq!(text("card.json", old.to_string()).unwrap(), "Mira sings.");
        let yaml =
            "name: Mira\ngreeting: 'Hm?'\ncontext: |-\n  {{char}} sings.\n\n  <BOT> swims.\n";
        for name in ["card.yaml", "card.txt"] {
            assert_eq!(
                text(name, yaml).unwrap(),
                "Mira sings.\n\nMira swims.\n\nMira: Hm?"
            );
        }
    }

    #[test]
    fn values_of_other_types_and_lorebooks_are_taken_as_they_come() {
        let card = json!({"spec": "chara_card_v3", "data": {
            "name": null, "character_version": 2, "tags": "a, b", "alternate_greetings": "x",
            "description": ["Mira sings.", "Mira swims."], "scenario": 7,
            "character_book": {"entries": [
                {"content": "@@depth 4\n{{char}} lives in Bonn.", "enabled": true},
                {"content": "Mira hates tea.", "enabled": false},
                {"content": "The river is old."},
                {"content": null}, 5,
            ]},
        }});
        assert_eq!(
            text("card.json", card.to_string()).unwrap(),
            "Mira sings.\nMira swims.\n\nScenario: 7\n\nMira lives in Bonn.\n\nTags: a, b"
        );
    }

    #[test]
    fn a_lorebook_may_call_the_character_by_the_first_name() {
        let card = json!({"spec": "chara_card_v3", "data": {
            "name": "Mira", "description": "Mira sings.",
            "character_book": {"entries": [
                {"content": "Idris was bitten by a goat."}, {"content": "Idrisa is old."}, {"content": "The fox is old."},
            ]},
        }});
        for (character, is_told) in [
            ("Idris Kane", true),
            ("The Fox", false),
            ("Mab Kane", false),
        ] {
            let bytes = card.to_string().into_bytes();
            let (page, _) = read(Path::new("card.json"), bytes, character).unwrap();
            assert_eq!(page.contains("goat"), is_told, "{character}");
            assert!(!page.contains("is old"), "{character}");
        }
    }

    #[test]
    fn a_card_of_another_name_is_about_the_character_that_was_asked_for() {
        let card = json!({"spec": "chara_card_v2", "data": {
            "name": "Mirela", "description": "Mirela's cat sleeps.", "personality": "Mirela is dry.",
            "character_book": {"entries": [{"content": "Mirela lives in Cluj."}]},
        }});
        assert_eq!(
            text("card.json", card.to_string()).unwrap(),
            "Name: Mirela\n\nMira's cat sleeps.\n\nPersonality: Mira is dry.\n\nMira lives in Cluj."
        );
    }

    #[test]
    fn what_is_neither_text_nor_a_card_is_refused_by_name() {
        let empty = picture(&[], &[]);
        let broken = picture(&[("chara", "e30=!".into())], &[]);
        let cut = &picture(&[("chara", packed(&described("x")))], &[])[..60];
        let json = |value: Value| value.to_string().into_bytes();
        for (bytes, wanted) in [
            (
                b"%PDF-1.7".to_vec(),
                "is a PDF, which is not supported; save what it says",
            ),
            (b"PK\x03\x04rest".to_vec(), "is a ZIP archive (.charx"),
            (b"RIFF\0\0\0\0WEBPVP8 ".to_vec(), "is a WebP picture"),
            (b"\xff\xd8\xff\xe0".to_vec(), "is a JPEG picture"),
            (b"\xff\xfeM\0i\0".to_vec(), "save the file as UTF-8"),
            (b"\n<!DOCTYPE html><p>".to_vec(), "is an HTML page"),
            (b"<html lang=en>".to_vec(), "is an HTML page"),
            (b"{\\rtf1 x}".to_vec(), "is an RTF document"),
            (empty, "is a picture without a character card"),
            (broken, "is not base64"),
            (cut.to_vec(), "is a PNG that cannot be read"),
            (json(described("")), "is a character card without texts"),
            (
                json(json!({"spec": "lorebook_v3", "data": {}})),
                "is a \"lorebook_v3\", no character card",
            ),
            (json(json!({"a": 1})), "but no character card"),
            (json(json!([{"name": "Mira"}])), "is a JSON array"),
            (
                b"{\"name\": \"Mira\", ".to_vec(),
                "looks like a card in JSON, but",
            ),
            (b"\x80abc".to_vec(), "not UTF-8 at byte 0"),
        ] {
            let error = text("page", bytes).unwrap_err().to_string();
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
        let error = text("page.yaml", "- a\n- b").unwrap_err().to_string();
        assert!(error.contains("is YAML without keys"), "{error}");
    }

    #[test]
    fn text_stays_text() {
        for page in [
            "[Character(\"Mira\"){Mind(\"kind\")}]",
            "{{Infobox\n| name = Mira\n}}\nMira sings.",
            "name: Mira\nMira sings, and greeting: is no key.",
            "Mira\0 sings. \u{202e}sgnis ariM",
        ] {
            assert_eq!(text("page.txt", page).unwrap(), page);
        }
        assert_eq!(text("page", "\u{feff}Mira sings.").unwrap(), "Mira sings.");
    }
}
