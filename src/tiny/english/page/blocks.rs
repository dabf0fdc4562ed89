//! A page as blocks of clean text: prose, fields and list items, without markup.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use crate::tiny::english::clause;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::sentences::regex;
use crate::tiny::english::words::tokens::{self, tokenize};
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
}

macro_rules! pattern {
    ($name:ident, $pattern:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| regex($pattern));
    };
}

pattern!(
    REFERENCE,
    r"<ref[^>]*/>|<ref[^>]*>[^<]*</ref>|<!--[^>]*-->|\{\{[^{}]*\}\}"
);
pattern!(HTML, r"</?[a-zA-Z][^<>\n]*>");
pattern!(
    IMAGE,
    r"!\[[^\]\n]*\]\([^)\n]*\)|\[\[(?:File|Image|Category):[^\]\n]*\]\]"
);
pattern!(WIKI_LINK, r"\[\[(?:[^|\[\]\n]*\|)?([^|\[\]\n]*)\]\]");
pattern!(LINK, r"\[([^\[\]\n]+)\]\([^)\n]*\)");
pattern!(NOTE, r"\[[^\[\]\n]{0,60}\]");
pattern!(URL, r"(?:https?://|www\.)[^\s<>)]*[^\s<>).,;:]");
pattern!(EMPHASIS, r"\*+|`+|'{2,5}|\b_{1,2}\B|\B_{1,2}\b");
pattern!(SPACES, r"[ \t\u{a0}\u{2000}-\u{200a}\u{202f}\u{3000}]+");
pattern!(SPACE_BEFORE_MARK, r" +([,.;:!?])");
pattern!(MARK_RUN, r",(?: ?,)+|;(?: ?[,;])+");
pattern!(BULLET, r"^(?:[-*+•‣▪◦·–—]|\(?\d{1,3}[.)]|\(?[a-z]\))\s+");
pattern!(
    FIELD,
    r"^([^:=|\t]{1,48}?)\s*(?::\s|:$|\s=\s|\t|\s\|\s)\s*(.*)$"
);
pattern!(
    HEADING_MARK,
    r"^(?:#{1,6}\s+(.*?)\s*#*|={1,6}\s*(.*?)\s*={1,6})$"
);

