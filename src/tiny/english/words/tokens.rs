//! Text as words and marks, and back.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::grammar;
use super::lexicon;
use super::lexicon::{STOP_WORDS, has_word, set_of};
use super::verbs;

/// A word or a mark, with what is needed to write it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub text: String,
    pub lower: String,
    /// Whether a space stands before it.
    pub space: bool,
    /// Whether it means the character.
    pub me: bool,
}

impl Token {
    pub(crate) fn new(text: &str, space: bool) -> Self {
        Self {
            text: text.to_owned(),
            lower: text.to_lowercase(),
            space,
            me: false,
        }
    }

    pub(crate) fn set(&mut self, text: &str) {
        self.text = text.to_owned();
        self.lower = text.to_lowercase();
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.lower == word
    }

    pub(crate) fn is_any(&self, words: &[&str]) -> bool {
        words.contains(&self.lower.as_str())
    }

    /// Whether it is among the words of a list.
    pub(crate) fn is_in(&self, words: &str) -> bool {
        has_word(words, &self.lower)
    }

    pub(crate) fn is_word(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_alphanumeric)
    }

    pub(crate) fn is_capital(&self) -> bool {
        self.text.chars().next().is_some_and(char::is_uppercase)
    }

    pub(crate) fn is_number(&self) -> bool {
        self.text.chars().next().is_some_and(|c| c.is_ascii_digit())
    }

    /// `'s` or the bare apostrophe of a plural.
    pub(crate) fn is_genitive(&self) -> bool {
        self.lower == "'s" || (self.lower == "'" && !self.space)
    }
}

static STOPS: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(STOP_WORDS));
const ENDINGS: &[&str] = &["n't", "'s", "'m", "'re", "'ve", "'ll", "'d"];
/// Participles that say what somebody is: `he's scared`.
const STATES: &str = "scared married divorced engaged tired bored interested obsessed terrified called named known born worried \
    supposed dressed covered based involved separated widowed pleased excited disabled addicted convinced stuck employed fascinated \
    frightened annoyed amused confused loved feared respected ashamed relieved embarrassed exhausted retired estranged \
    acquainted accustomed inclined devoted dedicated disappointed";
/// Participles of verbs without an object, which nothing is made to be: `it's gone`.
const INTRANSITIVE: &str = "gone come become fallen grown happened lasted begun started stopped died rained snowed changed worked slept lived \
    stayed stood turned survived existed appeared disappeared";
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "st", "prof", "op", "no", "nos", "vol", "vs", "jr", "sr", "etc", "ca",
    "approx", "e.g", "i.e",
];

/// Splits text into words and marks; contractions become two tokens.
pub(crate) fn tokenize(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text
        .chars()
        .map(|c| {
            if matches!(c, '’' | '‘' | 'ʼ') {
                '\''
            } else {
                c
            }
        })
        .collect();
    let mut tokens = Vec::new();
    let mut space = false;
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c.is_whitespace() {
            space = true;
            at += 1;
            continue;
        }
        let start = at;
        at += 1;
        if c.is_alphanumeric() {
            while at < chars.len() && inside_word(&chars, at) {
                at += 1;
            }
        }
        let mut word: String = chars[start..at].iter().collect();
        if at < chars.len()
            && chars[at] == '.'
            && c.is_alphanumeric()
            && keeps_dot(&word, &chars, at)
        {
            word.push('.');
            at += 1;
        }
        push_word(&mut tokens, &word, space);
        space = false;
    }
    if let Some(first) = tokens.first_mut() {
        first.space = false;
    }
    tokens
}

fn inside_word(chars: &[char], at: usize) -> bool {
    let c = chars[at];
    if c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c) {
        return true;
    }
    matches!(
        c,
        '-' | '‑' | '–' | '\'' | '.' | ',' | '/' | ':' | '_' | '&'
    ) && chars.get(at + 1).is_some_and(|next| match c {
        ',' | ':' | '–' => next.is_ascii_digit() && chars[at - 1].is_ascii_digit(),
        _ => next.is_alphanumeric() && chars[at - 1].is_alphanumeric(),
    })
}

/// Whether the dot after the word belongs to it: an initial or an abbreviation inside the text.
fn keeps_dot(word: &str, chars: &[char], at: usize) -> bool {
    let more = chars[at + 1..].iter().any(|c| c.is_alphanumeric());
    let lower = word.to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    let dotted = word.contains('.') && word.split('.').all(|part| part.chars().count() <= 1);
    (more && (initial || ABBREVIATIONS.contains(&lower.as_str()))) || dotted
}

