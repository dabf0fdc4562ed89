//! A page as blocks of clean text: prose, fields and list items, without markup.

use regex::Captures;
use unicode_normalization::UnicodeNormalization;

use super::lists::{self, List, item};
use super::markup::clean;
use super::{sheets, talk};
use crate::tiny::english::clause;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::sentences::pattern;
use crate::tiny::english::words::tokens::{self, Token, tokenize};
use crate::tiny::english::words::verbs;

/// A piece of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Whole sentences.
    Prose(String),
    /// A line `name: text`, or a list item under the heading `name`.
    Field { name: String, text: String },
    /// A line which only announces what follows.
    Heading(String),
    /// What someone says in a conversation: the words behind the speaker's name, with markup.
    Talk { own: bool, text: String },
    /// A line of which nothing can be made.
    Unread(String),
}

pattern!(
    REFERENCE,
    r"<ref[^>]*/>|<ref[^>]*>[^<]*</ref>|<!--[^>]*-->|\{\{[^{}]*\}\}"
);
pattern!(
    BULLET,
    r"^(?:[-*+•‣▪◦·–—]|[\u{2190}-\u{21ff}\u{2300}-\u{27bf}\u{2900}-\u{2bff}\u{fe0f}\u{1f300}-\u{1faff}]+|\(?\d{1,3}[.)]|\(?[a-z]\))\s+"
);
pattern!(
    FIELD,
    r"^([^:=|\t]{1,48}?)\s*(?::\s|:$|\s=\s|\t|\s\|\s)\s*(.*)$"
);
pattern!(
    HEADING_MARK,
    r"^(?:#{1,6}\s+(.*?)\s*#*|={1,6}\s*(.*?)\s*={1,6}|[\u{2190}-\u{2bff}~*✦]+\s+(\w.*?)\s+[\u{2190}-\u{2bff}~*✦]+)$"
);

/// Splits a page about `character` into blocks.
pub(crate) fn blocks(character: &str, page: &str) -> Vec<Block> {
    let page: String = page
        .nfc()
        .filter(|c| {
            !matches!(
                c,
                '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}'
            )
        })
        .collect();
    let page = page.replace("\r\n", "\n").replace('\r', "\n");
    let page = REFERENCE.replace_all(&page, |found: &Captures<'_>| match &found[0] {
        template if template.starts_with("{{") => template.to_string(),
        _ => String::new(),
    });
    let (page, unread) = sheets::plain(&page);
    let page = REFERENCE.replace_all(&page, "");
    let speakers = talk::speakers(character, &page);
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut list = List::default();
    for line in page.lines() {
        let indent = line.len() - line.trim_start().len();
        let raw = line.trim().trim_start_matches('>').trim();
        if raw.is_empty() || raw.chars().all(|c| !c.is_alphanumeric()) {
            open = false;
            continue;
        }
        if let Some((speaker, text)) = talk::turn(raw, &speakers) {
            blocks.push(Block::Talk {
                own: talk::is_character(character, &speaker),
                text: text.to_owned(),
            });
            (open, list) = (false, List::default());
            continue;
        }
        if let Some(marked) = HEADING_MARK.captures(raw).filter(|_| raw.len() <= 200) {
            let text = marked
                .get(1)
                .or_else(|| marked.get(2))
                .or_else(|| marked.get(3))
                .map_or("", |text| text.as_str());
            let heading = clean(text);
            list = List {
                heading: Some(heading.clone()),
                ..List::default()
            };
            blocks.push(Block::Heading(heading));
            open = false;
            continue;
        }
        let bullet = BULLET.find(raw).map(|found| found.end());
        let bulleted = bullet.is_some();
        let line = clean(&raw[bullet.unwrap_or(0)..]);
        if open && !bulleted && continues(blocks.last(), &line) {
            extend(blocks.last_mut(), &line);
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let block = match bulleted {
            true => item(character, line, indent, &mut list),
            false => {
                let block = block_of(line, &list);
                list = match &block {
                    Block::Heading(name) => List {
                        heading: Some(name.clone()),
                        ..List::default()
                    },
                    Block::Field { name, .. } => List {
                        parent: Some(name.clone()),
                        indent,
                        ..List::default()
                    },
                    _ => List::default(),
                };
                block
            }
        };
        open = !matches!(block, Block::Heading(_));
        match (blocks.last_mut(), block) {
            (
                Some(Block::Field { name, text }),
                Block::Field {
                    name: same,
                    text: item,
                },
            ) if bulleted
                && !same.is_empty()
                && *name == same
                && is_short_list(text)
                && is_short_list(&item) =>
            {
                text.push_str(", ");
                text.push_str(&item);
            }
            (_, block) => blocks.push(block),
        }
    }
    blocks.extend(unread.into_iter().map(Block::Unread));
    blocks
}

/// Whether the words begin with a verb that has no subject: `hates goats`, `is afraid of bats`.
pub(crate) fn opens_with_verb(tokens: &[Token]) -> bool {
    tokens.first().is_some_and(|first| {
        verbs::known(&first.lower).is_some_and(|(_, forms)| forms & verbs::THIRD != 0)
            || verbs::is_auxiliary(&first.lower)
    })
}

