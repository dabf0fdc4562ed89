//! Takes markup out of a line: links, notes, emphasis, what stands in parentheses.

use regex::Captures;
use std::borrow::Cow;

use crate::pattern::pattern;

pattern!(ENTITY, r"&(#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-z]{2,6});");
pattern!(HTML, r"</?[a-zA-Z][^<>\n]*>");
pattern!(
    IMAGE,
    r"!\[[^\]\n]*\]\([^)\n]*\)|\[\[(?:File|Image|Category):[^\]\n]*\]\]"
);
pattern!(WIKI_LINK, r"\[\[(?:[^|\[\]\n]*\|)?([^|\[\]\n]*)\]\]");
pattern!(LINK, r"\[([^\[\]\n]+)\]\([^)\n]*\)");
// `[https://example.org Official site]`
pattern!(SITE, r"\[https?://[^\s\]]+ ([^\]\n]+)\]");
pattern!(NOTE, r"\[[^\[\]\n]{0,60}\]");
pattern!(URL, r"(?:https?://|www\.)[^\s<>)]*[^\s<>).,;:]");
// Notes in brackets that editors write; others may be words of the page.
pattern!(
    EDITORIAL,
    r"(?i)needed|^(?:edit|update|sic|who|when|which|where|note|by whom|according to whom|dubious|original research|x)\b|\?$"
);
pattern!(EMPHASIS, r"\*+|`+|'{2,5}|\b_{1,2}\B|\B_{1,2}\b");
pattern!(SPACES, r"[ \t\u{a0}\u{2000}-\u{200a}\u{202f}\u{3000}]+");
pattern!(SPACE_BEFORE_MARK, r" +([,;:!?]|\.(?:\D|$))");
// `5'4"` and, where no quotation is open, `55"`: not the mark of a quotation.
pattern!(FEET, r#"\b(\d{1,2})' ?(\d{1,2}(?:\.\d+)?)(?:"|'')"#);
pattern!(INCHES, r#"\b(\d{1,3}(?:\.\d+)?)""#);
pattern!(MARK_RUN, r",(?: ?,)+|;(?: ?[,;])+");

/// What stands in parentheses or brackets, and the text before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    pub before: String,
    pub text: String,
}

/// Takes markup and notes out of a line.
pub(crate) fn clean(line: &str) -> String {
    let line = entities(line);
    let line = IMAGE.replace_all(&line, "");
    let line = WIKI_LINK.replace_all(&line, "$1");
    let line = LINK.replace_all(&line, "$1");
    let line = SITE.replace_all(&line, "$1");
    let line = NOTE.replace_all(&line, |found: &Captures<'_>| {
        let note = found[0].trim_matches(['[', ']']).trim();
        match note.contains(' ') && !EDITORIAL.is_match(note) {
            true => format!("({note})"),
            false => String::new(),
        }
    });
    let line = URL.replace_all(&line, "");
    let line = HTML.replace_all(&line, " ");
    let line = EMPHASIS.replace_all(&line, "");
    tidy(&line)
}

/// Writes marks in one way, without blanks that do not belong.
fn tidy(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '“' | '”' | '„' | '«' | '»' => text.push('"'),
            '’' | '‘' | 'ʼ' | '`' => text.push('\''),
            '—' | '―' => text.push_str(" – "),
            '…' => text.push_str("..."),
            '（' => text.push('('),
            '）' => text.push(')'),
            _ => text.push(c),
        }
    }
    let text = FEET.replace_all(&text, "$1 feet $2 inches");
    let text = match text.matches('"').count() % 2 {
        0 => text,
        _ => INCHES.replace(&text, "$1-inch").into_owned().into(),
    };
    let text = text.replace(" -- ", " – ").replace(" - ", " – ");
    let text = SPACES.replace_all(&text, " ");
    let text = SPACE_BEFORE_MARK.replace_all(&text, "$1");
    let text = MARK_RUN.replace_all(&text, ",");
    text.trim()
        .trim_start_matches([',', ';', '*', '#', '_'])
        .trim()
        .to_owned()
}

