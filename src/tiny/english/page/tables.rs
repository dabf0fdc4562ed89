//! Facts in columns: tables of Markdown, columns of tabs or blanks, lines of CSV.

use super::blocks::{KEPT, bullet, ends_sentence, field};
use super::html;
use super::markup::clean;
use super::templates::is_field_name;
use crate::pattern::pattern;
use crate::tiny::english::words::lexicon::is_listed;

pattern!(RULE, r"^\|?[\s:|-]*-{2,}[\s:|-]*$");
// `Age    34`, `Age;34`, `Age,34`, `Age (34)`.
pattern!(
    COLUMNS,
    r#"^"?([A-Za-z][A-Za-z ]{1,29}?)"?(?:\s{2,}|\s*;\s*|,)("[^"]*"|[^\s;,"][^;]*)$"#
);
pattern!(
    IN_PARENTHESES,
    r"^([A-Za-z][A-Za-z ]{1,29}?)\s*\(([^()]+)\)$"
);

/// Rewrites tables of Markdown: two columns are fields, columns under names of fields are theirs, what is wider is kept row by row.
pub(crate) fn tables(page: &str) -> String {
    if !page.contains('|') {
        return page.to_string();
    }
    let lines: Vec<&str> = page.lines().collect();
    let is_rule = |at: usize| {
        lines
            .get(at)
            .is_some_and(|line| line.contains('|') && RULE.is_match(line.trim()))
    };
    let mut kept: Vec<String> = Vec::new();
    let (mut in_table, mut header, mut titles) = (false, Vec::new(), Vec::new());
    let mut heading = "";
    for (at, line) in lines.iter().enumerate() {
        let row = line.trim();
        if let Some(text) = row.strip_prefix('#') {
            heading = text.trim_matches(['#', ' ']);
        }
        let begins = is_rule(at + 1);
        in_table = row.contains('|') && (in_table || begins || is_rule(at));
        if !in_table {
            kept.push(line.to_string());
            continue;
        }
        let cells = cells(row);
        match &cells[..] {
            _ if is_rule(at) => kept.push(String::new()),
            _ if begins => {
                let names = cells.iter().filter(|cell| is_field_name(cell)).count();
                let is_header = names == cells.len() && !cells.iter().any(|cell| is_name(cell));
                // `| Name | Alice |` is a fact, if `| Age | 34 |` stands below it.
                let below = lines.get(at + 2).map(|row| self::cells(row.trim()));
                let is_fact = below.is_some_and(|below| is_field_name(&below[0]));
                kept.push(match &cells[..] {
                    [key, text]
                        if names == 1 && is_fact && is_field_name(key) && !is_title(text) =>
                    {
                        format!("{key}: {text}")
                    }
                    _ => String::new(),
                });
                header = if is_header { cells.clone() } else { Vec::new() };
                titles = cells;
            }
            _ if !header.is_empty() && header.len() == cells.len() => {
                let filled = header
                    .iter()
                    .zip(&cells)
                    .filter(|(_, cell)| !cell.is_empty());
                kept.extend(filled.map(|(name, cell)| format!("{name}: {cell}")));
            }
            // What is so and what is not: each cell says something of its own.
            _ if are_opposites(&titles) => {
                let cells = titles
                    .iter()
                    .zip(&cells)
                    .filter(|(_, cell)| !cell.is_empty());
                kept.extend(cells.map(|(title, cell)| {
                    match heading.is_empty() || !is_answer(title) {
                        true => format!("{KEPT}{title}: {cell}"),
                        false => format!("{KEPT}{heading}, {}: {cell}", title.to_lowercase()),
                    }
                }))
            }
            [key, text] if is_field_name(&clean(key)) || !has_titles(&titles) => {
                let key = clean(key);
                let pair = format!("{key}: {text}");
                kept.push(match field(&pair) {
                    // `Likes?` and `stout`
                    _ if is_field_name(key.trim_end_matches('?')) && key.ends_with('?') => {
                        format!("{}: {text}", key.trim_end_matches('?'))
                    }
                    // `Smokes?` and `Yes, a pipe`
                    _ if key.ends_with('?') => format!("{KEPT}{key} {text}"),
                    Some(_) => pair,
                    None => format!("{KEPT}{pair}"),
                })
            }
            _ => kept.push(format!("{KEPT}{}", row_of(&titles, &cells))),
        }
    }
    kept.join("\n")
}

