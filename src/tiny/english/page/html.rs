//! Blocks of HTML as lines.

use std::borrow::Cow;

use regex::Captures;

use super::tables::{self, Cell};
use crate::pattern::pattern;

pattern!(
    BLOCK,
    r"(?i)<(/?)(br|hr|p|li|ul|ol|dl|dt|dd|div|section|article|details|summary|blockquote|table|thead|tbody|tr|td|th|h[1-6])(?:\s[^<>\n]*)?/?>"
);

/// A line that ends a list, so that the items of the next are not taken for its.
pub(crate) const END_OF_LIST: &str = "\n\u{c}\n";

pattern!(BREAK, r"(?i)\s*<br\s*/?>\s*");

/// Writes commas for the ends of lines within a cell or a value.
pub(crate) fn on_one_line(text: &str) -> Cow<'_, str> {
    BREAK.replace_all(text, ", ")
}

pattern!(TABLE, r"(?is)<table(?:\s[^>]*)?>(.*?)</table>");
pattern!(ROW, r"(?i)<tr(?:\s[^>]*)?>");
pattern!(
    CELL,
    r"(?is)<(t[hd])(?:\s[^>]*)?>(.*?)(?:</t[hd]>|</tr>|<t[hd]|\z)"
);

/// Writes tables of HTML as tables of Markdown.
pub(crate) fn tables(page: &str) -> String {
    let page = TABLE.replace_all(page, |found: &Captures<'_>| {
        let row = |row: &str| -> Vec<Cell> {
            let cells = CELL.captures_iter(row);
            let cell = |cell: Captures<'_>| Cell {
                is_title: cell[1].eq_ignore_ascii_case("th"),
                text: on_one_line(&cell[2]).replace('\n', " "),
            };
            cells.map(cell).collect()
        };
        let rows: Vec<Vec<Cell>> = ROW.split(&found[1]).map(row).collect();
        tables::markdown(&rows)
    });
    page.into_owned()
}

/// Begins a line where a block of HTML begins or ends: an item of a list, a heading, a row whose cells are columns.
pub(crate) fn lines(page: &str) -> String {
    let mut depth = 0usize;
    let page = BLOCK.replace_all(page, |found: &Captures<'_>| {
        let (closes, name) = (!found[1].is_empty(), found[2].to_lowercase());
        match (name.as_str(), closes) {
            ("td" | "th", false) => "\t",
            ("td" | "th", true) => "",
            ("li", false) => return format!("\n{}- ", "  ".repeat(depth.saturating_sub(1).min(8))),
            ("ul" | "ol", false) => {
                depth += 1;
                "\n"
            }
            ("ul" | "ol", true) => {
                depth = depth.saturating_sub(1);
                match depth {
                    0 => return END_OF_LIST.to_string(),
                    _ => "\n",
                }
            }
            ("dt", false) => "\n\n",
            ("dt", true) => ":\n",
            ("dd", false) => "\n- ",
            ("dl", true) => return END_OF_LIST.to_string(),
            ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", false) => {
                let level = usize::from(name.as_bytes()[1] - b'0');
                return format!("\n{} ", "#".repeat(level));
            }
            _ => "\n",
        }
        .to_string()
    });
    page.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_html_stand_on_lines_of_their_own() {
        let page = "<ul class=\"x\"><li>Has a cat</li><LI>Has a dog</ul>Sings.<br/>Swims.<p>Runs.</p><h2>Life</h2>\
            <tr><td>Age</td><td>34</td></tr><b>Bold</b>";
        let text = lines(page);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let expected = [
            "- Has a cat",
            "- Has a dog",
            "Sings.",
            "Swims.",
            "Runs.",
            "## Life",
            "Age\t34",
            "<b>Bold</b>",
        ];
        assert_eq!(lines, expected);
    }
}
