//! Pages of a wiki: templates written out, fields of an infobox as lines, what the site adds taken out.

use super::html;
use crate::pattern::pattern;
use crate::tiny::english::words::lexicon::is_listed;

/// Templates within templates that are written out.
const MAX_DEPTH: usize = 8;

/// Stands for a template that is not known, so that its sentence is unread.
pub(crate) const UNKNOWN: char = '\u{fffc}';

// What Wikipedia writes around an article, as it is copied from a browser.
pattern!(
    BOILERPLATE,
    r"(?i)^(?:from wikipedia, the free encyclopedia|jump to (?:navigation|search|content).*|\(redirected from .*\)|retrieved from .*|\[?(?:edit|hide|show)\]?|contents(?: \[?hide\]?)?)$"
);

// `thumb|left|Alice in 1990`, `alice.jpg`
pattern!(
    PICTURE,
    r"(?i)^(?:(?:file|image):\S.*\.\w{3,4}.*|thumb\|.*|[\w ()-]+\.(?:jpe?g|png|gif|webp|svg)(?:\|.*)?)$"
);

/// Takes out pictures and the lines that the site adds to every article; they are unread.
pub(crate) fn without_boilerplate(page: &str, unread: &mut Vec<(String, &'static str)>) -> String {
    let kept = page.lines().filter(|line| {
        let is_boilerplate = BOILERPLATE.is_match(line.trim());
        let is_picture = PICTURE.is_match(line.trim());
        if is_boilerplate || is_picture {
            let reason = if is_picture {
                "is a picture"
            } else {
                "is added by the site"
            };
            unread.push((line.trim().to_string(), reason));
        }
        !is_boilerplate && !is_picture
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// Writes templates of a wiki out: the fields of an infobox as lines, a known template as what it shows.
///
/// A template that is not known leaves [`UNKNOWN`] in its sentence; one that has a line of its own is unread.
pub(crate) fn templates(page: &str, unread: &mut Vec<(String, &'static str)>) -> String {
    /// A page with more braces that are not closed has no templates.
    const MAX_UNCLOSED: usize = 50;
    let mut kept = String::with_capacity(page.len());
    let mut rest = page;
    let mut n_unclosed = 0;
    while n_unclosed < MAX_UNCLOSED && rest.contains("{{") {
        let Some((before, inside, after)) = next_template(rest) else {
            // The first two braces open nothing.
            let start = rest.find("{{").map_or(rest.len(), |start| start + 2);
            kept.push_str(&rest[..start]);
            rest = &rest[start..];
            n_unclosed += 1;
            continue;
        };
        kept.push_str(before);
        match written(inside, 0) {
            _ if is_box(inside) => kept.push_str(&fields_of_box(inside)),
            Some(text) => kept.push_str(&text),
            None if is_alone(&kept, after) => {
                let text = format!("{{{{{}}}}}", inside.replace('\n', " ").trim());
                unread.push((text, "is a template that is not known"));
            }
            None => kept.push(UNKNOWN),
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// The text before the first double braces, what stands in them, and the text behind; `None` if they are not closed.
fn next_template(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("{{")?;
    let end = start + balanced(&text[start..])?;
    Some((&text[..start], &text[start + 2..end - 2], &text[end..]))
}

/// Whether nothing else stands on the line between these texts.
fn is_alone(before: &str, after: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let tail = after.split('\n').next().unwrap_or_default();
    !line.chars().chain(tail.chars()).any(char::is_alphanumeric)
}

fn is_box(inside: &str) -> bool {
    let is_infobox = inside.trim_start().to_lowercase().starts_with("infobox");
    (is_infobox || inside.contains('\n'))
        && arguments(inside)
            .iter()
            .skip(1)
            .any(|part| part.contains('='))
}

/// The fields of an infobox, a line each.
fn fields_of_box(inside: &str) -> String {
    let mut lines = String::new();
    for argument in arguments(inside).iter().skip(1) {
        let Some((key, value)) = argument.split_once('=') else {
            continue;
        };
        let key = key.trim().replace('_', " ");
        let value = value_of(value, 0);
        let value = html::on_one_line(&value);
        let value = items_of(&value, &['\n', ',']);
        if !value.is_empty() && !is_layout(&key) {
            lines.push_str(&format!("\n{key}: {value}\n"));
        }
    }
    lines
}

/// The items that stand between these marks, with commas between them.
fn items_of(text: &str, marks: &[char]) -> String {
    let items = text
        .split(marks)
        .map(|item| item.trim().trim_start_matches('*').trim());
    let items: Vec<&str> = items.filter(|item| !item.is_empty()).collect();
    items.join(", ")
}

/// The length of the text in double braces with which this begins.
fn balanced(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    // An infobox has a few thousand characters; one that never ends is none.
    while at < text.len().min(20_000) {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"{{") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"}}") {
            (depth, at) = (depth.saturating_sub(1), at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

/// The parts of a template between `|`, but for those within links and templates.
fn arguments(inside: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '|' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts
}

/// Whether a part of a template is `name = value`, not text with a template or a tag that has a `=`.
fn is_named(part: &str) -> bool {
    part.split_once('=')
        .is_some_and(|(name, _)| !name.contains(['{', '[', '<']))
}

/// A value of an infobox with its templates written out.
fn value_of(value: &str, depth: usize) -> String {
    let mut text = String::new();
    let mut rest = value.trim();
    while let Some((before, inside, after)) = next_template(rest) {
        text.push_str(before);
        match written(inside, depth) {
            Some(shown) => text.push_str(&shown),
            None => text.push(UNKNOWN),
        }
        rest = after;
    }
    text.push_str(rest);
    text.trim().to_string()
}

/// What a template shows, where it is known; nothing for a mark of the editors.
fn written(inside: &str, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let parts = arguments(inside);
    let name = parts[0].trim().to_lowercase().replace('_', " ");
    if is_mark(&name) {
        return Some(String::new());
    }
    let (named, values): (Vec<&str>, Vec<&str>) =
        parts[1..].iter().partition(|part| is_named(part));
    let values: Vec<String> = values
        .iter()
        .map(|part| value_of(part, depth + 1))
        .collect();
    let named = |wanted: &str| {
        let pairs = named.iter().filter_map(|part| part.split_once('='));
        let mut pairs = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
        pairs.next().map(|(_, value)| value.trim().to_string())
    };
    if name.contains("date") {
        return date(&values);
    }
    match name.as_str() {
        "hlist" | "ubl" | "unbulleted list" | "flatlist" | "plainlist" => {
            Some(items_of(&values.join("\n"), &['\n']))
        }
        "marriage" => married(&values, named("end").or_else(|| named("reason"))),
        "height" => height(named),
        _ => words(&name, values),
    }
}

/// Whom an infobox names as married, since when, and how it ended.
fn married(values: &[String], how: Option<String>) -> Option<String> {
    const DEATH: &str = "d, d., died, death, his death, her death, w, wid";
    let spouse = values.first()?;
    let is_shown = |year: &&String| !year.is_empty();
    let since = values.get(1).filter(is_shown);
    let until = values.get(2).filter(is_shown);
    let died = how
        .as_ref()
        .is_some_and(|how| is_listed(DEATH, &how.to_lowercase()));
    let end = if died { "died" } else { "div." };
    Some(match (since, until, how) {
        (Some(since), Some(until), Some(_)) => format!("{spouse} (m. {since}; {end} {until})"),
        (Some(since), Some(until), None) => format!("{spouse} (m. {since}–{until})"),
        (Some(since), None, None) => format!("{spouse} (m. {since})"),
        (_, _, Some(_)) if died => format!("{spouse} (deceased)"),
        (_, _, Some(_)) => format!("{spouse} (divorced)"),
        _ => spouse.clone(),
    })
}

/// `{{height|ft=5|in=6}}`: 5 feet 6 inches.
fn height(named: impl Fn(&str) -> Option<String>) -> Option<String> {
    match (named("ft"), named("in"), named("m"), named("cm")) {
        (Some(feet), Some(inches), ..) => Some(format!("{feet} feet {inches} inches")),
        (Some(feet), ..) => Some(format!("{feet} feet")),
        (_, _, Some(metres), _) => Some(format!("{metres} m")),
        (.., Some(centimetres)) => Some(format!("{centimetres} cm")),
        _ => None,
    }
}

/// What a template shows that stands for a few words or a mark.
fn words(name: &str, values: Vec<String>) -> Option<String> {
    match name {
        "nowrap" | "small" | "nobold" | "big" | "abbr" | "tooltip" | "ill"
        | "interlanguage link" | "nihongo" | "sic" | "flag" | "flagu" | "flagcountry"
        | "center" | "em" | "strong" => values.into_iter().next(),
        "w" | "wp" | "wikipedia" | "lang" | "transl" | "transliteration" => {
            values.into_iter().last()
        }
        "color" | "colour" | "font color" => values.into_iter().last(),
        "circa" | "c." | "ca" | "c" => Some(format!("about {}", values.first()?)),
        "as of" => Some(format!("as of {}", values.first()?)),
        "--" | "–" | "—" | "dash" | "ndash" | "mdash" | "snd" | "snds" | "spaced ndash"
        | "spnd" | "em dash" | "en dash" => Some(" – ".to_string()),
        "nbsp" | "space" | "spaces" => Some(" ".to_string()),
        "'" => Some("'".to_string()),
        "\"" => Some(format!("\"{}\"", values.first()?)),
        "!" => Some("|".to_string()),
        "convert" | "cvt" => measure(&values),
        _ => None,
    }
}

/// Whether a template is no text of the page: a source, a note of the editors, a picture, a pronunciation.
fn is_mark(name: &str) -> bool {
    const NAMES: &str = "ref, note, sfn, anchor, citation needed, cn, fact, citation, efn, refn, r, rp, who, when, which, by whom, clarify, \
        dubious, better source needed, failed verification, page needed, reflist, notelist, short description, authority \
        control, defaultsort, flagicon, coord, clear, respell";
    const BEGINNINGS: [&str; 6] = ["cite ", "sfn", "harv", "ipa", "use ", "pp-"];
    is_listed(NAMES, name) || BEGINNINGS.iter().any(|start| name.starts_with(start))
}

/// `{{birth date|1891|3|4}}`: 4 March 1891.
fn date(values: &[String]) -> Option<String> {
    const MONTHS: &str =
        "January February March April May June July August September October November December";
    let number = |at: usize| values.get(at).and_then(|text| text.parse::<usize>().ok());
    let month = number(1).and_then(|month| MONTHS.split(' ').nth(month.wrapping_sub(1)));
    match (number(0), month, number(2)) {
        (Some(year), Some(month), Some(day)) => Some(format!("{day} {month} {year}")),
        (Some(year), Some(month), None) => Some(format!("{month} {year}")),
        (Some(year), ..) => Some(year.to_string()),
        // `{{birth date text|4 May 1990}}`
        _ => values.first().filter(|text| !text.is_empty()).cloned(),
    }
}

/// `{{convert|10|km|mi}}`: 10 km; `{{convert|5|ft|6|in}}`: 5 ft 6 in; `{{convert|3|to|5|km}}`: 3 to 5 km.
fn measure(values: &[String]) -> Option<String> {
    let is_number = |at: usize| {
        let text = values.get(at).map(|text| text.replace([',', '.'], ""));
        text.is_some_and(|text| text.parse::<i64>().is_ok())
    };
    let n_shown = match is_number(0) && values.len() > 1 {
        true if is_number(2) && values.len() > 3 => 4,
        true => 2,
        false => return None,
    };
    Some(values[..n_shown].join(" "))
}

/// Whether a field of an infobox is about how the box looks.
fn is_layout(key: &str) -> bool {
    const WORDS: [&str; 12] = [
        "image",
        "images",
        "imagesize",
        "caption",
        "alt",
        "width",
        "module",
        "signature",
        "website",
        "logo",
        "bgcolor",
        "bgcolour",
    ];
    let key = key.to_lowercase();
    let mut words = key.split(|c: char| !c.is_alphabetic());
    let of_box = [
        "color",
        "colour",
        "header color",
        "header colour",
        "text color",
        "text colour",
        "box width",
    ];
    of_box.contains(&key.as_str()) || words.any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page: &str, expected: &str, told: &[&str]) {
        let mut unread = Vec::new();
        assert_eq!(templates(page, &mut unread), expected);
        let texts: Vec<&str> = unread.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, told);
    }

    #[test]
    fn known_templates_are_written_out_and_unknown_ones_mark_their_sentence() {
        check(
            "Ann ran {{convert|10|km|mi}} a day.",
            "Ann ran 10 km a day.",
            &[],
        );
        check(
            "Ann is {{height|ft=5|in=6}}.",
            "Ann is 5 feet 6 inches.",
            &[],
        );
        check(
            "Born in {{start date|1990}}{{cite web|url=x}}.",
            "Born in 1990.",
            &[],
        );
        check(
            "She {{w|dislikes}} lies, {{circa|34}}.",
            "She dislikes lies, about 34.",
            &[],
        );
        check(
            "curious{{--}}and {{open {{nbsp}}x",
            "curious – and {{open  x",
            &[],
        );
        check("She is {{age|1990}} now.", "She is \u{fffc} now.", &[]);
        check(
            "{{Quote|I sing.}}\nAnn sings.",
            "\nAnn sings.",
            &["{{Quote|I sing.}}"],
        );
    }

    #[test]
    fn values_of_an_infobox_keep_what_their_templates_show() {
        let value = |value: &str| {
            fields_of_box(&format!("Infobox\n| x = {value}"))
                .trim()
                .to_string()
        };
        assert_eq!(value("{{convert|168|cm}}"), "x: 168 cm");
        assert_eq!(value("{{flag|Portugal}}"), "x: Portugal");
        assert_eq!(value("nurse<br />poet"), "x: nurse, poet");
        assert_eq!(value("{{plainlist|\n* nurse\n* poet\n}}"), "x: nurse, poet");
        assert_eq!(
            value("{{marriage|Tom Reed|2015|2019|end=div}}"),
            "x: Tom Reed (m. 2015; div. 2019)"
        );
        assert_eq!(value("{{marriage|Tom Reed|2015}}"), "x: Tom Reed (m. 2015)");
        assert_eq!(value("{{mystery|1}}"), "x: \u{fffc}");
    }

    #[test]
    fn only_the_look_of_a_box_is_left_out() {
        for key in ["image", "image size", "caption", "header color", "logo"] {
            assert!(is_layout(key), "{key}");
        }
        for key in ["health", "shoe size", "favourite colour", "eye color"] {
            assert!(!is_layout(key), "{key}");
        }
    }
}
