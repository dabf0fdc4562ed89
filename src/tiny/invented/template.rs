//! One sentence pattern, told in the first, second or third person.
//!
//! `{I}` is I / you / the name, `{i}` the pronoun, `{My}` my / your / the name's, `{my}` my / your / her,
//! `{me}` and `{myself}` likewise; `[play/plays]` and `[am/is/are]` agree with it; `{a}` is the first value,
//! `{a*}` another value in its place; `{an}` the article for what follows; `<...>` words that change the sense.

use std::ops::Range;

use super::words;
use crate::tiny::Reply;

/// Opens a stretch of changed words in a text under construction.
pub(super) const ON: char = '\u{1}';
/// Closes it.
pub(super) const OFF: char = '\u{2}';

/// Who speaks: the persona, somebody to the persona, somebody about the persona.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Person {
    First,
    Second,
    Third,
}

/// What a pattern is filled with.
pub(super) struct Filling<'a> {
    pub(super) name: &'a str,
    pub(super) woman: bool,
    pub(super) values: &'a [String],
    pub(super) others: &'a [String],
    /// whether `<...>` is kept as changed words
    pub(super) marked: bool,
}

/// The pattern filled in; articles and changed words are still marks.
pub(super) fn render(pattern: &str, person: Person, filling: &Filling) -> String {
    let mut out = String::with_capacity(pattern.len() + 32);
    render_into(pattern, person, filling, &mut out);
    out
}

fn render_into(pattern: &str, person: Person, filling: &Filling, out: &mut String) {
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '[', '<', '>']) {
        out.push_str(&rest[..at]);
        let sign = rest.as_bytes()[at];
        let after = &rest[at + 1..];
        rest = match sign {
            b'{' => {
                let (name, tail) = after.split_once('}').unwrap_or((after, ""));
                word_or_value(name, person, filling, out);
                tail
            }
            b'[' => {
                let (forms, tail) = after.split_once(']').unwrap_or((after, ""));
                out.push_str(agreeing(forms, person));
                tail
            }
            _ => {
                if filling.marked {
                    out.push(if sign == b'<' { ON } else { OFF });
                }
                after
            }
        };
    }
    out.push_str(rest);
}

fn agreeing(forms: &str, person: Person) -> &str {
    let mut forms = forms.split('/');
    let first = forms.next().unwrap_or_default();
    let third = forms.next().unwrap_or(first);
    match person {
        Person::First => first,
        Person::Second => forms.next().unwrap_or(first),
        Person::Third => third,
    }
}

fn word_or_value(name: &str, person: Person, filling: &Filling, out: &mut String) {
    let by_person = |first, second, her, his| match person {
        Person::First => first,
        Person::Second => second,
        Person::Third if filling.woman => her,
        Person::Third => his,
    };
    match name {
        "I" if person == Person::Third => out.push_str(filling.name),
        "My" if person == Person::Third => {
            out.push_str(filling.name);
            out.push_str("'s");
        }
        "Me" if person == Person::Third => out.push_str(filling.name),
        "I" | "i" => out.push_str(by_person("I", "you", "she", "he")),
        "My" | "my" => out.push_str(by_person("my", "your", "her", "his")),
        "Me" | "me" => out.push_str(by_person("me", "you", "her", "him")),
        "myself" => out.push_str(by_person("myself", "yourself", "herself", "himself")),
        "an" => out.push('\u{3}'),
        "name" => out.push_str(filling.name),
        _ => {
            let values = if name.ends_with('*') {
                filling.others
            } else {
                filling.values
            };
            let value = slot_of(name).and_then(|slot| values.get(slot));
            if let Some(value) = value {
                render_into(
                    value,
                    person,
                    &Filling {
                        marked: true,
                        ..*filling
                    },
                    out,
                );
            }
        }
    }
}

/// The slot that `{a}`, `{b}`... or `{a*}` names.
fn slot_of(name: &str) -> Option<usize> {
    let letter = name.bytes().next()?;
    (name.trim_end_matches('*').len() == 1 && letter.is_ascii_lowercase() && letter != b'i')
        .then(|| usize::from(letter - b'a'))
}

/// The slots a pattern uses, as bits: those of true values and those of other values.
pub(super) fn slots(pattern: &str) -> (u8, u8) {
    let (mut values, mut others) = (0, 0);
    for name in pattern
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'))
    {
        let Some(slot) = slot_of(name.0).filter(|slot| *slot < 8) else {
            continue;
        };
        if name.0.ends_with('*') {
            others |= 1 << slot
        } else {
            values |= 1 << slot
        }
    }
    (values, others)
}

