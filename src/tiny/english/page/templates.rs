//! Wordings for fields: `Age: 26` is `Alice is 26 years old.`

use super::identity::{identity, whereabouts};
use super::values::{
    all_adjectives, is_describing, is_noun_phrase, keeps_capital, takes_predicates, tells_more,
};
use crate::pattern::pattern;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::predicates::{is_unknown_verb, opens_with_verb};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::lexicon::{has_word, is_listed};
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, tokenize};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording::{self, decapitalized, genitive, is_month, with_article};

// `1. rain 2. snow`
pattern!(NUMBERED, r"\d[.)] .*\d[.)] ");

/// A field with the forms of its text that wordings need.
pub(super) struct Field<'a> {
    pub name: &'a str,
    pub key: &'a str,
    pub text: &'a str,
    pub tokens: &'a [Token],
    /// The character's `her`, `his` or `their`.
    pub possessive: &'static str,
    /// The text with a small first letter, unless it holds a name.
    pub low: String,
    /// The text with an article where a noun needs one.
    pub noun: String,
}

impl Field<'_> {
    pub(super) fn number(&self) -> Option<&str> {
        let first = self.tokens.first().filter(|token| token.is_number());
        first.map(|token| token.text.as_str())
    }

    pub(super) fn has_preposition(&self) -> bool {
        self.tokens[0].is_in("in at on near with from around before about to")
    }

    /// The text behind this preposition, unless it brings one.
    pub(super) fn prefixed(&self, preposition: &str) -> String {
        if self.has_preposition() {
            self.low.clone()
        } else {
            format!("{preposition} {}", self.low)
        }
    }

    /// `on` before a day, else `in`.
    pub(super) fn on_or_in(&self) -> &'static str {
        let month = self
            .tokens
            .iter()
            .any(|token| people::Gender::of_word(&token.lower).is_none() && is_month(&token.lower));
        let day = self.tokens.iter().any(|token| {
            let digits = token
                .lower
                .trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let is_day = !digits.is_empty()
                && digits.len() <= 2
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_day && matches!(&token.lower[digits.len()..], "" | "st" | "nd" | "rd" | "th")
        });
        // `2008-02-29`
        let is_written_out = self
            .tokens
            .iter()
            .any(|token| token.is_number() && token.text.matches(['-', '.']).count() == 2);
        let is_ordinal = self.tokens.iter().any(|token| token.is("of"));
        // `Christmas Eve`, `the 3rd day of Frostwane`
        let of = self.tokens.iter().position(|token| token.is("of"));
        let head = self.tokens[..of.unwrap_or(self.tokens.len())].last();
        let is_named_day = head.is_some_and(|head| head.is_any(&["day", "eve"]));
        if is_written_out || is_named_day || month && (day || is_ordinal) {
            "on"
        } else {
            "in"
        }
    }
}

/// Whether a name is that of a field whose meaning is known, so that a line with nothing else announces its text.
pub(crate) fn is_field_name(name: &str) -> bool {
    const NAMES: &str = "name, full name, age, gender, sex, born, birthday, birth date, date of birth, birthdate, birthplace, place of \
        birth, died, hometown, origin, residence, home, location, occupation, job, profession, species, race, role, \
        nationality, ethnicity, sexuality, marital status, religion, eyes, hair, skin, eye color, eye colour, hair color, \
        hair colour, height, weight, build, likes, loves, dislikes, hates, fears, hobbies, interests, skills, abilities, \
        traits, strengths, weaknesses, flaws, habits, goals, languages, education, pets, siblings, children, spouse, \
        mother, father, brother, sister, husband, wife, parents, instruments, nickname, nicknames, aliases, personality, \
        appearance, allergies, status";
    is_listed(NAMES, &name.trim().to_lowercase())
}