/// Splits a page into blocks.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
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
    let page = REFERENCE.replace_all(&page, "");
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for raw in page.lines() {
        let raw = raw.trim().trim_start_matches('>').trim();
        if raw.is_empty() || raw.chars().all(|c| !c.is_alphanumeric()) {
            open = false;
            continue;
        }
        if let Some(marked) = HEADING_MARK.captures(raw).filter(|_| raw.len() <= 200) {
            let text = marked
                .get(1)
                .or_else(|| marked.get(2))
                .map_or("", |text| text.as_str());
            blocks.push(Block::Heading(clean(text)));
            open = false;
            continue;
        }
        let bulleted = BULLET.find(raw).map(|found| found.end());
        let line = clean(&raw[bulleted.unwrap_or(0)..]);
        if open && bulleted.is_none() && continues(blocks.last(), &line) {
            extend(blocks.last_mut(), &line);
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let block = block_of(line, bulleted.is_some(), &blocks);
        open = !matches!(block, Block::Heading(_));
        match (blocks.last_mut(), block) {
            (
                Some(Block::Field { name, text }),
                Block::Field {
                    name: same,
                    text: item,
                },
            ) if bulleted.is_some()
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
    blocks
}

/// Whether the text is a list of a few short items, to which another may be added.
fn is_short_list(text: &str) -> bool {
    let items: Vec<&str> = text.split(", ").collect();
    let is_short = |item: &&str| {
        let tokens = tokenize(item);
        let first = tokens.first().map_or("", |first| first.lower.as_str());
        let predicate = verbs::is_auxiliary(first)
            || verbs::known(first).is_some_and(|(_, forms)| forms & verbs::THIRD != 0);
        tokens.len() <= 3 && !predicate
    };
    items.len() <= 8 && items.iter().all(is_short) && !ends_sentence(text)
}

fn block_of(line: String, bulleted: bool, before: &[Block]) -> Block {
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
    let predicate = tokens.first().is_some_and(|first| {
        verbs::known(&first.lower).is_some_and(|(_, forms)| forms & verbs::THIRD != 0)
            || verbs::is_auxiliary(&first.lower)
    });
    if bulleted && words <= 30 && (!ends && words <= 12 || predicate) {
        let heading = match before.last() {
            Some(Block::Heading(name) | Block::Field { name, .. }) => Some(name),
            Some(Block::Prose(_)) | None => None,
        };
        if let Some(name) = heading
            && (predicate || !has_finite_verb(&line))
        {
            return Block::Field {
                name: name.clone(),
                text: line,
            };
        }
    }
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
        Block::Heading(line)
    } else {
        Block::Prose(line)
    }
}

/// Whether the line holds a verb right after a possible subject.
fn has_finite_verb(line: &str) -> bool {
    let names = crate::tiny::english::clause::names::Names::new("");
    let tokens = names.tag_names(line);
    clause::parse(&tokens).is_some_and(|clause| {
        let verb = &tokens[clause.verb];
        verbs::is_auxiliary(&verb.lower) || verbs::known(&verb.lower).is_some()
    })
}

fn ends_sentence(line: &str) -> bool {
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
    let wrapped = text.chars().rev().take(60).count() == 60 && field(line).is_none();
    !ends_sentence(text) && (lower_case || wrapped)
}

fn extend(last: Option<&mut Block>, line: &str) {
    if let Some(Block::Prose(text) | Block::Field { text, .. }) = last {
        text.push(' ');
        text.push_str(line);
    }
}

/// A line `name: text` whose name is a short phrase and no sentence.
fn field(line: &str) -> Option<(String, String)> {
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
    let ok = !words.is_empty()
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

/// Takes markup, notes and parentheses out of a line.
pub(crate) fn clean(line: &str) -> String {
    let line = IMAGE.replace_all(line, "");
    let line = WIKI_LINK.replace_all(&line, "$1");
    let line = LINK.replace_all(&line, "$1");
    let line = NOTE.replace_all(&line, "");
    let line = URL.replace_all(&line, "");
    let line = HTML.replace_all(&line, " ");
    let line = EMPHASIS.replace_all(&line, "");
    let line = without_parentheses(&line);
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '“' | '”' | '„' | '«' | '»' => text.push('"'),
            '’' | '‘' | 'ʼ' | '`' => text.push('\''),
            '—' | '―' => text.push_str(" – "),
            '…' => text.push_str("..."),
            _ => text.push(c),
        }
    }
    let text = text
        .replace(" -- ", " – ")
        .replace(" - ", " – ")
        .replace("&amp;", "&")
        .replace("&nbsp;", " ");
    let text = SPACES.replace_all(&text, " ");
    let text = SPACE_BEFORE_MARK.replace_all(&text, "$1");
    let text = MARK_RUN.replace_all(&text, ",");
    text.trim()
        .trim_start_matches([',', ';', '*', '#', '_'])
        .trim()
        .to_owned()
}

/// Drops what stands in parentheses; unmatched ones stay out too.
fn without_parentheses(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut starts: Vec<usize> = Vec::new();
    for c in line.chars() {
        match c {
            '(' | '（' => starts.push(kept.len()),
            ')' | '）' => {
                if let Some(start) = starts.pop() {
                    kept.truncate(start);
                }
            }
            _ => kept.push(c),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_notes_and_parentheses_are_dropped() {
        assert_eq!(
            clean(
                "Alice[1][a] (/ˈælɪs/ AL-iss) is a **painter** from [Bonn](https://bonn.de).[citation needed]"
            ),
            "Alice is a painter from Bonn."
        );
        assert_eq!(
            clean("Alice — a painter — lives here, see https://example.org/x."),
            "Alice – a painter – lives here, see."
        );
    }

    #[test]
    fn a_page_has_headings_fields_items_and_prose() {
        let page = "# Alice\n\n== Life ==\nEarly years\nAlice was born in Bonn. She\nmoved later.\n\nAge: 26\n\nHobbies:\n- painting\n- Alice swims a lot.\n";
        assert_eq!(
            blocks(page),
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