/// Writes the characters that HTML has names or numbers for.
fn entities(line: &str) -> Cow<'_, str> {
    if !line.contains('&') {
        return Cow::Borrowed(line);
    }
    ENTITY.replace_all(line, |found: &Captures<'_>| {
        let code = &found[1];
        let number =
            code.strip_prefix('#')
                .and_then(|digits| match digits.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16).ok(),
                    None => digits.parse().ok(),
                });
        let named = match code {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "nbsp" => Some(' '),
            "quot" | "ldquo" | "rdquo" => Some('"'),
            "apos" | "lsquo" | "rsquo" => Some('\''),
            "ndash" | "mdash" => Some('—'),
            "hellip" => Some('…'),
            _ => None,
        };
        let written = named.or_else(|| number.and_then(char::from_u32));
        written.map_or_else(|| found[0].to_string(), String::from)
    })
}

/// Takes out what stands in parentheses, and returns it; unmatched ones go too, and their words stay.
pub(crate) fn without_parentheses(line: &str) -> (String, Vec<Aside>) {
    if !line.contains(['(', ')']) {
        return (line.to_owned(), Vec::new());
    }
    let mut kept = String::with_capacity(line.len());
    let mut starts: Vec<usize> = Vec::new();
    let mut asides = Vec::new();
    for c in line.chars() {
        match c {
            '(' => {
                // A blank parts what parentheses within parentheses part.
                if !starts.is_empty() {
                    kept.push(' ');
                }
                starts.push(kept.len());
            }
            ')' => {
                if starts.len() == 1 {
                    asides.extend(aside(&kept[..starts[0]], &kept[starts[0]..]));
                    kept.truncate(starts[0]);
                }
                starts.pop();
            }
            _ => kept.push(c),
        }
    }
    (tidy(&kept), asides)
}

/// What stood in parentheses behind `before`, unless it is an ending as in `friend(s)` or tells how a name sounds.
fn aside(before: &str, text: &str) -> Option<Aside> {
    // A line of many parentheses is not gone through for each of them.
    const NEAR: usize = 400;
    let far = before.len().saturating_sub(NEAR);
    let near = (far..before.len()).find(|&at| before.is_char_boundary(at));
    let before = near.map_or("", |near| &before[near..]);
    let is_ending = before.ends_with(char::is_alphanumeric) && text.len() <= 3;
    let is_sound = text.starts_with(['/', '[']) || text.starts_with("pronounced");
    let text = tidy(text);
    let says = text.contains(char::is_alphanumeric) && !is_ending && !is_sound;
    says.then(|| Aside {
        before: tidy(before),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(line: &str) -> String {
        without_parentheses(&clean(line)).0
    }

    #[test]
    fn characters_of_html_are_written_out() {
        assert_eq!(
            cleaned("Sam&#39;s van &amp; Ann&rsquo;s &#x2019; A&B; x"),
            "Sam's van & Ann's ' A&B; x"
        );
    }

    #[test]
    fn marks_of_feet_and_inches_open_no_quotation() {
        for (line, expected) in [
            ("She's 5'4\" tall.", "She's 5 feet 4 inches tall."),
            (
                "Height: 6’1”; Hair: black",
                "Height: 6 feet 1 inches; Hair: black",
            ),
            ("Her TV is a 55\" model.", "Her TV is a 55-inch model."),
            (
                "He says \"born in 1960\" often.",
                "He says \"born in 1960\" often.",
            ),
        ] {
            assert_eq!(cleaned(line), expected);
        }
    }

    #[test]
    fn markup_notes_and_parentheses_are_dropped() {
        assert_eq!(
            cleaned(
                "Alice[1][a] (/ˈælɪs/ AL-iss) is a **painter** from [Bonn](https://bonn.de).[citation needed]"
            ),
            "Alice is a painter from Bonn."
        );
        assert_eq!(
            cleaned("Alice — a painter — lives here, see https://example.org/x."),
            "Alice – a painter – lives here, see."
        );
    }

    #[test]
    fn what_stands_in_parentheses_is_returned() {
        let asides = |line: &str| -> Vec<String> {
            let asides = without_parentheses(&clean(line)).1.into_iter();
            asides
                .map(|aside| format!("{}|{}", aside.before, aside.text))
                .collect()
        };
        assert_eq!(
            asides("**Ann** (born (in May) 1990) has friend(s)[1][citation needed] (a [[dog]])."),
            ["Ann|born in May 1990", "Ann has friends|a dog"]
                .map(|aside| aside.replace("friends", "friend"))
        );
        assert_eq!(
            asides("Ann sings [she was 34] (…)."),
            ["Ann sings|she was 34"]
        );
    }
}
