//! Articles, genitives and small letters.

use super::grammar;
use super::lexicon;
use super::people::{self, Gender};
use super::tokens::{self, Token, join};
use super::verbs;

/// `Alice's`, `Agnes'`.
pub(crate) fn genitive(name: &str) -> String {
    if name.ends_with('s') {
        format!("{name}'")
    } else {
        format!("{name}'s")
    }
}

/// `a` or `an`.
pub(crate) fn article(word: &str) -> &'static str {
    let lower = word.to_lowercase();
    let an = lower.starts_with(['a', 'e', 'i', 'o'])
        || lower.starts_with("hour")
        || lower.starts_with("honest")
        || lower.starts_with("heir")
        || lower.starts_with('8')
        || ["11", "18"].contains(&lower.split('-').next().unwrap_or_default());
    let un = lower.starts_with('u')
        && !["uni", "use", "usu", "eu", "ute", "uk"]
            .iter()
            .any(|start| lower.starts_with(start));
    let no = lower.starts_with("one") || lower.starts_with("eu");
    if (an || un) && !no { "an" } else { "a" }
}

pub(crate) fn with_article(tokens: &[Token], low: &str) -> String {
    let Some(first) = tokens.first() else {
        return low.to_owned();
    };
    let head = tokens
        .iter()
        .take_while(|token| {
            !grammar::is_preposition(&token.lower) && !token.is(",") && !token.is("and")
        })
        .last();
    let plural =
        head.is_some_and(|head| grammar::is_plural(&head.lower) && !people::is_job(&head.lower));
    let is_count = first.is_number() && !first.lower.ends_with("-year-old");
    if grammar::is_determiner(&first.lower) || plural || is_count || first.is("none") {
        return low.to_owned();
    }
    format!("{} {low}", article(low))
}

/// A noun in the plural as one of its kind: `hobby`, `weakness`, `cat`; any other as it is.
pub(crate) fn singular(noun: &str) -> String {
    match (noun.strip_suffix("ies"), noun.strip_suffix("sses")) {
        (Some(stem), _) => format!("{stem}y"),
        (_, Some(stem)) => format!("{stem}ss"),
        _ if grammar::is_plural(noun) => noun.trim_end_matches('s').to_owned(),
        _ => noun.to_owned(),
    }
}

/// The text with a small first letter, when that is an ordinary word.
pub(crate) fn decapitalized(tokens: &[Token]) -> String {
    let mut tokens = tokens.to_vec();
    if let Some(first) = tokens.first_mut() {
        let common = grammar::is_determiner(&first.lower)
            || grammar::is_intro_word(&first.lower)
            || grammar::is_adjective(&first.lower)
            || verbs::known(&first.lower).is_some()
            || tokens::is_stop(&first.lower)
            || lexicon::is_common(&first.lower);
        let followed = tokens
            .get(1)
            .is_some_and(|next| next.is_capital() && next.space);
        // `Corrin's rolls`
        let is_owner = tokens.get(1).is_some_and(Token::is_genitive)
            && !grammar::is_plural(&tokens[0].lower)
            && !people::is_living(&tokens[..1]);
        let first = &mut tokens[0];
        let proper = is_owner
            || is_acronym(&first.text)
            || Gender::of_word(&first.lower).is_some()
            || first.is("i");
        let is_title = followed && people::is_job(&first.lower);
        if common && !is_title || (!proper && !followed && !is_proper(&first.lower)) {
            let lower = first.lower.clone();
            first.text = lower;
        }
    }
    join(&tokens)
}

pub(crate) fn is_acronym(text: &str) -> bool {
    text.chars().filter(|c| c.is_uppercase()).count() > 1
}

pub(crate) fn is_month(lower: &str) -> bool {
    matches!(
        lower,
        "january"
            | "february"
            | "march"
            | "april"
            | "may"
            | "june"
            | "july"
            | "august"
            | "september"
            | "october"
            | "november"
            | "december"
            | "jan"
            | "feb"
            | "mar"
            | "apr"
            | "jun"
            | "jul"
            | "aug"
            | "sep"
            | "sept"
            | "oct"
            | "nov"
            | "dec"
    )
}

fn is_proper(lower: &str) -> bool {
    lexicon::is_proper(lower)
        || ["ish", "ese", "ian", "land"]
            .iter()
            .any(|end| lower.len() > 5 && lower.ends_with(end))
            && !lexicon::is_common(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_follow_the_sound() {
        for (word, expected) in [
            ("engineer", "an"),
            ("unicorn", "a"),
            ("umbrella", "an"),
            ("hour", "an"),
            ("doctor", "a"),
            ("one-eyed cat", "a"),
        ] {
            assert_eq!(article(word), expected);
        }
    }
}