/// Words a field as a sentence: by its name, or as `Alice's <field> is <text>.`
///
/// A list in it has its `and` already, see [`listed`](super::values::listed).
pub(crate) fn from_template(names: &Names, key: &str, text: &str) -> Option<String> {
    let name = &names.character;
    // A place to be in is no fact about anybody.
    if matches!(key, "scenario" | "setting") {
        return None;
    }
    let tokens = tokenize(text);
    if tokens.is_empty() || opens_with_verb(&tokens) && tokens.len() > 1 || tells_more(&tokens) {
        return None;
    }
    // `Role: Mira`, `Likes: see Hobbies`, `Likes: 1. rain 2. snow`
    let is_name = !matches!(
        key,
        "name" | "full name" | "real name" | "birth name" | "born"
    ) && names.tag_names(text).first().is_some_and(|first| first.me);
    let is_elsewhere = tokens[0].is("see") && tokens.len() > 1;
    if is_name || is_elsewhere || NUMBERED.is_match(text) {
        return None;
    }
    let low = decapitalized(&tokens);
    let noun = with_article(&tokens, &low);
    let article = tokens
        .first()
        .is_some_and(|first| grammar::is_determiner(&first.lower));
    let low = if keeps_capital(key) && !article {
        text.to_owned()
    } else {
        low
    };
    let wanted = Field {
        name,
        key,
        text,
        tokens: &tokens,
        possessive: names.gender.map_or("their", |gender| gender.forms()[2]),
        low,
        noun,
    };
    identity(&wanted)
        .or_else(|| whereabouts(&wanted))
        .or_else(|| standing(&wanted))
        .or_else(|| activity(&wanted))
        .or_else(|| generic(names, &wanted))
}

/// `Pets: none` as a sentence, for what one may have or not.
pub(crate) fn none_of(names: &Names, key: &str, text: &str) -> Option<String> {
    let is_none = matches!(text.to_lowercase().as_str(), "none" | "no");
    let can_be_had = matches!(
        key,
        "pets" | "siblings" | "children" | "hobbies" | "allergies"
    );
    (is_none && can_be_had).then(|| format!("{} has no {key}.", names.character))
}

/// What the character is and looks like.
fn standing(field: &Field) -> Option<String> {
    let Field {
        name,
        key,
        tokens,
        low,
        noun,
        ..
    } = field;
    let sentence = match *key {
        "occupation" | "job" | "profession" | "species" | "race" | "title" | "role"
        | "position" | "class" | "work" | "career"
            if tokens.len() <= 14
                && is_noun_phrase(tokens)
                && (*key != "title" || role_of(tokens).is_some() || people::is_living(tokens)) =>
        {
            match role_of(tokens) {
                Some(article) => format!("{name} is {article}{low}."),
                None => format!("{name} is {noun}."),
            }
        }
        "nationality" | "citizenship" if lexicon::is_city(&low.to_lowercase()) => {
            format!("{name} comes from {low}.")
        }
        "nationality"
        | "ethnicity"
        | "sexuality"
        | "orientation"
        | "marital status"
        | "relationship status"
        | "status"
        | "faith"
            if tokens.len() <= 6 =>
        {
            // `widower`, `happy widow`, `single mother of two`
            let head = tokens
                .iter()
                .find(|token| !grammar::is_adjective(&token.lower));
            let is_somebody = head.is_some_and(|head| people::is_person_word(&head.lower));
            match is_somebody {
                true => format!("{name} is {noun}."),
                false => format!("{name} is {low}."),
            }
        }
        _ if tokens
            .iter()
            .any(|token| grammar::is_preposition(&token.lower)) =>
        {
            return None;
        }
        // `one`, `a bob`, `cropped, going grey`
        "eyes" | "hair" | "skin"
            if tokens.iter().any(|token| {
                is_count(token)
                    || token.is_any(&["a", "an", "the", "going", "turning"])
                    // `short twists`
                    || grammar::is_plural(&token.lower)
            }) =>
        {
            return None;
        }
        "hair" if tokens.len() == 1 && tokens[0].is("bald") => format!("{name} is bald."),
        "eyes" | "hair" | "skin" => format!("{name} has {low} {key}."),
        "eye color" | "eye colour" => format!("{name} has {low} eyes."),
        "hair color" | "hair colour" => format!("{name} has {low} hair."),
        _ => return None,
    };
    Some(sentence)
}

/// What stands before the name of an office that one person holds: `president of France`, `the founder of a bakery`; `None` before
/// others.
fn role_of(tokens: &[Token]) -> Option<&'static str> {
    const OFFICES: &str = "president king queen mayor head chair chairman chairwoman chairperson director captain chancellor ceo cfo cto \
        pope dean governor leader principal minister commander keeper guardian";
    const OTHERS: &str =
        "founder co-founder owner co-owner author creator inventor winner heir heiress";
    let of = tokens.iter().position(|token| token.is_in("of at"))?;
    let office = tokens[of.checked_sub(1)?].lower.as_str();
    let is_in = |list: &str| has_word(list, office);
    match (is_in(OFFICES), is_in(OTHERS)) {
        _ if grammar::is_determiner(&tokens[0].lower) => None,
        (true, _) => Some(""),
        (_, true) => Some("the "),
        _ => None,
    }
}

