//! The text of a field: lists, names, and words that describe.

use std::borrow::Cow;

use super::blocks::has_finite_verb;
use super::{lists, sections};
use crate::pattern::pattern;
use crate::tiny::english::clause::predicates::opens_with_verb;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::{self, has_word, is_listed};
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, join, tokenize};
use crate::tiny::english::words::verbs::{self, BASE, PAST};
use crate::tiny::english::words::wording::decapitalized;

// What parts the items of a list beside a comma.
pattern!(ITEM_MARK, r"\s*[|•·]\s*|\s+\+\s+");

/// Writes commas between the items of `kind + shy`, `chess • cello` or `kind|shy`.
pub(crate) fn with_commas(text: &str) -> Cow<'_, str> {
    ITEM_MARK.replace_all(text, ", ")
}

/// Whether the field lists names or languages, each of which keeps its capital letter.
fn lists_names(key: &str) -> bool {
    matches!(key, "languages" | "language" | "nicknames" | "aliases")
}

/// Whether the field lists people or animals by their names.
fn lists_relatives(key: &str) -> bool {
    const NAMES: &str = "children, siblings, sons, daughters, brothers, sisters, friends, parents, pets, enemies, rivals, allies";
    is_listed(NAMES, key)
}

/// A list without `and` gets one; its items are ordinary words and begin with small letters unless they are names.
pub(crate) fn listed(key: &str, text: &str) -> String {
    let text = &text.replace(" / ", ", ");
    let items: Vec<&str> = text.split(", ").collect();
    let are_names = items
        .iter()
        .all(|item| item.starts_with(char::is_uppercase));
    let whole = keeps_capital(key) && !lists_names(key) && !(are_names && lists_relatives(key));
    let plain = items.iter().all(|item| {
        let tokens = tokenize(item);
        let first = tokens.first().map_or("", |first| first.lower.as_str());
        tokens.len() <= 4
            && !matches!(
                first,
                "a" | "an" | "the" | "to" | "who" | "which" | "whose" | "where"
            )
            && !grammar::is_subordinator(first)
            && !grammar::is_preposition(first)
            && (!verbs::is_adverb(first) || tokens.len() == 1 || is_describing(key))
            && !opens_with_verb(&tokens)
            && tokens
                .iter()
                .all(|token| !token.is_number() || token.lower.ends_with("-year-old"))
    });
    // `nine knives, all named`
    let goes_on = items.iter().skip(1).any(|item| {
        let first = item.split(' ').next().unwrap_or_default();
        has_word("each both none neither all one some most half", first)
    });
    let is_joined = tokenize(text)
        .iter()
        .any(|token| token.is_any(&["and", "or", "nor", "&"]));
    if items.len() < 2 || !plain || whole || goes_on || is_joined || key == "motto" {
        return text.to_owned();
    }
    // `tea, rain, Halvorsen anything`
    let is_large = |item: &str| item.starts_with(char::is_uppercase);
    let is_mixed = items[1..].iter().any(|item| !is_large(item));
    let items = items.iter().enumerate().map(|(place, item)| {
        match place > 0 && is_mixed && is_large(item) {
            true => item.to_string(),
            false => within_list(key, item),
        }
    });
    let items: Vec<String> = items.collect();
    let (front, last) = items.split_at(items.len() - 1);
    let comma = if items.len() > 2 { "," } else { "" };
    format!("{}{comma} and {}", front.join(", "), last[0])
}

/// An item of a list, with a small first letter where that is no name.
fn within_list(key: &str, item: &str) -> String {
    let tokens = tokenize(item);
    let Some(first) = tokens.first() else {
        return item.to_owned();
    };
    let ordinary = is_describing(key)
        || verbs::can_be(&first.lower, verbs::ING)
        || grammar::is_adjective(&first.lower)
        || grammar::is_determiner(&first.lower)
        || lexicon::is_common(&first.lower)
        || tokens.len() > 1
            && tokens[1..]
                .iter()
                .all(|token| token.is_word() && !token.is_capital());
    match ordinary && !lists_names(key) {
        true => decapitalized(&tokens),
        false => item.to_owned(),
    }
}

/// Whether the field holds the name of a person, a place or the like.
pub(crate) fn keeps_capital(key: &str) -> bool {
    const PROPER: &str = "hometown origin from home town country residence lives location city address birthplace place born birth birthday \
        school university education language languages band team company employer book books novel novels film films movie \
        movies song album ship house nationality ethnicity religion nickname nicknames names alias aliases surname name \
        motto catchphrase slogan family relatives siblings children friends enemies rivals allies pets pet";
    key.split_whitespace()
        .any(|word| has_word(PROPER, word) || people::is_person_word(word))
}

