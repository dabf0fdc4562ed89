//! A page as blocks of clean text: prose, fields and list items, without markup.

use std::collections::{HashMap, HashSet};

use regex::Captures;
use unicode_normalization::UnicodeNormalization;

use super::lists::{self, List, item};
use super::markup::{clean, without_parentheses};
use super::sections::{self, Kind};
use super::sheets::{self, Taken};
use super::templates::is_field_name;
use super::{fields, html, talk};
use crate::tiny::english::clause;
use crate::tiny::english::words::grammar;
use crate::pattern::pattern;
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
pattern!(
    HEADING_MARK,
    r"^(?:(#{1,6})\s+(.*?)\s*#*|(={1,6})\s*(.*?)\s*={1,6}|[\u{2190}-\u{2bff}~*✦]+\s+(\w.*?)\s+[\u{2190}-\u{2bff}~*✦]+)$"
);

/// The level of a heading that is a line of its own, below those that are marked.
const BARE: usize = 9;
/// The level of a heading that announces a list: `Likes:`.
const NAMED: usize = 10;

/// Splits a page about `character` into blocks.
pub(crate) fn blocks(character: &str, page: &str) -> Vec<Block> {
    let (page, taken) = prepared(page);
    let page = talk::interview(character, &page);
    let speakers = talk::speakers(character, &page);
    let mut splitter = Splitter::new(character, &page);
    for line in page.lines() {
        splitter.line(line, &speakers);
    }
    let mut blocks = splitter.finish();
    blocks.extend(taken.rows.iter().map(|row| Block::kept(None, &clean(row))));
    let unread = taken.unread.into_iter();
    blocks.extend(unread.map(|(text, reason)| Block::Unread { text, reason }));
    blocks
}

/// The page in one form of Unicode and of line ends, what has a notation of its own as fields; and what is taken out.
fn prepared(page: &str) -> (String, Taken) {
    let page = page.replace("\r\n", "\n");
    let page: String = page.nfc().filter_map(plain).collect();
    let page = REFERENCE.replace_all(&page, "");
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

/// A heading under which lines stand.
struct Section {
    level: usize,
    heading: String,
    kind: Kind,
    /// How far the bullet is indented that is the heading.
    bullet: Option<usize>,
    /// Whether something stands below it.
    used: bool,
}

/// What is known of the page up to a line.
struct Splitter<'a> {
    character: &'a str,
    blocks: Vec<Block>,
    /// The level of each heading among the blocks, by its place, and what it stands under.
    headings: HashMap<usize, (usize, Option<String>)>,
    /// Headings that may say something themselves, by their place, with how far the items that they announce are indented.
    doubtful: HashMap<usize, usize>,
    sections: Vec<Section>,
    /// The words that the page has in small letters: none is a name.
    words: HashSet<String>,
    /// Whether the next line may go on with the last block.
    open: bool,
    list: List,
}