fn push_word(tokens: &mut Vec<Token>, word: &str, space: bool) {
    let lower = word.to_lowercase();
    if lower == "cannot" {
        tokens.push(Token::new(&word[..3], space));
        tokens.push(Token::new("not", false));
        return;
    }
    for ending in ENDINGS {
        if lower.ends_with(ending)
            && lower.len() > ending.len()
            && lower.is_char_boundary(lower.len() - ending.len())
        {
            let n_chars = word.chars().count() - ending.len();
            let stem: String = word.chars().take(n_chars).collect();
            let tail: String = word.chars().skip(n_chars).collect();
            tokens.push(Token::new(&stem, space));
            tokens.push(Token::new(&tail, false));
            return;
        }
    }
    tokens.push(Token::new(word, space));
}

/// Writes tokens as text.
pub(crate) fn join(tokens: &[Token]) -> String {
    let mut text = String::new();
    for (idx, token) in tokens.iter().enumerate() {
        if token.space && idx > 0 {
            text.push(' ');
        }
        text.push_str(&token.text);
    }
    text
}

/// Spells contractions out: `doesn't` is `does not`, `she's` is `she is` or `she has`.
pub(crate) fn expand(tokens: Vec<Token>) -> Vec<Token> {
    let mut expanded: Vec<Token> = Vec::with_capacity(tokens.len());
    for (idx, token) in tokens.iter().enumerate() {
        let next = tokens[idx + 1..]
            .iter()
            .find(|token| !verbs::is_adverb(&token.lower));
        let full = match token.lower.as_str() {
            "n't" if expanded.last().is_some_and(|last| last.is("ai")) => {
                expanded.push(token.clone());
                continue;
            }
            "n't" => {
                if let Some(last) = expanded.last_mut() {
                    match last.lower.as_str() {
                        "ca" => last.set(if last.is_capital() { "Can" } else { "can" }),
                        "wo" => last.set(if last.is_capital() { "Will" } else { "will" }),
                        "sha" => last.set("shall"),
                        _ => {}
                    }
                }
                "not"
            }
            "'m" => "am",
            "'re" => "are",
            "'ve" => "have",
            "'ll" => "will",
            // `I'd no eye for it`
            "'d" if tokens
                .get(idx + 1)
                .is_some_and(|next| next.is_in("no a an the")) =>
            {
                "had"
            }
            "'d" if next.is_some_and(|next| {
                verbs::is_participle(&next.lower) && !verbs::is_base(&next.lower)
            }) =>
            {
                "had"
            }
            // `I'd two sons`, `I'd better go`, of which only the sense tells more
            "'d" if tokens.get(idx + 1).is_some_and(|next| {
                next.is_in("better rather") || next.is_number() || lexicon::is_numeral(&next.lower)
            }) =>
            {
                expanded.push(token.clone());
                continue;
            }
            "'d" => "would",
            "'s" if idx > 0 && is_contracted_s(&tokens[idx - 1], next) => {
                match full_s(&tokens, idx, next) {
                    Some(full) => full,
                    None => {
                        expanded.push(token.clone());
                        continue;
                    }
                }
            }
            _ => {
                expanded.push(token.clone());
                continue;
            }
        };
        let joined = full == "not" && expanded.last().is_some_and(|last| last.is("can"));
        expanded.push(Token::new(full, !joined));
    }
    expanded
}

/// The verb that `'s` at this place stands for; none where only the sense tells: `she's lost`, `she's no money`, `she's two sons`.
fn full_s(tokens: &[Token], at: usize, next: Option<&Token>) -> Option<&'static str> {
    let Some(next) = next else {
        return Some("is");
    };
    let place = tokens.iter().skip(at + 1).position(|token| token == next);
    let after = place.and_then(|place| tokens.get(at + place + 2));
    let is_of_she = !tokens[at - 1].is_in("it that there here where what name");
    let is_count = next.is_number() || lexicon::is_numeral(&next.lower);
    // `she's two sons`, but also `she's 24` and `she's six feet tall`
    let counts = is_count
        && after.is_some_and(|after| {
            after.is_word()
                && !after.is_in("years year months and in on at of feet foot now today or")
        });
    if is_of_she && (next.is("no") || counts) {
        return None;
    }
    if next.is_in("been got") {
        return Some("has");
    }
    // `she's known him`, but not `she's ashamed her sons are thieves`
    let has_object =
        after.is_some_and(|after| after.is_in("him her it them me us a an the my his their your"));
    let is_state = next.is_in(STATES) && !(has_object && verbs::known(&next.lower).is_some());
    if !verbs::is_participle(&next.lower) || next.text.contains('-') || is_state {
        return Some("is");
    }
    let is_thing = tokens[at - 1].is("it");
    let has_adverb = tokens
        .get(at + 1)
        .is_some_and(|word| word.is_in("never ever just already"));
    // `she's trained dogs`, `he's known him`
    let takes_object = after.is_some_and(|after| {
        after.is_word()
            && !grammar::is_preposition(&after.lower)
            && !verbs::is_adverb(&after.lower)
            && !after.is_in("and or but by to when while because if as than that who which")
    });
    // `it's hidden in a tank`, `it's painted blue`
    let is_has = match is_thing {
        true => has_object,
        false => has_adverb || takes_object,
    };
    match is_has || next.is_in(INTRANSITIVE) {
        true => Some("has"),
        false => is_thing.then_some("is"),
    }
}

