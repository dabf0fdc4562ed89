//! Bullets: whom and what an item of a list is about.

use super::blocks::{Block, ends_sentence, field, has_finite_verb};
use super::{talk, templates, values};
use crate::pattern::pattern;
use crate::tiny::english::clause::predicates::opens_with_verb;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::lexicon::is_listed;
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{self, Token, tokenize};
use crate::tiny::english::words::wording;

// `Maja – her sister`, in a list of people.
pattern!(
    RELATION,
    r"^(\p{Lu}[\w'’-]*(?: \p{Lu}[\w'’-]*){0,2})\s*(?: – |:)\s*(?:[Hh]er|[Hh]is|[Tt]heir|[Mm]y|[Yy]our)\s+(.+)$"
);

// `Bob: enemy`, `Marco Marsh – brother`.
pattern!(
    PERSON,
    r"^(\p{Lu}[\w'’-]*(?: \p{Lu}[\w'’-]*){0,2})\s*(?: – |:)\s*(\S.*)$"
);

/// The list that bullets belong to.
#[derive(Default)]
pub(crate) struct List {
    /// The line before it that announces it.
    pub heading: Option<String>,
    /// The field or person whose bullets are indented below it.
    pub parent: Option<String>,
    pub indent: usize,
    /// How far the bullet is indented that is the heading.
    pub bullet: Option<usize>,
    /// The heading above that bullet, which holds again when it ends.
    pub outer: Option<String>,
    /// Whether lines without a bullet are items, until one is not.
    pub takes_lines: bool,
    /// Whether more than one such line is.
    pub takes_many: bool,
}

impl List {
    /// The list under a heading, whose lines are items where it `announces` them.
    pub(crate) fn under(heading: &str, announces: bool) -> Self {
        let key = heading.to_lowercase();
        let is_one =
            templates::is_field_name(&key) && !key.ends_with('s') && !values::is_describing(&key);
        Self {
            heading: Some(heading.to_owned()),
            takes_lines: announces,
            takes_many: !is_one,
            ..Self::default()
        }
    }

    /// Makes a bullet that announces what is indented below it the heading, until the list goes on.
    fn opened_by(&mut self, name: String, indent: usize) -> Block {
        *self = Self {
            heading: Some(name.clone()),
            bullet: Some(indent),
            outer: match self.bullet {
                Some(_) => self.outer.take(),
                None => self.heading.take(),
            },
            ..Self::default()
        };
        Block::Heading(name)
    }

    /// What a line of a list of people says: `Maja – her sister`, `Bob: enemy`, `Bob: hates her`.
    pub(crate) fn relation(&self, character: &str, line: &str) -> Option<Block> {
        if !self.heading.as_deref().is_some_and(is_of_people) {
            return None;
        }
        if let Some(relation) = RELATION.captures(line) {
            let (name, what) = (&relation[1], &relation[2]);
            return Some(Block::Prose(format!(
                "{name} is {} {what}",
                wording::genitive(character)
            )));
        }
        let person = PERSON
            .captures(line)
            .filter(|person| is_proper(&person[1]) && !templates::is_field_name(&person[1]))
            .filter(|person| !values::is_metadata(&person[1].to_lowercase()))?;
        // `Alice Walker: idol`, of Alice
        let is_own = talk::is_part_of_name(character, &person[1]);
        (!is_own).then(|| related(character, &person[1], &person[2]))
    }
}

/// What is said of a person in a list of people.
fn related(character: &str, name: &str, what: &str) -> Block {
    let tokens = tokenize(what);
    if opens_with_verb(&tokens) {
        return Block::Prose(format!("{name} {}", wording::decapitalized(&tokens)));
    }
    // `business partner, elf`
    let adds = tokens.windows(2).any(|pair| {
        pair[0].is(",")
            && !grammar::is_determiner(&pair[1].lower)
            && !pair[1].is_any(&["who", "whom", "whose"])
    });
    if has_finite_verb(what) || what.contains(';') || adds {
        return Block::kept(Some(name), what);
    }
    let n_articles = usize::from(
        tokens
            .first()
            .is_some_and(|first| first.is_any(&["a", "an", "the"])),
    );
    let tokens = &tokens[n_articles..];
    let noun = tokens
        .iter()
        .take_while(|token| token.is_word() && !grammar::is_preposition(&token.lower))
        .last();
    // A job is no relation: `Lou: a nurse` does not make Lou the character's nurse.
    let is_theirs = |noun: &Token| {
        let bare = noun.lower.strip_prefix("ex-").unwrap_or(&noun.lower);
        people::is_person_word(bare) && !people::is_job(bare)
    };
    match noun.is_some_and(is_theirs) {
        true => Block::Prose(format!(
            "{name} is {} {}",
            wording::genitive(character),
            wording::decapitalized(tokens)
        )),
        false => Block::kept(None, &format!("{name}: {what}")),
    }
}

/// Whether the words name somebody, and are no word for what somebody is: `Marco Marsh`, but not `Mother` or `Best Friend`.
pub(crate) fn is_proper(name: &str) -> bool {
    let tokens = tokenize(name);
    let is_named = |token: &Token| {
        let word = token.lower.as_str();
        let is_ordinary = people::is_person_word(word)
            || people::is_person_word_of(word)
            || lexicon::is_common(word);
        token.is_capital() && (people::is_name(word) || !is_ordinary && !grammar::is_plural(word))
    };
    (1..=3).contains(&tokens.len()) && tokens.iter().all(is_named)
}

/// Whether the items under a heading are things, even one that looks like the name of a field: `Children`, under `Dislikes`.
fn lists_things(heading: &str) -> bool {
    const HEADINGS: &str = "like likes love loves dislike dislikes hate hates fear fears interest interests hobby hobbies";
    lexicon::has_word(HEADINGS, &heading.to_lowercase())
}

