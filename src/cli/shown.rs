//! What people see: stderr, and text whose control characters are spelt out.
//!
//! Models, servers, files and names may hold escape sequences, which a terminal would obey. Whatever is printed for people
//! goes through [`visible`]; JSON has escapes of its own, and files keep what they are given.

use std::borrow::Cow;
use std::io::Write;

use crate::error::is_obeyed;

/// Spells out the control characters of a text, `\u{1b}`, but for line ends and tabs.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| is_obeyed(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// As [`visible`], in one line.
pub(super) fn in_one_line(text: &str) -> String {
    visible(text).replace('\n', " ")
}

/// Prints a line for people to stderr; a stderr that is closed or full is no reason to stop.
pub(super) fn tell(line: &str) {
    let line = visible(line).into_owned() + "\n";
    let _ = std::io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_a_terminal_but_line_ends_and_tabs() {
        for (text, shown) in [
            ("Mira\tsings.\n", "Mira\tsings.\n"),
            ("a\r\nb", "a\nb"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("50 %\r0 %", "50 %\\r0 %"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("日本 שלום 👩‍🚀", "日本 שלום 👩‍🚀"),
            ("txt.\u{202e}exe", "txt.\\u{202e}exe"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(in_one_line("a\nb\u{1b}c"), "a b\\u{1b}c");
    }
}