fn is_contracted_s(before: &Token, next: Option<&Token>) -> bool {
    const PRONOUNS: &[&str] = &[
        "he", "she", "it", "that", "there", "who", "what", "here", "where", "name",
    ];
    before.is_any(PRONOUNS)
        || next.is_some_and(|next| next.is_any(&["a", "an", "not", "been", "very"]))
}

/// The word without its ending, for comparing.
pub(crate) fn stem(word: &str) -> String {
    let lower = word.to_lowercase();
    if let Some(base) = verbs::known_base(&lower) {
        return trim_e(base);
    }
    if lower.len() <= 3 || !lower.is_ascii() {
        return lower;
    }
    for (ending, keep) in [
        ("ies", "y"),
        ("sses", "ss"),
        ("shes", "sh"),
        ("ches", "ch"),
        ("xes", "x"),
        ("ingly", ""),
        ("edly", ""),
        ("ly", ""),
        ("ing", ""),
        ("ed", ""),
    ] {
        if lower.ends_with(ending) && lower.len() - ending.len() >= 3 {
            return trim_e(&format!("{}{keep}", &lower[..lower.len() - ending.len()]));
        }
    }
    if lower.ends_with('s')
        && !lower.ends_with("ss")
        && !lower.ends_with("us")
        && !lower.ends_with("is")
    {
        return trim_e(&lower[..lower.len() - 1]);
    }
    trim_e(&lower)
}

fn trim_e(word: &str) -> String {
    let word = word
        .strip_suffix('e')
        .filter(|word| word.len() > 2)
        .unwrap_or(word);
    word.strip_suffix('y')
        .filter(|word| word.len() > 2)
        .map_or_else(|| word.to_owned(), |word| format!("{word}i"))
}

/// Whether a word says little.
pub(crate) fn is_stop(lower: &str) -> bool {
    STOPS.contains(lower)
}

/// Stems of the words that carry the meaning, in order.
pub(crate) fn content(text: &str) -> Vec<String> {
    content_of(&expand(tokenize(text)))
}

/// Like [`content`], of tokens; those which mean the character are left out.
pub(crate) fn content_of(tokens: &[Token]) -> Vec<String> {
    tokens
        .iter()
        .filter(|token| token.is_word() && !token.me && !is_stop(&token.lower))
        .map(|token| stem(&token.lower))
        .collect()
}

/// How many words there are.
pub(crate) fn n_words(tokens: &[Token]) -> usize {
    tokens.iter().filter(|token| token.is_word()).count()
}

/// The text with its first letter as a capital.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_splitting_and_joining() {
        for text in [
            "Alice's dog (a poodle) isn't \"big\", is it?",
            "A. B. Marlow met St. John at 10:30.",
            "Zoë paid $1,200 – twice.",
        ] {
            assert_eq!(join(&tokenize(text)), text);
        }
    }

    #[test]
    fn contractions_are_spelt_out() {
        let expanded = join(&expand(tokenize(
            "She's kind and she's been there, but she can't swim; Alice's cat doesn't either.",
        )));
        assert_eq!(
            expanded,
            "She is kind and she has been there, but she cannot swim; Alice's cat does not either."
        );
    }

    #[test]
    fn a_state_is_told_from_what_is_done() {
        for (text, expected) in [
            ("He's scared of dogs.", "He is scared of dogs."),
            ("She's known him for years.", "She has known him for years."),
            ("He ain't scared.", "He ain't scared."),
        ] {
            assert_eq!(join(&expand(tokenize(text))), expected);
        }
    }

    #[test]
    fn forms_of_a_word_share_their_stem() {
        for (one, other) in [
            ("plays", "playing"),
            ("studies", "studied"),
            ("wrote", "writes"),
            ("guitars", "guitar"),
            ("stories", "story"),
            ("loves", "loving"),
        ] {
            assert_eq!(stem(one), stem(other));
        }
    }
}