/// Whether the columns of a table hold what is so and what is not: `Yes` and `No`, `Likes` and `Doesn't like`.
fn are_opposites(titles: &[String]) -> bool {
    const SO: &str = "yes, likes, loves, enjoys, good, pros, can, does, always, strengths";
    const NOT_SO: &str = "no, dislikes, hates, bad, cons, never, not, cannot, weaknesses, avoids";
    let is_not =
        |title: &str| is_listed(NOT_SO, title) || title.contains("n't") || title.contains(" not ");
    match titles {
        [first, second] => {
            let (first, second) = (
                first.to_lowercase(),
                second.to_lowercase().replace('’', "'"),
            );
            is_listed(SO, &first) && is_not(&second)
        }
        _ => false,
    }
}

fn is_answer(title: &str) -> bool {
    matches!(title.to_lowercase().as_str(), "yes" | "no")
}

/// Whether the columns of a table are called something that says what they hold: `Person` and `Relation`, but not `Trait` and `Value`.
fn has_titles(titles: &[String]) -> bool {
    match titles {
        [_, text] => !text.is_empty() && text.len() > 2 && !is_title(text) && !is_field_name(text),
        _ => false,
    }
}

/// A row in words, each cell with its title: `Name: Bob; Age: 34`.
fn row_of(titles: &[String], cells: &[String]) -> String {
    let cell = |(at, cell): (usize, &String)| match titles.get(at).filter(|title| !title.is_empty())
    {
        Some(title) => format!("{title}: {cell}"),
        None => cell.clone(),
    };
    let filled = cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| !cell.is_empty());
    filled.map(cell).collect::<Vec<_>>().join("; ")
}

/// A cell of a table in HTML or in a wiki's notation.
pub(crate) struct Cell {
    /// Whether it names what its row or column holds.
    pub is_title: bool,
    pub text: String,
}

/// A table of Markdown with these rows; a row of titles alone heads it.
pub(crate) fn markdown(rows: &[Vec<Cell>]) -> String {
    let is_header = |row: &Vec<Cell>| row.len() > 1 && row.iter().all(|cell| cell.is_title);
    let mut lines = String::from("\n\n");
    for (at, row) in rows.iter().filter(|row| !row.is_empty()).enumerate() {
        if at == 0 && !is_header(row) {
            lines.push_str("| | |\n|--|--|\n");
        }
        let cells = row.iter().map(|cell| cell.text.trim().replace('|', "\\|"));
        lines.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        if at == 0 && is_header(row) {
            lines.push_str("|--|--|\n");
        }
    }
    lines.push('\n');
    lines
}

/// The cells of a row, each on one line; `\\|` is text, and becomes `/`.
fn cells(row: &str) -> Vec<String> {
    let row = html::on_one_line(row).replace("\\|", "/");
    let inside = row.strip_prefix('|').unwrap_or(&row);
    let inside = inside.strip_suffix('|').unwrap_or(inside);
    inside
        .split('|')
        .map(|cell| cell.trim().to_string())
        .collect()
}

fn is_name(cell: &str) -> bool {
    matches!(cell.to_lowercase().as_str(), "name" | "full name")
}

/// Whether a column's header says only that values stand below it.
fn is_title(cell: &str) -> bool {
    matches!(
        cell.to_lowercase().as_str(),
        "value"
            | "values"
            | "description"
            | "detail"
            | "details"
            | "info"
            | "information"
            | "notes"
            | "answer"
            | "text"
            | "data"
    )
}

/// Rewrites lines that hold a field's name and its text in two columns; what is wider is kept row by row.
pub(crate) fn columns(page: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    for line in page.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let bullet = bullet(line.trim_start()).unwrap_or(0);
        let start = indent.len() + bullet;
        let (front, text) = (&line[..start], line[start..].trim());
        if is_header(text) {
            continue;
        }
        if text.starts_with(KEPT) {
            kept.push(line.to_string());
        } else if let Some(pairs) = pairs(text) {
            kept.extend(pairs.iter().map(|pair| format!("{front}{pair}")));
        } else if let Some((name, text)) = two_columns(text) {
            kept.push(format!("{front}{name}: {text}"));
        } else if let Some(row) = wide_row(text) {
            kept.push(format!("{KEPT}{row}"));
        } else {
            kept.push(line.to_string());
        }
    }
    kept.join("\n")
}

