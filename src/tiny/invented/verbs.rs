//! English verbs in all their forms, from `text/verbs.txt`.

use std::sync::LazyLock;

use super::lexicon;

/// A verb, maybe with a particle: "give away".
#[derive(Debug, Clone)]
pub(super) struct Verb {
    pub(super) base: String,
    pub(super) third: String,
    pub(super) past: String,
    pub(super) participle: String,
    pub(super) gerund: String,
}

/// Verbs that take the same sort of object.
#[derive(Debug)]
pub(super) struct VerbClass {
    /// section of the object, or of the place for verbs without one
    pub(super) object: usize,
    pub(super) asks: &'static str,
    pub(super) verbs: Vec<Verb>,
}

/// Every class of verbs.
pub(super) static CLASSES: LazyLock<Vec<VerbClass>> = LazyLock::new(|| {
    let mut classes: Vec<VerbClass> = Vec::new();
    for line in include_str!("text/verbs.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let mut words = line.split(' ');
        if words.next() == Some(":") {
            let object = words.nth(1).and_then(lexicon::section).unwrap_or_default();
            classes.push(VerbClass {
                object,
                asks: words.next().unwrap_or("What"),
                verbs: Vec::new(),
            });
        } else if let Some(class) = classes.last_mut() {
            class.verbs.extend(
                line.split(',')
                    .map(str::trim)
                    .filter(|entry| !entry.is_empty())
                    .map(conjugated),
            );
        }
    }
    classes
});

fn conjugated(entry: &str) -> Verb {
    let doubles = entry.ends_with('+');
    let mut forms = entry.trim_end_matches('+').split('/');
    let base = forms.next().unwrap_or_default().to_owned();
    let past = forms
        .next()
        .map_or_else(|| on_first_word(&base, regular_past), str::to_owned);
    let participle = forms.next().map_or_else(|| past.clone(), str::to_owned);
    let gerund = on_first_word(&base, |word| gerund(word, doubles));
    Verb {
        third: on_first_word(&base, third),
        past,
        participle,
        gerund,
        base,
    }
}

fn on_first_word(base: &str, change: impl Fn(&str) -> String) -> String {
    base.split_once(' ').map_or_else(
        || change(base),
        |(verb, rest)| format!("{} {rest}", change(verb)),
    )
}

/// The stem of a word in consonant + y, which becomes -i.
fn y_stem(word: &str) -> Option<&str> {
    word.strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']))
}

fn third(word: &str) -> String {
    if word == "have" {
        return "has".to_owned();
    }
    if let Some(stem) = y_stem(word) {
        return format!("{stem}ies");
    }
    let hisses = ["s", "sh", "ch", "x", "z"]
        .iter()
        .any(|end| word.ends_with(end));
    format!(
        "{word}{}",
        if hisses || word.ends_with('o') {
            "es"
        } else {
            "s"
        }
    )
}

fn regular_past(word: &str) -> String {
    match (y_stem(word), word.ends_with('e')) {
        (Some(stem), _) => format!("{stem}ied"),
        (None, true) => format!("{word}d"),
        (None, false) => format!("{word}ed"),
    }
}

fn gerund(word: &str, doubles: bool) -> String {
    if let Some(stem) = word.strip_suffix("ie") {
        return format!("{stem}ying");
    }
    let stem = word
        .strip_suffix('e')
        .filter(|stem| !stem.ends_with(['e', 'o', 'y']))
        .unwrap_or(word);
    let last = stem
        .chars()
        .last()
        .filter(|_| doubles)
        .map_or_else(String::new, String::from);
    format!("{stem}{last}ing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_take_their_english_forms() {
        let forms = |entry| {
            let verb = conjugated(entry);
            [verb.third, verb.past, verb.participle, verb.gerund].join(" ")
        };
        assert_eq!(forms("carry"), "carries carried carried carrying");
        assert_eq!(forms("write/wrote/written"), "writes wrote written writing");
        assert_eq!(
            forms("dig up/dug up/dug up+"),
            "digs up dug up dug up digging up"
        );
        assert_eq!(forms("tie up"), "ties up tied up tied up tying up");
        assert_eq!(forms("watch"), "watches watched watched watching");
        assert_eq!(
            forms("have lunch/had lunch/had lunch"),
            "has lunch had lunch had lunch having lunch"
        );
    }

    #[test]
    fn every_class_has_an_object_and_verbs() {
        assert!(
            CLASSES.len() >= 10
                && CLASSES
                    .iter()
                    .all(|class| class.verbs.len() > 10 && class.object > 0)
        );
    }
}
