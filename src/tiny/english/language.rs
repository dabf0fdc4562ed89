//! Whether a text is English, which is all that the rules and the embedded judges read.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::words::lexicon::set_of;

static FUNCTION_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(FUNCTION_WORDS));
static FOREIGN_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(FOREIGN_WORDS));

/// Words without which English is hardly written, and which are rare in other languages.
const FUNCTION_WORDS: &str = "the of and to is was were are with by from has have had that not be been who which they their his her \
    him she he it its this these but or for at when where while because after into about does did than there would will can could \
    never always only also most my your you your i'm don't";

/// Frequent words of other languages in Latin letters that English has not.
const FOREIGN_WORDS: &str = "el la los las le les des du une un und der das ist nicht een het ik en och är att inte og ikke er hun je \
    na se si che di il della não uma em para que con por su sie ein eine mit auf im zu z w nie jest det som hon han ze zij niet dat \
    haar hij jeho její est et elle dans aux y es está ona při ve";

/// Sentences of English have a third to a half of such words, lists and tables fewer; other languages hardly any.
const MIN_SHARE: f64 = 0.12;

/// The share of foreign words from which a text is in another language where the detector hesitates between two.
const MIN_FOREIGN: f64 = 0.15;

/// The detector needs this many letters of an alphabet that English shares.
const MIN_LETTERS: usize = 40;

/// Returns the English name of the language of a text that is surely not English, or "another language" where it is one of two.
///
/// A text in another script is. One in Latin letters is if the detector is sure and English function words are missing; short texts,
/// lists of names and the like are not judged.
pub fn other_language(text: &str) -> Option<&'static str> {
    // A page of megabytes is judged by what it begins with.
    let text: String = text.chars().take(20_000).collect();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let latin = text
        .chars()
        .filter(|&c| c.is_alphabetic() && (c.is_ascii() || ('\u{c0}'..='\u{24f}').contains(&c)))
        .count();
    let detected = whatlang::detect(&text)?;
    if latin * 2 < letters {
        return (detected.script() != whatlang::Script::Latin).then(|| name(&detected));
    }
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let share = |list: &HashSet<&str>| {
        let found = words.iter().filter(|word| list.contains(word.as_str()));
        found.count() as f64 / words.len().max(1) as f64
    };
    let is_other = latin >= MIN_LETTERS
        && detected.lang() != whatlang::Lang::Eng
        && share(&FUNCTION_SET) < MIN_SHARE
        && (detected.is_reliable() || share(&FOREIGN_SET) >= MIN_FOREIGN);
    is_other.then(|| name(&detected))
}

/// The language's name, where the detector does not hesitate between two.
fn name(detected: &whatlang::Info) -> &'static str {
    match detected.lang() {
        _ if !detected.is_reliable() => "another language",
        whatlang::Lang::Cmn => "Chinese",
        other => other.eng_name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::pages;

    #[test]
    fn other_languages_are_known_by_script_and_words() {
        for (text, language) in [
            ("米拉是一名木匠。她会拉大提琴，不喜欢下雨。", "Chinese"),
            ("ミラは大工です。チェロを弾き、雨が嫌いです。", "Japanese"),
            ("미라는 목수이다. 첼로를 연주하고 비를 싫어한다.", "Korean"),
            (
                "Мира — плотник из Твери. Она играет на виолончели и не любит дождь.",
                "another language",
            ),
            (
                "Mira est une charpentière de Quimper. Elle joue du violoncelle et n'aime pas la pluie.",
                "French",
            ),
            (
                "Mira ist eine Tischlerin aus Bonn. Sie spielt Cello und mag keinen Regen.",
                "German",
            ),
            (
                "Mira es una carpintera de Sevilla. Toca el violonchelo y no le gusta la lluvia.",
                "another language",
            ),
            (
                "Mira è una falegname di Torino. Suona il violoncello e non ama la pioggia.",
                "Italian",
            ),
            (
                "Mira jest stolarką z Krakowa. Gra na wiolonczeli i nie lubi deszczu.",
                "Polish",
            ),
        ] {
            assert_eq!(other_language(text), Some(language), "{text}");
        }
    }

    #[test]
    fn english_is_never_taken_for_another_language() {
        for text in [
            "I live in Bonn.",
            "Elena Petrova, Ivan Kowalski, Jean-Luc Moreau, Søren Kierkegaard, Åsa Lindström",
            "Name: Ines. Age: 34. Likes: thunderstorms, ginger tea, muddy boots. Home: Sant Averro.",
            "Sela drew maps. Plays: guitar, piano. Hobbies: chess, falconry. Languages: German, Basque. Food: risotto, paella.",
            "Mia brews beer, mends nets, sells eels. Hates eggs, rain, geese. Owns ten goats.",
            "Alice (爱丽丝) plays the guitar.",
            "",
            "12 + 7",
        ] {
            assert_eq!(other_language(text), None, "{text}");
        }
        for name in pages::characters() {
            let page = pages::page(name).unwrap();
            assert_eq!(other_language(page), None);
            for line in page.lines().flat_map(|line| line.split(". ")) {
                assert_eq!(other_language(line), None, "{line}");
            }
        }
    }
}