pub(crate) fn is_describing(key: &str) -> bool {
    const NAMES: &str = "personality, traits, character, personality traits, mind, temperament, attitude, description, nature, \
        characteristics, appearance, demeanor, demeanour, mood, looks, build";
    is_listed(NAMES, key)
}

pub(crate) fn all_adjectives(tokens: &[Token]) -> bool {
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_word()).collect();
    let Some(last) = words.last() else {
        return false;
    };
    let noun = words.iter().any(|token| {
        grammar::is_plural(&token.lower)
            || (grammar::is_determiner(&token.lower))
            || grammar::is_preposition(&token.lower)
    });
    let listed = words.len() == 1
        || tokens
            .iter()
            .any(|token| token.is_any(&[",", "and", "but"]))
        || grammar::is_adjective(&last.lower);
    // `loyal, terrible liar`
    let text = join(tokens);
    let has_noun = text
        .split(", ")
        .flat_map(|item| item.split(" and "))
        .any(|item| {
            let words = tokenize(item.trim_start_matches("and "));
            let ends = ["al", "ic", "ed", "ing", "y", "ant", "ent"];
            let (Some(first), Some(last)) = (words.first(), words.last()) else {
                return false;
            };
            let is_somebody = ["er", "or", "ist"]
                .iter()
                .any(|end| last.lower.ends_with(end));
            words.len() == 1 && is_somebody && !grammar::is_adjective(&last.lower)
                || words.len() > 1
                    && words.iter().all(Token::is_word)
                    && !verbs::is_adverb(&first.lower)
                    && !words.iter().any(|word| word.is_any(&["to", "but", "not"]))
                    && !grammar::is_adjective(&last.lower)
                    && !ends.iter().any(|end| last.lower.ends_with(end))
        });
    !noun && listed && !has_noun
}

/// Whether a value has a clause or an afterthought of its own: `elvish wine makes her sick`, `two, when it rains`.
pub(crate) fn tells_more(tokens: &[Token]) -> bool {
    let is_relative = |at: usize| tokens[at].is_any(&["who", "which", "whose", "where"]) && at > 0;
    let end = (0..tokens.len())
        .find(|&at| is_relative(at))
        .unwrap_or(tokens.len());
    let is_of_clause = |token: &Token| {
        verbs::is_auxiliary(&token.lower) && !token.is_any(&["may", "will", "can"])
            || grammar::is_subordinator(&token.lower)
                && !token.is_any(&["than", "since", "before", "after", "as", "until", "like"])
            || token.is_in("he she they i we it you only not never but")
    };
    // `Karen, died 1998`
    let is_told = tokens.windows(2).any(|pair| {
        pair[0].is(",") && pair[1].is_in("died born deceased divorced killed lost since")
    });
    // `salt water ruins the joints`
    let is_clause = tokens.windows(3).any(|words| {
        words[1].lower.ends_with('s')
            && !words[1].is_capital()
            && !grammar::is_preposition(&words[1].lower)
            && !grammar::is_determiner(&words[1].lower)
            && !grammar::is_subordinator(&words[1].lower)
            && words[0].is_word()
            && !grammar::is_preposition(&words[0].lower)
            && !grammar::is_determiner(&words[0].lower)
            && !grammar::is_adjective(&words[0].lower)
            && !lexicon::is_numeral(&words[0].lower)
            && grammar::is_determiner(&words[2].lower)
    });
    is_told
        || is_clause
        || tokens[..end].iter().any(is_of_clause)
        || has_finite_verb(&join(&tokens[..end]))
}

