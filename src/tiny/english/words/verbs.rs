//! Verb forms: irregular ones from a list, the rest by suffix rules.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::lexicon::{ADVERBS, IRREGULAR_VERBS, LY_NOT_ADVERBS, REGULAR_VERBS, set_of};

/// The word is a base form: `play`.
pub(crate) const BASE: u8 = 1;
/// The word is a third person singular: `plays`.
pub(crate) const THIRD: u8 = 2;
/// The word is a past tense: `played`.
pub(crate) const PAST: u8 = 4;
/// The word is a past participle: `played`.
pub(crate) const PARTICIPLE: u8 = 8;
/// The word is a present participle: `playing`.
pub(crate) const ING: u8 = 16;

const AUXILIARIES: &[&str] = &[
    "is", "are", "am", "was", "were", "has", "have", "had", "do", "does", "did", "can", "could",
    "will", "would", "shall", "should", "may", "might", "must", "cannot",
];

static ADVERB_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(ADVERBS));
static LY_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(LY_NOT_ADVERBS));
static FORMS: LazyLock<HashMap<String, (String, u8)>> = LazyLock::new(all_forms);
static IRREGULAR: LazyLock<HashMap<&str, (&str, &str)>> = LazyLock::new(|| {
    IRREGULAR_VERBS
        .split(", ")
        .filter_map(|entry| {
            let mut forms = entry.split_whitespace();
            Some((forms.next()?, (forms.next()?, forms.next()?)))
        })
        .collect()
});

fn all_forms() -> HashMap<String, (String, u8)> {
    let mut forms: HashMap<String, (String, u8)> = HashMap::new();
    let mut add = |word: String, base: &str, form: u8| {
        let entry = forms.entry(word).or_insert_with(|| (base.to_owned(), 0));
        if entry.0 == base {
            entry.1 |= form;
        }
    };
    for (word, form) in [
        ("be", BASE),
        ("am", BASE),
        ("are", BASE),
        ("is", THIRD),
        ("was", PAST),
        ("were", PAST),
        ("been", PARTICIPLE),
        ("being", ING),
    ] {
        add(word.to_owned(), "be", form);
    }
    for (word, base) in [("learnt", "learn"), ("burnt", "burn"), ("dreamt", "dream")] {
        add(word.to_owned(), base, PAST | PARTICIPLE);
    }
    let irregular = IRREGULAR_VERBS
        .split(", ")
        .filter_map(|entry| entry.split_whitespace().next());
    let british: Vec<String> = REGULAR_VERBS
        .split_whitespace()
        .filter_map(|base| base.strip_suffix("ize").map(|stem| format!("{stem}ise")))
        .collect();
    let american: Vec<String> = REGULAR_VERBS
        .split_whitespace()
        .filter_map(|base| {
            base.strip_suffix("ise")
                .filter(|stem| stem.len() > 4)
                .map(|stem| format!("{stem}ize"))
        })
        .collect();
    let variants = british.iter().chain(&american).map(String::as_str);
    for base in irregular
        .chain(REGULAR_VERBS.split_whitespace())
        .chain(variants)
    {
        add(base.to_owned(), base, BASE);
        add(third(base), base, THIRD);
        add(past(base), base, PAST);
        add(participle(base), base, PARTICIPLE);
        add(ing(base), base, ING);
    }
    forms
}

/// The base form and the forms this word can be, when the verb is in the lists.
pub(crate) fn known(lower: &str) -> Option<(&'static str, u8)> {
    FORMS
        .get(lower)
        .map(|(base, forms)| (base.as_str(), *forms))
}

/// The base form of a verb in the lists.
pub(crate) fn known_base(lower: &str) -> Option<&'static str> {
    known(lower).map(|(base, _)| base)
}

/// Whether the word can be this form; unknown words are judged by their ending.
pub(crate) fn can_be(lower: &str, form: u8) -> bool {
    match known(lower) {
        Some((_, forms)) => forms & form != 0,
        None => {
            prefixed(lower).is_some_and(|forms| forms & form & (PAST | PARTICIPLE) != 0)
                || (form & (PAST | PARTICIPLE) != 0
                    && lower.len() > 4
                    && lower.ends_with("ed")
                    && !lower.ends_with("eed"))
                || (form & ING != 0 && lower.len() > 5 && lower.ends_with("ing"))
        }
    }
}

/// The forms of a known verb behind a prefix: `rewritten`.
fn prefixed(lower: &str) -> Option<u8> {
    let rest = ["re", "un", "out", "over", "mis", "dis"]
        .into_iter()
        .find_map(|prefix| lower.strip_prefix(prefix))?;
    known(rest)
        .filter(|_| rest.len() > 3)
        .map(|(_, forms)| forms)
}

