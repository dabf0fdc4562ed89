//! Text of others without what a terminal would obey.

use crate::error::is_obeyed;
use crate::pattern::pattern;

/// Returns a text without escape sequences and control characters, except line breaks and tabs; marks that turn the
/// direction of what is shown go too.
pub(super) fn plain(text: &str) -> String {
    pattern!(
        /// Titles and links up to their end, colours and movements of the cursor, and single commands.
        SEQUENCE,
        r"(?s)(?:\x1b\]|\x{9d}).*?(?:\x07|\x1b\\|\x{9c})|(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]"
    );
    let obeyed = |c: char| is_obeyed(c) && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return text.to_string();
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    SEQUENCE.replace_all(&text, "").replace(obeyed, "")
}

/// Returns what a server said as the part of a sentence: on one line, of at most `chars` characters.
pub(super) fn quoted(text: &str, chars: usize) -> String {
    let begin: String = text.chars().take(8 * chars).collect();
    let line = plain(&begin);
    // Backticks are for settings of this program.
    let line = line.replace('`', "'");
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars {
        return line;
    }
    line.chars().take(chars).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (text, left) in [
            ("red \x1b[31mapple\x1b[0m", "red apple"),
            ("\x1b]0;title\x07name", "name"),
            ("\x1b]8;;http://x\x1b\\link", "link"),
            ("a\u{9b}2Jb", "ab"),
            ("lone \x1b", "lone "),
            ("bell\x07 null\0 delete\x7f", "bell null delete"),
            ("over\u{202e}turned", "overturned"),
            ("line\r\nline\tend", "line\nline\tend"),
            ("小雨 ①", "小雨 ①"),
        ] {
            assert_eq!(plain(text), left);
        }
    }

    #[test]
    fn a_quote_is_one_short_line() {
        assert_eq!(quoted("two\nlines  here", 100), "two lines here");
        assert_eq!(quoted(&"x".repeat(1_000_000), 5), "xxxxx…");
    }
}
