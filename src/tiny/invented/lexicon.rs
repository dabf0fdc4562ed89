//! Word lists and phrase patterns, and the drawing of values from them.
//!
//! A section of `text/*.txt` holds single words, phrases with `{section}` references, and weighted patterns.
//! Drawing from a section expands the references, so a few thousand words make millions of values.

use std::collections::HashMap;
use std::sync::LazyLock;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::words::{article, invented, pick, plural, with_articles};

const TEXTS: [&str; 4] = [
    include_str!("text/people.txt"),
    include_str!("text/things.txt"),
    include_str!("text/phrases.txt"),
    include_str!("text/chat.txt"),
];

const BUILTINS: [&str; 8] = [
    "word", "Word", "year", "number", "small", "hour", "agewords", "an",
];

const SMALL: [&str; 11] = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

/// One part of a phrase.
enum Piece {
    Text(&'static str),
    Section(usize),
    /// a value of the section in the plural
    Plural(usize),
    Builtin(usize),
}

#[derive(Default)]
struct Section {
    /// percent and phrase
    patterns: Vec<(u32, Vec<Piece>)>,
    entries: Vec<Vec<Piece>>,
    words: Vec<&'static str>,
    /// whether its words may replace each other inside a phrase
    swaps: bool,
}

struct Lexicon {
    ids: HashMap<&'static str, usize>,
    sections: Vec<Section>,
    /// section of a word that may be replaced inside a phrase
    home: HashMap<&'static str, usize>,
    opposites: HashMap<&'static str, &'static str>,
    synonyms: Vec<(&'static str, &'static str)>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(load);

fn load() -> Lexicon {
    let mut lexicon = Lexicon {
        ids: HashMap::new(),
        sections: Vec::new(),
        home: HashMap::new(),
        opposites: HashMap::new(),
        synonyms: Vec::new(),
    };
    let lines = || {
        TEXTS
            .iter()
            .flat_map(|text| text.lines())
            .filter(|line| !line.starts_with("# "))
    };
    for header in lines().filter(|line| line.starts_with(':')) {
        let swaps = header.starts_with(":+");
        lexicon.ids.insert(
            header.trim_start_matches([':', '+']).trim(),
            lexicon.sections.len(),
        );
        lexicon.sections.push(Section {
            swaps,
            ..Section::default()
        });
    }
    let mut current = "";
    for line in lines() {
        if line.starts_with(':') {
            current = line.trim_start_matches([':', '+']).trim();
        } else if current == "opposites" || current == "synonyms" {
            for pair in line.split(',').map(str::trim) {
                if let Some((left, right)) = pair.split_once('|') {
                    lexicon.opposites.insert(left, right);
                    lexicon.opposites.insert(right, left);
                } else if let Some(pair) = pair.split_once('=') {
                    lexicon.synonyms.push(pair);
                }
            }
        } else if let Some(&id) = lexicon.ids.get(current) {
            fill(&mut lexicon, id, line);
        }
    }
    lexicon
}

fn fill(lexicon: &mut Lexicon, id: usize, line: &'static str) {
    let pattern = line
        .split_once("% ")
        .and_then(|(percent, rest)| Some((percent.parse().ok()?, rest)));
    if let Some((percent, rest)) = pattern {
        let pieces = parse(&lexicon.ids, rest.trim());
        lexicon.sections[id].patterns.push((percent, pieces));
        return;
    }
    let separator = if line.contains('|') { '|' } else { ',' };
    for entry in line
        .split(separator)
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let pieces = parse(&lexicon.ids, entry);
        let section = &mut lexicon.sections[id];
        section.entries.push(pieces);
        section.words.push(entry);
        if section.swaps && !entry.contains([' ', '{']) {
            lexicon.home.entry(entry).or_insert(id);
        }
    }
}

/// Splits a phrase at its references; `{my}` and the like are left for the template.
fn parse(ids: &HashMap<&'static str, usize>, phrase: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = phrase;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else {
            break;
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        if let Some(builtin) = BUILTINS.iter().position(|builtin| *builtin == name) {
            pieces.push(Piece::Builtin(builtin));
        } else if let Some(&id) = ids.get(name) {
            let plural = tail
                .strip_prefix('s')
                .filter(|next| !next.starts_with(char::is_alphabetic));
            pieces.push(if plural.is_some() {
                Piece::Plural(id)
            } else {
                Piece::Section(id)
            });
            rest = plural.unwrap_or(tail);
            continue;
        } else {
            pieces.push(Piece::Text(
                &rest[before.len()..before.len() + name.len() + 2],
            ));
        }
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The number of a section or of a built-in kind of value, by name.
pub(super) fn section(name: &str) -> Option<usize> {
    let builtin = || {
        BUILTINS
            .iter()
            .position(|builtin| *builtin == name)
            .map(|idx| 10_000 + idx)
    };
    LEXICON.ids.get(name).copied().or_else(builtin)
}

/// A value from a section.
pub(super) fn draw(section: usize, rng: &mut ChaCha8Rng) -> String {
    let mut out = String::new();
    if section >= 10_000 {
        builtin(section - 10_000, rng, &mut out);
    } else {
        expand(section, rng, &mut out);
    }
    with_articles(&out)
}

/// A value from the section called `name`.
pub(super) fn draw_named(name: &str, rng: &mut ChaCha8Rng) -> String {
    match section(name) {
        Some(id) => draw(id, rng),
        None => invented(false, rng),
    }
}

fn expand(id: usize, rng: &mut ChaCha8Rng, out: &mut String) {
    let Some(section) = LEXICON.sections.get(id) else {
        return;
    };
    let mut dice = rng.random_range(0..100_u32);
    for (percent, pieces) in &section.patterns {
        if dice < *percent {
            return write(pieces, rng, out);
        }
        dice -= percent;
    }
    if !section.entries.is_empty() {
        let idx = rng.random_range(0..section.entries.len());
        write(&section.entries[idx], rng, out);
    } else if let Some((_, pieces)) = section.patterns.first() {
        write(pieces, rng, out);
    }
}

fn write(pieces: &[Piece], rng: &mut ChaCha8Rng, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Section(id) => expand(*id, rng, out),
            Piece::Plural(id) => {
                let mut word = String::new();
                expand(*id, rng, &mut word);
                out.push_str(&plural(&word));
            }
            Piece::Builtin(idx) => builtin(*idx, rng, out),
        }
    }
}

