//! What cards and chat front ends write in place of names: `{{char}}`, `<USER>` and others.

use regex::Captures;

use crate::pattern::pattern;

pattern!(BRACES, r"\{\{([^{}]*)\}\}");
pattern!(MARKS, r"(?i)<(bot|char|user|start)>");
// The name of a speaker or the beginning of a sentence, where the user's name stands.
pattern!(USER, r"(?m)(^\W*|[.!?]\s+)?\u{E000}(:)?");

/// Stands for the user until the sentence is known.
const USER_MARK: &str = "\u{E000}";

/// Writes `character` for `{{char}}`, `<BOT>` and `<CHAR>`, and "the user" for `{{user}}` and `<USER>`; chooses the first of
/// `{{random:…}}` and `{{pick:…}}`, and takes comments and `<START>` out.
///
/// Other text in double braces stays as it is, for a page may have templates of a wiki; with `all` it goes.
pub(super) fn resolve(text: &str, character: &str, all: bool) -> String {
    let text = marked(text, character, all);
    let text = USER.replace_all(&text, |found: &Captures<'_>| {
        let before = found.get(1).map(|before| before.as_str());
        match (before, found.get(2)) {
            (Some(before), Some(_)) => format!("{before}User:"),
            (None, Some(_)) => "the user:".to_string(),
            (Some(before), None) => format!("{before}The user"),
            (None, None) => "the user".to_string(),
        }
    });
    text.into_owned()
}

/// The same for a text that the user reads: `{{user}}` stays, as their name is not known yet.
pub(super) fn resolve_for_user(text: &str, character: &str) -> String {
    marked(text, character, true).replace(USER_MARK, "{{user}}")
}

/// The same with a mark where the user's name stands.
fn marked(text: &str, character: &str, all: bool) -> String {
    let mut text = text.replace(USER_MARK, "");
    // Macros stand within others: `{{random:{{user}},nobody}}`.
    for _ in 0..4 {
        let resolved = BRACES.replace_all(&text, |found: &Captures<'_>| {
            value(&found[1], character).unwrap_or_else(|| match all {
                true => String::new(),
                false => found[0].to_string(),
            })
        });
        if resolved == text {
            break;
        }
        text = resolved.into_owned();
    }
    let text = MARKS.replace_all(&text, |found: &Captures<'_>| {
        match found[1].to_lowercase().as_str() {
            "user" => USER_MARK,
            "start" => "\n",
            _ => character,
        }
        .to_string()
    });
    text.into_owned()
}

/// The value of a macro, if it is one.
fn value(inside: &str, character: &str) -> Option<String> {
    let inside = inside.trim();
    let name_end = inside.find(':').unwrap_or(inside.len());
    let (name, rest) = (
        &inside[..name_end],
        inside[name_end..].trim_start_matches(':'),
    );
    let value = match name.trim().to_lowercase().as_str() {
        "char" | "bot" => character.to_string(),
        "user" => USER_MARK.to_string(),
        "random" | "pick" if name_end < inside.len() => first_of(rest),
        "reverse" => rest.trim().chars().rev().collect(),
        "roll" => "1".to_string(),
        "newline" => "\n".to_string(),
        "comment" | "hidden_key" | "noop" | "trim" | "original" => String::new(),
        name if name.starts_with("//") => String::new(),
        _ => return None,
    };
    Some(value)
}

/// The first of choices that stand between `::` or commas; `\,` is a comma within one.
fn first_of(choices: &str) -> String {
    let first = match choices.split_once("::") {
        Some((first, _)) => first.to_string(),
        None => {
            let choices = choices.replace("\\,", "\u{0}");
            let first = choices.split(',').next().unwrap_or_default();
            first.replace('\u{0}', ",")
        }
    };
    first.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_macros_stood() {
        for (text, wanted) in [
            (
                "{{char}} loves tea. {{Char}}'s brother bakes; <bot> and <CHAR> do not.",
                "Mira loves tea. Mira's brother bakes; Mira and Mira do not.",
            ),
            (
                "{{user}} is her oldest friend. She trusts {{user}}. <USER>'s dog barks.",
                "The user is her oldest friend. She trusts the user. The user's dog barks.",
            ),
            (
                "<START>\n{{user}}: Who are you?\n{{char}}: Mira.",
                "\n\nUser: Who are you?\nMira: Mira.",
            ),
            (
                "She speaks {{random: three, four}} {{pick::old::new}} languages{{// a spy}}{{comment: x}}.",
                "She speaks three old languages.",
            ),
            ("{{random:{{user}},nobody}} knows.", "The user knows."),
            ("{{reverse:ariM}} rolls {{roll:d6}}.", "Mira rolls 1."),
        ] {
            assert_eq!(resolve(text, "Mira", false), wanted, "{text}");
        }
    }

    #[test]
    fn templates_of_a_wiki_stay_in_a_page_and_go_from_a_card() {
        let text = "Mira{{citation needed}} {{getvar::x}}sings.";
        assert_eq!(resolve(text, "Mira", false), text);
        assert_eq!(resolve(text, "Mira", true), "Mira sings.");
    }
}