/// Whether the word can be a past participle.
pub(crate) fn is_participle(lower: &str) -> bool {
    can_be(lower, PARTICIPLE)
}

/// Whether the word is a known base form.
pub(crate) fn is_base(lower: &str) -> bool {
    known(lower).is_some_and(|(_, forms)| forms & BASE != 0)
}

/// Whether the word is an auxiliary or modal in a finite form.
pub(crate) fn is_auxiliary(lower: &str) -> bool {
    AUXILIARIES.contains(&lower)
}

/// Whether the word is a form of `be` in a finite form.
pub(crate) fn is_be(lower: &str) -> bool {
    matches!(lower, "is" | "are" | "am" | "was" | "were")
}

/// Whether the word is an adverb.
pub(crate) fn is_adverb(lower: &str) -> bool {
    ADVERB_SET.contains(lower)
        || (lower.len() > 4 && lower.ends_with("ly") && !LY_SET.contains(lower))
}

/// The base of any verb form, guessed for unknown verbs.
pub(crate) fn base(lower: &str) -> String {
    if let Some(base) = known_base(lower) {
        return base.to_owned();
    }
    if !lower.is_ascii() {
        return lower.strip_suffix('s').unwrap_or(lower).to_owned();
    }
    for (prefix_len, prefix) in [
        (2, "re"),
        (2, "un"),
        (3, "out"),
        (4, "over"),
        (3, "mis"),
        (3, "dis"),
    ] {
        if let Some(base) = lower
            .strip_prefix(prefix)
            .filter(|_| lower.len() > prefix_len + 4)
            .and_then(known_base)
        {
            return format!("{prefix}{base}");
        }
    }
    if let Some(stem) = lower
        .strip_suffix("ied")
        .or_else(|| lower.strip_suffix("ies"))
    {
        return format!("{stem}y");
    }
    if let Some(stem) = lower
        .strip_suffix("ed")
        .or_else(|| lower.strip_suffix("ing"))
        .filter(|stem| stem.len() > 2)
    {
        return restored(stem);
    }
    for ending in ["sses", "shes", "ches", "xes", "zzes", "oes"] {
        if lower.ends_with(ending) {
            return lower[..lower.len() - 2].to_owned();
        }
    }
    lower
        .strip_suffix('s')
        .filter(|stem| !stem.ends_with('s'))
        .unwrap_or(lower)
        .to_owned()
}

/// The base of a stem which has lost `-ed` or `-ing`.
fn restored(stem: &str) -> String {
    let bytes = stem.as_bytes();
    let (last, before) = (bytes[bytes.len() - 1], bytes[bytes.len() - 2]);
    if last == before && !matches!(last, b'l' | b's' | b'f' | b'z') {
        return stem[..stem.len() - 1].to_owned();
    }
    let silent = matches!(last, b'v' | b'c' | b'u' | b'z')
        || (last == b's' && before != b's')
        || (last == b'g' && matches!(before, b'n' | b'a' | b'r' | b'd'));
    let unstressed = [
        "er", "en", "it", "op", "or", "et", "el", "al", "on", "om", "ow", "aw", "ew", "ay", "oy",
        "ey", "ain", "ear", "eat", "oin",
    ];
    let short = is_vowel(before)
        && !is_vowel(last)
        && (bytes.len() < 3 || !is_vowel(bytes[bytes.len() - 3]))
        && !unstressed.iter().any(|end| stem.ends_with(end));
    if (silent && !stem.ends_with("ing"))
        || (short && !matches!(last, b'w' | b'x' | b'y'))
        || stem.ends_with("at")
        || stem.ends_with("ir")
        || stem.ends_with("ur")
        || (last == b'l' && !is_vowel(before) && before != b'l')
    {
        format!("{stem}e")
    } else {
        stem.to_owned()
    }
}

/// The third person singular: `plays`, `goes`, `studies`.
pub(crate) fn third(base: &str) -> String {
    match base {
        "be" => return "is".to_owned(),
        "have" => return "has".to_owned(),
        _ => {}
    }
    if let Some(stem) = consonant_y(base) {
        return format!("{stem}ies");
    }
    if ["s", "sh", "ch", "x", "z", "o"]
        .iter()
        .any(|end| base.ends_with(end))
    {
        format!("{base}es")
    } else {
        format!("{base}s")
    }
}

/// The past tense.
pub(crate) fn past(base: &str) -> String {
    if base == "be" {
        return "was".to_owned();
    }
    IRREGULAR
        .get(base)
        .map_or_else(|| regular(base, "ed"), |forms| forms.0.to_owned())
}

