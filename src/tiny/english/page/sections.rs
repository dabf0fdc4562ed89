//! What the headings above a line say of it: that it is no fact, or about somebody else.

use std::collections::HashSet;

use super::{lists, talk, templates};
use crate::tiny::english::words::lexicon::{has_word, is_listed};
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, tokenize};

/// What a heading says of the lines below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Facts about the character.
    Facts,
    /// Somebody or something else: what does not name the character is not about it.
    Other,
    /// No facts: rumours, what is not so or no longer so, plans, other worlds.
    Doubt,
}

/// The level of a heading that is a line of its own, below those that are marked.
pub(super) const BARE: usize = 9;
/// The level of a letter: it lasts until the next marked heading.
pub(super) const LETTER: usize = 8;
/// The level of a heading that announces a list: `Likes:`.
pub(super) const NAMED: usize = 10;

/// A heading under which lines stand.
pub(super) struct Section {
    pub level: usize,
    pub heading: String,
    pub kind: Kind,
    /// How far the bullet is indented that is the heading.
    pub bullet: Option<usize>,
    /// Whether something stands below it.
    pub used: bool,
}

/// What a heading says of what stands below it, where the page has `words` in small letters.
pub(crate) fn kind_of(character: &str, heading: &str, words: &HashSet<String>) -> Kind {
    if is_doubtful(heading) {
        return Kind::Doubt;
    }
    let is_own = talk::is_character(character, heading);
    if is_own || templates::is_field_name(heading) || lists::name_of(heading).is_empty() {
        return Kind::Facts;
    }
    let begins = tokenize(heading)
        .first()
        .is_some_and(|first| first.is_any(&["other", "others", "another", "npc", "npcs"]));
    if lists::is_of_people(heading) && !begins {
        return Kind::Facts;
    }
    let last = heading.split(' ').next_back().unwrap_or_default();
    let is_age = matches!(last.to_lowercase().as_str(), "youth" | "child" | "adult");
    let is_ordinary = heading.split(' ').any(|word| {
        let lower = word.to_lowercase();
        words.contains(&lower) || is_of_sections(&lower)
    });
    let is_somebody = people::is_person_word_of(heading)
        || names_somebody(heading)
        || lists::is_proper(heading) && !is_ordinary;
    let is_somebody = is_somebody && !is_age;
    match begins || is_somebody {
        true => Kind::Other,
        false => Kind::Facts,
    }
}

/// Words of headings below which no facts stand: what is told, made up, wished or of another world.
const NO_FACTS: &str = "rumour rumours rumor rumors gossip hearsay false untrue lie lies myth myths misconception misconceptions \
    allegations legend legends theory theories speculation disputed possible unused deleted removed cut alternate alternative au \
    if dream dreams goal goals plans ideas think thinks believe believes canon noncanon non-canon headcanon headcanons fanon \
    concept concepts film films movie movies novel comic comics manga anime game games adaptation adaptations version versions \
    cover disguise imagine suppose pretend pretends rules ooc future young child story";
/// Words with which headings begin that tell of another time or another place.
const ELSEWHERE: &str = "in before after when while if as during until with without under";
/// Words that take back what others say, or leave it open.
const TAKING_BACK: &str = "not no non never nothing nobody none neither nor cannot without except unless hardly rarely seldom \
    former formerly ex previously used rumoured rumored alleged allegedly claim claims claimed supposed supposedly unconfirmed \
    maybe perhaps possibly probably say says said but only sometimes was were had when while if because until";
/// What is said in place of a value.
const ANSWERS: &str = "yes no true false y n tba tbd n/a unspecified";

/// Whether a heading announces sources and links, or what the author says of the page.
fn is_back_matter(heading: &str) -> bool {
    const HEADINGS: &str = "references, sources, citations, footnotes, external links, links, see also, further reading, creator notes, \
        creator's notes, author's notes, author's note, credits, tags, instructions, system prompt, ooc";
    is_listed(HEADINGS, &heading.to_lowercase().replace('’', "'"))
}

/// Whether a heading announces the opening message of a chat.
pub(crate) fn is_opening(heading: &str) -> bool {
    const HEADINGS: &str =
        "first message, opening message, intro message, greeting, greetings, alternate greetings";
    is_listed(HEADINGS, &heading.to_lowercase())
}

/// Why nothing below a heading is a fact, if that is so whatever it says.
pub(crate) fn unread_reason(heading: &str) -> Option<&'static str> {
    if is_opening(heading) {
        return Some("is the opening message of a chat");
    }
    is_back_matter(heading).then_some("describes the page")
}

/// Whether a word is one that headings are made of, and no name: `Career`, `Equipment`, `Training`.
fn is_of_sections(lower: &str) -> bool {
    const WORDS: &str = "career life death magic powers combat legacy music style works love romance war school gallery etymology plot \
        role equipment inventory gear voice wardrobe diet routine outfit stats health past present home house ship crew class faith \
        religion politics sport art food drink sleep body mind soul culture lore world setting arc season book quest campaign \
        spells feats level skills bio intro vibe aesthetic trivia quirk secret wish dream money wealth status rank title work job \
        character sheet profile info overview biography dossier template";
    const ENDINGS: [&str; 14] = [
        "ing", "tion", "sion", "ment", "ness", "ity", "ance", "ence", "ship", "hood", "ics", "ism",
        "phy", "logy",
    ];
    has_word(WORDS, lower)
        || lower.len() > 5 && ENDINGS.iter().any(|ending| lower.ends_with(ending))
        || lower.len() > 4 && lower.ends_with('s') && !lower.ends_with("ss")
}

/// Whether a heading says that what it announces is not so, not sure or not yet so: `Rumours`, `Can't`, `Used to be`, `In the film`.
pub(crate) fn is_doubtful(heading: &str) -> bool {
    let tokens = tokenize(heading);
    let opens = tokens.len() > 1 && tokens[0].is_in(ELSEWHERE);
    // `Favourite film`
    let is_favourite = tokens
        .first()
        .is_some_and(|first| first.is_any(&["favourite", "favorite", "fave", "fav"]));
    opens
        || takes_back(heading)
        || !is_favourite && tokens.iter().any(|token| token.is_in(NO_FACTS))
}

/// Whether words take back what others say, or leave it open: `not`, `former`, `allegedly`, what stands in parentheses.
pub(crate) fn takes_back(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    let is_answer = has_word(ANSWERS, &lower);
    let negates = |token: &Token| token.is_in(TAKING_BACK) || token.lower.ends_with("n't");
    lower.starts_with("unknown")
        || is_answer
        || text.contains(['(', '?'])
        || tokenize(text).iter().any(negates)
}

/// `Her brother Kesh`, `King Oren`: a person with a name.
fn names_somebody(heading: &str) -> bool {
    let tokens = tokenize(heading);
    let last_is_name = tokens.len() > 1
        && tokens
            .last()
            .is_some_and(|last| last.is_capital() && last.is_word());
    last_is_name
        && tokens
            .iter()
            .any(|token| people::is_person_word(&token.lower))
}