/// What the character does, has and is like.
fn activity(field: &Field) -> Option<String> {
    let Field {
        name,
        key,
        text,
        tokens,
        low,
        noun,
        ..
    } = field;
    let sentence = match *key {
        "likes" | "loves" | "dislikes" | "hates" | "enjoys" | "fears" | "wants" | "speaks"
        | "plays" | "studies" | "owns" | "wears" | "collects" | "drives" | "teaches" => {
            format!("{name} {key} {low}.")
        }
        "works as" | "works at" | "works for" | "known as" | "known for" | "married to"
        | "allergic to" | "lives with" => {
            let verb = if key.starts_with("works") || key.starts_with("lives") {
                ""
            } else {
                "is "
            };
            format!(
                "{name} {verb}{key} {}.",
                match *key {
                    "works as" => noun.as_str(),
                    // `Married to: Shula`
                    "married to" | "lives with" | "works for"
                        if !grammar::is_determiner(&tokens[0].lower) =>
                        text,
                    _ => low,
                }
            )
        }
        "alias" | "aliases" | "aka" | "a.k.a." | "also known as" | "other name" | "other names" => {
            format!("{name} is also known as {text}.")
        }
        "languages" | "language" | "spoken languages" => format!("{name} speaks {text}."),
        "education" | "school" | "university" | "alma mater"
            if is_noun_phrase(tokens)
                && !tokens[0].is_any(&["a", "an"])
                && tokens.iter().any(Token::is_capital) =>
        {
            let the = if text.starts_with("University of") {
                "the "
            } else {
                ""
            };
            format!("{name} studied at {the}{text}.")
        }
        "height"
            if field.number().is_some()
                && tokens.len() <= 4
                && !tokens.iter().any(|token| token.is("in")) =>
        {
            format!("{name} is {low} tall.")
        }
        "allergy" | "allergies" if is_noun_phrase(tokens) => {
            format!("{name} is allergic to {low}.")
        }
        "instrument" | "instruments" => format!("{name} plays {low}."),
        "siblings" | "children" | "pets" if tokens.len() == 1 && is_count(&tokens[0]) => {
            let is_one = tokens[0].is_any(&["1", "one"]);
            let key = match *key {
                "children" if is_one => "child",
                _ if is_one => key.trim_end_matches('s'),
                _ => key,
            };
            format!("{name} has {low} {key}.")
        }
        // `Borin and Dagna`, but `Two brothers` and `A cat`.
        "siblings" | "children" | "sons" | "daughters" | "brothers" | "sisters"
            if tokens[0].is_capital() && !grammar::is_determiner(&tokens[0].lower) =>
        {
            return None;
        }
        // `3, all dead`
        "pets" | "pet" | "siblings" | "children"
            if is_noun_phrase(tokens) && !tokens.get(1).is_some_and(|next| next.is(",")) =>
        {
            format!("{name} has {noun}.")
        }
        "fear" | "phobia" | "phobias" | "afraid of" | "scared of" if is_noun_phrase(tokens) => {
            format!("{name} is afraid of {low}.")
        }
        "appearance" | "looks" | "body" if is_feature(tokens) => format!("{name} has {low}."),
        _ if is_describing(key) && (all_adjectives(tokens) || opens_with_adjective(tokens)) => {
            format!("{name} is {low}.")
        }
        _ => return None,
    };
    Some(sentence)
}

/// Whether a word is how many there are: `3`, `Four`.
fn is_count(token: &Token) -> bool {
    token.is_number() || lexicon::is_numeral(&token.lower)
}

/// `red hair`, `green eyes`: a part of the body with what it is like, and nothing else.
fn is_feature(tokens: &[Token]) -> bool {
    const PARTS: [&str; 14] = [
        "hair", "eyes", "skin", "face", "nose", "beard", "freckles", "hands", "scar", "scars",
        "ears", "teeth", "lips", "voice",
    ];
    let last = tokens.iter().rev().find(|token| token.is_word());
    let plain = tokens
        .iter()
        .all(|token| token.is_word() && !grammar::is_preposition(&token.lower) && !token.is("and"));
    plain && tokens.len() > 1 && last.is_some_and(|last| last.is_any(&PARTS))
}

