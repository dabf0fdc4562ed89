//! Goes through the lines of a page: what announces what, what goes on with the line before, what a line is.

use std::collections::{HashMap, HashSet};

use regex::Captures;

use super::blocks::{
    Block, KEPT, block_of, bullet, continues, ends_sentence, extend, field, has_finite_verb,
    has_text, is_short_list, with_parentheses,
};
use super::lists::{self, List, item};
use super::markup::{clean, without_parentheses};
use super::sections::{self, BARE, Kind, LETTER, NAMED, Section};
use super::templates::is_field_name;
use super::{asked, html, talk};
use crate::pattern::pattern;
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{self, tokenize};

pattern!(
    HEADING_MARK,
    r"^(?:(#{1,6})\s+(.*?)\s*#*|(={1,6})\s*(.*?)\s*={1,6}|(?:[\u{2190}-\u{2bff}~*✦]+|-{2,6})\s+(\w.*?)\s+(?:[\u{2190}-\u{2bff}~*✦]+|-{2,6}))$"
);

// `Mira [lying]: I'm a duchess.`, `Mira (as Rosa): …`
pattern!(
    SAID_AS,
    r"^[A-Z][\w' -]{0,40}\s*[\[(][^\])\n]{2,40}[\])]\s*:\s+\S"
);
// `Dear Mira,`
pattern!(
    DEAR,
    r"^(?:Dear|My dear|Dearest|Hi|Hello)\s+([^,.!?]{1,40})[,!]?$"
);

/// What is known of the page up to a line.
pub(crate) struct Splitter<'a> {
    character: &'a str,
    blocks: Vec<Block>,
    /// The level of each heading among the blocks, by its place, and what it stands under.
    headings: HashMap<usize, (usize, Option<String>)>,
    /// Headings that may say something themselves, by their place, with how far the items that they announce are indented.
    doubtful: HashMap<usize, usize>,
    sections: Vec<Section>,
    /// The bullets that a deeper one would stand below, each with how far it is indented.
    bullets: Vec<(usize, String)>,
    /// The words that the page has in small letters: none is a name.
    words: HashSet<String>,
    /// The highest number so far in the numbered lists of the section.
    number: usize,
    /// Whether the next line may go on with the last block.
    open: bool,
    list: List,
}