/// What a bullet says: of the character, of the field that it is indented below, or under the list's heading.
///
/// - has_nested: whether the next line is a bullet indented deeper
pub(crate) fn item(
    character: &str,
    line: String,
    indent: usize,
    has_nested: bool,
    list: &mut List,
) -> Block {
    if indent <= list.indent {
        list.parent = None;
    }
    if list.bullet.is_some_and(|bullet| indent <= bullet) {
        *list = List {
            heading: list.outer.take(),
            ..List::default()
        };
    }
    // `- Likes` is a heading if bullets are nested below it or if there is no heading yet; otherwise it is an item.
    let is_name = templates::is_field_name(&line);
    let is_thing = list.heading.as_deref().is_some_and(lists_things);
    if is_name && has_nested && !is_thing {
        return list.opened_by(line, indent);
    }
    if is_name && list.heading.is_none() && list.parent.is_none() {
        *list = List {
            bullet: Some(indent),
            ..List::under(&line, true)
        };
        return Block::Heading(line);
    }
    let nested = list.parent.is_some();
    if let Some(relation) = list.relation(character, &line) {
        return relation;
    }
    if let Some(block) = person(character, &line, indent, list) {
        return block;
    }
    if let Some((name, text)) = field(&line) {
        if !nested {
            (list.parent, list.indent) = (Some(name.clone()), indent);
        }
        return match text.is_empty() {
            true => list.opened_by(name, indent),
            // `Sister: Maja` with `Age: 7` indented below it: the age is not the character's.
            false
                if nested
                    && list
                        .parent
                        .as_deref()
                        .is_some_and(people::is_person_word_of) =>
            {
                Block::kept(list.parent.as_deref(), &line)
            }
            false => Block::Field { name, text },
        };
    }
    // `- Does not like:`, and below it `- eels`.
    if let Some(name) = line.strip_suffix(':') {
        return list.opened_by(name.to_owned(), indent);
    }
    let tokens = tokenize(&line);
    let words = tokens::n_words(&tokens);
    let predicate = opens_with_verb(&tokens);
    let name = match &list.parent {
        Some(parent) => parent.clone(),
        None if describes(&tokens) && !(tokens[0].is("no") && list.heading.is_some()) => {
            String::new()
        }
        None => list.heading.as_deref().map_or_else(String::new, name_of),
    };
    // `wife: Hilda` with `nurse` below it.
    if nested && !predicate && people::is_person_word_of(&name) {
        return Block::kept(Some(&name), &line);
    }
    let fragment = words <= 30 && (!ends_sentence(&line) && words <= 12 || predicate);
    if fragment && (predicate || !has_finite_verb(&line)) {
        // What someone does is the character's deed whatever the heading, unless that is a person.
        let name = match nested || people::is_person_word_of(&name) {
            false if predicate => String::new(),
            _ => name,
        };
        return Block::Field { name, text: line };
    }
    Block::Prose(line)
}

/// A bullet that is only a name or only announces people, and what is indented below a name.
fn person(character: &str, line: &str, indent: usize, list: &mut List) -> Option<Block> {
    let of_people = list.heading.as_deref().is_some_and(is_of_people);
    let parent = list
        .parent
        .clone()
        .filter(|parent| of_people && is_proper(parent));
    if let Some(parent) = parent {
        return Some(match field(line) {
            Some(_) => Block::kept(Some(&parent), line),
            None => related(character, &parent, line),
        });
    }
    if of_people && is_proper(line) {
        (list.parent, list.indent) = (Some(line.to_owned()), indent);
        return Some(Block::Heading(line.to_owned()));
    }
    let announces = list.heading.as_deref().is_none_or(is_of_people)
        && line.split(' ').count() <= 3
        && is_of_people(line)
        && !line.contains([':', ',', '.']);
    let is_plain = announces && line.starts_with(char::is_uppercase) && !has_finite_verb(line);
    is_plain.then(|| {
        *list = List {
            bullet: Some(indent),
            ..List::under(line, true)
        };
        Block::Heading(line.to_owned())
    })
}

/// Whether a heading announces people and what they are to the character.
pub(crate) fn is_of_people(heading: &str) -> bool {
    const PEOPLE: &str = "relationship relation family friend people allies enemies connection acquaintance companion";
    let heading = heading.to_lowercase();
    PEOPLE.split(' ').any(|word| heading.contains(word))
}

/// The name of the field that stands under a heading, which is empty if the heading says nothing of it.
pub(crate) fn name_of(heading: &str) -> String {
    match says_nothing(heading) {
        true => String::new(),
        false => heading.to_owned(),
    }
}

/// Whether a heading announces facts of any kind.
fn says_nothing(heading: &str) -> bool {
    const ANY: &str = "odds and ends, this and that, bits and pieces, other facts, about, basics, biography, background, facts, fun \
        facts, trivia, notes, overview, info, information, details, life, misc, miscellaneous, other, profile, quick \
        facts, history, summary, character, description, general, backstory";
    let heading = heading.to_lowercase();
    is_listed(ANY, &heading) || heading.contains(" life") || heading.starts_with("early ")
}

/// Whether an item tells what the character is or lacks, under whatever heading: `Left-handed`, `Loyal to his clan`, `No sense of smell`.
fn describes(tokens: &[Token]) -> bool {
    let Some(first) = tokens.first() else {
        return false;
    };
    first.is("no")
        || first.text.contains('-') && first.lower.ends_with("ed") && tokens.len() == 1
        || grammar::is_adjective(&first.lower)
            && tokens
                .get(1)
                .is_some_and(|next| next.is_any(&["to", "of", "about"]))
}