fn builtin(idx: usize, rng: &mut ChaCha8Rng, out: &mut String) {
    match BUILTINS[idx] {
        "word" => out.push_str(&invented(false, rng)),
        "Word" => out.push_str(&invented(true, rng)),
        "year" => {
            let from = if rng.random_ratio(1, 5) { 1100 } else { 1850 };
            out.push_str(&rng.random_range(from..2030).to_string());
        }
        "number" => out.push_str(&rng.random_range(2..32).to_string()),
        "small" | "hour" => out.push_str(pick(&SMALL, rng)),
        "agewords" => {
            if rng.random_bool(0.5) {
                out.push_str(pick(&SMALL, rng));
            } else {
                out.push_str(&rng.random_range(4..90).to_string());
            }
        }
        _ => out.push('\u{3}'),
    }
}

/// Another value than `truth` from the same section: a fresh one, or `truth` with one word or number changed.
pub(super) fn other(section: usize, truth: &str, rng: &mut ChaCha8Rng) -> String {
    if rng.random_bool(0.45)
        && let Some(near) = changed_word(truth, rng)
        && differs(&near, truth)
    {
        return near;
    }
    for _ in 0..12 {
        let fresh = draw(section, rng);
        if differs(&fresh, truth) {
            return fresh;
        }
    }
    invented(true, rng)
}

fn changed_word(truth: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let mut words: Vec<String> = truth.split(' ').map(str::to_owned).collect();
    let options: Vec<(usize, String)> = words
        .iter()
        .enumerate()
        .filter_map(|(idx, word)| Some((idx, replacement(word, rng)?)))
        .collect();
    if options.is_empty() {
        return None;
    }
    let (idx, new) = options[rng.random_range(0..options.len())].clone();
    if idx > 0 && (words[idx - 1] == "a" || words[idx - 1] == "an") {
        words[idx - 1] = article(&new).to_owned();
    }
    words[idx] = new;
    Some(words.join(" "))
}

/// A word of the same sort, the opposite, or a number close by.
fn replacement(word: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let (core, tail) = word.split_at(word.trim_end_matches([',', '.']).len());
    if let Ok(number) = core.parse::<i64>() {
        let far = if number > 1000 { 40 } else { 6 };
        let most = if rng.random_bool(0.5) { 3 } else { far };
        let step = rng.random_range(1..=most);
        let new = if rng.random_bool(0.5) && number - step > 1 {
            number - step
        } else {
            number + step
        };
        return Some(format!("{new}{tail}"));
    }
    if SMALL.contains(&core) {
        return Some(format!(
            "{}{tail}",
            SMALL
                .iter()
                .filter(|small| **small != core)
                .nth(rng.random_range(0..10))?
        ));
    }
    if rng.random_bool(0.4)
        && let Some(opposite) = LEXICON.opposites.get(core)
    {
        return Some(format!("{opposite}{tail}"));
    }
    let home = *LEXICON.home.get(core)?;
    let words = &LEXICON.sections[home].words;
    let new = words[rng.random_range(0..words.len())];
    (!new.contains(['{', ' ']) && differs(new, core)).then(|| format!("{new}{tail}"))
}

/// Whether two values are really different: neither equal, nor one inside the other, nor known near-synonyms.
fn differs(new: &str, truth: &str) -> bool {
    let (new, truth) = (new.to_lowercase(), truth.to_lowercase());
    let content = |text: &str| -> Vec<String> {
        text.split([' ', ','])
            .filter(|word| !matches!(*word, "" | "a" | "an" | "the" | "{my}"))
            .map(str::to_owned)
            .collect()
    };
    let (new_words, truth_words) = (content(&new), content(&truth));
    let covers = |one: &[String], other: &[String]| one.iter().all(|word| other.contains(word));
    if covers(&new_words, &truth_words) || covers(&truth_words, &new_words) {
        return false;
    }
    !new_words.iter().any(|one| {
        truth_words.iter().any(|two| {
            LEXICON
                .synonyms
                .iter()
                .any(|(left, right)| (left == one && right == two) || (left == two && right == one))
        })
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_reference_names_a_section() {
        for section in &LEXICON.sections {
            let phrases = section
                .patterns
                .iter()
                .map(|(_, pieces)| pieces)
                .chain(&section.entries);
            for text in phrases.flatten() {
                if let Piece::Text(text) = text {
                    assert!(
                        !text.contains('{') || matches!(*text, "{my}" | "{me}"),
                        "unknown reference {text}"
                    );
                }
            }
            assert!(
                section
                    .patterns
                    .iter()
                    .map(|(percent, _)| percent)
                    .sum::<u32>()
                    <= 100
            );
        }
    }

    #[test]
    fn another_value_is_never_the_same() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for id in 0..LEXICON.sections.len() {
            for _ in 0..20 {
                let truth = draw(id, &mut rng);
                assert_ne!(truth, other(id, &truth, &mut rng));
            }
        }
    }
}