impl<'a> Splitter<'a> {
    fn new(character: &'a str, page: &str) -> Self {
        let words = page.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| word.starts_with(char::is_lowercase));
        Self {
            character,
            words: words.map(str::to_owned).collect(),
            blocks: Vec::new(),
            headings: HashMap::new(),
            doubtful: HashMap::new(),
            sections: Vec::new(),
            open: false,
            list: List::default(),
        }
    }

    fn line(&mut self, line: &str, speakers: &HashSet<String>) {
        let indent = line.len() - line.trim_start().len();
        let raw = line.trim().trim_start_matches('>').trim();
        if line.contains(html::END_OF_LIST.trim_matches('\n')) {
            self.list = List::default();
            self.sections.retain(|section| section.level < BARE);
        }
        if raw.is_empty() || raw.chars().all(|c| !c.is_alphanumeric()) {
            self.open = false;
            // `## Likes`, an empty line, and below it `tea`.
            let waits =
                matches!(self.blocks.last(), Some(Block::Heading(name)) if is_field_name(name));
            self.list.takes_lines &= waits;
            return;
        }
        if let Some((speaker, text)) = talk::turn(raw, speakers) {
            let own = talk::is_character(self.character, &speaker);
            let text = text.to_owned();
            self.blocks.push(Block::Talk { own, text });
            (self.open, self.list) = (false, List::default());
            return;
        }
        let marked = HEADING_MARK.captures(raw).filter(|_| raw.len() <= 200);
        let raw = match &marked {
            // `~ Age: 27 ~`
            Some(marked) => match marked.get(5).filter(|text| has_text(text.as_str())) {
                Some(field) => field.as_str(),
                None => return self.marked_heading(marked),
            },
            None => raw,
        };
        let bullet = bullet(raw);
        let raw = fields::with_status(&raw[bullet.unwrap_or(0)..]);
        let full = clean(&raw);
        let (mut line, asides) = without_parentheses(&full);
        let mut is_whole = asides.is_empty();
        // `Bob (enemy)`, in a list of people.
        if let [aside] = &asides[..]
            && aside.before == line
            && let related = format!("{line}: {}", aside.text)
            && let Some(Block::Prose(_)) = self.list.relation(self.character, &related)
        {
            line = related;
            is_whole = true;
        }
        let is_item = bullet.is_some() || self.is_bare_item(&line);
        if self.open && !is_item && continues(self.blocks.last(), &line) {
            extend(self.blocks.last_mut(), &full);
        } else if !line.is_empty() || !is_whole {
            let full = if is_whole { None } else { Some(full) };
            self.block(line, full, indent, is_item, bullet.is_some());
        }
    }

    /// `## Life`, `== Life ==` or `~ Life ~`.
    fn marked_heading(&mut self, marked: &Captures<'_>) {
        let level = [1, 3].iter().find_map(|&group| marked.get(group));
        let text = [2, 4, 5].iter().find_map(|&group| marked.get(group));
        let heading = clean(text.map_or("", |text| text.as_str()));
        self.heading(heading, level.map_or(6, |level| level.len()), None);
    }

    fn heading(&mut self, heading: String, level: usize, bullet: Option<usize>) {
        let plain = without_parentheses(&heading).0;
        self.list = List::under(&plain, level >= NAMED || is_field_name(&plain));
        self.sections.retain(|section| section.level < level);
        let above = self.sections.last().map(|section| &section.heading);
        let above = above.filter(|above| !talk::is_character(self.character, above));
        let under = self
            .under()
            .or_else(|| above.map(|above| lists::name_of(above)));
        self.headings.insert(self.blocks.len(), (level, under));
        self.blocks.push(Block::Heading(heading.clone()));
        // The title is the character's, whatever it is; a line among others is no heading for sure.
        let is_title = level == 1 && self.sections.is_empty();
        let is_line = level == BARE && self.open && !sections::is_doubtful(&heading);
        let kind = match is_title || is_line {
            true => Kind::Facts,
            false => sections::kind_of(self.character, &heading, &self.words),
        };
        self.sections.push(Section {
            level,
            heading,
            kind,
            bullet,
            used: false,
        });
        self.open = false;
    }

    /// The headings from the first that announces no facts about the character.
    fn under(&self) -> Option<String> {
        let is_other = |section: &Section| section.kind != Kind::Facts;
        let first = self.sections.iter().position(is_other)?;
        let headings = self.sections[first..].iter();
        let headings: Vec<&str> = headings.map(|section| section.heading.as_str()).collect();
        Some(headings.join(", "))
    }

    /// Adds a block as what the headings above it make of it; `line` is what the page says.
    fn push(&mut self, block: Block, line: &str) {
        let is_doubtful = |section: &Section| section.kind == Kind::Doubt;
        let block = match (self.under(), block) {
            (None, block) => block,
            (Some(under), Block::Prose(text)) if !self.sections.iter().any(is_doubtful) => {
                Block::Other { under, text }
            }
            (Some(under), _) => Block::kept(Some(&under), line),
        };
        if let Some(section) = self.sections.last_mut() {
            section.used = true;
        }
        self.blocks.push(block);
    }

    /// Ends the lists that a line is no part of: at an empty line, or at a bullet further out.
    fn leave_lists(&mut self, indent: usize, is_item: bool, is_bulleted: bool) {
        let open = self.open;
        self.sections.retain(|section| match section.bullet {
            Some(bullet) => is_bulleted && indent > bullet,
            None => is_item || open || section.level < BARE || !section.used,
        });
    }

    /// Whether a line without a bullet is an item of the list that is announced: a few words, no sentence, no other field.
    fn is_bare_item(&self, line: &str) -> bool {
        let is_list = matches!(
            self.blocks.last(),
            Some(Block::Heading(_) | Block::Field { .. })
        );
        let is_short = tokens::n_words(&tokenize(line)) <= 8 && !ends_sentence(line);
        self.list.takes_lines
            && is_list
            && is_short
            && field(line).is_none()
            && !is_field_name(line)
            && !has_finite_verb(line)
    }

    /// Adds the block that begins with a line; `full` is the line with what stands in parentheses, if something does.
    fn block(
        &mut self,
        line: String,
        full: Option<String>,
        indent: usize,
        is_item: bool,
        is_bulleted: bool,
    ) {
        self.leave_lists(indent, is_item, is_bulleted);
        let is_named = line.ends_with(':');
        let whole = full.clone().unwrap_or_else(|| line.clone());
        let block = match is_item {
            true => {
                let block = item(self.character, line.clone(), indent, &mut self.list);
                // Of `Age` and `34` below it, the next line is none of it.
                self.list.takes_lines &= is_bulleted || self.list.takes_many;
                block
            }
            false => self.plain_block(line.clone(), indent),
        };
        let block = match full {
            Some(full) => with_parentheses(block, &line, full),
            None => block,
        };
        // `Doran`, under `Other characters`, announces nothing.
        let is_line = !is_named && !is_bulleted && !is_field_name(&line) && self.under().is_some();
        let block = match block {
            Block::Heading(line) if is_line => Block::kept(None, &line),
            block => block,
        };
        if let Block::Heading(name) = block {
            let list = std::mem::take(&mut self.list);
            let level = if is_item || is_named {
                NAMED + indent
            } else {
                BARE
            };
            if self.open && level == BARE && !is_field_name(&name) {
                self.doubtful.insert(self.blocks.len(), 0);
            } else if is_bulleted && !is_named {
                self.doubtful.insert(self.blocks.len(), indent + 1);
            }
            self.heading(name, level, is_bulleted.then_some(indent));
            // What stands below a bullet is told by its indentation.
            if is_bulleted {
                self.list = list;
            }
            return;
        }
        self.open = true;
        let last = self.blocks.len().wrapping_sub(1);
        if is_item
            && self
                .doubtful
                .get(&last)
                .is_some_and(|&deep| indent >= deep || !is_bulleted)
        {
            self.doubtful.remove(&last);
        }
        match (self.blocks.last_mut(), block) {
            (
                Some(Block::Field { name, text }),
                Block::Field {
                    name: same,
                    text: item,
                },
            ) if is_item
                && !same.is_empty()
                && *name == same
                && is_short_list(text)
                && is_short_list(&item) =>
            {
                text.push_str(", ");
                text.push_str(&item);
            }
            (_, block) => self.push(block, &whole),
        }
    }

    /// The block of a line without a bullet.
    fn plain_block(&mut self, line: String, indent: usize) -> Block {
        if let Some(relation) = self.list.relation(self.character, &line) {
            return relation;
        }
        let block = block_of(self.character, line, &self.list);
        self.list = match &block {
            Block::Field { name, .. } => List {
                parent: Some(name.clone()),
                indent,
                ..List::default()
            },
            _ => List::default(),
        };
        block
    }

    /// The blocks, with headings that announce nothing as what they say themselves.
    fn finish(mut self) -> Vec<Block> {
        for at in 0..self.blocks.len() {
            let Block::Heading(heading) = &self.blocks[at] else {
                continue;
            };
            let Some((level, under)) = self.headings.get(&at) else {
                continue;
            };
            let announces = match self.blocks.get(at + 1) {
                Some(Block::Heading(_)) => self
                    .headings
                    .get(&(at + 1))
                    .is_some_and(|(next, _)| next > level),
                None => false,
                Some(_) => !self.doubtful.contains_key(&at),
            };
            if announces
                || talk::is_character(self.character, heading)
                || !heading.contains(char::is_alphanumeric)
            {
                continue;
            }
            let is_line = *level >= BARE && !is_field_name(heading);
            self.blocks[at] = match is_line || has_finite_verb(heading) {
                true => Block::kept(under.as_deref(), heading),
                false => Block::Unread {
                    text: heading.clone(),
                    reason: "is a heading with nothing below it",
                },
            };
        }
        self.blocks
    }
}