/// `Field,Value`: a row that names what stands below it.
fn is_header(row: &str) -> bool {
    let row = row.to_lowercase();
    let cells: Vec<&str> = row.split(['\t', ',', ';']).map(str::trim).collect();
    matches!(&cells[..], ["field" | "trait" | "attribute" | "key" | "property" | "item", title] if is_title(title))
}

/// `Age: 34 | Job: nurse`, `Height: 6 feet; Hair: black`: the fields of a line.
fn pairs(text: &str) -> Option<Vec<&str>> {
    ['|', ';'].iter().find_map(|&mark| {
        let pairs: Vec<&str> = text
            .split(mark)
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .collect();
        let are_fields = pairs.iter().all(|pair| {
            pair.contains(": ") && field(pair).is_some_and(|(_, text)| !text.is_empty())
        });
        (pairs.len() > 1 && are_fields).then_some(pairs)
    })
}

/// The name of a field and its text, where a tab, blanks, a mark or parentheses part them.
fn two_columns(text: &str) -> Option<(String, String)> {
    if let Some((name, rest)) = text.split_once('\t') {
        let is_pair = !rest.trim().contains('\t');
        let pair = field(&format!("{}: {}", name.trim(), rest.trim()));
        return pair.filter(|(_, text)| is_pair && !is_title(text) && !text.is_empty());
    }
    let found = COLUMNS
        .captures(text)
        .or_else(|| IN_PARENTHESES.captures(text))?;
    let (name, text) = (found[1].trim(), found[2].trim_matches('"').trim());
    // `Home, sweet home.` is no row.
    let is_row = is_field_name(name) && !text.is_empty() && !ends_sentence(text);
    is_row.then(|| (name.to_string(), text.to_string()))
}

/// The cells of a row of three or more columns.
fn wide_row(text: &str) -> Option<String> {
    let cells: Vec<&str> = text
        .split('\t')
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    (cells.len() > 2 && !ends_sentence(text)).then(|| cells.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rewrite: fn(&str) -> String, page: &str, expected: &[&str], rows: &[&str]) {
        let text = rewrite(page);
        let lines = text.lines().filter(|line| !line.is_empty());
        let (kept, lines): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with(KEPT));
        let kept: Vec<&str> = kept
            .iter()
            .map(|row| row.trim_start_matches(KEPT))
            .collect();
        assert_eq!((lines, kept), (expected.to_vec(), rows.to_vec()));
    }

    #[test]
    fn columns_under_names_of_fields_are_read_under_their_header() {
        let page = "| Likes | Dislikes |\n|---|---|\n| tea<br>ferns | coffee |\n| | rain |";
        check(
            tables,
            page,
            &["Likes: tea, ferns", "Dislikes: coffee", "Dislikes: rain"],
            &[],
        );
        let page = "| Age | Job | Eyes |\n|---|---|---|\n| 34 | nurse | green |";
        check(tables, page, &["Age: 34", "Job: nurse", "Eyes: green"], &[]);
        check(
            tables,
            "| Name | Ann |\n|---|---|\n| Age | 34 |",
            &["Name: Ann", "Age: 34"],
            &[],
        );
        let page = "| Name | Age |\n|---|---|\n| Bob | 34 |";
        check(tables, page, &["Bob: 34"], &[]);
    }

    #[test]
    fn two_columns_are_fields_and_wider_rows_are_told() {
        check(
            columns,
            "Age\t34\n- Eye color\tgreen\nAge    34\nAge;34\nAge,34\nLikes,\"tea, cats\"\nAge (34)\nField\tValue\nBob\t3\tnurse\n\
             Age: 34 | Job: nurse\nHome, sweet home.\nAnn is\ta nurse.",
            &[
                "Age: 34",
                "- Eye color: green",
                "Age: 34",
                "Age: 34",
                "Age: 34",
                "Likes: tea, cats",
                "Age: 34",
                "Age: 34",
                "Job: nurse",
                "Home, sweet home.",
                "Ann is\ta nurse.",
            ],
            &["Bob; 3; nurse"],
        );
    }
}
