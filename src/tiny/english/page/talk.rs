//! Pages that hold a conversation: whose words a line has, and which of them are facts about the character.

use std::collections::{HashMap, HashSet};

use super::spelling::bare;
use crate::pattern::pattern;
use crate::tiny::english::clause::names;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{Token, expand, tokenize};
use crate::tiny::english::words::verbs::{self, ING};

// An action of three words or more between asterisks, and speech in quotation marks.
pattern!(DONE, r"\*[^*\s](?:[^*\n]*\s){2}[^*\n]*\*");
pattern!(SAID, r#"["“][^"“”\n]+["”]"#);

/// The names before a colon that are speakers, not fields.
///
/// The character is one if it has two lines or there is a user. Whoever has several lines, one of them next to a speaker's, is one, and
/// whoever has one line right after a speaker's, without an empty line between.
pub(crate) fn speakers(character: &str, page: &str) -> HashSet<String> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut apart = true;
    for line in page.lines().map(str::trim) {
        if line.is_empty() {
            apart = true;
            continue;
        }
        let label = label(line);
        if let Some((name, _)) = &label {
            *counts.entry(name.clone()).or_default() += 1;
        }
        turns.push(Turn { label, apart });
        apart = false;
    }
    let is_user = |name: &str| matches!(name, "User" | "You" | "Interviewer");
    let own = |name: &str| is_character(character, name);
    let is_frequent = |name: &str| counts.get(name).is_some_and(|&count| count > 1);
    let mut found: HashSet<String> = counts
        .keys()
        .filter(|name| own(name) && is_frequent(name) || is_user(name))
        .cloned()
        .collect();
    if found.is_empty() && !counts.keys().any(|name| own(name)) {
        return found;
    }
    found.extend(counts.keys().filter(|name| own(name)).cloned());
    let pairs = || {
        turns.windows(2).filter_map(|pair| {
            let labels = (pair[0].label.as_ref()?, pair[1].label.as_ref()?);
            Some((labels.0, labels.1, !pair[1].apart))
        })
    };
    // Whoever has several lines: twice, for one may be found next to another who is found later.
    for _ in 0..2 {
        for ((first, text), (second, other), _) in pairs() {
            if found.contains(second) && is_frequent(first) && ends_as_speech(text) {
                found.insert(first.clone());
            }
            if found.contains(first) && is_frequent(second) && ends_as_speech(other) {
                found.insert(second.clone());
            }
        }
    }
    let once: Vec<String> = pairs()
        .filter(|((first, _), (_, other), near)| {
            *near && found.contains(first) && ends_as_speech(other)
        })
        .map(|(_, (second, _), _)| second.clone())
        .collect();
    found.extend(once);
    // `Mira: a nurse`, alone among fields, describes her.
    let describes = turns.iter().any(|turn| {
        let own = turn.label.as_ref().filter(|(name, _)| found.contains(name));
        own.is_some_and(|(_, text)| is_description(text))
    });
    // `Mira: A thief from Ghent.` in a list of people.
    let mut of_own = turns
        .iter()
        .filter_map(|turn| turn.label.as_ref().filter(|(name, _)| own(name)));
    let has_user = found.iter().any(|name| is_user(name));
    if describes && !has_user && of_own.all(|(_, text)| is_description(text)) {
        found.clear();
    }
    found
}

/// A line of the page, with its label if it has one.
struct Turn<'a> {
    label: Option<(String, &'a str)>,
    /// Whether an empty line stands before it.
    apart: bool,
}

/// The name before a colon and the text after it.
pub(super) fn label(line: &str) -> Option<(String, &str)> {
    let (name, text) = line.split_once(':')?;
    // `**Mira:** Yes.`, but `Mira: *nods* Yes.`
    let text = match name.starts_with(['*', '_']) {
        true => text.trim_start_matches(['*', '_']),
        false => text,
    };
    let name = name.trim().trim_matches(['*', '_', '"', '[', ']']).trim();
    let words = name.split_whitespace().count();
    let ok = (1..=4).contains(&words)
        && name.chars().count() > 1
        && name.starts_with(char::is_uppercase)
        && name.matches('(').count() == name.matches(')').count()
        && !text.trim().is_empty()
        && !text.starts_with("//");
    ok.then(|| (name.to_string(), text.trim()))
}

fn ends_as_speech(text: &str) -> bool {
    text.ends_with(['.', '!', '?', '…', '"', '”', '*', '~'])
}

/// Whether what stands behind a name describes its bearer: it opens with an article, a pronoun or a small letter and says no `I` or `you`.
fn is_description(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_said = tokenize(text)
        .iter()
        .any(|token| token.is_in("i you my your we me"));
    (matches!(first, "A" | "An" | "The" | "She" | "He" | "They")
        || first.starts_with(char::is_lowercase))
        && !is_said
}