/// `Loyal to a fault`, `Very competitive at games`.
fn opens_with_adjective(tokens: &[Token]) -> bool {
    let adverbs = tokens
        .iter()
        .take_while(|token| verbs::is_adverb(&token.lower) || token.is("very"));
    let at = adverbs.count();
    // `short, strong hands`
    if tokens.iter().any(|token| token.is(",")) {
        return false;
    }
    tokens
        .get(at)
        .is_some_and(|token| grammar::is_adjective(&token.lower))
        && tokens.get(at + 1).is_some_and(|next| {
            grammar::is_preposition(&next.lower) || next.is_any(&["and", ",", "to"])
        })
}

/// `Alice's <field> is/are <text>.`, of what somebody has: a relative, a dream, a favourite colour.
fn generic(names: &Names, field: &Field) -> Option<String> {
    const THINGS: &str = "dream breakfast lunch dinner supper hobby pastime talent skill secret weapon vehicle car bike boat ship house \
        instrument motto catchphrase fear phobia weakness strength world goal hope wish plan ambition treasure creed rank name nickname alias";
    let own = ["his ", "her "]
        .iter()
        .find_map(|own| field.key.strip_prefix(own));
    let key = own.unwrap_or(field.key);
    let words: Vec<&str> = key.split(' ').collect();
    let (head, before) = words.split_last()?;
    let first = &field.tokens[0];
    let is_favourite = before
        .first()
        .is_some_and(|word| matches!(*word, "favourite" | "favorite" | "fave" | "fav" | "comfort"));
    let describes = |word: &&str| {
        grammar::is_adjective(word) || word.ends_with("est") || matches!(*word, "older" | "younger")
    };
    let is_thing = THINGS
        .split(' ')
        .any(|thing| thing == *head || wording::singular(head) == thing);
    let is_own = is_thing || people::is_person_word_of(key);
    let is_known = is_favourite
        || is_field_name(key) && !is_describing(key)
        || is_own && before.iter().all(describes);
    // `parks under a tree`, of habits; `Orthodox at Easter`, of a religion
    let may_be_deed = takes_predicates(key) && is_unknown_verb(first);
    let is_open = *head == "religion" && field.tokens.len() > 2;
    let aims = first.is("to") && is_listed("dream, goal, goals, hope, wish, plan, ambition", head);
    // `Brother: 2`, `Siblings: 3, all dead`
    let are_people =
        people::is_person_word_of(key) || matches!(key, "siblings" | "children" | "pets");
    let is_count =
        are_people && is_count(first) && field.tokens.get(1).is_none_or(|next| next.is(","));
    // `Spouse: Divorced twice`
    let is_told = people::is_person_word_of(key)
        && verbs::is_participle(&first.lower)
        && field
            .tokens
            .get(1)
            .is_some_and(|next| verbs::is_adverb(&next.lower));
    // `Nicknames: Ruben, Falk` of Ruben Falk: parts of a name would be read as the whole.
    let is_part_of_name = matches!(*head, "nickname" | "nicknames" | "alias" | "aliases")
        && names.tag_names(field.text).iter().any(|token| token.me);
    if matches!(key, "age" | "born" | "education" | "school" | "university")
        || is_part_of_name
        || is_count
        || is_told
        || !is_known
        || may_be_deed
        || is_open
        || !(is_noun_phrase(field.tokens) || aims)
    {
        return None;
    }
    if is_thing && is_single(field) {
        let key = wording::singular(key);
        return Some(format!(
            "{} {key} is {}.",
            genitive(&names.character),
            field.low
        ));
    }
    // `Nickname: Ali and Lis`
    let is_several = *head == "nickname" && field.text.contains(" and ");
    let (s, verb) = match (is_several, grammar::is_plural(head)) {
        (true, _) => ("s", "are"),
        (_, true) => ("", "are"),
        _ => ("", "is"),
    };
    Some(format!(
        "{} {key}{s} {verb} {}.",
        genitive(&names.character),
        field.low
    ))
}

/// Whether the text is one thing: `chess`, not `cats` or `chess and tea`.
fn is_single(field: &Field) -> bool {
    let is_of_several =
        |token: &Token| token.is_in(", and & or") || grammar::is_plural(&token.lower);
    // `folding paper animals`
    let is_activity =
        verbs::can_be(&field.tokens[0].lower, verbs::ING) && !field.text.contains([',', '&']);
    is_activity && !field.text.contains(" and ") || !field.tokens.iter().any(is_of_several)
}
