//! Tables and lists of definitions in a wiki's notation.

use regex::Captures;

use super::tables::{self, Cell};
use crate::pattern::pattern;

pattern!(TABLE, r"(?ms)^[ \t]*\{\|.*?^[ \t]*\|\}");
// `style="width: 3em" | text`
pattern!(STYLE, r#"^(?:\s*[a-z]+\s*=\s*"[^"]*")+\s*\|"#);
// `; Likes` and `: tea`.
pattern!(
    TERM,
    r"(?m)^;[ \t]*([^:\n]{1,48}?)[ \t]*(?::[ \t]*([^\n]+))?$"
);
pattern!(DEFINITION, r"(?m)^:+[ \t]*");

/// Writes tables of a wiki as tables of Markdown.
pub(crate) fn tables(page: &str) -> String {
    let page = TABLE.replace_all(page, |found: &Captures<'_>| {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for line in found[0].lines().skip(1).map(str::trim) {
            if line.starts_with("|-") || rows.is_empty() {
                rows.push(Vec::new());
            }
            let Some(row) = rows.last_mut() else { continue };
            let is_title = line.starts_with('!');
            match line.strip_prefix(['|', '!']) {
                Some(text) if text.starts_with(['-', '+', '}']) => {}
                Some(text) => {
                    let cells = text.split("||").flat_map(|cell| cell.split("!!"));
                    row.extend(cells.map(|cell| Cell {
                        is_title,
                        text: STYLE.replace(cell, "").into_owned(),
                    }));
                }
                // A cell goes on.
                None => {
                    if let Some(cell) = row.last_mut() {
                        cell.text.push(' ');
                        cell.text.push_str(line);
                    }
                }
            }
        }
        tables::markdown(&rows)
    });
    page.into_owned()
}

/// Writes `; Likes` and `: tea` below it as a heading and an item, if the page has such lists.
pub(crate) fn lists(page: &str) -> String {
    if !TERM.is_match(page) {
        return page.to_string();
    }
    let page = TERM.replace_all(page, |found: &Captures<'_>| match found.get(2) {
        Some(text) => format!("{}: {}", &found[1], text.as_str()),
        None => format!("{}:", &found[1]),
    });
    DEFINITION.replace_all(&page, "- ").into_owned()
}