/// Whether every word of a name is one of the character's: `Voss` of `Mira Voss`, but not `Al` of `Alice`.
pub(super) fn is_part_of_name(character: &str, name: &str) -> bool {
    let is_own = |word: &str| {
        let mut own = character.split_whitespace();
        own.any(|own| own.to_lowercase() == word.to_lowercase())
    };
    name.split_whitespace().all(is_own)
}

/// Whether a speaker is the character: by its name, a part of it, or a longer one, with accents and hyphens or without them.
pub(crate) fn is_character(character: &str, name: &str) -> bool {
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(bare).collect() };
    // `Captain Mira Voss`, but not `Rumours about Mira`.
    let is_title = name
        .split_whitespace()
        .all(|word| word.starts_with(char::is_uppercase));
    let (character, name) = (words(character), words(name));
    // `Aunt Alice`, `Mark Jr.`
    let is_another = |word: &String| names::is_kin(word) || names::is_suffix(word);
    let is_another = name
        .iter()
        .any(|word| is_another(word) && !character.contains(word));
    !character.is_empty()
        && !name.is_empty()
        && !is_another
        && (name.iter().all(|word| character.contains(word))
            || character.iter().all(|word| name.contains(word)) && is_title)
}

/// The speaker and the words of a line, if it is one of a conversation.
pub(crate) fn turn<'a>(line: &'a str, speakers: &HashSet<String>) -> Option<(String, &'a str)> {
    label(line).filter(|(name, _)| speakers.contains(name))
}

/// Whether a text is narration, with actions between asterisks or speech in quotation marks. What is only quoted does not count:
/// `I never liked the word "elderly".`, `He calls me "little bird."`
pub(super) fn is_narrated(text: &str) -> bool {
    let text = text.replace(['“', '”'], "\"");
    let mut quoted = text.split('"').skip(1).step_by(2);
    text.contains('*')
        || text.starts_with('"')
        || quoted.any(|quoted| {
            quoted.starts_with(char::is_uppercase) && quoted.ends_with(['.', '!', '?', ',', '…'])
        })
}

/// Whether a line is only role play, actions and speech: `*She looks up again.* "You?"`
pub(super) fn is_scene(line: &str) -> bool {
    let rest = DONE.replace_all(line, "");
    let is_done = rest.len() < line.len();
    let silent = SAID.replace_all(&rest, "");
    let is_said = silent.len() < rest.len();
    // `"I miss the sea." – *Diary of Mira Voss*`
    let is_quoted = silent.contains(['–', '—', '-']);
    is_done && is_said && !is_quoted && !silent.contains(char::is_alphanumeric)
}

/// The sentences of a turn that are said, and what is told around them: what is done between asterisks, the narration around quotations.
pub(crate) fn spoken(text: &str) -> (Vec<String>, Vec<String>) {
    let mut words = String::new();
    let mut told: Vec<String> = Vec::new();
    let mut within = false;
    // What stands between asterisks is done, or is one word that is stressed within a sentence.
    for (idx, piece) in text.split('*').enumerate() {
        let stressed = within && piece.split_whitespace().count() == 1;
        if idx % 2 == 0 || stressed {
            words.push_str(piece);
            if let Some(last) = piece.trim_end().chars().next_back() {
                within = last.is_alphanumeric();
            }
        } else {
            words.push(' ');
            told.push(piece.to_owned());
        }
    }
    let words = words.replace(['“', '”', '«', '»'], "\"").replace('’', "'");
    let quoted: Vec<&str> = words.split('"').skip(1).step_by(2).collect();
    let words = if !is_narrated(&words) {
        words.clone()
    } else {
        told.extend(words.split('"').step_by(2).map(str::to_owned));
        // `"I have a son," she says.`
        let quoted = quoted.iter().map(|quoted| match quoted.strip_suffix(',') {
            Some(quoted) => format!("{quoted}."),
            None => (*quoted).to_owned(),
        });
        quoted.collect::<Vec<_>>().join("\n")
    };
    let words = words.trim();
    let told = told.iter().flat_map(|told| sentences::sentences(told));
    let told = told
        .filter(|told| told.contains(char::is_alphanumeric))
        .collect();
    // The segmenter takes `No.` for an abbreviation.
    let said = |words: &str| -> Vec<String> {
        let lines = words.lines().map(str::trim);
        lines.flat_map(sentences::sentences).collect()
    };
    let said = match words.strip_prefix("No. ") {
        Some(rest) => [vec!["No.".to_owned()], said(rest)].concat(),
        None => said(words),
    };
    (said, told)
}