/// Whether a value names somebody or something, so that `is` and `are` may stand before it: not `in pencil`, `up at five` or `flat`.
pub(crate) fn is_noun_phrase(tokens: &[Token]) -> bool {
    let begins = |at: usize| {
        let token = &tokens[at];
        let lower = token.lower.as_str();
        let next = tokens.get(at + 1);
        let is_participle = verbs::is_participle(lower)
            && (at == 0 || !token.is_capital())
            && next.is_none_or(|next| {
                grammar::is_preposition(&next.lower) || grammar::is_determiner(&next.lower)
            });
        // `pilots a ferry`, `carves whistles`
        let is_verb = grammar::is_plural(lower)
            && !token.is_capital()
            && next.is_some_and(|next| {
                next.is_word()
                    && !grammar::is_preposition(&next.lower)
                    && !next.is_any(&["and", "or", "called", "named"])
            });
        // `Left school`
        let is_past = verbs::known(lower)
            .is_some_and(|(_, forms)| forms & PAST != 0 && forms & BASE == 0)
            && !lower.ends_with("ed");
        let is_verb = is_verb || opens_with_verb(&tokens[at..]);
        let is_opening = at == 0
            && (is_past
                || is_participle
                || grammar::is_preposition(lower)
                || verbs::is_adverb(lower) && !grammar::is_determiner(lower)
                || token.is_any(&["to", "abroad", "up", "out"]));
        token.is_word() && !is_verb && !is_opening && !token.is_any(&["then", "never"])
    };
    let follows_comma = |at: &usize| *at > 0 && tokens[at - 1].is(",");
    let is_relative = |at: &usize| tokens[*at].is_any(&["who", "which", "whose", "where"]);
    let mut heads = (0..tokens.len())
        .filter(|at| *at == 0 || follows_comma(at) && !is_relative(at) && !tokens[*at].is("and"));
    let is_the = tokens.len() > 1 && tokens[0].is("the");
    let is_noun = |token: &Token| {
        token.is_word()
            && !grammar::is_adjective(&token.lower)
            && !grammar::is_determiner(&token.lower)
    };
    !tokens.is_empty()
        && heads.all(begins)
        && (is_the
            || tokens
                .iter()
                .take_while(|token| !grammar::is_preposition(&token.lower))
                .any(is_noun))
        && !tells_more(tokens)
}

/// Whether a list has an adverb between its commas: `heights, oddly, moths`.
pub(crate) fn has_lone_adverb(value: &str) -> bool {
    let is_adverb = |item: &str| {
        let item = item.trim_end_matches('.').to_lowercase();
        verbs::is_adverb(&item) && !grammar::is_adjective(&item)
    };
    let is_joined = tokenize(value).iter().any(|token| token.is("and"));
    !is_joined && value.split(", ").skip(1).any(is_adverb)
}

/// Whether a list has an adjective beside a noun that it may describe: `coffee, black`, `black, short twists`.
pub(crate) fn mixes_adjectives(value: &str) -> bool {
    const COLOURS: &str = "black white brown grey gray red blond blonde auburn ginger green blue";
    let items: Vec<Vec<Token>> = value.split(", ").map(tokenize).collect();
    let is_adjective = |token: &Token| grammar::is_adjective(&token.lower) || token.is_in(COLOURS);
    let describes = |item: &Vec<Token>| !item.is_empty() && item.iter().all(is_adjective);
    let names = |item: &Vec<Token>| {
        item.last().is_some_and(|last| {
            last.is_word() && !is_adjective(last) && !verbs::is_participle(&last.lower)
        })
    };
    items.len() == 2 && items.iter().any(describes) && items.iter().any(names)
}

/// Whether a value is words and commas, none of which takes back what another says: not `everything but fish`, `red/brown` or `5?`.
pub(crate) fn is_plain(value: &str) -> bool {
    let is_mark = |c: char| !c.is_alphanumeric() && !" ,.'-&%°\"".contains(c);
    !value.contains(is_mark) && !sections::takes_back(value)
}

/// Whether what somebody does may stand behind the name of a field: `Habits: hums at work`, but not `Hair: was black`.
pub(crate) fn takes_predicates(key: &str) -> bool {
    const NAMES: &str = "talent talents habit habits skill skills ability abilities quirk quirks hobby hobbies interests \
        behaviour behavior strengths weaknesses flaws routine work mannerisms clothes trade occupation job profession sport pastimes \
        manners food health";
    // `Special skill`, but not `First job`
    let plain = ["special ", "bad ", "good ", "main ", "other ", "hidden "]
        .iter()
        .find_map(|word| key.strip_prefix(word));
    let last = plain.unwrap_or(key);
    key.is_empty() || lists::name_of(key).is_empty() || is_describing(key) || has_word(NAMES, last)
}

/// Whether a field describes the page, not the character.
pub(crate) fn is_metadata(key: &str) -> bool {
    const NAMES: &str = "quote, quotes, source, sources, references, image, caption, see also, pronouns, tags, creator, creator notes, \
        genre, links, title, layout, date, author, example, examples, example dialogue, creator's notes, creator's note, creator note, \
        author's note, author's notes, artist, art by, created by, made by, written by, credits, credit, version, last updated, updated, \
        license, system prompt, system, prompt, instructions, instruction, post history instructions, ooc, ooc note, disclaimer, warning, \
        warnings, content warning, trigger warning, first message, greeting, alternate greetings, playlist, faceclaim, face claim, \
        voice claim, picrew, template, character book, lorebook, talkativeness";
    is_listed(NAMES, &key.replace('’', "'"))
}
