//! A page as blocks of clean text: prose, fields and list items, without markup.

use unicode_normalization::UnicodeNormalization;

use super::capitals;
use super::interview;
use super::lists::{self, List};
use super::sheets::{self, Unread};
use super::splitter::Splitter;
use super::talk;
use super::templates::is_field_name;
use crate::pattern::pattern;
use crate::tiny::english::clause;
use crate::tiny::english::clause::predicates::opens_with_verb;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::tokens::{self, tokenize};
use crate::tiny::english::words::verbs;

/// What stands before a line that is kept as it is.
pub(crate) const KEPT: char = '\u{e000}';

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
    /// What is kept as it stands, `under` what announces it.
    Kept { under: Option<String>, text: String },
    /// Sentences under a heading that is somebody else's: those that name the character are about it.
    Other { under: String, text: String },
    /// A line that is no text about the character, with the reason.
    Unread { text: String, reason: &'static str },
}

impl Block {
    pub(crate) fn kept(under: Option<&str>, text: &str) -> Self {
        Self::Kept {
            under: under.map(str::to_owned).filter(|under| !under.is_empty()),
            text: text.to_owned(),
        }
    }
}

pattern!(REFERENCE, r"<ref[^>]*/>|<ref[^>]*>[^<]*</ref>|<!--[^>]*-->");
pattern!(
    BULLET,
    r"^(?:[-*+•‣▪◦·–—]|[\u{2190}-\u{21ff}\u{2300}-\u{27bf}\u{2900}-\u{2bff}\u{fe0f}\u{1f300}-\u{1faff}]+|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+"
);
pattern!(
    FIELD,
    r"^([^:=|\t]{1,48}?)\s*(:\s|:$|\s=\s|\t|\s\|\s)\s*(.*)$"
);

/// Splits a page about `character` into blocks.
pub(crate) fn blocks(character: &str, page: &str) -> Vec<Block> {
    let (page, unread) = prepared(character, page);
    let page = interview::interview(character, &page);
    let speakers = talk::speakers(character, &page);
    let mut splitter = Splitter::new(character, &page);
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        splitter.line(line, lines.peek().copied(), &speakers);
    }
    let mut blocks = splitter.finish();
    let unread = unread.into_iter();
    blocks.extend(unread.map(|(text, reason)| Block::Unread { text, reason }));
    blocks
}

/// The page in one form of Unicode and of line ends, what has a notation of its own as fields; and what is taken out.
fn prepared(character: &str, page: &str) -> (String, Vec<Unread>) {
    let page = page.replace("\r\n", "\n");
    let page: String = page.nfc().filter_map(plain).collect();
    let page = REFERENCE.replace_all(&page, "");
    let page = capitals::restored(character, &page);
    sheets::as_fields(&page)
}

/// A character without what is not seen: ends of lines as one kind, no marks of direction, nothing without width.
fn plain(c: char) -> Option<char> {
    match c {
        '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\n' | '\t' => Some(c),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// A block of a line without its parentheses, with them.
pub(crate) fn with_parentheses(block: Block, line: &str, full: String) -> Block {
    match block {
        Block::Prose(text) if text == line => Block::Prose(full),
        Block::Field { name, text } => match field(&full) {
            Some((same, whole)) if same == name => Block::Field { name, text: whole },
            _ if text == line => Block::Field { name, text: full },
            _ => Block::kept(None, &full),
        },
        Block::Heading(_) => match field(&full).filter(|(_, text)| !text.is_empty()) {
            Some((name, text)) => Block::Field { name, text },
            None => Block::Heading(full),
        },
        Block::Kept { under, .. } => Block::Kept { under, text: full },
        _ => Block::kept(None, &full),
    }
}

/// Whether the text is a field with something behind its name.
pub(crate) fn has_text(text: &str) -> bool {
    field(text).is_some_and(|(_, text)| !text.is_empty())
}

/// Where the text of an item begins.
pub(crate) fn bullet(line: &str) -> Option<usize> {
    BULLET.find(line).map(|found| found.end())
}

/// Whether the text is a list of a few short items, to which another may be added.
pub(crate) fn is_short_list(text: &str) -> bool {
    let items: Vec<&str> = text.split(", ").collect();
    let is_short = |item: &&str| {
        let tokens = tokenize(item);
        tokens.len() <= 3 && !opens_with_verb(&tokens)
    };
    items.len() <= 8 && items.iter().all(is_short) && !ends_sentence(text) && !text.contains('(')
}

pub(crate) fn block_of(character: &str, line: String, list: &List) -> Block {
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
                name: match talk::is_character(character, name) {
                    true => String::new(),
                    false => lists::name_of(name),
                },
                text: line,
            },
            // `Born: 4 May 1990`, and below it `Porto, Portugal`.
            None if list.parent.as_deref() == Some("Born") && line.contains(", ") => Block::Field {
                name: "Birthplace".to_owned(),
                text: line,
            },
            _ if is_title(&line, words) => Block::Heading(line),
            heading => {
                let under = heading.as_deref().map(lists::name_of);
                Block::kept(under.as_deref(), &line)
            }
        }
    } else {
        Block::Prose(line)
    }
}

/// Whether a line without a verb may announce what follows: it is short, begins with a capital letter and no article, and lists nothing.
fn is_title(line: &str, words: usize) -> bool {
    let first = line.split(' ').next().unwrap_or_default();
    let begins = line.starts_with(|c: char| !c.is_lowercase()) && !matches!(first, "A" | "An");
    // `Age 52`, `Name Ann Bell`
    let is_field = line.contains(|c: char| c.is_ascii_digit()) && is_field_name(first)
        || matches!(first, "Name" | "Born");
    let is_label =
        begins && words <= 6 && !(is_field && words > 1) && line.contains(char::is_alphabetic);
    is_field_name(line) && !line.contains(" – ")
        || is_label
            && !line.contains(": ")
            && !line.contains(['|', ',', ';', '=', '<', '>', '→', '?', '–'])
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
pub(crate) fn continues(last: Option<&Block>, line: &str) -> bool {
    let (text, is_prose) = match last {
        Some(Block::Prose(text) | Block::Other { text, .. }) => (text, true),
        Some(Block::Field { text, .. } | Block::Kept { text, .. }) => (text, false),
        _ => return false,
    };
    let lower_case = line.chars().next().is_some_and(char::is_lowercase);
    let long = text.chars().rev().take(60).count() == 60;
    let is_field = field(line).is_some();
    // A field's text is on one line, or goes on with a small letter.
    let goes_on = lower_case && (long || !is_field) || long && !is_field && is_prose;
    !ends_sentence(text) && goes_on
}

pub(crate) fn extend(last: Option<&mut Block>, line: &str) {
    if let Some(
        Block::Prose(text)
        | Block::Other { text, .. }
        | Block::Field { text, .. }
        | Block::Kept { text, .. },
    ) = last
    {
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
    let is_row =
        !captures[2].starts_with(':') && captures[3].trim_end_matches(['|', ' ']).contains(" | ");
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
            captures[3].trim().trim_end_matches('|').trim().to_owned(),
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
