//! Rewrites what lists facts in a notation of its own as `Field: text` lines: W++ and PLists of character cards, several fields in a
//! line, symbols, boxes, chat logs and signed quotations here; `wiki` templates, `tables` and columns, blocks of `html` elsewhere. What
//! is code or struck out is taken out first.

use regex::{Captures, Regex};

use super::blocks::has_finite_verb;
use super::relatives::{is_of_relative, of_relatives};
use super::templates::is_field_name;
use super::{html, tables, wiki, wiki_tables};
use crate::pattern::pattern;
use crate::tiny::english::clause::predicates::opens_with_verb;
use crate::tiny::english::words::lexicon::is_listed;
use crate::tiny::english::words::tokens::{capitalized, tokenize};

// `Mind("brave" + "kind")`, with straight or curved quotation marks.
pattern!(
    ATTRIBUTE,
    r#"([A-Za-z][A-Za-z '’_/-]{0,40}?)\s*\(\s*((?:["“][^"“”\n]*["”]\s*(?:[+,]\s*)*)+)\)"#
);
pattern!(QUOTED, r#"["“]([^"“”\n]*)["”]"#);
// A bracket over one or more lines, with `key: value;` in it.
pattern!(BRACKETED, r"(?m)^[ \t]*\[([^\[\]]{8,4000})\][ \t]*$");
pattern!(PAIR, r"^\s*([^:=;,\n]{1,48}?)\s*[:=]\s*(\S[^\n]*)$");
// `Job - Nurse`, a field whose name ends at a dash.
pattern!(
    DASHED,
    r"(?m)^([ \t]*(?:[-*•]\s+)?[A-Z][A-Za-z]{1,15}(?: [A-Za-z]{1,15})?)[ \t]+[-–—][ \t]+(\S)"
);
// `**Age** 52`
pattern!(
    BOLD,
    r"(?m)^([ \t]*(?:[-*•][ \t]+)?)(?:\*\*|__)([A-Z][A-Za-z ]{1,30})(?:\*\*|__)[ \t]+([^\s:–—-])"
);
// `Spouse(s): Ann`
pattern!(
    PLURAL,
    r"(?m)^([ \t*|!-]*[A-Z][A-Za-z ]{2,30})\((?:s|es|en|ren)\)"
);
// `❤️ tea`, `💔 rain`, `📍 Berlin`
pattern!(
    SYMBOL,
    r"(?m)^[ \t]*(?:[-*•]\s+)?(❤|♥|💖|💕|💗|😍|👍|💔|👎|😡|🤮|📍|🏠|🏡|🎂)\x{fe0f}?[ \t]+([^\n:.!?]+)$"
);
// `Likes: tea.` at the start of a line, and `. Dislikes: ` behind it, also in bold.
pattern!(
    FIELD_LINE,
    r"(?m)^([ \t]*(?:[-*•][ \t]+)?)(?:\*\*|__)?([A-Z][A-Za-z ]{1,30}?)(?:\*\*|__)?:(?:\*\*|__)?[ \t][^\n]*$"
);
pattern!(
    NEXT_FIELD,
    r"([.;])[ \t]+(?:\*\*|__)?(\p{L}[\p{L}\p{M} '’-]{1,30}?)(?:\*\*|__)?:(?:\*\*|__)?[ \t]"
);
// `"I never tell." / -- Mira, at the feast`, over two lines.
pattern!(
    SIGNED,
    r#"(?m)^([ \t>]*["“][^"“”\n]*["”])[ \t]*\n[ \t]*(?:>[ \t]*)?(?:--|–|—)[ \t]*(\p{Lu}[^\n]*[^-\n])$"#
);
pattern!(FENCE, r"(?ms)^[ \t]*```.*?(?:^[ \t]*```[ \t]*$|\z)");
// `key: value` lines and lists between two rules, not prose.
pattern!(
    FRONT_MATTER,
    r"\A\s*---[ \t]*\n(?:[A-Za-z_-]+:[^\n]*\n|[ \t]+[^\n]*\n|-[ \t][^\n]*\n|[ \t]*\n)*---[ \t]*\n"
);
pattern!(
    STRUCK,
    r"(?is)<s>.*?</s>|<del(?:\s[^>]*)?>.*?</del>|<strike>.*?</strike>|~~[^~\n]+~~|\{\{strike\|[^{}]*\}\}"
);
pattern!(SCRIPT, r"(?is)<script.*?</script>|<style.*?</style>");
// `<Rook> Hi.`, `[12:01] Lena: Hi.`, `Mira > Hi.`
pattern!(
    CHAT,
    r"(?m)^(?:<([A-Z][\w'-]{1,30})>[ \t]+|\[\d{1,2}:\d{2}[^\]\n]{0,12}\][ \t]*<?([A-Z][\w '-]{1,30}?)>?:[ \t]*|([A-Z][\w'-]{1,30})[ \t]>[ \t]+)"
);
// Several boxes on one line, of which some are ticked.
pattern!(
    BOXES,
    r"(?m)^.*\[ \][^\n]*\[[xX]\].*$|^.*\[[xX]\][^\n]*\[ \].*$"
);
// A box that is not ticked: what is to be done, or does not hold.
pattern!(
    UNTICKED,
    r"(?m)^[ \t]*(?:[-*+•][ \t]+)?(?:\[ \]|\( \)|[☐✗✘✖❌])\x{fe0f}?[ \t]+\S[^\n]*$"
);

/// A line that is no text about the character, with the reason.
pub(crate) type Unread = (String, &'static str);

/// Whether a field tells of the character, so that a field behind it in the same line does, too. `Mother: Ann. Age: 50.` does not.
fn is_own(name: &str) -> bool {
    /// Several relatives, and words that stand before a colon in prose as well.
    const NOT_OWN: &str = "parents, siblings, children, pets, home, goals, status";
    let name = name.to_lowercase();
    is_field_name(&name) && !is_of_relative(&name) && !is_listed(NOT_OWN, &name)
}

/// Rewrites the page, and returns what it takes out.
pub(crate) fn as_fields(page: &str) -> (String, Vec<Unread>) {
    let mut taken = Vec::new();
    let unread = &mut taken;
    let page = FRONT_MATTER.replace(page, |found: &Captures<'_>| {
        let lines = found[0].lines().filter(|line| line.trim() != "---");
        format!("{}\n\n", lines.collect::<Vec<_>>().join("\n"))
    });
    let page = without(&SCRIPT, "is code", &page, unread);
    let page = without(&FENCE, "is code", &page, unread);
    let page = without(&STRUCK, "is struck out", &page, unread);
    let page = SYMBOL.replace_all(&page, |found: &Captures<'_>| {
        let name = match &found[1] {
            "💔" | "👎" | "😡" | "🤮" => "Dislikes",
            "📍" | "🏠" | "🏡" => "Home",
            "🎂" => "Born",
            _ => "Likes",
        };
        format!("{name}: {}", &found[2])
    });
    let page = page.replace("Child(ren)", "Children");
    let page = PLURAL.replace_all(&page, "$1");
    let page = CHAT.replace_all(&page, |found: &Captures<'_>| {
        let name = [1, 2, 3].iter().find_map(|&group| found.get(group));
        format!("{}: ", name.map_or("", |name| name.as_str()))
    });
    let page = BOXES.replace_all(&page, |found: &Captures<'_>| {
        let ticked = found[0].replace("[x]", "☑").replace("[X]", "☑");
        ticked.replace("[ ]", "☐")
    });
    let page = BOLD.replace_all(&page, |found: &Captures<'_>| {
        match is_field_name(&found[2]) {
            true => format!("{}{}: {}", &found[1], &found[2], &found[3]),
            false => found[0].to_string(),
        }
    });
    let page = SIGNED.replace_all(&page, |found: &Captures<'_>| {
        match has_finite_verb(&found[2]) {
            true => found[0].to_string(),
            false => format!("{} – {}", &found[1], &found[2]),
        }
    });
    let page = FIELD_LINE.replace_all(&page, |line: &Captures<'_>| {
        // The fields behind one of somebody else, or of nobody knows whom, stay with it.
        let mut own = is_own(&line[2]);
        let next = |found: &Captures<'_>| {
            let is_split = own && !found[2].eq_ignore_ascii_case("name");
            own = is_split && is_own(&found[2]);
            match is_split && (own || found[2].starts_with(char::is_uppercase)) {
                true => format!("{}\n{}{}: ", &found[1], &line[1], capitalized(&found[2])),
                false => found[0].to_string(),
            }
        };
        NEXT_FIELD.replace_all(&line[0], next).into_owned()
    });
    let page = without(&UNTICKED, "is a box that is not ticked", &page, unread);
    let page = wiki::without_boilerplate(&page, unread);
    let page = wiki::templates(&page, unread);
    let page = html::tables(&wiki_tables::lists(&wiki_tables::tables(&page)));
    let page = attributes(&page);
    let page = BRACKETED.replace_all(&page, |found: &Captures<'_>| {
        let inside = found[1].trim();
        let is_prose = inside.ends_with(['.', '!']) && inside.contains(' ');
        pairs(inside).unwrap_or_else(|| match is_prose {
            true => inside.to_string(),
            false => found[0].to_string(),
        })
    });
    let page = tables::tables(&page);
    let page = html::lines(&page);
    let page = tables::columns(&page);
    (of_relatives(&dashes(&page)), taken)
}