/// Whether the text is a list of a few short items, to which another may be added.
fn is_short_list(text: &str) -> bool {
    let items: Vec<&str> = text.split(", ").collect();
    let is_short = |item: &&str| {
        let tokens = tokenize(item);
        tokens.len() <= 3 && !opens_with_verb(&tokens)
    };
    items.len() <= 8 && items.iter().all(is_short) && !ends_sentence(text)
}

fn block_of(line: String, list: &List) -> Block {
    if let Some((name, text)) = field(&line) {
        return if text.is_empty() {
            Block::Heading(name)
        } else {
            Block::Field { name, text }
        };
    }
    let tokens = tokenize(&line);
    let words = tokens::n_words(&tokens);
    let ends = ends_sentence(&line);
    let predicate = opens_with_verb(&tokens);
    let lone = predicate
        && !ends
        && words >= 2
        && !tokens[0].is_any(&["works", "plays"])
        && !tokens[1].is_capital()
        && tokens[1].is_word()
        && !tokens[1].is("and")
        && !grammar::is_preposition(&tokens[1].lower);
    if lone {
        return Block::Field {
            name: String::new(),
            text: line,
        };
    }
    if !ends && words <= 12 && !has_finite_verb(&line) {
        match &list.heading {
            // `Likes`, and below it `Rain, old maps`.
            Some(name) if line.contains(", ") => Block::Field {
                name: lists::name_of(name),
                text: line,
            },
            // A title is short.
            _ if words > 6 || line.contains('|') => Block::Unread(line),
            _ => Block::Heading(line),
        }
    } else {
        Block::Prose(line)
    }
}

/// Whether the line holds a verb right after a possible subject.
pub(crate) fn has_finite_verb(line: &str) -> bool {
    let names = crate::tiny::english::clause::names::Names::new("");
    let tokens = names.tag_names(line);
    clause::parse(&tokens).is_some_and(|clause| {
        let verb = &tokens[clause.verb];
        verbs::is_auxiliary(&verb.lower) || verbs::known(&verb.lower).is_some()
    })
}

pub(crate) fn ends_sentence(line: &str) -> bool {
    line.trim_end_matches(['"', '\'', ')', ']'])
        .ends_with(['.', '!', '?', '…', ';'])
}

/// Whether the line goes on with a sentence which the line before it has left open.
fn continues(last: Option<&Block>, line: &str) -> bool {
    let text = match last {
        Some(Block::Prose(text) | Block::Field { text, .. }) => text,
        _ => return false,
    };
    let lower_case = line.chars().next().is_some_and(char::is_lowercase);
    let long = text.chars().rev().take(60).count() == 60;
    let is_field = field(line).is_some();
    !ends_sentence(text) && (lower_case && (long || !is_field) || long && !is_field)
}

fn extend(last: Option<&mut Block>, line: &str) {
    if let Some(Block::Prose(text) | Block::Field { text, .. }) = last {
        text.push(' ');
        text.push_str(line);
    }
}

/// A line `name: text` whose name is a short phrase and no sentence.
pub(crate) fn field(line: &str) -> Option<(String, String)> {
    let captures = FIELD.captures(line)?;
    let name = captures[1].trim().trim_matches(['"', '-', '|']).trim();
    let words = tokenize(name);
    let plain = words
        .iter()
        .all(|token| token.is_word() || token.is_any(&["'s", "'", "&", "/", "-"]));
    let sentence = words.iter().any(|token| {
        verbs::is_auxiliary(&token.lower)
            || token.is_any(&["he", "she", "they", "i", "said", "wrote", "that"])
    });
    // `Ana | 30 | Nurse` has more than one.
    let is_row = captures[2].trim_end_matches(['|', ' ']).contains(" | ");
    let ok = !is_row
        && !words.is_empty()
        && words.len() <= 6
        && plain
        && !sentence
        && words[0].is_word()
        && !words[0].is_number();
    ok.then(|| {
        (
            name.to_owned(),
            captures[2].trim().trim_end_matches('|').trim().to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_headings_fields_items_and_prose() {
        let page = "# Alice\n\n== Life ==\nEarly years\nAlice was born in Bonn. She\nmoved later.\n\nAge: 26\n\nHobbies:\n- painting\n- Alice swims a lot.\n";
        assert_eq!(
            blocks("Alice", page),
            [
                Block::Heading("Alice".into()),
                Block::Heading("Life".into()),
                Block::Heading("Early years".into()),
                Block::Prose("Alice was born in Bonn. She moved later.".into()),
                Block::Field {
                    name: "Age".into(),
                    text: "26".into()
                },
                Block::Heading("Hobbies".into()),
                Block::Field {
                    name: "Hobbies".into(),
                    text: "painting".into()
                },
                Block::Prose("Alice swims a lot.".into()),
            ]
        );
    }
}