/// `new` with the words that differ from `truth` between change marks.
pub(super) fn mark_difference(new: &str, truth: &str) -> String {
    let (new, truth): (Vec<&str>, Vec<&str>) =
        (new.split(' ').collect(), truth.split(' ').collect());
    let same = |pair: &(&&str, &&str)| pair.0.eq_ignore_ascii_case(pair.1);
    let mut start = new.iter().zip(&truth).take_while(same).count();
    let room = new.len().min(truth.len()) - start;
    let mut end = new.len()
        - new
            .iter()
            .rev()
            .zip(truth.iter().rev())
            .take(room)
            .take_while(same)
            .count();
    if start >= end {
        (start, end) = (0, new.len());
    }
    let join = |words: &[&str]| words.join(" ");
    let mut out = join(&new[..start]);
    if start > 0 {
        out.push(' ');
    }
    out.push('<');
    out.push_str(&join(&new[start..end]));
    out.push('>');
    if end < new.len() {
        out.push(' ');
        out.push_str(&join(&new[end..]));
    }
    out
}

const CONTRACTIONS: [(&str, &str); 20] = [
    ("do not ", "don't "),
    ("does not ", "doesn't "),
    ("did not ", "didn't "),
    ("cannot ", "can't "),
    ("could not ", "couldn't "),
    ("would not ", "wouldn't "),
    ("will not ", "won't "),
    ("I am not ", "I'm not "),
    ("is not ", "isn't "),
    ("are not ", "aren't "),
    ("was not ", "wasn't "),
    ("were not ", "weren't "),
    ("has not ", "hasn't "),
    ("I am ", "I'm "),
    ("I will ", "I'll "),
    ("I would ", "I'd "),
    ("it is ", "it's "),
    ("that is ", "that's "),
    ("there is ", "there's "),
    ("should not ", "shouldn't "),
];

/// "do not" becomes "don't" and so on.
fn contract(text: &str) -> String {
    let marked = text.contains(OFF);
    let mut out = text.replace("I have never ", "I've never ");
    if marked {
        out = out.replace("I \u{1}have never ", "\u{1}I've never ");
    }
    for (long, short) in CONTRACTIONS {
        if out.contains(long) {
            out = out.replace(long, short);
        }
        if !marked {
            continue;
        }
        if let Some(rest) = long.strip_prefix("I ") {
            out = out.replace(&format!("I {ON}{rest}"), &format!("{ON}{short}"));
        } else if let Some(stem) = long.strip_suffix("not ") {
            out = out.replace(
                &format!("{stem}not{OFF}"),
                &format!("{}{OFF}", short.trim_end()),
            );
        }
    }
    out
}

/// Counts the auxiliary before a changed "not" as changed, so that both can be contracted.
fn with_auxiliary(text: String) -> String {
    if !text.contains("\u{1}not") {
        return text;
    }
    let auxiliaries = [
        "am", "is", "are", "was", "were", "do", "does", "did", "would", "could",
    ];
    auxiliaries.iter().fold(text, |text, auxiliary| {
        text.replace(
            &format!(" {auxiliary} {ON}not"),
            &format!(" {ON}{auxiliary} not"),
        )
    })
}

/// Turns a text under construction into what is read: articles, contractions, capitals, and where the changed words are.
pub(super) fn finish(text: &str, contracted: bool) -> Reply {
    let text = with_auxiliary(words::with_articles(text));
    let text = if contracted { contract(&text) } else { text };
    let mut out = String::with_capacity(text.len());
    let mut changed: Vec<Range<usize>> = Vec::new();
    let mut open = None;
    let mut upper = true;
    for letter in text.chars() {
        match letter {
            ON => open = Some(out.len()),
            OFF => {
                if let Some(start) = open.take().filter(|start| *start < out.len()) {
                    changed.push(start..out.len());
                }
            }
            _ => {
                if upper && letter.is_alphanumeric() {
                    out.extend(letter.to_uppercase());
                    upper = false;
                } else {
                    out.push(letter);
                }
                upper |= matches!(letter, '.' | '!' | '?');
            }
        }
    }
    Reply { text: out, changed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pattern: &str, person: Person) -> String {
        let values = ["cello".to_owned(), "with {my} aunt".to_owned()];
        let filling = Filling {
            name: "Mira",
            woman: true,
            values: &values,
            others: &[],
            marked: false,
        };
        finish(&render(pattern, person, &filling), true).text
    }

    #[test]
    fn a_pattern_is_told_in_three_persons() {
        let pattern = "{I} [do not/does not] play {an} {a} {b}";
        assert_eq!(
            told(pattern, Person::First),
            "I don't play a cello with my aunt"
        );
        assert_eq!(
            told(pattern, Person::Third),
            "Mira doesn't play a cello with her aunt"
        );
        assert_eq!(
            told("do {i} play {b}", Person::Second),
            "Do you play with your aunt"
        );
    }

    #[test]
    fn only_the_differing_words_are_marked() {
        assert_eq!(
            mark_difference("a blue boat", "a red boat"),
            "a <blue> boat"
        );
        assert_eq!(mark_difference("a boat", "a red boat"), "<a boat>");
        let reply = finish(&format!("I {ON}am not{OFF} tall"), true);
        assert_eq!(
            (reply.text.as_str(), &reply.text[reply.changed[0].clone()]),
            ("I'm not tall", "I'm not")
        );
    }
}