/// A block of a line without its parentheses, with them.
fn with_parentheses(block: Block, line: &str, full: String) -> Block {
    match block {
        Block::Prose(text) if text == line => Block::Prose(full),
        Block::Field { name, text } => match field(&full) {
            Some((same, whole)) if same == name => Block::Field { name, text: whole },
            _ if text == line => Block::Field { name, text: full },
            _ => Block::kept(None, &full),
        },
        Block::Heading(_) => Block::Heading(full),
        Block::Kept { under, .. } => Block::Kept { under, text: full },
        _ => Block::kept(None, &full),
    }
}

/// Whether the text is a field with something behind its name.
fn has_text(text: &str) -> bool {
    field(text).is_some_and(|(_, text)| !text.is_empty())
}

/// Where the text of an item begins.
pub(crate) fn bullet(line: &str) -> Option<usize> {
    BULLET.find(line).map(|found| found.end())
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
    items.len() <= 8 && items.iter().all(is_short) && !ends_sentence(text) && !text.contains('(')
}

fn block_of(character: &str, line: String, list: &List) -> Block {
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
    let is_label = begins && words <= 6 && line.contains(char::is_alphabetic);
    is_field_name(line) || is_label && !line.contains(['|', ',', ';'])
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

fn extend(last: Option<&mut Block>, line: &str) {
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