/// The past participle.
pub(crate) fn participle(base: &str) -> String {
    if base == "be" {
        return "been".to_owned();
    }
    IRREGULAR
        .get(base)
        .map_or_else(|| regular(base, "ed"), |forms| forms.1.to_owned())
}

/// The form in `-ing`.
pub(crate) fn ing(base: &str) -> String {
    match base {
        "be" => "being".to_owned(),
        "die" | "lie" | "tie" => format!("{}ying", &base[..1]),
        _ => match base
            .strip_suffix('e')
            .filter(|stem| !stem.ends_with(['e', 'o', 'y']) && base != "singe")
        {
            Some(stem) => format!("{stem}ing"),
            None => doubled(base) + "ing",
        },
    }
}

fn regular(base: &str, ending: &str) -> String {
    if let Some(stem) = consonant_y(base) {
        return format!("{stem}i{ending}");
    }
    if let Some(stem) = base.strip_suffix('e') {
        return format!("{stem}{ending}");
    }
    doubled(base) + ending
}

/// Doubles the last consonant where English does.
fn doubled(base: &str) -> String {
    const STRESSED: &[&str] = &[
        "admit", "commit", "permit", "submit", "refer", "prefer", "transfer", "occur", "regret",
        "rebel", "control", "expel", "excel", "patrol", "confer", "defer", "transmit", "travel",
        "cancel", "marvel", "quarrel", "enrol", "equip", "outwit", "quit", "embed", "kidnap",
        "handicap", "label", "model", "tunnel", "duel", "unwrap", "recur",
    ];
    let bytes = base.as_bytes();
    let n_vowels = bytes.iter().filter(|&&byte| is_vowel(byte)).count();
    let short = bytes.len() >= 3
        && n_vowels == 1
        && is_vowel(bytes[bytes.len() - 2])
        && !is_vowel(bytes[bytes.len() - 1])
        && !matches!(bytes[bytes.len() - 1], b'w' | b'x' | b'y');
    match base.chars().last() {
        Some(last) if short || STRESSED.contains(&base) => format!("{base}{last}"),
        _ => base.to_owned(),
    }
}

fn consonant_y(base: &str) -> Option<&str> {
    base.strip_suffix('y')
        .filter(|stem| stem.bytes().last().is_some_and(|byte| !is_vowel(byte)))
}

fn is_vowel(byte: u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u')
}

/// What the finite verb becomes after `I` or `you`.
pub(crate) fn agree(lower: &str, you: bool) -> String {
    match lower {
        "is" | "are" | "am" => if you { "are" } else { "am" }.to_owned(),
        "was" | "were" => if you { "were" } else { "was" }.to_owned(),
        "has" => "have".to_owned(),
        "does" => "do".to_owned(),
        _ if is_auxiliary(lower) => lower.to_owned(),
        _ => match known(lower) {
            Some((base, forms)) if forms & THIRD != 0 => base.to_owned(),
            Some(_) => lower.to_owned(),
            None if lower.ends_with('s') && !lower.ends_with("ss") => base(lower),
            None => lower.to_owned(),
        },
    }
}

/// What the finite verb after `I` or `you` becomes in the third person singular.
pub(crate) fn disagree(lower: &str) -> String {
    match lower {
        "am" | "are" => "is".to_owned(),
        "were" => "was".to_owned(),
        "have" => "has".to_owned(),
        "do" => "does".to_owned(),
        _ if is_auxiliary(lower) => lower.to_owned(),
        _ => match known(lower) {
            Some((base, forms))
                if forms & BASE != 0
                    && !(forms & PAST != 0
                        && base == lower
                        && base != "read"
                        && base != "put"
                        && base != "set"
                        && base != "let") =>
            {
                third(base)
            }
            _ => lower.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_lose_their_third_person() {
        for (third, base) in [
            ("plays", "play"),
            ("goes", "go"),
            ("studies", "study"),
            ("has", "have"),
            ("is", "am"),
            ("teaches", "teach"),
            ("zorbs", "zorb"),
            ("was", "was"),
            ("wrote", "wrote"),
        ] {
            assert_eq!(agree(third, false), base);
        }
        assert_eq!(agree("was", true), "were");
    }

    #[test]
    fn unknown_verbs_find_their_base() {
        for (form, expected) in [
            ("played", "play"),
            ("admired", "admire"),
            ("stopped", "stop"),
            ("baked", "bake"),
            ("entered", "enter"),
            ("blorted", "blort"),
            ("pried", "pry"),
            ("changed", "change"),
            ("rewrote", "rewrite"),
        ] {
            assert_eq!(base(form), expected);
        }
    }

    #[test]
    fn every_known_verb_comes_back_from_its_forms() {
        for word in REGULAR_VERBS.split_whitespace() {
            assert_eq!(known_base(&third(word)), Some(word), "{word}");
        }
    }
}