/// Takes out what a pattern finds; its lines with words are unread.
fn without(pattern: &Regex, reason: &'static str, page: &str, unread: &mut Vec<Unread>) -> String {
    let removed = pattern.replace_all(page, |found: &Captures<'_>| {
        let lines = found[0].lines().map(str::trim);
        let lines =
            lines.filter(|line| !line.starts_with('`') && line.chars().any(char::is_alphanumeric));
        unread.extend(lines.map(|line| (line.to_string(), reason)));
        // What is struck out may stand within a line.
        match found[0].contains('\n') {
            true => "\n",
            false => "",
        }
    });
    removed.into_owned()
}

/// W++: each attribute on a line, without the brackets around them.
fn attributes(page: &str) -> String {
    if ATTRIBUTE.find_iter(page).count() < 2 {
        return page.to_string();
    }
    let page = ATTRIBUTE.replace_all(page, |found: &Captures<'_>| {
        let values: Vec<&str> = QUOTED
            .captures_iter(&found[2])
            .filter_map(|value| value.get(1))
            .map(|value| value.as_str().trim())
            .filter(|value| !value.is_empty())
            .collect();
        let key = found[1].trim().replace('_', " ");
        lines_of(name_of(&key), &values)
    });
    let bare = |line: &str| !line.chars().any(char::is_alphanumeric);
    let lines = page
        .lines()
        .filter(|line| line.trim().is_empty() || !bare(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes a colon for the dash of `Job - Nurse`, if the page has several such lines.
fn dashes(page: &str) -> String {
    const SEVERAL: usize = 3;
    match DASHED.find_iter(page).count() >= SEVERAL {
        true => DASHED.replace_all(page, "$1: $2").into_owned(),
        false => page.to_string(),
    }
}

/// The name of a field; cards call a character's name by what it is.
fn name_of(key: &str) -> &str {
    match key.eq_ignore_ascii_case("character") {
        true => "Name",
        false => key,
    }
}

/// A field on a line; values that are sentences have a line each.
fn lines_of(key: &str, values: &[&str]) -> String {
    let is_long =
        |value: &&str| value.split_whitespace().count() > 5 || opens_with_verb(&tokenize(value));
    let (long, short): (Vec<&str>, Vec<&str>) = values.iter().partition(|value| is_long(value));
    let short = (!short.is_empty()).then(|| format!("\n{key}: {}\n", short.join(", ")));
    let long = long.iter().map(|value| {
        let value = value.trim_end_matches('.');
        format!("\n{key}: {value}.\n")
    });
    short.into_iter().chain(long).collect()
}

/// A PList: `[Mira's body: tall, slim; likes: rain]` as a field a line, if it is one.
fn pairs(inside: &str) -> Option<String> {
    let parts: Vec<&str> = inside
        .split([';', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let found = parts.iter().filter(|part| PAIR.is_match(part)).count();
    if found == 0 || found * 2 < parts.len() {
        return None;
    }
    let line = |part: &&str| {
        let Some(pair) = PAIR.captures(part) else {
            return part.to_string();
        };
        let key = pair[1].trim();
        let key = key
            .rsplit_once("'s ")
            .or(key.rsplit_once("’s "))
            .map_or(key, |(_, key)| key);
        let key = name_of(key);
        let text = pair[2].trim_end_matches([',', '.']);
        let text = text.replace(['"', '“', '”'], "").replace(" + ", ", ");
        format!("{key}: {text}")
    };
    Some(parts.iter().map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(page: &str) -> Vec<String> {
        let lines = as_fields(page).0;
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_string).collect()
    }

    #[test]
    fn attributes_of_a_card_become_fields() {
        let page = "[Character(\"Kit\"){Age(\"24\")\nMind(“brave” + \"kind\")\nLikes(\"rain\" + \"Kit walks in it every single day\")}]";
        assert_eq!(
            lines(page),
            [
                "[",
                "Name: Kit",
                "{",
                "Age: 24",
                "Mind: brave, kind",
                "Likes: rain",
                "Likes: Kit walks in it every single day.",
            ]
            .iter()
            .filter(|line| line.len() > 1)
            .copied()
            .collect::<Vec<_>>()
        );
        assert_eq!(
            lines("Kit read (\"Ulysses\") once."),
            ["Kit read (\"Ulysses\") once."]
        );
    }

    #[test]
    fn dashes_of_a_list_of_fields_are_colons() {
        assert_eq!(
            lines("Age - 52\nJob – Pilot\n- Eye color - grey"),
            ["Age: 52", "Job: Pilot", "- Eye color: grey"]
        );
        assert_eq!(
            lines("Kit came - late.\nAge - 5"),
            ["Kit came - late.", "Age - 5"]
        );
    }

    #[test]
    fn bracketed_pairs_become_fields() {
        assert_eq!(
            lines("[Kit's body: tall, slim; likes= rain;\nKit: brave]\n[citation needed]"),
            [
                "body: tall, slim",
                "likes: rain",
                "Kit: brave",
                "[citation needed]"
            ]
        );
    }

    #[test]
    fn infoboxes_are_read_and_other_templates_are_not() {
        let page = "{{Infobox person\n| name = Kit\n| image = k.jpg\n| birth_date = {{birth date|1891|3|4}}\n\
            | occupation = {{hlist|Nurse|Poet}}\n| spouse = {{marriage|[[Ann]]|1919}}\n}}\nKit{{citation needed|date={{x}}}} sings. {{open";
        assert_eq!(
            lines(page),
            [
                "name: Kit",
                "birth date: 4 March 1891",
                "occupation: Nurse, Poet",
                "spouse: [[Ann]] (m. 1919)",
                "Kit sings. {{open",
            ]
        );
    }

    #[test]
    fn what_is_struck_out_is_told_and_not_read() {
        let page = "<del>Kit is a thief.</del> Kit sings.\n~~Kit is poor.~~ <S>Kit\nruns.</S>";
        let (text, taken) = as_fields(page);
        assert_eq!(text.trim(), "Kit sings.");
        let texts: Vec<&str> = taken.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "<del>Kit is a thief.</del>",
                "~~Kit is poor.~~",
                "<S>Kit",
                "runs.</S>"
            ]
        );
    }

    #[test]
    fn tables_of_two_columns_are_fields_and_the_rest_is_told() {
        let page = "| Trait | Value |\n|---|---|\n| Age | 29 |\n\nA | B | C\n--- | --- | ---\n1 | x | 2\n\n```\nlet a;\n```\nKit | sings.";
        let (text, unread) = as_fields(page);
        assert!(
            text.contains("Age: 29") && text.contains("Kit | sings."),
            "{text}"
        );
        assert!(!text.contains("Trait") && !text.contains("let"), "{text}");
        assert_eq!(unread, [("let a;".to_string(), "is code")]);
        assert!(text.contains("A: 1; B: x; C: 2"), "{text}");
        let (text, unread) = as_fields("- [ ] Has a passport\n- [x] Has a cat\n");
        assert!(
            text.contains("[x] Has a cat") && !text.contains("passport"),
            "{text}"
        );
        let reason = "is a box that is not ticked";
        assert_eq!(unread, [("- [ ] Has a passport".to_string(), reason)]);
    }
}