/// Whether a sentence that the character says tells what holds beyond the moment: `I grew up here.` but not `I think so.`
pub(crate) fn is_fact(sentence: &str) -> bool {
    const MOMENT: &str = "you your yours this that these those here there now today tomorrow yesterday tonight just too it we us our him \
        them please if then already anyway again later soon today one";
    const OPINION: &str = "think guess know knew mean suppose see hope wish bet hear heard understand agree see will shall would should could \
        might may must did do can thought said saw apologize swear promise wonder doubt assume remember forgot thank beg \
        accept insist feel";
    if !sentence.ends_with('.') || sentence.ends_with("..") {
        return false;
    }
    let tokens = expand(tokenize(sentence));
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_word()).collect();
    let Some(first) = words.first() else {
        return false;
    };
    let mine = first.is("my");
    if words.len() < 4
        || !(mine || first.is_any(&["i", "i'm", "i've"]))
        || words.iter().any(|word| word.is_in(MOMENT))
    {
        return false;
    }
    if mine {
        return true;
    }
    let verb = words[1..].iter().position(|word| {
        !verbs::is_adverb(&word.lower) && !word.is_any(&["'m", "'ve", "have", "am", "also"])
    });
    let Some(verb) = verb.map(|at| words[at + 1]) else {
        return false;
    };
    let copula = words[1].is_any(&["am", "'m"]) || first.is("i'm");
    let lasting = verb.is_number()
        || grammar::is_determiner(&verb.lower)
        || verb.is_any(&[
            "from", "afraid", "allergic", "born", "married", "named", "called",
        ]);
    // Negated abilities and likes hold; `I did not see` does not.
    let negated = verb.is_any(&["do", "don't", "can't", "cannot", "can"])
        && words
            .iter()
            .any(|word| word.is_any(&["not", "don't", "can't", "cannot", "never"]));
    let negated = negated && !words.iter().skip(2).take(2).any(|word| word.is_in(OPINION));
    match copula {
        true => lasting && !verbs::can_be(&verb.lower, ING),
        false => negated || !verb.is_in(OPINION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_whole_words_of_it() {
        for (name, expected) in [
            ("Mira", true),
            ("mira voss", true),
            ("Mir", false),
            ("Vo", false),
        ] {
            assert_eq!(is_part_of_name("Mira Voss", name), expected, "{name}");
        }
    }

    #[test]
    fn speakers_are_told_from_fields() {
        let found = |page: &str| {
            let mut names: Vec<String> = speakers("Rosa Bell", page).into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(
            found("Rosa: Hello.\nBen: Hi!\nRosa: I bake.\nOld Tom: Good evening."),
            ["Ben", "Old Tom", "Rosa"]
        );
        assert_eq!(
            found("User: Who are you?\n\nRosa: *nods* Rosa."),
            ["Rosa", "User"]
        );
        assert_eq!(
            found("Name: Rosa\nAge: 30\nMother: Anna\nRosa: a baker"),
            [""; 0]
        );
        assert_eq!(found("Rosa sings.\n\nRosa: Hi"), ["Rosa"]);
        assert_eq!(found("Likes: tea\nDislikes: rain\nLikes: cats"), [""; 0]);
        assert_eq!(found("Likes: tea\nLikes: rain\nRosa: a baker"), [""; 0]);
        assert_eq!(
            found("Rosa: A thief who hates rain.\nBen: Rosa's brother. He is a cook."),
            [""; 0],
            "a list of people"
        );
        let fields_before = "Habits: Rosa hums.\nRosa: I bake.\nRosa: I sing.";
        assert_eq!(found(fields_before), ["Rosa"]);
        assert_eq!(
            found("Past: Rosa grew up here.\n\nRosa: Hm.\n\nRosa: Well.\nWork: Baker"),
            ["Rosa"]
        );
    }

    #[test]
    fn only_what_holds_beyond_the_moment_is_a_fact() {
        for (sentence, fact) in [
            ("I grew up in a bakery by the sea.", true),
            ("My mother taught me to bake.", true),
            ("I'm a nurse from Bonn.", true),
            ("I never work on Sundays.", true),
            ("I don't like bread without salt.", true),
            ("I think your bread is salty.", false),
            ("I think bread needs salt.", false),
            ("I'm going to the fair.", false),
            ("I'm so tired of rain.", false),
            ("I will come on Monday.", false),
            ("I know.", false),
            ("I did not see the man.", false),
            ("Did I bring the bread?", false),
            ("Nonsense.", false),
        ] {
            assert_eq!(is_fact(sentence), fact, "{sentence}");
        }
    }

    #[test]
    fn only_what_is_said_is_kept() {
        assert_eq!(label("Rosa: *nods* Yes.").unwrap().1, "*nods* Yes.");
        assert_eq!(label("**Rosa:** Yes.").unwrap().1, "Yes.");
        assert_eq!(
            spoken("*wipes the counter* I bake. *She nods.*"),
            (
                vec!["I bake.".to_string()],
                vec!["wipes the counter".to_string(), "She nods.".to_string()]
            )
        );
        assert_eq!(
            spoken("She looks up. \"I bake bread.\" She nods. “I *never* stop.”").0,
            ["I bake bread.", "I never stop."]
        );
    }
}