impl<'a> Splitter<'a> {
    pub(crate) fn new(character: &'a str, page: &str) -> Self {
        let words = page.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| word.starts_with(char::is_lowercase));
        Self {
            character,
            words: words.map(str::to_owned).collect(),
            blocks: Vec::new(),
            headings: HashMap::new(),
            doubtful: HashMap::new(),
            sections: Vec::new(),
            bullets: Vec::new(),
            number: 0,
            open: false,
            list: List::default(),
        }
    }

    /// Reads a line; `next` is the one behind it.
    pub(crate) fn line(&mut self, line: &str, next: Option<&str>, speakers: &HashSet<String>) {
        let indent = line.len() - line.trim_start().len();
        let has_nested = next.is_some_and(|next| {
            let text = next.trim_start();
            next.len() - text.len() > indent && bullet(text).is_some()
        });
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
        if let Some(row) = raw.strip_prefix(KEPT) {
            self.push(Block::kept(None, &clean(row)), row);
            (self.open, self.list) = (false, List::default());
            return;
        }
        if let Some((speaker, text)) = talk::turn(raw, speakers) {
            let own = talk::is_character(self.character, &speaker);
            let text = text.to_owned();
            self.blocks.push(Block::Talk { own, text });
            (self.open, self.list) = (false, List::default());
            return;
        }
        let letter = DEAR.captures(raw);
        if let Some(to) = letter.filter(|to| talk::is_character(self.character, &to[1])) {
            self.heading(format!("a letter to {}", &to[1]), LETTER, None);
            if let Some(section) = self.sections.last_mut() {
                section.kind = Kind::Doubt;
            }
            return;
        }
        if talk::is_scene(raw) {
            let (text, reason) = (
                raw.to_owned(),
                "is role play (actions and speech), not a fact",
            );
            self.push(Block::Unread { text, reason }, raw);
            (self.open, self.list) = (false, List::default());
            return;
        }
        if SAID_AS.is_match(raw) {
            self.push(Block::kept(None, raw), raw);
            (self.open, self.list) = (false, List::default());
            return;
        }
        let marked = HEADING_MARK.captures(raw).filter(|marked| {
            raw.len() <= 200
                && !marked
                    .get(5)
                    .is_some_and(|text| text.as_str().ends_with(':'))
        });
        let raw = match &marked {
            // `~ Age: 27 ~`
            Some(marked) => match marked.get(5).filter(|text| has_text(text.as_str())) {
                Some(field) => field.as_str(),
                None => return self.marked_heading(marked),
            },
            None => raw,
        };
        let bullet = bullet(raw).filter(|&end| self.is_numbered_item(raw, &raw[end..], next));
        let raw = &raw[bullet.unwrap_or(0)..];
        let full = clean(raw);
        let full = asked::as_field(&full).unwrap_or(full);
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
        // `(former)` on a line of its own.
        if line.is_empty() && !is_whole && self.open {
            extend(self.blocks.last_mut(), &full);
            return;
        }
        if asked::is_answered(&full) {
            self.open = false;
            self.push(Block::kept(None, &full), &full);
            return;
        }
        let is_item = bullet.is_some() || self.is_bare_item(&line);
        let goes_on = self.open && !is_item && !self.list.takes_lines;
        if goes_on && continues(self.blocks.last(), &line) {
            extend(self.blocks.last_mut(), &full);
        } else if !line.is_empty() || !is_whole {
            let full = if is_whole { None } else { Some(full) };
            self.block(line, full, indent, is_item, bullet.is_some(), has_nested);
        }
    }

    /// Whether the number in front of a line, if there is one, is that of an item: it continues the list, is continued by the next line,
    /// or stands before a sentence. A stray one is text: `19. Virgo.`
    fn is_numbered_item(&mut self, line: &str, text: &str, next: Option<&str>) -> bool {
        let number = |line: &str| -> Option<usize> {
            let digits = line.trim_start().trim_start_matches('(');
            digits
                .split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        let Some(own) = number(line) else {
            return true;
        };
        let continues = own <= self.number + 1;
        let is_continued = next.and_then(number) == Some(own + 1);
        let is_item = continues || is_continued || has_finite_verb(text);
        if is_item {
            self.number = self.number.max(own);
        }
        is_item
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
        self.number = 0;
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
        let is_own = talk::is_character(self.character, &plain);
        let kind = match is_title || is_line || is_own {
            true => Kind::Facts,
            false => sections::kind_of(self.character, &heading, &self.words),
        };
        if is_own && heading.contains([',', '(', ':', '–']) {
            self.blocks.push(Block::kept(None, &heading));
        }
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
        let mut headings = self.sections.iter().map(|section| &section.heading);
        let reason = headings.find_map(|heading| sections::unread_reason(heading));
        if let Some(reason) = reason {
            // Back matter lasts until the next marked heading; a first message ends at an empty line, as what has been used does.
            if let Some(section) = self.sections.last_mut() {
                section.used |= sections::is_opening(&section.heading);
            }
            let text = clean(line);
            return self.blocks.push(Block::Unread { text, reason });
        }
        let is_doubtful = |section: &Section| section.kind == Kind::Doubt;
        let of_field = self
            .sections
            .last()
            .filter(|section| is_field_name(&section.heading));
        let block = match (self.under(), block) {
            (_, block @ Block::Unread { .. }) => block,
            // `Fish. Loud people.`, under `Dislikes`.
            (None, Block::Prose(text)) if of_field.is_some() && !has_finite_verb(&text) => {
                Block::kept(of_field.map(|section| section.heading.as_str()), &text)
            }
            (None, block) => block,
            (Some(under), Block::Prose(text)) if !self.sections.iter().any(is_doubtful) => {
                Block::Other { under, text }
            }
            (Some(under), _) => Block::kept(Some(&under), line),
        };
        // `sister:`, and below it `age: 19`.
        let of_person = self.sections.last().filter(|section| {
            people::is_person_word_of(&section.heading)
                && !lists::is_of_people(&section.heading)
                && !talk::is_character(self.character, &section.heading)
        });
        let block = match (of_person, block) {
            (Some(person), Block::Field { name, .. })
                if !name.is_empty() && name != person.heading =>
            {
                Block::kept(Some(&person.heading), line)
            }
            (_, block) => block,
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

    /// Adds the block that begins with a line; `full` is the line with what stands in parentheses, if something does, and `has_nested`
    /// whether the next line is a bullet indented deeper.
    fn block(
        &mut self,
        line: String,
        full: Option<String>,
        indent: usize,
        is_item: bool,
        is_bulleted: bool,
        has_nested: bool,
    ) {
        self.leave_lists(indent, is_item, is_bulleted);
        let is_named = line.ends_with(':');
        let whole = full.clone().unwrap_or_else(|| line.clone());
        let block = match is_item {
            true => {
                let block = item(
                    self.character,
                    line.clone(),
                    indent,
                    has_nested,
                    &mut self.list,
                );
                // Of `Age` and `34` below it, the next line is none of it.
                self.list.takes_lines &= is_bulleted || self.list.takes_many;
                block
            }
            false => self.plain_block(line.clone(), indent),
        };
        // `- Never`, and below it `- lies`: what the deeper one says is said under the other.
        if is_bulleted {
            self.bullets.retain(|(other, _)| *other < indent);
        } else {
            self.bullets.clear();
        }
        let above = self.bullets.last().map(|(_, above)| above.clone());
        let block = match (block, above) {
            (Block::Field { name, .. }, Some(above)) if name.is_empty() => {
                Block::kept(Some(&above), &line)
            }
            (Block::Prose(text), Some(above)) if text == line && !has_finite_verb(&line) => {
                Block::kept(Some(&above), &line)
            }
            (Block::Kept { under: None, text }, Some(above)) => Block::kept(Some(&above), &text),
            (block, _) => block,
        };
        if is_bulleted && !matches!(block, Block::Heading(_)) && self.list.parent.is_none() {
            self.bullets.push((indent, line.clone()));
        }
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
        // `She does not like:`, and below it what.
        if let Block::Prose(text) = &block
            && let Some(frame) = text
                .strip_suffix(':')
                .filter(|_| is_named && !text.contains(". "))
        {
            self.heading(
                frame.to_owned(),
                NAMED + indent,
                is_bulleted.then_some(indent),
            );
            if let Some(section) = self.sections.last_mut() {
                section.kind = Kind::Doubt;
            }
            return;
        }
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
    pub(crate) fn finish(mut self) -> Vec<Block> {
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
